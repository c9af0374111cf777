"""The runs table as a lock and a record."""

from __future__ import annotations

import datetime as dt
import subprocess
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from wharf.connectors import bigquery, machine
from wharf.connectors.ledger import RunLedger
from wharf.model.errors import RunFailed, RunInProgress
from wharf.model.ledger import RUNS
from wharf.model.schema import TableId

LEASE = dt.timedelta(minutes=5)
NO_LEASE = dt.timedelta(seconds=-1)
MARCH = (dt.datetime(2025, 3, 1, tzinfo=dt.UTC), dt.datetime(2025, 4, 1, tzinfo=dt.UTC))


@pytest.fixture
def ledger(stack) -> RunLedger:
    client = stack.endpoints.bigquery_client(stack.project)
    table = TableId(stack.project, "locks", f"t_{uuid.uuid4().hex[:8]}")
    bigquery.ensure_table(client, table, RUNS)
    return RunLedger(client, table)


def run(export_id: str, window: tuple = MARCH, destination: str = "gs://bucket/x") -> dict:
    return {
        "export_id": export_id,
        "destination_uri": destination,
        "started_at": dt.datetime.now(dt.UTC),
        "window_from": window[0],
        "window_to": window[1],
        "job_id": f"host:{export_id}",
    }


def test_a_claim_is_recorded_as_running(ledger):
    ledger.claim(run("a"), LEASE)
    row = ledger.row("a")
    assert (row["status"], row["job_id"], row["completed_at"]) == ("RUNNING", "host:a", None)
    assert row["lease_until"] > dt.datetime.now(dt.UTC)
    ledger.check_mine("a")


def test_an_overlapping_window_is_refused_naming_who_holds_it(ledger):
    ledger.claim(run("a"), LEASE)
    overlapping = (MARCH[1] - dt.timedelta(days=1), MARCH[1] + dt.timedelta(days=1))
    with pytest.raises(RunInProgress, match=r"run a \(host:a\) .*gs://bucket/x.*--force"):
        ledger.claim(run("b", overlapping), LEASE)
    with pytest.raises(RunFailed, match="run b is not in"):
        ledger.row("b")
    ledger.check_mine("a")


def test_a_run_that_is_claimed_again_stays_recorded_when_another_is_at_work(ledger):
    ledger.claim(run("a"), LEASE)
    ledger.fail("a", "the server was down")
    ledger.claim(run("b"), LEASE)
    with pytest.raises(RunInProgress, match="run b"):
        ledger.claim(run("a"), LEASE, again=True)
    row = ledger.row("a")
    assert (row["status"], row["error_message"]) == ("FAILED", "not completed: run b was at work")
    ledger.check_mine("b")


def test_neighbouring_windows_and_other_destinations_do_not_meet(ledger):
    ledger.claim(run("a"), LEASE)
    ledger.claim(run("after", (MARCH[1], MARCH[1] + dt.timedelta(days=1))), LEASE)
    ledger.claim(run("before", (MARCH[0] - dt.timedelta(days=1), MARCH[0])), LEASE)
    ledger.claim(run("elsewhere", destination="gs://bucket/y"), LEASE)
    assert ledger.living(["a", "after", "before", "elsewhere", "nobody"]) == {"a", "after", "before", "elsewhere"}


def test_force_takes_the_window_and_the_former_run_may_not_publish(ledger):
    ledger.claim(run("a"), LEASE)
    ledger.claim(run("b"), LEASE, force=True)
    assert (ledger.row("a")["status"], ledger.row("b")["status"]) == ("FAILED", "RUNNING")
    with pytest.raises(RunFailed, match="run a lost its window before it published anything: taken over by b"):
        ledger.check_mine("a")
    ledger.renew("a", LEASE)
    ledger.fail("a", "too late")
    assert ledger.row("a")["error_message"] == "taken over by b"


def test_an_expired_lease_is_taken_over(ledger):
    ledger.claim(run("a"), NO_LEASE)
    assert ledger.living(["a"]) == set()
    ledger.claim(run("b"), LEASE)
    assert ledger.row("a")["status"] == "FAILED"
    assert ledger.living(["a", "b"]) == {"b"}


def test_a_dead_process_of_this_machine_is_taken_over_from_within_its_lease(ledger):
    with subprocess.Popen(["true"]) as gone:
        pass
    here = machine.process().rpartition(":")[0]
    ledger.claim(run("dead") | {"job_id": f"{here}:{gone.pid}"}, LEASE)
    ledger.claim(run("other") | {"job_id": machine.process(), "destination_uri": "gs://bucket/y"}, LEASE)
    assert ledger.living(["dead", "other"]) == {"other"}
    ledger.claim(run("b") | {"job_id": machine.process()}, LEASE)
    row = ledger.row("dead")
    assert (row["status"], row["error_message"]) == ("FAILED", "its process died; taken over by b")
    with pytest.raises(RunInProgress, match="run b"):
        ledger.claim(run("c"), LEASE)
    with pytest.raises(RunFailed, match="lost its window"):
        ledger.check_mine("dead")


def test_a_process_of_another_machine_is_waited_for_whatever_its_number_is(ledger):
    with subprocess.Popen(["true"]) as gone:
        pass
    ledger.claim(run("far") | {"job_id": f"another-host:{gone.pid}"}, LEASE)
    assert ledger.living(["far"]) == {"far"}
    with pytest.raises(RunInProgress, match="run far"):
        ledger.claim(run("b"), LEASE)


def test_a_renewed_lease_holds(ledger):
    ledger.claim(run("a"), NO_LEASE)
    ledger.renew("a", LEASE)
    with pytest.raises(RunInProgress):
        ledger.claim(run("b"), LEASE)


def test_a_lease_is_kept_alive_while_the_work_goes_on(ledger):
    ledger.claim(run("a"), NO_LEASE)
    with ledger.kept_alive("a", dt.timedelta(seconds=0.9)):
        before = ledger.row("a")["lease_until"]
        until = time.monotonic() + 10
        while ledger.row("a")["lease_until"] == before and time.monotonic() < until:
            time.sleep(0.1)
    assert ledger.row("a")["lease_until"] > before


@pytest.mark.parametrize("ended", ["SUCCESS", "FAILED"])
def test_a_run_that_has_ended_leaves_its_window_free(ledger, ended):
    ledger.claim(run("a"), LEASE)
    if ended == "SUCCESS":
        ledger.succeed({"export_id": "a", "rows_exported": 5, "bytes_exported": 50, "files": 2, "partitions": 1})
    else:
        ledger.fail("a", "the disk is full")
    ledger.claim(run("b"), LEASE)
    row = ledger.row("a")
    assert row["status"] == ended
    assert row["completed_at"] >= row["started_at"]
    assert (row["rows_exported"], row["error_message"]) == (
        (5, None) if ended == "SUCCESS" else (None, "the disk is full")
    )


def test_a_success_stays_one_when_the_process_fails_afterwards(ledger):
    ledger.claim(run("a"), LEASE)
    ledger.succeed({"export_id": "a", "rows_exported": 5})
    ledger.fail("a", "interrupted")
    assert ledger.row("a")["status"] == "SUCCESS"


def test_of_ten_claims_at_once_at_most_one_is_let_through(ledger):
    def claim(number: int) -> bool:
        try:
            ledger.claim(run(f"r{number}"), LEASE)
        except RunInProgress:
            return False
        return True

    with ThreadPoolExecutor(10) as pool:
        through = [number for number, came in enumerate(pool.map(claim, range(10))) if came]
    assert len(through) <= 1
    assert ledger.living([f"r{number}" for number in range(10)]) == {f"r{number}" for number in through}
