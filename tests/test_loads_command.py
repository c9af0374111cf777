"""`wharf backfill ingest`, `wharf status` and `wharf retry` of files that are loaded."""

from __future__ import annotations

import datetime as dt
import json
import re
import sys
import types
import uuid
from dataclasses import dataclass

import pytest

from tests.landed import NOON, batch, landing
from wharf.connectors.loading.state import LoadState
from wharf.launch.cli import main
from wharf.launch.ledgers.batches import command_lines
from wharf.model.loading import state
from wharf.model.loading.batch import Refused
from wharf.model.report import loads_table
from wharf.model.schema import TableId

LEASE = dt.timedelta(minutes=5)
FLAGS = json.dumps({"write_mode": "append", "prefix": "gs://b/in/"})
LOADS = TableId("p", "meta", "loads")


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def table(stack) -> TableId:
    return TableId(stack.project, "commands", f"t_{uuid.uuid4().hex[:8]}")


@pytest.fixture
def loads(stack, table) -> LoadState:
    made = LoadState(stack.endpoints.bigquery_client(stack.project), table)
    made.ensure()
    return made


@pytest.fixture
def run(stack, capsys, monkeypatch):
    """`run("status", ...)` -> the command, ended, in this process and on the embedded stack."""
    for name, value in stack.environment.items():
        monkeypatch.setenv(name, value)

    def command(*words: str) -> Ended:
        capsys.readouterr()
        code = main(words)
        said = capsys.readouterr()
        return Ended(code, said.out, said.err)

    return command


@pytest.fixture
def pipeline(monkeypatch):
    """In the place of the pipeline, one that only remembers what it was called with."""
    module = types.ModuleType("pipelines.files_to_bigquery")
    module.calls, module.codes = [], []

    def called(argv: list[str]) -> int:
        module.calls.append(argv)
        return module.codes.pop(0) if module.codes else 0

    module.main = called
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


@pytest.fixture
def upload(stack):
    storage = stack.endpoints.storage_client()

    def put(uri: str, text: str) -> None:
        bucket, _, name = uri.removeprefix("gs://").partition("/")
        storage.bucket(bucket).blob(name).upload_from_string(text)

    return put


@pytest.fixture
def rows_of(stack):
    client = stack.endpoints.bigquery_client(stack.project)
    return lambda sql: [dict(row.items()) for row in client.query(sql, retry=None).result(retry=None)]


def failed_row(directory: str, **changes) -> dict:
    row = state.claimed(batch(directory), FLAGS, NOON, "me", LEASE)
    return state.failed(row, "corrupt", NOON) | changes


def test_ingest_hands_its_flags_and_all_others_to_the_pipeline(run, pipeline):
    pipeline.codes = [3]
    ended = run(
        *("backfill", "ingest", "--input", "gs://b/in/**", "--write_mode", "merge", "--since=2025-03-01"),
        *("--only", "failed", "--merge_keys=id", "--plan", "--project", "p"),
    )
    assert ended.code == 3
    assert pipeline.calls == [
        [
            *("--input=gs://b/in/**", "--since=2025-03-01", "--only=failed"),
            *("--write_mode", "merge", "--merge_keys=id", "--plan", "--project", "p"),
        ]
    ]


def test_ingest_needs_a_pattern(run, pipeline):
    ended = run("backfill", "ingest", "--since=2025-03-01")
    assert ended.code == 2
    assert "--input" in ended.err
    assert pipeline.calls == []


def test_the_real_pipeline_refuses_an_unknown_flag_of_ingest(run):
    ended = run("backfill", "ingest", "--input=gs://b/in/**", "--write_mod=merge", "--project=p")
    assert ended.code == 2
    assert "unknown flag --write_mod (did you mean --write_mode?)" in ended.err


def test_batches_that_are_loaded_alike_are_retried_together():
    other = json.dumps({"write_mode": "merge", "prefix": "gs://b/in/"})
    rows = [
        failed_row("gs://b/in/sales/orders/1/"),
        failed_row("gs://b/in/sales/orders/10/"),
        failed_row("gs://b/in/sales/items/1/", settings=other),
    ]
    assert command_lines(rows, LOADS) == [
        [
            *("--prefix=gs://b/in/", "--write_mode=append", "--load_state_table=p.meta.loads", "--project=p"),
            *("--input=gs://b/in/sales/orders/**", "--only=failed"),
        ],
        [
            *("--prefix=gs://b/in/", "--write_mode=merge", "--load_state_table=p.meta.loads", "--project=p"),
            *("--input=gs://b/in/sales/items/1/_SUCCESS", "--only=failed"),
        ],
    ]


