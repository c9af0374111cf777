"""APIs that fail: what one endpoint fails of does not cost the others' data, and what passes is tried again."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web

from tests.end_to_end.fetches import CUSTOMERS, EVENTS, INVOICES, ISSUES, ORDERS, REPOS, SINCE, Api, Fetches
from tests.servers.api_server import (
    UNLIMITED,
    ApiServer,
    Drips,
    EndsTokens,
    Fails,
    Refuses,
    Truncates,
    TruncatesGzip,
    odd_records,
)
from tests.servers.bigquery_calls import refuse
from tests.servers.bigquery_proxy import BigQueryProxy

IDS = list(range(1, 251))


def reply(body: Any, status: int = 200, kind: str = "application/json") -> Callable[[web.Request], web.Response]:
    text = body if isinstance(body, str) else json.dumps(body)
    return lambda _: web.Response(text=text, status=status, content_type=kind)


def first_page(_: web.Request) -> web.Response:
    orders = [{"id": number} for number in range(1, 21)]
    return web.json_response({"orders": orders, "page": 1, "pages": 5, "total": 100})


def same_orders(request: web.Request) -> web.Response:
    orders = [{"id": number} for number in range(1, 21)]
    return web.json_response({"orders": orders, "page": int(request.query["page"]), "pages": 5, "total": 100})


def too_few(request: web.Request) -> web.Response:
    orders = [{"id": int(request.query["page"]) * 100 + number} for number in range(20)]
    return web.json_response({"orders": orders, "page": int(request.query["page"]), "pages": 2, "total": 50})


BROKEN: dict[str, tuple[Callable[[web.Request], web.Response], str]] = {
    "refused": (reply({"error": "no such thing"}, status=404), 'status 404: {"error": "no such thing"}'),
    "a login page": (reply("<!DOCTYPE html><title>Log in</title>", kind="text/html"), "a web page (text/html)"),
    "no JSON": (reply('{"orders": [1, 2'), "is not JSON"),
    "an error sent as 200": (reply({"message": "quota"}), "nothing is at $.orders[*]"),
    "page one again": (first_page, "the answer says that it is page 1"),
    "the same records": (same_orders, "repeats page"),
    "fewer than it said": (too_few, "the API says that there are 50"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_one_endpoint_that_fails_leaves_the_others_loaded(fetches: Fetches, api: Api, fault: str) -> None:
    respond, text = BROKEN[fault]
    api.replies["/v2/orders"] = respond
    fetches.declare(customers=CUSTOMERS, orders=ORDERS | SINCE, events=EVENTS)
    ended = fetches.run()
    assert ended.code == 1
    assert "Traceback" not in ended.err
    assert fetches.statuses() == {"customers": "SUCCESS", "orders": "FAILED", "events": "SUCCESS"}
    row = fetches.newest()["orders"]
    assert row["error_message"].startswith("endpoint orders")
    assert text in row["error_message"]
    assert row["cursor_after"] is None
    assert row["error_message"] in ended.out
    assert (fetches.ids("customers"), fetches.ids("events")) == (IDS, IDS)
    assert fetches.tables() == {
        *("fetches", "fetches_leases"),
        *("raw_customers", "latest_customers", "raw_events", "latest_events"),
    }
    assert not fetches.files("/orders/.*_SUCCESS$")
    api.replies.clear()
    assert fetches.run("--endpoints=orders").code == 0
    assert fetches.ids("orders") == IDS


def test_a_tenant_that_is_refused_does_not_cost_the_others(fetches: Fetches, api: Api) -> None:
    api.tenants = ("north",)
    fetches.like_xero("north", "stranger", Invoices=INVOICES)
    assert fetches.run().code == 1
    assert fetches.statuses() == {"Invoices/north": "SUCCESS", "Invoices/stranger": "FAILED"}
    assert "AuthenticationUnsuccessful" in fetches.newest()["Invoices/stranger"]["error_message"]
    assert len(fetches.ids("Invoices", "InvoiceID")) == 250


def test_credentials_that_are_refused_fail_every_endpoint_and_are_not_tried_for_ever(fetches: Fetches) -> None:
    fetches.like_xero("demo-tenant", Invoices=INVOICES, Accounts={"records": "$.Accounts[*]"})
    fetches.token_file.write_text("one that was used long ago")
    ended = fetches.run()
    assert ended.code == 1
    assert set(fetches.statuses().values()) == {"FAILED"}
    assert fetches.api.login.granted["refused"] <= 2
    assert "long ago" not in ended.out + ended.err
    assert fetches.tables() == {"fetches", "fetches_leases"}


def test_children_of_a_parent_that_failed_fail_with_it(fetches: Fetches, api: Api) -> None:
    api.replies["/orgs/acme/repos"] = reply({"message": "gone"}, status=410)
    fetches.declare(repos=REPOS, issues=ISSUES, customers=CUSTOMERS)
    assert fetches.run().code == 1
    assert fetches.statuses() == {"repos": "FAILED", "issues": "FAILED", "customers": "SUCCESS"}
    assert fetches.newest()["issues"]["error_message"] == "endpoint issues: its parent repos is not complete"


def test_a_load_that_fails_leaves_the_cursor_and_is_all_that_the_next_run_does(
    fetches: Fetches, api: Api, proxy: BigQueryProxy
) -> None:
    fetches.declare(customers=CUSTOMERS, orders=ORDERS | SINCE)
    proxy.on(lambda call: call.modifies(f"{fetches.dataset}.raw_orders"), refuse(400, "invalidQuery"))
    ended = fetches.run(f"--bigquery_endpoint={proxy.url}")
    assert ended.code == 1
    assert fetches.statuses() == {"customers": "SUCCESS", "orders": "FAILED"}
    row = fetches.newest()["orders"]
    assert (row["cursor_after"], row["pages"], row["records"]) == (None, 13, 250)
    assert fetches.ids("customers") == IDS
    asked = len(api.asked("/v2/orders"))
    assert fetches.run("--endpoints=orders").code == 0
    assert len(api.asked("/v2/orders")) == asked, "its files are there"
    again = fetches.newest()["orders"]
    assert (again["run_id"], again["cursor_after"][:19]) == (row["run_id"], "2025-01-01T04:09:00")
    assert fetches.ids("orders") == IDS


@pytest.mark.parametrize(
    "server",
    [
        Refuses(records=250, limits=UNLIMITED, times=6),
        Fails(records=250, limits=UNLIMITED, times=6),
        Truncates(records=250, limits=UNLIMITED, times=4),
        Truncates(records=250, limits=UNLIMITED, times=4, tells_length=False),
        TruncatesGzip(records=250, limits=UNLIMITED, times=4),
        Drips(records=250, limits=UNLIMITED, times=2),
    ],
    ids=["429", "500", "truncated", "truncated without a length", "truncated gzip", "drips"],
)
def test_what_passes_is_tried_again(fetching: Callable[[ApiServer], Fetches], server: ApiServer) -> None:
    fetches = fetching(server)
    fetches.keys["retries"] = {"attempts": 12, "timeout_seconds": 1}
    fetches.declare(orders=ORDERS, events=EVENTS)
    ended = fetches.run()
    assert ended.code == 0, ended.out + ended.err
    assert (fetches.ids("orders"), fetches.ids("events")) == (IDS, IDS)
    rows = fetches.rows()
    assert sum(row["retries"] for row in rows) == server.times  # type: ignore[attr-defined]
    assert sum(row["requests"] for row in rows) == len(server.seen) == 13 + 9 + server.times  # type: ignore[attr-defined]


def test_what_does_not_pass_fails_in_the_end(fetching: Callable[[ApiServer], Fetches]) -> None:
    fetches = fetching(Fails(records=250, limits=UNLIMITED, times=1000, status=503))
    fetches.keys["retries"] = {"attempts": 2, "timeout_seconds": 1}
    fetches.declare(orders=ORDERS)
    assert fetches.run().code == 1
    assert "no usable answer in 2 attempts; the last: status 503" in fetches.newest()["orders"]["error_message"]


def test_a_token_that_ends_between_pages_is_renewed_once(fetching: Callable[[ApiServer], Fetches]) -> None:
    fetches = fetching(EndsTokens(records=1000, tenants=("north", "south"), limits=UNLIMITED, after=7))
    fetches.like_xero("north", "south", Invoices=INVOICES)
    ended = fetches.run()
    assert ended.code == 0, ended.out + ended.err
    assert len(set(fetches.ids("Invoices", "InvoiceID"))) == len(fetches.ids("Invoices", "InvoiceID")) == 2000
    assert fetches.api.login.granted == {"refresh_token": 2}
    assert fetches.token_file.read_text().strip() == fetches.api.login.refresh_token


def test_odd_records_end_up_in_the_table_unlost(fetches: Fetches, api: Api) -> None:
    records = odd_records(40)

    def page(request: web.Request) -> web.Response:
        start = int(request.query["offset"])
        return web.json_response({"items": records[start : start + 10], "total": 40})

    api.replies["/v2/customers"] = page
    fetches.declare(odd=CUSTOMERS)
    ended = fetches.run()
    assert ended.code == 0, ended.out
    found = fetches.raw("odd", "id, name, TO_JSON_STRING(huge) AS huge, TO_JSON_STRING(changing) AS changing")
    assert [row["id"] for row in found] == list(range(40))
    assert {row["name"] for row in found} == {records[0]["name"]}
    assert [row["huge"].strip('"') for row in found] == [str(record["huge"]) for record in records]
    assert [json.loads(row["changing"]) for row in found] == [record["changing"] for record in records]
    assert [json.loads(row["d"]) for row in fetches.raw("odd", "TO_JSON_STRING(deep) AS d")] == [
        record["deep"] for record in records
    ]


def test_a_field_whose_type_changes_goes_on_in_a_column_beside_it(fetches: Fetches, api: Api) -> None:
    versions = [[{"id": 1, "size": 5}], [{"id": 2, "size": "large"}, {"id": 3, "size": 7, "new": True}]]
    fetches.declare(things={"path": "v1/audit", "primary_key": ["id"]})
    for version in versions:
        api.replies["/v1/audit"] = reply(version)
        ended = fetches.run()
        assert ended.code == 0, ended.out
    assert "size is INT64 and came as text too: see column size_json" in fetches.newest()["things"]["warnings"]
    assert "size_json" in ended.out
    found = fetches.raw("things", "id, size, TO_JSON_STRING(size_json) AS other, new")
    assert [(row["id"], row["size"], row["new"]) for row in found] == [(1, 5, None), (2, None, None), (3, 7, True)]
    assert json.loads(found[1]["other"]) == "large"


def test_a_page_of_20_megabytes(fetches: Fetches, api: Api) -> None:
    records = [{"id": number, "text": "株" * 333, "tail": "x" * 1000} for number in range(10_000)]
    body = json.dumps(records, ensure_ascii=False).encode()
    assert len(body) > 20_000_000
    api.replies["/v1/audit"] = lambda _: web.Response(body=body, content_type="application/json")
    fetches.declare(large={"path": "v1/audit", "primary_key": ["id"]})
    ended = fetches.run()
    assert ended.code == 0, ended.out
    (found,) = fetches.raw("large", "COUNT(DISTINCT id) AS n, SUM(LENGTH(text)) AS size, MAX(tail) AS tail")
    assert found == {"n": 10_000, "size": 3_330_000, "tail": "x" * 1000}
    assert fetches.newest()["large"]["bytes"] == len(body)


def test_no_secret_is_in_what_a_run_leaves_or_says(
    fetches: Fetches, api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    def echo(request: web.Request) -> web.Response:
        return web.json_response({"you sent": dict(request.headers), "query": request.query_string}, status=422)

    api.tenants = ("north",)
    fetches.like_xero("north", Invoices=INVOICES, Accounts={"records": "$.Accounts[*]"})
    api.replies["/api.xro/2.0/Accounts"] = echo
    former = api.login.refresh_token
    xero = fetches.run()
    assert xero.code == 1
    issued = [api.login.client_secret, api.login.refresh_token, former, *api.login._access]
    fetches.keys |= {"auth": {"kind": "api_key", "param": "api_key", "password": "env:API_KEY"}, "base_url": api.url}
    fetches.keys |= {"api": "shop"}
    del fetches.keys["tenants"], fetches.keys["tenant_header"]
    fetches.declare(orders=ORDERS, events=EVENTS)
    api.replies["/v1/events"] = echo
    shop = fetches.run()
    assert shop.code == 1
    assert "you sent" in shop.out
    said = "".join((xero.out, xero.err, shop.out, shop.err, caplog.text, json.dumps(fetches.rows(), default=str)))
    said += json.dumps([*fetches.lines("orders"), *fetches.lines("Invoices")])
    said += json.dumps(fetches.sql(f"SELECT * FROM `{fetches.metadata_table}_leases`"), default=str)
    for name, data in fetches.files().items():
        said += name + data.decode(errors="replace")
    assert [secret for secret in (*issued, api.api_key) if secret in said] == []
