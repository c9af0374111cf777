"""Runs that are killed, stopped or doubled: each record is in the table once, and nothing staged is fetched twice."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable

import pytest
from aiohttp import web

from tests.end_to_end.fetches import (
    CUSTOMERS,
    EVENTS,
    INVOICES,
    ISSUES,
    ORDERS_IN_TURN,
    REPOS,
    SINCE,
    Api,
    Fetches,
)
from tests.servers.api_server import ApiServer
from tests.servers.bigquery_calls import Call, Dropped, Predicate
from tests.servers.bigquery_proxy import BigQueryProxy
from wharf.local.api_limits import ServerLimits

# A part is written each 100 pages: 250 records are three of them.
ONE_A_PAGE = EVENTS | {"paging": EVENTS["paging"] | {"size": 1}}
ORDERS_ONE_BY_ONE = ORDERS_IN_TURN | SINCE | {"paging": ORDERS_IN_TURN["paging"] | {"size": 1}}
IDS = list(range(1, 251))


def kill_when(fetches: Fetches, seen: Callable[[], bool]) -> None:
    run = fetches.start()
    run.signal_when(seen, signal.SIGKILL)
    assert run.wait().code == -signal.SIGKILL


def kill_at(fetches: Fetches, proxy: BigQueryProxy, predicate: Predicate, *, after: bool) -> None:
    """A run that is killed when it sends a statement, or when that has been done."""
    started = []

    def kill(_: Call) -> None:
        started[0].signal(signal.SIGKILL)
        raise Dropped

    proxy.on(predicate, kill, after=after, nth=1)
    started.append(fetches.start(f"--bigquery_endpoint={proxy.url}"))
    assert started[0].wait().code == -signal.SIGKILL


def test_a_run_killed_before_anything_was_staged_is_repeated(fetches: Fetches, api: Api) -> None:
    api.latency = 0.01
    fetches.declare(events=EVENTS)
    kill_when(fetches, lambda: len(api.asked("/v1/events")) >= 3)
    assert fetches.statuses() == {"events": "RUNNING"}
    assert fetches.files() == {}
    ended = fetches.run()
    assert ended.code == 0, ended.err
    assert fetches.ids("events") == IDS


def test_a_run_killed_while_it_fetches_goes_on_behind_what_it_has_staged(fetches: Fetches, api: Api) -> None:
    api.latency = 0.005
    fetches.declare(events=ONE_A_PAGE, orders=ORDERS_ONE_BY_ONE, customers=CUSTOMERS)
    kill_when(fetches, lambda: fetches.has_staged("events") and fetches.has_staged("orders"))
    assert set(fetches.statuses().values()) == {"RUNNING"}
    first = fetches.newest()
    before = {path: len(api.asked(path)) for path in ("/v1/events", "/v2/orders")}
    ended = fetches.run()
    assert ended.code == 0, ended.err
    for path, asked in before.items():
        pages = 251 if path == "/v2/orders" else 250  # of orders, an empty page is the end
        assert pages - asked <= len(api.asked(path)) - asked <= pages - 100
    assert not any("cursor=" not in path for path in api.asked("/v1/events")[before["/v1/events"] :])
    rows = fetches.newest()
    assert {name: row["run_id"] for name, row in rows.items()} == {name: row["run_id"] for name, row in first.items()}
    assert {row["status"] for row in rows.values()} == {"SUCCESS"}
    assert (rows["events"]["pages"], rows["events"]["records"]) == (250, 250)
    assert rows["orders"]["cursor_after"].startswith("2025-01-01T04:09:00"), "of all pages, those before among them"
    for endpoint in ("events", "orders", "customers"):
        assert fetches.ids(endpoint) == IDS, endpoint
        assert sorted(line["id"] for line in fetches.lines(endpoint)) == IDS
    assert not fetches.files("_checkpoint")


def test_children_go_on_where_they_were(fetches: Fetches, api: Api) -> None:
    api.latency, api.records = 0.005, 120
    fetches.declare(repos=REPOS, issues=ISSUES | {"paging": None})
    kill_when(fetches, lambda: fetches.has_staged("issues"))
    before = len(api.asked())
    ended = fetches.run()
    assert ended.code == 0, ended.err
    assert len(api.asked()) - before <= 30, "20, and what was on its way when the run was killed"
    assert fetches.ids("repos") == list(range(1, 121))
    assert fetches.ids("issues") == sorted(list(range(1, 31)) * 120), "of each, one page"
    (found,) = fetches.raw("issues", "COUNT(DISTINCT node_id) AS n")
    assert found["n"] == 120 * 30


MOMENTS: dict[str, tuple[Callable[[Fetches], Predicate], bool]] = {
    "before it is loaded": (lambda fetches: lambda call: call.modifies(f"{fetches.dataset}.raw_events"), False),
    "after it is loaded": (lambda fetches: lambda call: call.modifies(f"{fetches.dataset}.raw_events"), True),
    "before it is recorded": (
        lambda _: lambda call: "given.`pages`" in call.sql and "SUCCESS" in str(call.body),
        False,
    ),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_run_killed_while_it_loads_only_loads_again(
    fetches: Fetches, api: Api, proxy: BigQueryProxy, moment: str
) -> None:
    predicate, after = MOMENTS[moment]
    fetches.declare(events=EVENTS | SINCE)
    kill_at(fetches, proxy, predicate(fetches), after=after)
    assert fetches.statuses() == {"events": "RUNNING"}
    assert fetches.newest()["events"]["cursor_after"] is None
    asked = len(api.asked())
    ended = fetches.run()
    assert ended.code == 0, ended.err
    assert len(api.asked()) == asked, "everything is in its files"
    assert fetches.ids("events") == IDS
    assert fetches.newest()["events"]["cursor_after"].startswith("2025-01-01T04:09:00")


def test_force_begins_anew_what_was_left(fetches: Fetches, api: Api) -> None:
    api.latency = 0.005
    fetches.declare(events=ONE_A_PAGE)
    kill_when(fetches, lambda: fetches.has_staged("events"))
    asked = len(api.asked())
    assert fetches.run("--force").code == 0
    assert len(api.asked()) - asked == 250
    assert fetches.ids("events") == IDS
    assert [row["status"] for row in fetches.rows()] == ["RUNNING", "SUCCESS"]


def test_a_spent_day_stops_the_run_and_the_next_day_goes_on_there(fetching: Callable[[ApiServer], Fetches]) -> None:
    api = Api(records=250, tenants=("north",), limits=ServerLimits(per_minute=None, concurrent=None, per_day=150))
    fetches = fetching(api)
    invoices = INVOICES | {"paging": INVOICES["paging"] | {"size": 2}}
    fetches.like_xero("north", Invoices=invoices, Accounts={"records": "$.Accounts[*]", "primary_key": ["AccountID"]})
    assert fetches.run("--endpoints=Invoices").code == 0
    assert api.gate("north").day_left == 25
    api.gate("north").day_left = 100
    fetches.keys["limits"] = {"day_remaining": "X-DayLimit-Remaining"}
    stopped = fetches.run()
    assert stopped.code == 1
    assert fetches.statuses() == {"Invoices/north": "STOPPED", "Accounts/north": "SUCCESS"}
    row = fetches.newest()["Invoices/north"]
    assert "requests for today are spent" in row["error_message"]
    assert (row["pages"], row["records"], row["requests"]) == (99, 198, 99)
    assert api.refused() == 0, "the server's header says it before it refuses"
    assert "STOPPED" in stopped.out
    again = fetches.run()
    assert again.code == 1, "the same day"
    api.gate("north").day_left = 1000
    asked = len(api.asked("/api.xro/2.0/Invoices"))
    assert fetches.run("--endpoints=Invoices").code == 0
    assert len(api.asked("/api.xro/2.0/Invoices")) - asked == 26
    (found,) = fetches.sql(
        f"SELECT COUNT(*) AS n, COUNT(DISTINCT InvoiceID) AS ids FROM `{fetches.dataset}.raw_Invoices` "
        f"WHERE _run_id = '{row['run_id']}'"
    )
    assert found == {"n": 250, "ids": 250}


def test_requests_of_the_day_are_counted_over_runs(fetches: Fetches, api: Api) -> None:
    fetches.keys["limits"] = {"per_day": 12}
    fetches.declare(events=EVENTS)
    assert fetches.run().code == 0
    assert len(api.asked()) == 9
    stopped = fetches.run()
    assert (stopped.code, len(api.asked())) == (1, 12)
    assert fetches.newest()["events"]["records"] == 90
    fetches.keys["limits"] = {"per_day": 20}
    assert fetches.run().code == 0
    assert len(api.asked()) == 18
    assert fetches.ids("events") == sorted(IDS * 2)
    assert [row["requests"] for row in fetches.rows()] == [9, 9], "of the run that stopped, those before it did too"
    assert fetches.run().code == 1
    assert len(api.asked()) == 20


def test_of_two_runs_at_once_the_second_gives_way(fetching: Callable[[ApiServer], Fetches]) -> None:
    limits = ServerLimits(per_minute=None, per_day=None, concurrent=5, app_per_minute=None)
    api = Api(records=200, tenants=("north", "south"), limits=limits, latency=0.02)
    fetches = fetching(api)
    invoices = INVOICES | {"paging": INVOICES["paging"] | {"size": 2}}
    fetches.like_xero("north", "south", Invoices=invoices)
    first = fetches.start()
    first.signal_when(lambda: len(api.asked()) > 10, 0)
    rows = fetches.rows()
    api.latency = 4
    second = fetches.run()
    assert first.process.is_alive(), "the test was too slow to see two at once"
    api.latency = 0
    assert second.code == 3, second.err
    assert second.out == ""
    assert "acme/xero is being fetched already" in second.err
    assert rows[0]["job_id"] in second.err
    assert "--force" in second.err
    assert "Traceback" not in second.err
    assert " [while running" not in second.err
    assert fetches.rows() == rows, "it changes nothing"
    assert first.wait().code == 0
    assert api.login.granted == {"refresh_token": 1}
    assert api.refused() == 0
    assert len(api.asked()) == 200
    assert len(set(fetches.ids("Invoices", "InvoiceID"))) == len(fetches.ids("Invoices", "InvoiceID")) == 400


def test_a_run_whose_files_another_has_loaded_meanwhile_leaves_each_record_once(
    fetches: Fetches, api: Api, proxy: BigQueryProxy
) -> None:
    reached, go = threading.Event(), threading.Event()

    def hold(_: Call) -> None:
        reached.set()
        assert go.wait(60)

    fetches.declare(events=EVENTS | SINCE, gone=CUSTOMERS | {"path": "v9/gone"})
    proxy.on(lambda call: call.modifies(f"{fetches.dataset}.raw_events"), hold, nth=1)
    first = fetches.start(f"--bigquery_endpoint={proxy.url}")
    assert reached.wait(30)
    assert fetches.statuses() == {"events": "RUNNING", "gone": "FAILED"}, "what failed is known before others may begin"
    assert fetches.run("--endpoints=events").code == 0
    go.set()
    assert first.wait().code == 1
    assert len(api.asked("/v1/events")) == 9
    assert fetches.ids("events") == IDS
    assert fetches.statuses() == {"events": "SUCCESS", "gone": "FAILED"}
    assert len(fetches.rows()) == 2


def test_a_run_that_is_interrupted_leaves_the_way_free(fetches: Fetches, api: Api) -> None:
    api.latency = 0.02
    fetches.declare(events=ONE_A_PAGE)
    run = fetches.start()
    run.signal_when(lambda: len(api.asked()) > 10, signal.SIGTERM)
    ended = run.wait()
    assert ended.code == 130, ended.err
    assert "error: interrupted" in ended.err
    assert "Traceback" not in ended.err
    api.latency = 0
    assert fetches.run().code == 0
    assert fetches.ids("events") == IDS


def test_a_run_that_is_loaded_again_replaces_its_rows(fetches: Fetches, api: Api) -> None:
    fetches.declare(events=EVENTS)
    assert fetches.run().code == 0
    assert fetches.run().code == 0
    first, second = fetches.rows()
    fetches.sql(f"UPDATE `{fetches.metadata_table}` SET status = 'FAILED' WHERE run_id = '{second['run_id']}'")
    asked = len(api.asked())
    assert fetches.run().code == 0
    assert len(api.asked()) == asked
    found = fetches.sql(
        f"SELECT _run_id, COUNT(*) AS n, COUNT(DISTINCT id) AS ids FROM `{fetches.dataset}.raw_events` GROUP BY 1"
    )
    assert {row["_run_id"]: (row["n"], row["ids"]) for row in found} == {
        first["run_id"]: (250, 250),
        second["run_id"]: (250, 250),
    }


def test_an_endpoint_whose_api_gave_out_goes_on_at_its_cursor(fetches: Fetches, api: Api) -> None:
    def give_out(_: web.Request) -> web.Response | None:
        return web.json_response({}, status=503) if len(api.asked("/v1/events")) >= 120 else None

    api.replies["/v1/events"] = give_out
    fetches.keys["retries"] = {"attempts": 2}
    fetches.declare(events=ONE_A_PAGE, customers=CUSTOMERS)
    assert fetches.run().code == 1
    assert fetches.statuses() == {"events": "FAILED", "customers": "SUCCESS"}
    failed = fetches.newest()["events"]
    assert "no usable answer in 2 attempts" in failed["error_message"]
    api.replies.clear()
    asked = len(api.asked("/v1/events"))
    assert fetches.run("--endpoints=events").code == 0
    assert len(api.asked("/v1/events")) - asked == 130
    ended = fetches.newest()["events"]
    assert (ended["run_id"], ended["status"], ended["pages"]) == (failed["run_id"], "SUCCESS", 250)
    assert fetches.ids("events") == IDS


def test_an_endpoint_that_was_refused_begins_anew(fetches: Fetches, api: Api) -> None:
    def refuse_the_second_half(request: web.Request) -> web.Response | None:
        late = int(request.query.get("cursor", "c0")[1:]) >= 120
        return web.json_response({"message": "no"}, status=403) if late else None

    api.replies["/v1/events"] = refuse_the_second_half
    fetches.declare(events=EVENTS)
    assert fetches.run().code == 1
    api.replies.clear()
    assert fetches.run().code == 0
    assert fetches.ids("events") == IDS
    assert [row["status"] for row in fetches.rows()] in (["FAILED", "SUCCESS"], ["SUCCESS"])