def test_a_retry_finds_names_with_wildcards_in_them_and_batches_that_were_not_failed():
    odd = failed_row("gs://b/in/a[1]*?/")
    (words,) = command_lines([odd], LOADS)
    assert "--input=gs://b/in/a[[]1][*][?]/_SUCCESS" in words
    waits = failed_row("gs://b/in/b/", status=state.DISCOVERED)
    (words,) = command_lines([odd, waits], LOADS)
    assert words[-1] == "--input=gs://b/in/**", "not only what failed"


def test_a_retry_is_paid_by_the_project_of_the_tables_and_names_tables_below_the_same_prefix():
    elsewhere = batch("gs://c/x/1/", table=TableId("q", "sales", "orders"))
    row = state.failed(state.claimed(elsewhere, "{}", NOON, "me", LEASE), "corrupt", NOON)
    nowhere = Refused(landing("gs://c/y/1/"), "no table")
    lost = state.failed(state.claimed(nowhere, "{}", NOON, "me", LEASE), "no table", NOON)
    assert [(words[0], words[2]) for words in command_lines([row, lost], LOADS)] == [
        ("--prefix=gs://c/", "--project=q"),
        ("--prefix=gs://c/", "--project=p"),
    ]
    assert command_lines([row], LOADS, "pays")[0][2] == "--project=pays"


def test_status_shows_the_batches_as_a_table_and_as_json(run, loads, table):
    missing = run("status", "--load_state_table", f"{table}_no")
    assert missing.code == 2
    assert f"load-state table {table}_no: not found" in missing.err
    assert run("status", "--load_state_table", str(table)).out.startswith("no batches since ")
    days = [batch(f"gs://b/in/{n}/", bytes_=1 << 20) for n in range(3)]
    rows = [claim.row for claim in loads.claim(days, "me", LEASE, FLAGS)]
    loaded = [state.submitted(row, "job-1", NOON, loaded_rows=1_500, loaded_batches=2) for row in rows[:2]]
    loads.write([state.done(row, row["claimed_at"]) for row in loaded])
    loads.write([state.failed(rows[2], "gs://b/in/2/: a corrupt file", rows[2]["claimed_at"])])

    shown = run("status", "--load_state_table", str(table))
    assert (shown.code, shown.err) == (0, "")
    header, *lines = shown.out.splitlines()
    assert header.split() == [
        *("seen", "(UTC)", "status", "table", "rows", "files", "size", "tries", "took", "directory")
    ]
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\d \d\d:\d\d +DONE +sales\.orders +1,500 in 2 +2 +2\.0 MiB +1 +0 s  gs://b/in/0/", lines[-2]
    )
    assert lines[1].strip() == "gs://b/in/2/: a corrupt file"
    assert lines[-1] == "2 DONE, 1 FAILED"

    as_json = run("status", f"--load_state_table={table}", "--json")
    found = [json.loads(line) for line in as_json.out.splitlines()]
    assert {row["directory"]: row["status"] for row in found} == {
        **dict.fromkeys(("gs://b/in/0/", "gs://b/in/1/"), "DONE"),
        "gs://b/in/2/": "FAILED",
    }
    tomorrow = dt.datetime.now(dt.UTC).date() + dt.timedelta(days=1)
    later = run("status", f"--load_state_table={table}", f"--since={tomorrow}")
    assert later.out == f"no batches since {tomorrow}\n"


def test_a_batch_without_a_table_and_one_at_work_are_shown_too():
    nowhere = state.claimed(Refused(landing("gs://b/odd/"), "no table"), FLAGS, NOON, "me", LEASE)
    lines = loads_table([nowhere]).splitlines()
    assert re.fullmatch(r"2025-03-01 12:00  CLAIMED +\? +2 +200 B +1 +gs://b/odd/", lines[1])
    assert lines[2] == "1 CLAIMED"


