"""`wharf run`, `wharf cancel` and `wharf backfill` with real pipelines on the embedded stack."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

import pytest

from tests.end_to_end.process import Finished
from tests.servers.bigquery_calls import Call
from wharf.launch.cli import main

ROOT = Path(__file__).parents[2]


@pytest.fixture
def wharf_here(stack, monkeypatch):
    """`wharf_here("run", ...)` -> the command, ended, in this process."""
    for name, value in stack.environment.items():
        monkeypatch.setenv(name, value)

    def run(*words: str) -> Finished:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(words)
        return Finished(code, out.getvalue(), err.getvalue())

    return run


@pytest.fixture
def config(stack, flags, tmp_path, readings) -> str:
    """A launch configuration with a job that exports `readings`."""
    metadata = flags[0].partition("=")[2]
    parameters = {"source_table": readings, "output": f"gs://{stack.bucket}/{uuid.uuid4().hex}"}
    document = {
        "project": stack.project,
        "region": "europe-west1",
        "templates": "gs://b/templates",
        "records": str(tmp_path / "launches"),
        "jobs": {"readings": {"pipeline": "bigquery_to_avro", "parameters": parameters | {"metadata_table": metadata}}},
        "tables": {"exports": metadata},
    }
    path = tmp_path / "launch.json"
    path.write_text(json.dumps(document))
    return str(path)


def test_a_job_is_planned_run_shown_and_left_out_of_a_backfill(wharf_here, config, ledger):
    words = ("readings", "--period=202503", f"--launch_config={config}")
    planned = wharf_here("plan", *words, "--json")
    assert planned.code == 0, planned.err
    assert any(line.startswith("rows        6,000") for line in json.loads(planned.out)["plan"])

    ended = wharf_here("run", *words, "--json")
    assert ended.code == 0, ended.err
    result = json.loads(ended.out)
    (row,) = ledger()
    (run,) = result["runs"]
    assert (run["run_id"], run["status"], run["rows"]) == (row["export_id"], "SUCCESS", 6_000)
    assert (result["job"], result["target"], result["exit_code"]) == ("readings", "local", 0)
    assert "rows        6,000" in ended.err, "the pipeline's own table"

    (shown,) = map(json.loads, wharf_here("status", f"--launch_config={config}", "--json").out.splitlines())
    assert shown == run
    done = wharf_here("backfill", "readings", "--from=2025-03", "--to=2025-04", f"--launch_config={config}")
    assert done.code == 0, done.err
    assert done.out.splitlines()[1].split() == ["2025-03", "DONE", "BEFORE", "6,000", row["export_id"]]
    assert len(ledger()) == 1


def test_a_backfill_runs_real_pipelines_and_tells_which_period_failed(wharf_here, config, ledger):
    words = ("backfill", "readings", f"--launch_config={config}", "--every=week", "--json")
    ended = wharf_here(*words, "--from=2025-03-01", "--to=2025-03-13")
    assert ended.code == 0, ended.err
    rows = [json.loads(line) for line in ended.out.splitlines()]
    assert [(row["period"], row["status"]) for row in rows] == [
        ("2025-03-01 to 2025-03-08", "SUCCESS"),
        ("2025-03-08 to 2025-03-13", "SUCCESS"),
    ]
    recorded = {row["export_id"]: row["rows_exported"] for row in ledger()}
    assert {row["run_ids"][0]: row["rows"] for row in rows} == recorded
    failed = wharf_here(*words, "--from=2025-03-13", "--to=2025-03-14", "--date_column=vendor")
    assert failed.code == 1
    assert "--date_column: column 'vendor'" in json.loads(failed.out)["error"]


def test_a_local_run_is_cancelled_from_another_shell(wharf_here, config, ledger, environment, proxy):
    reached = threading.Event()

    def hold(call: Call) -> None:
        reached.set()
        time.sleep(3)

    proxy.on(lambda call: "MERGE" in call.sql and "_files`" in call.sql, hold, nth=1)
    flags = [f"--launch_config={config}", "--period=202503", f"--bigquery_endpoint={proxy.url}"]
    process = subprocess.Popen(
        [sys.executable, "-m", "wharf", "run", "readings", *flags], env=environment, cwd=ROOT, stderr=subprocess.PIPE
    )
    try:
        assert reached.wait(60), process.poll()
        (row,) = ledger()
        ended = wharf_here("cancel", row["export_id"], f"--launch_config={config}", "--json")
        said = process.communicate(timeout=60)[1].decode()
    finally:
        process.kill()
    assert process.returncode == 130, said
    assert ended.code == 0, ended.err
    assert f"process {process.pid} is asked to end" in ended.err
    (cancelled,) = map(json.loads, ended.out.splitlines())
    assert (cancelled["run_id"], cancelled["status"]) == (row["export_id"], "FAILED")
