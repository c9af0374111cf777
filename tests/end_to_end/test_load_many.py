"""A thousand directories over twenty tables in one run."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.loads import Loads, loads_of
from tests.servers.bigquery_calls import statements
from tests.servers.bigquery_proxy import BigQueryProxy
from wharf.local.stack import LocalStack

TABLES, DIRECTORIES, DAYS = 20, 50, 10  # of each table 50 directories, 5 of each of 10 days
TIME = "2025-03-20T00:00:00.000000Z"
PREFIX = "in/"


def write_objects(stack: LocalStack, dataset: str) -> None:
    """Lay objects where the emulator, before it starts, finds them as its own: writing 2,000 by its API takes minutes,
    as it rewrites its list of all objects for each.

    Each directory has a marker and one file with one row: the directory's number.
    """
    root = stack.directory / "storage" / ".cloudstorage"
    objects = {}
    for number in range(TABLES * DIRECTORIES):
        table, batch = divmod(number, DIRECTORIES)
        directory = f"{PREFIX}{dataset}/t{table:02}/2025/03/{batch % DAYS + 1:02}/batch-{batch:02}"
        for name, content in {"a.csv": f"id\n{number}\n", "_SUCCESS": ""}.items():
            path = root / stack.bucket / directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
            objects[f"{directory}/{name}"] = {
                "kind": "storage#object",
                "bucket": stack.bucket,
                "name": f"{directory}/{name}",
                "size": str(len(content)),
                "generation": str(number + 1),
                "timeCreated": TIME,
                "updated": TIME,
            }
    (root / ".meta").write_text(json.dumps({"objects": {stack.bucket: objects}}))


@pytest.fixture
def many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Loads, BigQueryProxy]]:
    """On a stack of its own: with so many objects every write would take long for all tests that follow."""
    stack = LocalStack(tmp_path / "stack")
    write_objects(stack, "many")
    with stack:
        for name, value in stack.environment.items():
            monkeypatch.setenv(name, value)
        client = stack.endpoints.bigquery_client(stack.project)
        client.create_dataset("many", retry=None)
        with loads_of(stack, client, tmp_path) as loads, BigQueryProxy(stack.endpoints.bigquery or "") as proxy:
            loads.prefix, loads.dataset = PREFIX, "many"
            yield loads, proxy


def test_a_thousand_directories_over_twenty_tables_are_loaded_once_with_few_statements(
    many: tuple[Loads, BigQueryProxy],
) -> None:
    loads, proxy = many
    started = time.monotonic()
    ended = loads.run(f"--bigquery_endpoint={proxy.url}")
    seconds = time.monotonic() - started
    assert ended.code == 0, ended.err
    tables = [f"t{number:02}" for number in range(TABLES)]
    assert loads.tables() == set(tables)
    for number, table in enumerate(tables):
        assert loads.rows(table, "id") == [(number * DIRECTORIES + batch,) for batch in range(DIRECTORIES)]
        assert proxy.modifications(f"many.{table}") == 1
    states = loads.states()
    assert len(states) == len(loads.file_rows()) == TABLES * DIRECTORIES
    assert {(row["status"], row["attempts"]) for row in states} == {("DONE", 1)}
    assert proxy.count("load") == TABLES * DAYS, "what is of one time is loaded together"
    merges = sum(statements("MERGE")(call) for call in proxy.jobs)
    print(f"{seconds:.1f} s, {proxy.count('load')} load jobs, {proxy.count('query')} queries, {merges} of them MERGEs")
    assert merges <= 3 * TABLES

    proxy.forget()
    started = time.monotonic()
    assert loads.run(f"--bigquery_endpoint={proxy.url}").out.startswith("nothing to load")
    print(f"with nothing to do: {time.monotonic() - started:.1f} s, {len(proxy.jobs)} jobs")
    assert len(proxy.jobs) <= 10