def test_retry_loads_what_failed_waits_or_was_left_and_not_what_somebody_loads(run, loads, table, pipeline):
    command = ("retry", f"--load_state_table={table}")
    assert run(*command).out == f"nothing to load: no batch in {table} has failed or waits\n"
    names = ("done", "failed", "left", "held", "living", "failed2/deep")
    days = [batch(f"gs://b/in/{name}/") for name in names]
    rows = dict(zip(names, (claim.row for claim in loads.claim(days, "me", LEASE, FLAGS)), strict=True))
    loads.write(
        [
            state.done(rows["done"], NOON),
            state.failed(rows["failed"], "corrupt", NOON),
            state.failed(rows["failed2/deep"], "corrupt", NOON),
            state.held(rows["held"], "waits for gs://b/in/failed/"),
        ]
    )
    loads.claim([batch("gs://b/in/left2/")], "dead", dt.timedelta(seconds=-1), FLAGS)

    ended = run(*command)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines() == [
        "gs://b/in/left/ is being loaded, by me",
        "gs://b/in/living/ is being loaded, by me",
    ]
    shared = ["--prefix=gs://b/in/", "--write_mode=append", f"--load_state_table={table}", "--project=p"]
    assert pipeline.calls == [[*shared, "--input=gs://b/in/**"]]

    pipeline.calls.clear()
    pipeline.codes = [1]
    assert run(*command, "--directory=gs://b/in/failed").code == 1
    assert pipeline.calls == [[*shared, "--input=gs://b/in/failed/_SUCCESS", "--only=failed"]]
    assert run(*command, "--directory=gs://b/in/fai").out.startswith("nothing to load")
    pipeline.calls.clear()
    assert run(*command, "--directory=gs://b/in/failed2/").code == 0
    assert pipeline.calls[0][-2] == "--input=gs://b/in/failed2/deep/_SUCCESS"


def test_ctrl_c_ends_a_retry_and_not_only_the_first_of_its_loads(run, loads, table, pipeline):
    for name, flags in (("a", FLAGS), ("b", json.dumps({"write_mode": "merge", "prefix": "gs://b/in/"}))):
        loads.claim([batch(f"gs://b/in/{name}/")], "dead", dt.timedelta(seconds=-1), flags)
    pipeline.codes = [130]
    assert run("retry", f"--load_state_table={table}").code == 130
    assert len(pipeline.calls) == 1
    pipeline.calls.clear()
    pipeline.codes = [1]
    assert run("retry", f"--load_state_table={table}").code == 1
    assert len(pipeline.calls) == 2, "a load that fails keeps no other from being tried"


@pytest.mark.parametrize("command", ["status", "retry"])
def test_exports_and_loads_are_not_asked_for_at_once(run, command):
    ended = run(command, "--load_state_table=p.d.t", "--config=exports.json")
    assert ended.code == 2
    assert "give one of them" in ended.err
    unnamed = run(command, "--load_state_table=loads")
    assert unnamed.code == 2
    assert "--load_state_table: 'loads' is not a table name" in unnamed.err


def test_a_corrupt_file_is_mended_and_loaded_by_retry(run, stack, rows_of, upload):
    """The commands with the real pipeline, from the first look to the end."""
    name = uuid.uuid4().hex[:8]
    place, table = f"gs://{stack.bucket}/{name}/in", f"{stack.project}.commands_{name}.days"
    loads = f"{stack.project}.commands.loads_{name}"
    flags = ("--destination_table", table, "--load_state_table", loads, "--skip_leading_rows=1")
    for day, text in enumerate(["n\n1\n", "n\nfive\n"]):
        upload(f"{place}/{day}/part-0.csv", text)
        upload(f"{place}/{day}/_SUCCESS", "")
    upload(f"{place}/_config/schema.json", json.dumps([{"name": "n", "type": "INT64"}]))
    stack_client = stack.endpoints.bigquery_client(stack.project)
    stack_client.create_dataset(f"commands_{name}", exists_ok=True, retry=None)

    first = run("backfill", "ingest", f"--input={place}/**", f"--project={stack.project}", *flags)
    assert first.code == 1, first.err
    assert f"{place}/1/" in first.err
    assert rows_of(f"SELECT n FROM `{table}`") == [{"n": 1}]
    status = run("status", "--load_state_table", loads)
    assert status.out.splitlines()[-1] == "1 DONE, 1 FAILED"

    assert run("retry", "--load_state_table", loads).code == 1, "nothing was mended"
    upload(f"{place}/1/part-0.csv", "n\n5\n")
    second = run("retry", "--load_state_table", loads)
    assert second.code == 0, second.err
    assert rows_of(f"SELECT n FROM `{table}` ORDER BY n") == [{"n": 1}, {"n": 5}]
    assert run("retry", "--load_state_table", loads).out.startswith("nothing to load")
    assert run("status", "--load_state_table", loads).out.splitlines()[-1] == "2 DONE"
