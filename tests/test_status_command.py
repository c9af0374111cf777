"""`wharf status` over all ledgers, and `wharf retry RUN_ID` of what it shows."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import shlex
import subprocess
import sys
from dataclasses import replace

import pytest

from tests.commands import Launching
from tests.conftest import ROOT
from tests.recorded_runs import MINUTE, Ledgers, batch, delivered, exported, fetched, loaded
from tests.servers.dataflow_api import DataflowApi
from wharf.connectors.endpoints import Endpoints
from wharf.connectors.launch_config import load_launches
from wharf.connectors.launcher import Launcher
from wharf.model.schema import TableId

NOW = dt.datetime.now(dt.UTC).replace(microsecond=0)
LONG_AGO = NOW - dt.timedelta(days=30)


@pytest.fixture(scope="module")
def ran(stack, tmp_path_factory):
    """Runs of four pipelines, an hour between them; the newest has failed, and so has an older one."""
    made = Launching(tmp_path_factory.mktemp("ran"), stack.project, Ledgers.of(stack), DataflowApi())
    made.write()
    hour = dt.timedelta(hours=1)
    made.ledgers.export(exported("e1", NOW - 2 * hour, "FAILED"), exported("e0", LONG_AGO))
    made.ledgers.deliver(delivered("orders_daily-20250320-d1", NOW - 4 * hour))
    made.ledgers.load(loaded(batch(), NOW - 3 * hour))
    made.ledgers.fetch(fetched("f1", began=NOW - hour, status="FAILED"))
    return made


def test_all_runs_are_shown_newest_first_with_why_they_failed(command, ran):
    shown = command("status", f"--launch_config={ran.config}")
    assert (shown.code, shown.err) == (0, "")
    header, *lines = shown.out.splitlines()
    assert header.split() == [
        *("started", "(UTC)", "pipeline", "name", "status", "rows", "files", "size", "took", "run"),
    ]
    words = [line.split() for line in lines]
    assert [line[2:5] for line in words if line[0][:2] == "20"] == [
        ["api_to_bigquery", "acme/xero", "FAILED"],
        ["bigquery_to_avro", "measurements", "FAILED"],
        ["files_to_bigquery", "sales.orders", "SUCCESS"],
        ["bigquery_to_sftp", "orders_daily", "SUCCESS"],
    ]
    assert "the bucket is gone" in lines[3]
    assert len({line.index("FAILED" if "FAILED" in line else "SUCCESS") for line in lines if line[:2] == "20"}) == 1


@pytest.mark.parametrize(
    ("filters", "runs"),
    [
        (["--pipeline=bigquery_to_avro"], ["e1"]),
        (["--pipeline=bigquery_to_avro", f"--since={LONG_AGO.date()}"], ["e1", "e0"]),
        (["--name=orders_daily"], ["orders_daily-20250320-d1"]),
        (["--status=failed"], ["f1", "e1"]),
        (["--limit=1"], ["f1"]),
        (["--name=nobody"], []),
    ],
    ids=" ".join,
)
def test_filters_narrow_what_is_shown(command, ran, filters, runs):
    found = command("status", f"--launch_config={ran.config}", "--json", *filters)
    assert [run["run_id"] for run in found.lines] == runs
    assert all(run["pipeline"] and run["started_at"] and run["ledger"] for run in found.lines)
    shown = command("status", f"--launch_config={ran.config}", *filters).out
    assert all(run in shown for run in runs)
    assert runs or shown.startswith("no such runs since ")
    assert ("--limit shows more" in shown) == ("--limit=1" in filters)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "where are runs recorded? name a launch configuration with --launch_config or WHARF_LAUNCH_CONFIG"),
        (["--project=p", "--pipeline=bigquery_to_afro"], "(did you mean bigquery_to_avro?)"),
        (["--project=p", "--status=fialed"], "--status: 'FIALED' is none of RUNNING, SUCCESS, FAILED"),
        (["--project=p", "--limit=0"], "'0' is not a number above 0"),
        (["--project=p", "--since=soon"], "'soon' is not a date"),
        (["--project=p", "--export_name=orders"], "of all ledgers --name is the filter"),
        (["--metadata_table=p.d.t", "--status=FAILED"], "--status is a filter for all ledgers"),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) and value else "",
)
def test_a_wrong_question_is_answered_with_what_is_wrong(command, monkeypatch, words, message):
    monkeypatch.delenv("GOOGLE_CLOUD_PROJECT")
    ended = command("status", *words)
    assert (ended.code, ended.out) == (2, "")
    assert message in ended.err


def test_without_a_launch_configuration_the_default_tables_of_the_project_are_read(command, stack):
    ended = command("status", "--project", stack.project, "--name=no-such-name", "--json")
    assert (ended.code, ended.out) == (0, ""), ended.err


def test_beam_arrow_and_pandas_are_not_imported_for_it(ran, stack):
    """They are what takes seconds; where the status is quick is told in the benchmarks, not asserted here."""
    code = (
        "import sys\n"
        "from wharf.launch.cli import main\n"
        f"assert main(['status', '--launch_config', {ran.config!r}]) == 0\n"
        "heavy = {'apache_beam', 'pyarrow', 'pandas', 'numpy', 'fastavro', 'paramiko'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "import pyarrow, pandas\n"  # they are hidden from one import, not from the process
    )
    environment = {"PATH": "/usr/bin:/bin", **stack.environment}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "measurements" in done.stdout


def test_a_reader_that_has_enough_is_no_error(ran, stack):
    words = [sys.executable, "-m", "wharf", "status", "--launch_config", ran.config, "--json"]
    environment = {"PATH": "/usr/bin:/bin", **stack.environment}
    line = f"{shlex.join(words)} | (exec <&-; sleep 2)"
    done = subprocess.run(line, shell=True, capture_output=True, text=True, cwd=ROOT, env=environment, check=False)
    assert done.stderr == ""


def test_a_service_that_does_not_answer_is_one_line(command, monkeypatch):
    for name in Endpoints.resolve().environment():
        monkeypatch.delenv(name)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/no/such/key.json")
    ended = command("status", "--project=p")
    assert ended.code in (1, 2)
    assert ended.err.startswith("wharf: error: ")
    assert len(ended.err.splitlines()) == 1


def test_retry_of_an_export_runs_it_again(command, ran, pipelines):
    ended = command("retry", "e1", f"--launch_config={ran.config}", "--target=local")
    assert ended.code == 0, ended.err
    ((name, words),) = pipelines.calls
    assert name == "bigquery_to_avro"
    assert {"--output=gs://bucket/events", "--when_read_from=2025-03-01T00:00:00"} <= set(words)
    assert ended.err.startswith("=> wharf run bigquery_to_avro --")


def test_retry_is_paid_by_the_project_that_it_names(command, ran, launching, pipelines):
    words = (f"--launch_config={ran.config}", f"--project={launching.project}")
    assert command("retry", "e1", *words, "--target=local").code == 0
    assert f"--project={launching.project}" in pipelines.calls[0][1]
    failed = loaded(batch(), NOW - MINUTE, "FAILED")
    launching.ledgers.load(failed)
    of_files = (f"--launch_config={launching.config}", "--project=pays")
    assert command("retry", failed["batch_id"], f"--launch_config={launching.config}").code == 0
    assert command("retry", failed["batch_id"], *of_files).code == 0
    assert ["--project=pays" in words for _, words in pipelines.calls[1:]] == [False, True]
    launching.end_jobs()
    on_dataflow = command("retry", "e1", *words, "--target=dataflow")
    assert "unknown flag" not in on_dataflow.err, "there the launch configuration says who pays"


def test_retry_of_a_batch_loads_it(command, launching, pipelines):
    failed = loaded(batch(), NOW - MINUTE, "FAILED")
    launching.ledgers.load(failed)
    ended = command("retry", failed["batch_id"], f"--launch_config={launching.config}")
    assert ended.code == 0, ended.err
    assert "=> wharf retry --load_state_table " in ended.err
    ((name, words),) = pipelines.calls
    assert name == "files_to_bigquery"
    assert "--input=gs://in/sales/orders/2025-03-20/_SUCCESS" in words


def test_retry_of_a_batch_loads_it_on_dataflow_where_that_is_asked_for(command, launching, pipelines):
    failed = loaded(batch(), NOW - MINUTE, "FAILED")
    launching.ledgers.load(failed)
    launching.api.after_launch = lambda: launching.api.end(launching.api.jobs[-1].id)
    words = ("--target=dataflow", f"--launch_config={launching.config}")
    ended = command("retry", failed["batch_id"], *words)
    assert ended.code == 0, ended.err
    (job,) = launching.api.jobs
    assert job.asked["containerSpecGcsPath"].endswith("/files_to_bigquery.json")
    assert job.asked["parameters"] == {
        "prefix": "gs://in/",
        "input": "gs://in/sales/orders/2025-03-20/_SUCCESS",
        "only": "failed",
        "load_state_table": str(launching.ledgers.tables.loads),
    }
    assert pipelines.calls == [], "nothing is loaded here"
    by_table = command("retry", f"--load_state_table={launching.ledgers.tables.loads}", *words, "--json")
    assert (by_table.code, len(launching.api.jobs)) == (0, 2), by_table.err
    assert [row["batch_id"] for row in by_table.lines] == [failed["batch_id"]]
    unnamed = command("retry", f"--load_state_table={launching.ledgers.tables.loads}", "--target=dataflow")
    assert unnamed.code == 2
    assert "error: --target dataflow needs --launch_config FILE" in unnamed.err


def test_retry_on_dataflow_loads_no_batch_of_another_project(command, launching):
    failed = loaded(replace(batch(), table=TableId("theirs", "sales", "orders")), NOW - MINUTE, "FAILED")
    launching.ledgers.load(failed)
    ended = command("retry", failed["batch_id"], "--target=dataflow", f"--launch_config={launching.config}")
    assert (ended.code, launching.api.jobs) == (2, [])
    assert f"launches in {launching.project}, and these batches load with --project=theirs" in ended.err


def test_retry_of_a_delivery_on_dataflow_is_refused_with_the_command_for_it(command, launching):
    began = NOW - MINUTE
    settings = json.dumps({"config": "gs://c/exports.json"})
    row = delivered("orders_daily-20250320-d1", began, "FAILED", settings=settings)
    launching.ledgers.deliver(row)
    words = ("--target=dataflow", f"--launch_config={launching.config}")
    run = "wharf run bigquery_to_sftp --target dataflow --config gs://c/exports.json --export_name"
    ended = command("retry", row["export_id"], *words)
    assert ended.code == 2
    assert f"`{run} orders_daily --date 2025-03-20` sends what is unfinished" in ended.err
    by_config = command("retry", "--config=gs://c/exports.json", *words)
    assert by_config.code == 2
    assert f"`{run} all` sends what is unfinished" in by_config.err
    assert launching.api.jobs == []


def test_retry_says_what_it_cannot_repeat(command, ran, pipelines):
    config = f"--launch_config={ran.config}"
    unnamed = command("retry", "f1", config)
    assert unnamed.code == 2
    assert "run f1 does not say which file it was configured by: name it with --config" in unnamed.err
    done = command("retry", "orders_daily-20250320-d1", config)
    assert (done.code, done.out, pipelines.calls) == (0, "", [])
    assert "nothing to do: run orders_daily-20250320-d1 is SUCCESS" in done.err
    nobody = command("retry", "nobody", config)
    assert nobody.code == 2
    assert "there is no run 'nobody' in these ledgers" in nobody.err
    assert "which run? give RUN_ID" in command("retry").err


def test_a_run_that_is_at_work_is_not_retried(command, launching, pipelines):
    launching.ledgers.export(exported("e2", NOW, "RUNNING", lease_until=NOW + dt.timedelta(hours=1)))
    busy = command("retry", "e2", f"--launch_config={launching.config}")
    assert (busy.code, pipelines.calls) == (3, [])
    assert "run e2 is at work" in busy.err


def test_a_failed_run_of_dataflow_is_retried_there(command, launching):
    launching.ledgers.export(exported("e1", NOW - MINUTE, "FAILED"))
    launching.end_jobs()
    ended = command("retry", "e1", f"--launch_config={launching.config}", "--json")
    assert ended.code == 0, ended.err
    (job,) = launching.api.jobs
    assert job.asked["parameters"]["output"] == "gs://bucket/events"
    assert ended.document["job_id"] == job.id


def test_a_launch_whose_job_died_before_it_recorded_anything_is_shown_and_retried(command, launching):
    config = f"--launch_config={launching.config}"
    launched = command("run", "measurements", "--period=202503", "--target=dataflow", "--detach", config)
    (job,) = launching.api.jobs
    assert launched.code == 0, launched.err
    shown = json.loads(command("status", config, "--json").out)
    assert (shown["run_id"], shown["status"], shown["job_id"], shown["retry"]) == (job.name, "RUNNING", job.id, "")
    launching.api.end(job.id, "JOB_STATE_FAILED")
    asyncio.run(died(launching, job))
    shown = json.loads(command("status", config, "--json", "--status=failed").out)
    assert (shown["run_id"], shown["error"]) == (job.name, "the image is gone")
    assert command("status", config, "--name=other").out.startswith("no such runs")
    launching.end_jobs()
    again = command("retry", job.name, config, "--json")
    assert again.code == 0, again.err
    assert [each.name for each in launching.api.jobs] == [job.name, f"{job.name}-2"]


async def died(launching, job):
    endpoints = Endpoints.resolve()
    async with Launcher(load_launches(launching.config, endpoints), endpoints) as launcher:
        await launcher.ended(job.name, job.id, "FAILED", "the image is gone")
