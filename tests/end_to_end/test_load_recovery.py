"""Loads that are killed at each step or lose answers: every row is there once in the end."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable

import pytest

from tests.end_to_end.load_moments import (
    DAYS,
    MOMENTS,
    a_load,
    begin,
    check_complete,
    deliver,
    kill,
    records,
    statement,
    through,
)
from tests.end_to_end.loads import Loads, csv_of
from tests.servers.bigquery_calls import Answer, Call, Predicate, drop, refuse
from tests.servers.bigquery_calls import loads as load_jobs
from tests.servers.bigquery_proxy import BigQueryProxy


@pytest.fixture
def dropped(loads: Loads) -> Loads:
    deliver(loads)
    return loads


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("refuses_known_jobs", [True, False], ids=["BigQuery", "emulator"])
def test_what_was_killed_is_completed_by_the_same_command_at_once(
    dropped: Loads, proxy: BigQueryProxy, moment: str, refuses_known_jobs: bool
) -> None:
    predicate, after = MOMENTS[moment]
    run = begin(dropped, proxy, predicate(dropped), kill, after)
    assert run.wait().code == -signal.SIGKILL
    started = time.monotonic()
    ended = dropped.run(*([through(proxy)] if refuses_known_jobs else []))
    assert (ended.code, ended.err) == (0, "")
    assert time.monotonic() - started < 30, "the lease of a process that is gone is not waited for"
    check_complete(dropped)


@pytest.mark.parametrize("mode", ["append", "replace_partition", "replace_table", "merge"])
def test_a_statement_whose_end_nobody_recorded_is_not_run_again(
    dropped: Loads, proxy: BigQueryProxy, mode: str
) -> None:
    dropped.put("orders/_config/load.json", {"writeMode": mode} | ({"mergeKeys": ["id"]} if mode == "merge" else {}))
    statements = []
    proxy.on(statement(dropped), lambda call: statements.append(call.job_id))
    run = begin(dropped, proxy, statement(dropped), kill, after=True)
    run.wait()
    (found,) = {row["job_id"] for row in dropped.states() if row["directory"] in DAYS and row["status"] == "SUBMITTED"}
    assert dropped.run(through(proxy)).code == 0
    assert statements.count(f"{found}-1") == 1
    assert f"{found}-1" not in proxy.refused
    assert {row["job_id"] for row in dropped.states() if row["directory"] == DAYS[0]} == {found}
    assert set(dropped.statuses().values()) == {"DONE"}
    if mode == "replace_table":
        assert dropped.rows("orders", "id") == [(30,), (31,)]
    else:
        check_complete(dropped)


def test_a_run_that_is_killed_again_and_again_comes_to_its_end(dropped: Loads, proxy: BigQueryProxy) -> None:
    for moment in ("after it is DONE", "after the statement", "before the statement", "after a load job"):
        predicate, after = MOMENTS[moment]
        with BigQueryProxy(proxy.url) as own:
            run = begin(dropped, own, predicate(dropped), kill, after)
            run.process.join(60)
            assert run.process.exitcode in {-signal.SIGKILL, 0}
        dropped.drop(f"orders/2025/04/{moment.replace(' ', '-')}", {"a.csv": csv_of("id", (len(dropped.started),))})
    assert dropped.run(through(proxy)).code == 0
    assert dropped.rows("orders", "id") == [
        *((n,) for n in (1, 2, 3, 4)),
        *((n + d,) for n in (10, 20, 30) for d in (0, 1)),
    ]
    assert set(dropped.statuses().values()) == {"DONE"}


def test_sigterm_leaves_nothing_to_wait_for(dropped: Loads, proxy: BigQueryProxy) -> None:
    run = begin(dropped, proxy, load_jobs, lambda run: run.signal(signal.SIGTERM), after=False)
    ended = run.wait()
    assert ended.code == 130
    assert "Traceback" not in ended.err
    assert dropped.run().code == 0
    check_complete(dropped)


def hide_once(proxy: BigQueryProxy) -> None:
    """Let the first look for a job that was begun find nothing, as it may on BigQuery in the first moment."""
    seen = set()

    def look(call: Call) -> Answer | None:
        if call.path in seen:
            return None
        seen.add(call.path)
        return Answer.error(404, "notFound", "Not found: Job")

    proxy.on(lambda call: call.method == "GET" and bool(re.search(r"/jobs/[0-9a-f]{32}-1$", call.path)), look)


@pytest.mark.parametrize("lost", [a_load, statement], ids=["load job", "statement"])
@pytest.mark.parametrize("is_hidden", [False, True], ids=["seen", "hidden at first"])
def test_a_job_whose_answer_is_lost_is_found_and_not_begun_again(
    dropped: Loads, proxy: BigQueryProxy, lost: Callable[[Loads], Predicate], is_hidden: bool
) -> None:
    if is_hidden:
        hide_once(proxy)
    proxy.on(lost(dropped), drop, after=True)
    ended = dropped.run(through(proxy))
    assert (ended.code, ended.err) == (0, "")
    check_complete(dropped)
    assert bool(proxy.refused) == is_hidden
    assert proxy.modifications(f"{dropped.dataset}.orders") == 1
    assert {row["attempts"] for row in dropped.states()} == {1}


@pytest.mark.parametrize(
    ("status", "reason"), [(503, "backendError"), (500, "internalError"), (403, "rateLimitExceeded")]
)
def test_a_refusal_that_passes_is_tried_again(dropped: Loads, proxy: BigQueryProxy, status: int, reason: str) -> None:
    for predicate in (load_jobs, statement(dropped)):
        proxy.on(predicate, refuse(status, reason), nth=1)
    assert dropped.run(through(proxy)).code == 0
    check_complete(dropped)


def test_an_outage_in_the_middle_is_sat_out(dropped: Loads, proxy: BigQueryProxy) -> None:
    proxy.on(records("DONE")(dropped), lambda _: proxy.unavailable(3), nth=1)
    assert dropped.run(through(proxy)).code == 0
    check_complete(dropped)


@pytest.mark.parametrize("never", [a_load, statement], ids=["load job", "statement"])
def test_what_never_gets_through_fails_and_can_be_repeated(
    dropped: Loads, proxy: BigQueryProxy, never: Callable[[Loads], Predicate]
) -> None:
    proxy.on(never(dropped), drop)
    ended = dropped.run(through(proxy))
    assert ended.code == 1
    assert "Traceback" not in ended.err
    statuses = dropped.statuses()
    assert {statuses[directory] for directory in DAYS} == {"FAILED"}
    assert statuses["items/2025/03/01"] == ("FAILED" if never is a_load else "DONE")
    assert dropped.wharf("retry", "--load_state_table", dropped.state_table).code == 0
    check_complete(dropped)
