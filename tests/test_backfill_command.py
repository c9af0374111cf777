"""`wharf backfill`: a run for each period, some at a time, and only those that the ledger does not have."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import datetime as dt
import json
import signal
import subprocess
import sys
import time
import types
from pathlib import Path
from typing import Any

import pytest
from google.api_core.exceptions import ServiceUnavailable
from google.cloud.bigquery import SchemaField, Table

from tests.recorded_runs import delivered, exported
from wharf.launch.backfilling.here import run_here
from wharf.launch.backfilling.queue import Outcome, work_off

# In the place of pipelines: notes when it begins and ends, and fails or waits where a file of the name says so.
PIPELINE = """
import json, pathlib, signal, sys, time
given = dict(word.removeprefix("--").split("=", 1) for word in sys.argv[1:])
period = given.get("period") or given.get("date") or given["when_read_from"][:10] + "_" + given["when_read_to"][:10]
log = open("log", "a", buffering=1)
def note(what):
    log.write(json.dumps([period, what, given]) + "\\n")
def interrupted(number, frame):
    time.sleep(0.2)
    note("interrupted")
    sys.exit(130)
signal.signal(signal.SIGTERM, interrupted)
note("begins")
asked = pathlib.Path(period)
if asked.exists():
    if asked.read_text() == "wait":
        time.sleep(60)
    print("a first line"); print(f"error: {period} does not like it", file=sys.stderr)
    sys.exit(1)
