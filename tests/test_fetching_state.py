"""The record of fetches, and who may ask an API: on the embedded stack's BigQuery."""

from __future__ import annotations

import datetime as dt
import time
import uuid

import pytest

from tests.raw_runs import raw_run
from wharf.connectors.fetching.state import FetchState
from wharf.model.errors import RunFailed, RunInProgress
from wharf.model.fetching import ledger
from wharf.model.schema import TableId

LEASE = dt.timedelta(minutes=5)
UNIT = "acme/xero/t1"


@pytest.fixture
def state(stack) -> FetchState:
    made = FetchState(
        stack.endpoints.bigquery_client(stack.project), TableId(stack.project, "fetches", f"f_{uuid.uuid4().hex[:8]}")
    )
    made.ensure()
    return made


def began(day: int) -> dt.datetime:
    return dt.datetime(2025, 3, day, 12, tzinfo=dt.UTC)


def row(run_id: str, day: int, cursor: str | None = None, **options) -> dict:
    return ledger.running(raw_run("gs://lake", run_id, **options), began(day), cursor_before=cursor, job_id="host 1")


def ok(row: dict, cursor: str | None = None) -> dict:
    return ledger.succeeded(row, began(28), cursor_after=cursor, table="p.d.raw_Invoices", warnings=("a", "b"))


def test_a_row_holds_everything_known_of_a_fetch(state):
    begun = row("r1", 1, "c0", tenant="t1")
    state.write([begun])
    assert state.of_run("r1") == {("Invoices", "t1"): begun}
    ended = ok(begun | {"pages": 2, "records": 3, "bytes": 4, "requests": 5, "retries": 1, "throttled_seconds": 0.5})
    state.write([ended])
    state.write([ended])
    assert state.of_run("r1") == {("Invoices", "t1"): ended}
    assert ended["raw_uri"].endswith("/run=r1.t1")
    assert (ended["cursor_after"], ended["warnings"]) == ("c0", "a\nb")


def test_the_next_run_begins_at_the_cursor_of_the_newest_that_succeeded(state):
    state.write([ok(row("r1", 1), "c1")])
    state.write([ok(row("r2", 2), "c2")])
    state.write(
        [ledger.failed(row("r3", 3, "c2"), began(3), "no"), ledger.stopped(row("r4", 4, "c2"), began(4), "spent")]
    )
    state.write([ok(row("r1", 1, tenant="t1"), "t1-c1"), ok(row("r1", 1, endpoint="Journals"))])
    assert state.last_cursors("acme", "xero") == {("Invoices", ""): "c2", ("Invoices", "t1"): "t1-c1"}
    assert state.last_cursors("acme", "other") == state.last_cursors("other", "xero") == {}


def test_the_newest_row_tells_where_a_run_stopped(state):
    state.write([ok(row("r1", 1), "c1")])
    state.write([ledger.stopped(row("r2", 2, "c1"), began(2), "the day's requests are spent")])
    newest = state.newest("acme", "xero")[("Invoices", "")]
    assert (newest["run_id"], newest["status"], newest["error_message"]) == (
        "r2",
        "STOPPED",
        "the day's requests are spent",
    )


def test_a_unit_is_fetched_by_one_run_at_a_time(state):
    with state.held(UNIT, "r1", LEASE, job_id="host 1"):
        with (
            pytest.raises(RunInProgress, match=r"acme/xero/t1 is being fetched already.*host 1"),
            state.held(UNIT, "r2", LEASE),
        ):
            pass
        with state.held("acme/xero/t2", "r2", LEASE):
            pass
    with state.held(UNIT, "r2", LEASE):
        pass


def test_another_worker_of_the_same_run_waits_for_the_lease_of_one_that_is_lost(state):
    lost = {"export_id": "r1/lost", "export_name": UNIT, "destination_uri": UNIT, "job_id": "another host:1"}
    state.leases.claim(lost | {"started_at": began(1)}, dt.timedelta(seconds=3))
    begun = time.monotonic()
    with state.held(UNIT, "r1", dt.timedelta(seconds=2)):
        assert time.monotonic() - begun > 2


def test_a_unit_is_free_again_after_a_failure_and_after_a_dead_runs_lease(state):
    with pytest.raises(RunFailed, match="broken"), state.held(UNIT, "r1", LEASE):
        raise RunFailed("broken")
    dead = state.held(UNIT, "r2", dt.timedelta(seconds=-1))
    dead.gen.send(None)  # and nobody ends it
    with state.held(UNIT, "r3", LEASE):
        pass
    dead.gen.close()


def test_a_lease_is_renewed_while_its_holder_lives_and_given_up_by_force(state):
    with state.held(UNIT, "r1", dt.timedelta(seconds=2)):
        time.sleep(3)
        with pytest.raises(RunInProgress), state.held(UNIT, "r2", LEASE):
            pass
        with state.held(UNIT, "r2", LEASE, force=True):
            pass


def test_requests_of_the_day_are_counted_for_each_tenant(state):
    state.write([row("r1", 1) | {"requests": 9}, row("r2", 2) | {"requests": 2}])
    state.write([row("r3", 2, endpoint="Journals") | {"requests": 3}, row("r3", 2, tenant="t1") | {"requests": 4}])
    assert state.spent_today("acme", "xero", began(2)) == {"": 5, "t1": 4}
