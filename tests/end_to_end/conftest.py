"""Fixtures of the end-to-end tests: the whole pipeline on the embedded stack.

sql         runs a statement on the emulator and returns its rows as dicts
make_table  makes a table through the API and fills it by SQL; returns `project.dataset.table`
readings    a table of 6,000 rows: 31 days of March 2025 by 4 vendors
output      a folder of the test's own         bucket_output   a prefix of the test's own on Cloud Storage
run         the pipeline in this process       export          the pipeline in a process of its own
start       one that can be killed             flags           what every run of a test is given
read_tree   an output as fastavro reads it     ledger          recorded runs, or files, as dicts
delivery    exports to a folder of the test's own on the OpenSSH server
deliver_to  the same to another server: `deliver_to(server.target(), server.root)`
orders      `orders(200)`: a table of rows 1 to 200, that the test may change
loads       files of the test's own, and what files_to_bigquery makes of them
fetches     an API of the test's own, and what api_to_bigquery makes of it; more in tests/end_to_end/fetches.py
dataflow    a stand-in for Dataflow, and a launch of each pipeline on it
proxy       before BigQuery's emulator, for requests that something happens at
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fastavro
import pytest
from google.cloud.bigquery import SchemaField, Table

from pipelines.bigquery_to_avro import main
from tests.end_to_end.dataflow import dataflow  # noqa: F401  # a fixture
from tests.end_to_end.delivery import Delivery, as_config
from tests.end_to_end.fetches import api, fetches, fetching  # noqa: F401  # fixtures
from tests.end_to_end.loads import Loads, loads_of
from tests.end_to_end.process import Finished, Started
from tests.servers.bigquery_proxy import BigQueryProxy
from tests.servers.sshd import Sshd
from wharf.local.stack import LocalStack
from wharf.model.config_environment import VARIABLES
from wharf.model.delivery import SftpTarget

ROOT = Path(__file__).parents[2]
COLUMNS = [
    SchemaField("id", "INT64", mode="REQUIRED", description="Counts from 1"),
    SchemaField("when_read", "TIMESTAMP"),
    SchemaField("vendor", "STRING"),
    SchemaField("value", "INT64"),
]
READINGS = """
    SELECT n, TIMESTAMP_ADD(TIMESTAMP '2025-03-01 00:00:00+00', INTERVAL MOD(n * 7919, 31 * 86400) SECOND),
           CONCAT('v', CAST(MOD(n, 4) AS STRING)), n * 3
    FROM UNNEST(GENERATE_ARRAY(1, {rows})) AS n
"""

ORDERS = [
    SchemaField("id", "INT64", mode="REQUIRED"),
    SchemaField("name", "STRING"),
    SchemaField("changed_at", "TIMESTAMP"),
    SchemaField("day", "DATE"),
]


@dataclass(frozen=True)
class Tree:
    """What an output holds: content by path below it."""

    files: dict[str, bytes]

    @property
    def partitions(self) -> dict[str, list[dict[str, Any]]]:
        """Rows by partition path, file after file."""
        found: dict[str, list[dict[str, Any]]] = {}
        for path, content in self.files.items():
            if path.endswith(".avro"):
                found.setdefault(path.rpartition("/")[0], []).extend(fastavro.reader(io.BytesIO(content)))
        return found

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [row for rows in self.partitions.values() for row in rows]

    @property
    def data_files(self) -> list[str]:
        return [path for path in self.files if path.endswith(".avro")]

    @property
    def names(self) -> list[str]:
        """All paths, the random end of an export id replaced."""
        return sorted(re.sub(r"-[0-9a-f]{8}(?=\.json|/)", "-RUN", path) for path in self.files)

    def count(self, column: str = "value") -> dict[str, tuple[int, int]]:
        """Rows and the sum of `column` by partition path."""
        return {path: (len(rows), sum(row[column] for row in rows)) for path, rows in self.partitions.items()}

    @property
    def contents(self) -> dict[str, list[int]]:
        """The ids in each partition, in the order that does not depend on how the work was split."""
        return {path: sorted(row["id"] for row in rows) for path, rows in self.partitions.items()}


@pytest.fixture(scope="session")
def client(stack: LocalStack) -> Any:
    return stack.endpoints.bigquery_client(stack.project)


@pytest.fixture(scope="session")
def sql(client: Any) -> Callable[[str], list[dict[str, Any]]]:
    def run(statement: str) -> list[dict[str, Any]]:
        job = client.query(statement, retry=None, job_retry=None, timeout=60)
        return [dict(row.items()) for row in job.result(retry=None, job_retry=None, timeout=60)]

    return run


@pytest.fixture(scope="session")
def make_table(client: Any, sql: Callable) -> Callable[..., str]:
    """`make_table(columns, select)`; through the API, as the emulator forgets modes and some types in DDL."""
    client.create_dataset("tests", exists_ok=True, retry=None)

    def make(columns: Sequence[SchemaField], select: str = "") -> str:
        table = f"{client.project}.tests.t_{uuid.uuid4().hex[:8]}"
        client.create_table(Table(table, list(columns)), retry=None)
        if select:
            sql(f"INSERT INTO `{table}` ({', '.join(column.name for column in columns)}) {select}")
        return table

    return make


@pytest.fixture(scope="session")
def readings(make_table: Callable[..., str]) -> str:
    return make_table(COLUMNS, READINGS.format(rows=6_000))


@pytest.fixture
def output(tmp_path: Path) -> str:
    return str(tmp_path / "out")


@pytest.fixture
def bucket_output(stack: LocalStack) -> str:
    return f"gs://{stack.bucket}/{uuid.uuid4().hex}"


@pytest.fixture(scope="session")
def environment(stack: LocalStack) -> dict[str, str]:
    return {**os.environ, **stack.environment, "PYTHONPATH": str(ROOT)}


@pytest.fixture
def flags(stack: LocalStack) -> list[str]:
    """A ledger of the test's own, and where the emulators are."""
    endpoints = stack.endpoints
    return [
        f"--metadata_table={stack.project}.ledger.runs_{uuid.uuid4().hex[:8]}",
        f"--bigquery_endpoint={endpoints.bigquery}",
        f"--bigquery_storage_endpoint={endpoints.bigquery_storage}",
    ]


