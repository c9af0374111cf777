"""Runs of all pipelines as their own code records them, for tests of the history and of its pages."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.landed import landing
from wharf.connectors import bigquery
from wharf.connectors.fetching.state import FetchState
from wharf.connectors.loading.state import LoadState
from wharf.connectors.run_history import RunHistory
from wharf.local.stack import LocalStack
from wharf.model.fetching import ledger as fetch_ledger
from wharf.model.fetching.layout import RawRun
from wharf.model.launching.config import Tables
from wharf.model.ledger import FILES, RUNS
from wharf.model.loading import state as loading
from wharf.model.loading.batch import Batch, Part
from wharf.model.loading.options import LoadOptions
from wharf.model.schema import TableId

NOON = dt.datetime(2025, 3, 20, 12, tzinfo=dt.UTC)
MINUTE, DAY = dt.timedelta(minutes=1), dt.timedelta(days=1)
SFTP = "sftp://wharf@files.partner.example:22/inbox"
Row = dict[str, Any]


@dataclass(frozen=True)
class Ledgers:
    """Tables of a test's own, and the code that records there."""

    client: Any
    tables: Tables

    @classmethod
    def of(cls, stack: LocalStack, *, shared: bool = False) -> Ledgers:
        """Nothing is there yet; `shared`: exports and deliveries are in one table."""
        names = ("exports", "exports" if shared else "deliveries", "loads", "fetches")
        unique = uuid.uuid4().hex[:8]
        tables = [TableId(stack.project, "history", f"{name}_{unique}") for name in names]
        client = stack.endpoints.bigquery_client(stack.project)
        return cls(client, Tables(**dict(zip(("exports", "deliveries", "loads", "fetches"), tables, strict=True))))

    @property
    def history(self) -> RunHistory:
        return RunHistory(self.client, self.tables)

    @property
    def loads(self) -> LoadState:
        return LoadState(self.client, self.tables.loads)

    @property
    def fetches(self) -> FetchState:
        return FetchState(self.client, self.tables.fetches)

    def export(self, *rows: Row) -> None:
        self._record(self.tables.exports, RUNS, rows)

    def deliver(self, *rows: Row) -> None:
        self._record(self.tables.deliveries, RUNS, rows)

    def files(self, ledger: TableId, *rows: Row) -> None:
        self._record(ledger._replace(table=f"{ledger.table}_files"), FILES, rows)

    def load(self, *rows: Row) -> None:
        self._record(self.tables.loads, loading.LOADS, rows)

    def fetch(self, *rows: Row) -> None:
        self.fetches.ensure()
        self.fetches.write(rows)

    def _record(self, table: TableId, shape: Any, rows: Sequence[Row]) -> None:
        shape = bigquery.ensure_table(self.client, table, shape)
        bigquery.merge_rows(self.client, table, shape, rows)


def exported(export_id: str, began: dt.datetime = NOON, status: str = "SUCCESS", **columns: Any) -> Row:
    """The row of an export of March 2025."""
    row: Row = dict.fromkeys(column.name for column in RUNS.columns)
    row |= {
        "export_id": export_id,
        "export_name": "measurements",
        "source_table": "demo-project.metering.measurements",
        "destination_uri": "gs://bucket/events",
        "status": status,
        "started_at": began,
        "window_from": dt.datetime(2025, 3, 1, tzinfo=dt.UTC),
        "window_to": dt.datetime(2025, 4, 1, tzinfo=dt.UTC),
        "time_zone": "UTC",
        "job_id": "2025-03-20_05_00_00-1234567890",
    }
    if status == "RUNNING":
        row["lease_until"] = began + DAY
    else:
        row |= {"completed_at": began + 5 * MINUTE, "rows_exported": 1_000_000, "bytes_exported": 19_000_000}
        row |= {"files": 124, "partitions": 124}
    if status == "FAILED":
        row["error_message"] = "the bucket is gone"
    return row | columns


def delivered(export_id: str, began: dt.datetime = NOON, status: str = "SUCCESS", **columns: Any) -> Row:
    """The row of a delivery of one day's orders."""
    midnight = began.replace(hour=0, minute=0, second=0, microsecond=0)
    return exported(export_id, began, status) | {
        "export_name": "orders_daily",
        "source_table": "demo-project.shop.orders",
        "destination_uri": SFTP,
        "window_from": midnight - DAY,
        "window_to": midnight,
        "rows_exported": None if status == "RUNNING" else 5_000,
        "bytes_exported": None if status == "RUNNING" else 700_000,
        "files": None if status == "RUNNING" else 2,
        **columns,
    }


def batch(directory: str = "gs://in/sales/orders/2025-03-20/", generation: int = 1, files: int = 2) -> Batch:
    landed = landing(directory, generation, files, bytes_=1_000)
    part = Part(NOON, None, (), landed.files)
    table = TableId("demo-project", "sales", "orders")
    return Batch(landed, table, (part,), LoadOptions(), schema=None, transform="", ordered=False)


def loaded(of: Batch, began: dt.datetime = NOON, status: str = "DONE", error: str = "", **columns: Any) -> Row:
    """The row of a batch that was seen two minutes before it was claimed."""
    settings = json.dumps({"prefix": "gs://in/"})
    if status == "DISCOVERED":
        return loading.held(loading.discovered(of, settings, began), error) | columns
    claimed = loading.claimed(of, settings, began, "load-1 host:1 abc", dt.timedelta(minutes=2))
    claimed["discovered_at"] = began - 2 * MINUTE
    if status == "CLAIMED":
        return claimed | columns
    if status == "FAILED":
        return loading.failed(claimed, error or "the load job failed", began + MINUTE) | columns
    job = loading.submitted(claimed, "wharf-load-1", began + MINUTE, loaded_rows=2_000)
    return (job if status == "SUBMITTED" else loading.done(job, began + 2 * MINUTE)) | columns


def fetched(
    run_id: str, endpoint: str = "Invoices", began: dt.datetime = NOON, status: str = "SUCCESS", **columns: Any
) -> Row:
    """The row of an endpoint of xero, for acme."""
    tenant = columns.get("tenant", "")
    run = RawRun(
        root="gs://lake",
        client_name="acme",
        api="xero",
        endpoint=endpoint,
        tenant=tenant,
        run_id=run_id,
        date=began.date(),
    )
    row = fetch_ledger.running(run, began, job_id="worker/1:7")
    row |= {"pages": 3, "records": 300, "bytes": 90_000, "requests": 4, "retries": 1, "throttled_seconds": 1.5}
    end = began + 3 * MINUTE
    if status == "SUCCESS":
        row = fetch_ledger.succeeded(row, end, cursor_after="c1", table=f"demo-project.xero.raw_{endpoint}")
    elif status == "FAILED":
        row = fetch_ledger.failed(row, end, f"endpoint {endpoint}: the API answers 500")
    elif status == "STOPPED":
        row = fetch_ledger.stopped(row, end, f"endpoint {endpoint}: the day's requests are spent")
    return row | columns