time.sleep(0.2)
note("ends")
"""


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """A folder where `python -m pipelines.NAME` is the one above, and where commands run."""
    folder = tmp_path / "place"
    (folder / "pipelines").mkdir(parents=True)
    for name in ("__init__", "bigquery_to_avro", "bigquery_to_sftp"):
        (folder / "pipelines" / f"{name}.py").write_text(PIPELINE if name != "__init__" else "")
    monkeypatch.chdir(folder)
    return folder


def noted(place: Path) -> list[tuple[str, str]]:
    lines = (place / "log").read_text().splitlines() if (place / "log").exists() else []
    return [(period, what) for period, what, _ in map(json.loads, lines)]


def given(place: Path, period: str) -> dict[str, str]:
    return next(flags for name, _, flags in map(json.loads, (place / "log").read_text().splitlines()) if name == period)


def measurements(launching, *words: str, start: str = "2024-01", end: str = "2024-05") -> list[str]:
    return ["backfill", "measurements", f"--launch_config={launching.config}", f"--from={start}", f"--to={end}", *words]


def month(number: int, year: int = 2024) -> dt.datetime:
    return dt.datetime(year, number, 1, tzinfo=dt.UTC)


def exported_in(launching, run_id: str, first: dt.datetime, end: dt.datetime, **columns) -> None:
    window = {"window_from": first, "window_to": end, "destination_uri": "gs://my-bucket/events"}
    launching.ledgers.export(exported(run_id, **(window | columns)))


def test_each_month_is_a_run_and_what_the_ledger_has_is_left_out(command, launching, place):
    exported_in(launching, "e2", month(2), month(3))
    exported_in(launching, "e3", month(3), month(4), status="FAILED")
    exported_in(launching, "e4", month(4), month(5), destination_uri="gs://elsewhere/events")
    ended = command(*measurements(launching))
    assert ended.code == 0, ended.err
    assert {period for period, _ in noted(place)} == {"202401", "202403", "202404"}
    assert given(place, "202401") == {
        "source_table": f"{launching.project}.metering.measurements",
        "output": "gs://my-bucket/events",
        "metadata_table": str(launching.ledgers.tables.exports),
        "period": "202401",
        "project": launching.project,
    }
    header, *lines = [line.split() for line in ended.out.splitlines()]
    assert header == ["period", "status", "rows", "took", "run"]
    assert [line[:2] for line in lines] == [
        ["2024-01", "SUCCESS"],
        ["2024-02", "DONE"],
        ["2024-03", "SUCCESS"],
        ["2024-04", "SUCCESS"],
    ]
    assert lines[1][2:] == ["BEFORE", "1,000,000", "e2"]
    assert "3 of 4 periods are to be done, 2 at a time" in ended.err
    assert ended.err.count("begins") == 3
    assert "3 of 3" in ended.err


def test_done_periods_are_repeated_only_by_force(command, launching, place):
    exported_in(launching, "e", month(1), month(3))
    ended = command(*measurements(launching, "--json", end="2024-03"))
    assert [(row["status"], row["rows"], row["run_ids"]) for row in ended.lines] == [("DONE BEFORE", None, ["e"])] * 2
    assert noted(place) == []
    again = command(*measurements(launching, "--json", "--keep-going", start="2023-12", end="2024-03"))
    assert [row["status"] for row in again.lines] == ["SUCCESS", "DONE BEFORE", "DONE BEFORE"]
    assert "force" not in given(place, "202312")
    forced = command(*measurements(launching, "--json", "--force", end="2024-03"))
    assert [row["status"] for row in forced.lines] == ["SUCCESS", "SUCCESS"]
    assert given(place, "202401")["force"] == "true", "it means here what it means on Dataflow"


def test_a_dry_run_shows_the_periods_and_runs_nothing(command, launching, place):
    exported_in(launching, "e", month(1), month(2))
    ended = command(*measurements(launching, "--dry-run", "--every=week", "--json", end="2024-02-10"))
    assert [(row["from"], row["to"], row["status"]) for row in ended.lines] == [
        ("2024-01-01", "2024-01-08", "DONE BEFORE"),
        ("2024-01-08", "2024-01-15", "DONE BEFORE"),
        ("2024-01-15", "2024-01-22", "DONE BEFORE"),
        ("2024-01-22", "2024-01-29", "DONE BEFORE"),
        ("2024-01-29", "2024-02-05", "TO DO"),
        ("2024-02-05", "2024-02-10", "TO DO"),
    ]
    assert (ended.code, noted(place)) == (0, [])


def test_no_more_runs_are_at_work_at_a_time_than_asked_for(command, launching, place):
    assert command(*measurements(launching, "--every=day", "--concurrency=3", end="2024-01-09")).code == 0
    at_work = most = 0
    for _, what in noted(place):
        at_work += 1 if what == "begins" else -1
        most = max(most, at_work)
    assert (len(noted(place)), most) == (16, 3)
    assert given(place, "2024-01-02_2024-01-03")["when_read_to"] == "2024-01-03T00:00:00"


def test_after_a_failure_no_other_period_begins_unless_that_is_wanted(command, launching, place):
    (place / "202402").write_text("fail")
    ended = command(*measurements(launching, "--concurrency=1"))
    assert ended.code == 1
    assert [line.split()[1] for line in ended.out.splitlines() if line[:4] == "2024"] == [
        "SUCCESS",
        "FAILED",
        "NOT",
        "NOT",
    ]
    assert "202402 does not like it" in ended.out
    assert "2024-02  FAILED after " in ended.err
    ended = command(*measurements(launching, "--concurrency=1", "--keep-going", "--json"))
    assert ended.code == 1
    assert [row["status"] for row in ended.lines] == ["SUCCESS", "FAILED", "SUCCESS", "SUCCESS"]
    assert ended.lines[1]["error"] == "202402 does not like it"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_ends_the_runs_at_work_and_says_how_to_go_on(launching, place, command, number):
    for period in ("202401", "202402"):
        (place / period).write_text("wait")
    process = subprocess.Popen(
        [sys.executable, "-m", "wharf", *measurements(launching)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 60
        while len(noted(place)) < 2:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(number)
        said = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 130
    assert sorted(noted(place)[2:]) == [("202401", "interrupted"), ("202402", "interrupted")]
    assert "interrupted: the same command goes on with what is not done" in said[1]
    assert "Traceback" not in said[1]


@pytest.mark.parametrize("turns", [0, 1, 3, 6])
def test_a_run_that_ends_in_the_moment_of_an_interruption_is_no_error(place, turns):
    """It may have ended without the event loop having come to say so: there is nothing to be terminated then."""
    (place / "pipelines" / "quick.py").write_text("import pathlib\npathlib.Path('begun').touch()\n")
    request = types.SimpleNamespace(pipeline=types.SimpleNamespace(module="pipelines.quick"), words=[])
    step: Any = types.SimpleNamespace(request=request)

    async def interrupt() -> str:
        task = asyncio.create_task(run_here(step))
        while not (place / "begun").exists():  # noqa: ASYNC110 - another process makes it
            await asyncio.sleep(0.005)
        time.sleep(0.3)  # noqa: ASYNC251 - it ends meanwhile, and the event loop sees nothing of it
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        return await task

    with contextlib.suppress(asyncio.CancelledError):  # as late as that it may have returned
        assert asyncio.run(interrupt()) == ""


def test_deliveries_are_repeated_day_by_day_by_their_date(command, launching, place, tmp_path):
    config = tmp_path / "exports.json"
    daily = {
        "source_table": "p.shop.orders",
        "export_type": "date_range",
        "date_column": "day",
        "time_zone": "Europe/Berlin",
    }
    document = {
        "project": launching.project,
        "sftp": {"host": "h", "username": "u", "password": f"file:{tmp_path}/password"},
        "staging": str(tmp_path / "staging"),
        "metadata_table": str(launching.ledgers.tables.deliveries),
        "exports": {"orders": daily, "all_of_it": {"source_table": "p.shop.customers"}, "news": daily},
    }
    document["exports"]["news"] = {"source_table": "p.s.n", "export_type": "incremental", "timestamp_column": "at"}
    config.write_text(json.dumps(document))
    words = ["backfill", "bigquery_to_sftp", f"--config={config}", "--from=2025-03-01", "--to=2025-03-04", "--json"]
    missing = command(*words, "--export_name=orders,all_of_it")
    assert (missing.code, noted(place)) == (2, []), "a secret that is not there is told once"
    assert "password: there is no such file" in missing.err
    (tmp_path / "password").write_text("horse")

    zone = dt.timezone(dt.timedelta(hours=1))
    berlin = {"window_from": dt.datetime(2025, 3, 1, tzinfo=zone), "window_to": dt.datetime(2025, 3, 2, tzinfo=zone)}
    of_day = {
        "window_from": dt.datetime(2025, 3, 2, tzinfo=dt.UTC),
        "window_to": dt.datetime(2025, 3, 3, tzinfo=dt.UTC),
    }
    launching.ledgers.deliver(
        delivered("orders-20250302-1", export_name="orders", **berlin),
        delivered("all_of_it-20250302-1", export_name="all_of_it", **of_day),
        delivered("orders-20250303-1", dt.datetime.now(dt.UTC), export_name="orders", **of_day),
    )
    ended = command(*words, "--export_name=orders,all_of_it")
    assert ended.code == 0, ended.err
    assert [(row["period"], row["status"]) for row in ended.lines] == [
        ("2025-03-01", "SUCCESS"),
        ("2025-03-02", "DONE BEFORE"),
        ("2025-03-03", "SUCCESS"),
    ]
    assert given(place, "2025-03-03")["date"] == "2025-03-03"
    assert "force" not in given(place, "2025-03-03")
    assert command(*words, "--export_name=orders", "--force").code == 0
    assert [json.loads(line)[2].get("force") for line in (place / "log").read_text().splitlines()][-1] == "true"

    for more, message in (
        (["--export_name=all"], "news is incremental: each of its runs sends what is new"),
        (["--export_name=orders", "--every=month"], "--every month: bigquery_to_sftp runs for a date"),
        (["--export_name=orders", "--date=2025-03-01"], "--date: a backfill gives each run its own"),
        ([], "--export_name is missing"),
    ):
        refused = command(*words, *more)
        assert (refused.code, refused.out) == (2, "")
        assert message in refused.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["files_to_bigquery", "--from=2024-01", "--to=2024-02"], "`wharf backfill ingest` loads what lies there"),
        (["api_to_bigquery", "--from=2024-01", "--to=2024-02"], "it asks an API for what is new"),
        (["bigquery_to_avro", "--from=2024-01"], "the following arguments are required: --to"),
        (["bigquery_to_avro", "--from=2024-02", "--to=2024-01"], "--from 2024-02 is not before --to 2024-01"),
        (["bigquery_to_avro", "--from=2024-01", "--to=2024-02", "--period=202401"], "--period: a backfill gives each"),
        (["bigquery_to_avro", "--from=2024-01", "--to=2024-02", "--concurrency=0"], "'0' is not a number above 0"),
        (["bigquery_to_avro", "--from=2024-01", "--to=2024-02"], "give exactly one of --source_table and --query"),
        (["nothing", "--from=2024-01", "--to=2024-02"], "there is no pipeline 'nothing'"),
        (["bigquery_to_avro", "--form=2024-01", "--to=2024-02"], "unknown flag --form (did you mean --from?); "),
        (["bigquery_to_avro", "--form=2024-01", "--to=2024-02"], "; the following arguments are required: --from; see"),
        (["bigquery_to_avro", "--form=2024-01", "--target=dataflow"], "unknown flag '--form' (did you mean --from?)"),
        (
            ["bigquery_to_sftp", "--from=2024-01", "--to=2024-02", "--confg=c"],
            "unknown flag --confg (did you mean --con",
        ),
        (["ingest", "--inptu=gs://b/**"], "unknown flag --inptu (did you mean --input?); the following arguments are"),
        ([], "which pipeline or job? one of: ingest, bigquery_to_avro, bigquery_to_sftp, JOB"),
    ],
    ids=lambda value: " ".join(value[:1] + value[3:]) if isinstance(value, list) else "",
)
def test_what_has_no_periods_and_wrong_ones_are_refused(command, place, words, message):
    ended = command("backfill", *words)
    assert (ended.code, ended.out, noted(place)) == (2, "", [])
    assert message in ended.err


def test_periods_are_jobs_on_dataflow(command, launching):
    exported_in(launching, "e2", month(2), month(3))
    launching.end_jobs()
    words = measurements(launching, "--target=dataflow", "--json", end="2024-04")
    ended = command(*words)
    assert ended.code == 0, ended.err
    assert [row["status"] for row in ended.lines] == ["SUCCESS", "DONE BEFORE", "SUCCESS"]
    assert [row["rows"] for row in ended.lines] == [1_000_000] * 3
    assert {job.asked["parameters"]["when_read_from"][:7] for job in launching.api.jobs} == {"2024-01", "2024-03"}
    assert [row["status"] for row in command(*words).lines] == ["DONE BEFORE"] * 3
    assert len(launching.api.jobs) == 2
    forced = command(*words, "--force")
    assert (forced.code, len(launching.api.jobs)) == (0, 5), forced.err
    assert [job.asked["parameters"].get("force") for job in launching.api.jobs] == [None] * 2 + ["true"] * 3


def test_a_period_that_fails_on_dataflow_is_told_and_tried_again(command, launching):
    launching.end_jobs("JOB_STATE_FAILED", "RUNNING", "out of disks")
    words = measurements(launching, "--target=dataflow", "--json", "--concurrency=1", end="2024-03")
    ended = command(*words)
    assert ended.code == 1
    assert [(row["status"], row["error"]) for row in ended.lines] == [("FAILED", "out of disks"), ("NOT RUN", "")]
    launching.end_jobs()
    assert [row["status"] for row in command(*words).lines] == ["SUCCESS", "SUCCESS"]


def test_an_error_of_one_step_ends_the_others_and_is_not_wrapped_in_others():
    """So that the command can say it in a line."""
    arguments = argparse.Namespace(concurrency=2, keep_going=False)
    todo: Any = [types.SimpleNamespace(period=name) for name in ("one", "two")]
    ended = []

    async def run(step: Any) -> str:
        try:
            await asyncio.sleep(0 if step.period == "one" else 60)
        finally:
            ended.append(step.period)
        raise ServiceUnavailable("BigQuery is down")

    with pytest.raises(ServiceUnavailable):
        asyncio.run(work_off(todo, {"one": Outcome(), "two": Outcome()}, arguments, run))  # type: ignore[dict-item]
    assert ended == ["one", "two"]


def test_beam_is_not_imported_for_it(command, launching, place):
    """Only the runs need it, in processes of their own."""
    words = [*measurements(launching, "--dry-run")]
    code = f"import sys\nfrom wharf.launch.cli import main\nassert main({words!r}) == 0\n"
    code += "heavy = {'apache_beam', 'pyarrow', 'pandas'} & set(sys.modules)\nassert not heavy, heavy\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_ledger_of_another_tool_has_nothing_that_is_done(command, launching, place, stack):
    client = stack.endpoints.bigquery_client(stack.project)
    table = launching.ledgers.tables.exports
    client.create_dataset(f"{table.project}.{table.dataset}", exists_ok=True, retry=None)
    columns = [SchemaField("export_name", "STRING"), SchemaField("export_status", "STRING")]
    client.create_table(Table(str(table), columns), retry=None)
    ended = command(*measurements(launching, "--dry-run", end="2024-02"))
    assert ended.code == 0, ended.err
    assert "2024-01 TO DO" in ended.out