@pytest.fixture
def run(stack: LocalStack, flags: list[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Finished]:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", str(stack.endpoints.storage))

    def run_here(*words: str) -> Finished:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main([*flags, *words])
        return Finished(code, out.getvalue(), err.getvalue())

    return run_here


@pytest.fixture
def export(flags: list[str], environment: dict[str, str]) -> Callable[..., Finished]:
    def run_apart(*words: str, **variables: str) -> Finished:
        command = [sys.executable, "-m", "pipelines.bigquery_to_avro", *flags, *words]
        ended = subprocess.run(
            command, capture_output=True, text=True, env=environment | variables, cwd=ROOT, timeout=120, check=False
        )
        return Finished(ended.returncode, ended.stdout, ended.stderr)

    return run_apart


@pytest.fixture
def start(flags: list[str], stack: LocalStack, tmp_path: Path) -> Iterator[Callable[..., Started]]:
    started: list[Started] = []

    def begin(*words: str) -> Started:
        folder = tmp_path / f"process-{len(started)}"
        folder.mkdir()
        started.append(Started([*flags, *words], stack.environment, folder))
        return started[-1]

    yield begin
    for one in started:
        one.process.kill()
        one.process.join()


@pytest.fixture(scope="session")
def read_tree(stack: LocalStack) -> Callable[[str], Tree]:
    def read(output: str) -> Tree:
        if not output.startswith("gs://"):
            found = sorted(path for path in Path(output).rglob("*") if path.is_file())
            return Tree({str(path.relative_to(output)): path.read_bytes() for path in found})
        bucket, _, prefix = output.removeprefix("gs://").partition("/")
        place = stack.endpoints.storage_client().bucket(bucket)
        names = [blob.name for blob in place.list_blobs(prefix=f"{prefix}/")]
        # By name: the address that the emulator lists for an object is not escaped.
        return Tree({name.removeprefix(f"{prefix}/"): place.blob(name).download_as_bytes() for name in names})

    return read


@pytest.fixture
def ledger(sql: Callable, flags: list[str]) -> Callable[..., list[dict[str, Any]]]:
    table = flags[0].partition("=")[2]

    def rows(which: str = "runs") -> list[dict[str, Any]]:
        return sql(f"SELECT * FROM `{table}{'_files' if which == 'files' else ''}` ORDER BY started_at")

    return rows


@pytest.fixture(scope="session")
def count_by_sql(sql: Callable) -> Callable[..., dict[str, tuple[int, int]]]:
    """Rows and the sum of `value` by partition path, for vendors that need no escaping."""

    def count(table: str, where: str = "TRUE", day: str = "DATE(when_read)", value: str = "value") -> dict:
        found = sql(
            f"SELECT {day} AS day, vendor, COUNT(*) AS n, SUM({value}) AS total FROM `{table}` "
            f"WHERE {where} GROUP BY 1, 2"
        )
        return {
            f"{row['day']:year=%Y/month=%m/day=%d}/vendor={row['vendor']}": (row["n"], row["total"]) for row in found
        }

    return count


@pytest.fixture
def deliver_to(
    stack: LocalStack, sql: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Delivery]]:
    for name, value in stack.environment.items():
        monkeypatch.setenv(name, value)
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    made: list[Delivery] = []

    def make(target: SftpTarget, remote: Path) -> Delivery:
        folder = tmp_path / f"delivery-{len(made)}"
        folder.mkdir()
        metadata = f"{stack.project}.ledger.exports_{uuid.uuid4().hex[:8]}"
        made.append(Delivery(folder, remote, as_config(target), stack.project, sql, metadata, stack.environment))
        return made[-1]

    yield make
    for one in (started for delivery in made for started in delivery.started):
        one.process.kill()
        one.process.join()


@pytest.fixture
def delivery(deliver_to: Callable[..., Delivery], sshd: Sshd) -> Delivery:
    remote = sshd.root / uuid.uuid4().hex
    return deliver_to(sshd.target(directory=str(remote)), remote)


@pytest.fixture(scope="session")
def orders(make_table: Callable[..., str]) -> Callable[..., str]:
    """Row `n` was changed `n` minutes after 2025-03-01 began, and is of the `n % 10`th day of March."""

    def make(rows: int, first: int = 1) -> str:
        return make_table(ORDERS, select_orders(first, rows) if rows else "")

    return make


def select_orders(first: int, last: int) -> str:
    return (
        "SELECT n, CONCAT('order ', CAST(n AS STRING)), "
        "TIMESTAMP_ADD(TIMESTAMP '2025-03-01 00:00:00+00', INTERVAL n MINUTE), "
        f"DATE_ADD(DATE '2025-03-01', INTERVAL MOD(n, 10) DAY) FROM UNNEST(GENERATE_ARRAY({first}, {last})) AS n"
    )


@pytest.fixture
def loads(stack: LocalStack, client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Loads]:
    for name, value in stack.environment.items():
        monkeypatch.setenv(name, value)
    with loads_of(stack, client, tmp_path) as made:
        yield made


@pytest.fixture
def proxy(stack: LocalStack) -> Iterator[BigQueryProxy]:
    with BigQueryProxy(stack.endpoints.bigquery or "") as running:
        yield running
