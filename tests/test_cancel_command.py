"""`wharf cancel`: the job or process of a run ends, and its ledger says so."""

from __future__ import annotations

import datetime as dt
import getpass
import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.recorded_runs import exported
from wharf.connectors import machine

NOW = dt.datetime.now(dt.UTC).replace(microsecond=0)
LEASE = {"lease_until": NOW + dt.timedelta(hours=1)}


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that would go on for long."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield process
    process.kill()
    process.wait()


def name_of(process) -> str:
    """As a ledger names it."""
    return f"{machine.process().rpartition(':')[0]}:{process.pid}"


def test_a_job_on_dataflow_is_cancelled_waited_for_and_recorded(command, launching):
    config = f"--launch_config={launching.config}"
    launched = command("run", "measurements", "--period=202503", "--target=dataflow", config, "--detach", "--json")
    (job,) = launching.api.jobs
    launching.api.run(job.id)
    launching.record(job, "RUNNING")
    ended = command("cancel", launched.document["run_id"], config)
    assert ended.code == 0, ended.err
    assert job.state == "JOB_STATE_CANCELLED"
    assert "CANCELLED" in ended.err
    (run,) = launching.rows()
    assert run.status == "FAILED"
    assert run.error.startswith(f"cancelled by {getpass.getuser()} on ")
    assert run.error in ended.out
    again = command("cancel", launched.document["run_id"], config)
    assert again.code == 2
    assert "is CANCELLED: there is nothing to cancel" in again.err
    launching.end_jobs()
    assert command("run", "measurements", "--period=202503", "--target=dataflow", config).code == 0
    assert launching.api.jobs[-1].name == f"{job.name}-2", "what was cancelled may be run again"


def test_a_job_is_found_by_its_own_id_and_by_the_ledgers_run(command, launching):
    config = f"--launch_config={launching.config}"
    for period in ("202503", "202504"):
        command("run", "measurements", f"--period={period}", "--target=dataflow", config, "--detach")
    by_job, by_run = launching.api.jobs
    launching.record(by_run, "RUNNING")
    (run,) = launching.rows()
    assert command("cancel", by_job.id, "--drain", config).code == 0
    ended = command("cancel", run.run_id, config, "--json")
    assert ended.code == 0, ended.err
    assert [job.state for job in launching.api.jobs] == ["JOB_STATE_DRAINED", "JOB_STATE_CANCELLED"]
    drained, cancelled = ((launching.folder / "launches" / f"{job.name}.json").read_text() for job in (by_job, by_run))
    assert json.loads(drained)["error"] == "", "what was drained has succeeded"
    assert json.loads(cancelled)["error"].startswith("cancelled by ")
    assert [(row["run_id"], row["status"]) for row in ended.lines] == [(run.run_id, "FAILED")]


def test_the_process_of_a_local_run_is_ended(command, launching, sleeper):
    launching.ledgers.export(exported("local", dt.datetime.now(dt.UTC), "RUNNING", job_id=name_of(sleeper), **LEASE))
    ended = command("cancel", "local", f"--launch_config={launching.config}")
    assert ended.code == 0, ended.err
    assert sleeper.wait(5) != 0
    (run,) = launching.rows()
    assert (run.status, run.error[:13]) == ("FAILED", "cancelled by ")


def test_a_process_that_only_has_the_number_of_a_runs_own_is_left_alone(command, launching, sleeper):
    long_ago = NOW - dt.timedelta(hours=5)
    launching.ledgers.export(exported("local", long_ago, "RUNNING", job_id=name_of(sleeper), **LEASE))
    ended = command("cancel", "local", f"--launch_config={launching.config}")
    assert ended.code == 0, ended.err
    assert f"process {sleeper.pid} began after the run: it is another one" in ended.err
    assert sleeper.poll() is None
    assert launching.rows()[0].status == "FAILED", "its own process is gone"


def test_a_run_that_began_months_ago_is_ended_like_any_other(command, launching, sleeper):
    launching.ledgers.export(
        exported("old", NOW - dt.timedelta(days=90), "RUNNING", job_id=name_of(sleeper), **LEASE),
        exported("older", NOW - dt.timedelta(days=91), "RUNNING", job_id="another-machine:1", **LEASE),
    )
    ended = command("cancel", "old", f"--launch_config={launching.config}")
    assert ended.code == 0, ended.err
    assert f"process {sleeper.pid} began after the run: it is another one" in ended.err
    assert "old" in ended.out
    assert {run.run_id: run.status for run in launching.rows()} == {"old": "FAILED", "older": "RUNNING"}


def test_a_run_whose_process_is_gone_is_recorded_as_failed(command, launching, sleeper):
    sleeper.kill()
    sleeper.wait()
    launching.ledgers.export(exported("local", NOW, "RUNNING", job_id=name_of(sleeper), **LEASE))
    ended = command("cancel", "local", f"--launch_config={launching.config}")
    assert (ended.code, launching.rows()[0].status) == (0, "FAILED")
    assert "is gone already" in ended.err


def test_what_cannot_be_cancelled_is_said(command, launching):
    config = f"--launch_config={launching.config}"
    launching.ledgers.export(
        exported("done"),
        exported("far", NOW, "RUNNING", job_id="another-machine:1", **LEASE),
    )
    for words, message in (
        (["done", config], "run done is SUCCESS since 2025-03-20 12:05:00 UTC"),
        (["far", config], "another-machine:1 is a process of another machine: run `wharf cancel` there"),
        (["far", config, "--drain"], "--drain is for jobs on Dataflow"),
        (["nobody", config], "there is no run 'nobody' in these ledgers, and no launch of that name"),
        (["2025-03-02_02_00_00-1", config], "job 2025-03-02_02_00_00-1: Dataflow says"),
        (["2025-03-02_02_00_00-1", f"--project={launching.project}"], "name the launch configuration"),
        ([], "the following arguments are required: RUN_ID|JOB_ID"),
    ):
        ended = command("cancel", *words)
        assert (ended.code, ended.out) == (2, ""), message
        assert message in ended.err
        assert len(ended.err.splitlines()) == 1
    assert [run.status for run in launching.rows() if run.run_id == "far"] == ["RUNNING"]
