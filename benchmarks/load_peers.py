"""One run of loading dropped files, in a process of its own: `python -m benchmarks.load_peers CONTENDER JSON`.

Wharf's `files_to_bigquery`, and load jobs of google-cloud-bigquery, one after the other. The clock starts after
imports. What is in the table then is read from the emulator itself, and compared with what was dropped.
"""

from __future__ import annotations

import contextlib
import io
import time
from dataclasses import dataclass
from typing import Any

from google.cloud.bigquery import Client, LoadJobConfig, SchemaField, Table, TimePartitioning

from benchmarks.bench import tell
from benchmarks.drops import COLUMNS, FIELDS, TIMESTAMP, TIMESTAMP_FLAGS, Drop
from benchmarks.measured import Measured, peak_rss_bytes
from wharf.connectors.endpoints import Endpoints

TABLE = "events"
_POLL_SECONDS = 0.05  # the client's own pauses grow from a second on


@dataclass(frozen=True)
class Loading:
    """What a run loads, and where to: `dataset`, `project.dataset`, is empty."""

    drop: dict[str, Any]
    dataset: str
    emulator: str  # BigQuery's URL, without a proxy
    units: int  # that a batch counts for

    @property
    def table(self) -> str:
        return f"{self.dataset}.{TABLE}"

    def client(self) -> Client:
        """By the way that the environment names."""
        return Endpoints.resolve().bigquery_client(self.dataset.split(".")[0])

    def measured(self, seconds: float, batches: int, *, timestamps: bool = True) -> Measured:
        """What the run comes to, if all rows are there."""
        peak = peak_rss_bytes()
        direct = Endpoints(bigquery=self.emulator, bigquery_emulated=True)
        client = direct.bigquery_client(self.dataset.split(".")[0])
        Drop(**self.drop).check(client, self.table, batches=batches, timestamps=timestamps)
        return Measured(batches * self.units, seconds, peak)


def flags(dataset: str) -> list[str]:
    """Where and how Wharf loads, for a batch run and a streaming one."""
    return [
        f"--destination_table={dataset}.{TABLE}",
        f"--load_state_table={dataset}.loads",
        "--skip_leading_rows=1",
        *TIMESTAMP_FLAGS,
    ]


def wharf(**keywords: Any) -> Measured:
    """Load all batches with the pipeline's `main()`: listing, state table, loads, statements; it makes the table."""
    from pipelines import files_to_bigquery

    loading = Loading(**keywords)
    drop = Drop(**loading.drop)
    started = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):  # a line for each batch
        code = files_to_bigquery.main([f"--input={drop.pattern}", *flags(loading.dataset)])
    seconds = time.perf_counter() - started
    if code:
        raise RuntimeError(f"the pipeline ended with exit code {code}")
    return loading.measured(seconds, drop.batches)


def load_jobs(batches: int, **keywords: Any) -> Measured:
    """A load job for each batch, into the table, which has no timestamp."""
    loading = Loading(**keywords)
    drop, client = Drop(**loading.drop), loading.client()
    client.create_table(Table(loading.table, FIELDS))
    started = time.perf_counter()
    for batch in range(batches):
        _load(client, drop.uris(batch), loading.table)
    return loading.measured(time.perf_counter() - started, batches, timestamps=False)


def staged_loads(batches: int, **keywords: Any) -> Measured:
    """The same rows as Wharf's: a load job for each batch into a staging table of its own, and an INSERT from it."""
    loading = Loading(**keywords)
    drop, client = Drop(**loading.drop), loading.client()
    table = Table(loading.table, [*FIELDS, SchemaField(TIMESTAMP, "TIMESTAMP")])
    table.time_partitioning = TimePartitioning(field=TIMESTAMP)
    client.create_table(table)
    started = time.perf_counter()
    for batch in range(batches):
        staging = f"{loading.dataset}.staging_{batch}"
        _load(client, drop.uris(batch), staging)
        moment = f"TIMESTAMP '{drop.timestamp(batch):%Y-%m-%d %H:%M:%S}+00'"
        client.query(
            f"INSERT INTO `{loading.table}` ({COLUMNS}, {TIMESTAMP}) SELECT {COLUMNS}, {moment} FROM `{staging}`"
        ).result()
    return loading.measured(time.perf_counter() - started, batches)


def _load(client: Client, uris: list[str], table: str) -> None:
    config = LoadJobConfig(schema=FIELDS, skip_leading_rows=1, source_format="CSV")
    job = client.load_table_from_uri(uris, table, job_config=config)
    while not job.done():
        time.sleep(_POLL_SECONDS)
    job.result()


if __name__ == "__main__":
    tell({"wharf": wharf, "load_jobs": load_jobs, "staged_loads": staged_loads})
