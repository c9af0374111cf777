"""What became of each endpoint of a run, for each tenant: the rows of `--metadata_table`.

RUNNING -> SUCCESS     fetched, loaded and its cursor committed
       \\-> STOPPED     the day's budget is spent; the next run goes on where this one was
       \\-> FAILED
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from wharf.model.fetching.layout import RawRun
from wharf.model.ledger import FAILED, RUNNING, SUCCESS, Column, LedgerTable

STOPPED = "STOPPED"
_LONGEST_TEXT = 10_000

FETCHES = LedgerTable(
    key=("run_id", "endpoint", "tenant"),
    partition_by="started_at",
    cluster_by=("client_name", "api", "endpoint", "status"),
    columns=(
        Column("run_id", "STRING", "Identifies the run"),
        Column("client_name", "STRING", "Whose data it is"),
        Column("api", "STRING", "The API, as its configuration calls it"),
        Column("endpoint", "STRING", "The endpoint, as the configuration calls it"),
        Column("tenant", "STRING", "The tenant; empty where the API has none"),
        Column("status", "STRING", "RUNNING, SUCCESS, STOPPED (the day's budget is spent) or FAILED"),
        Column("pages", "INT64", "Pages fetched"),
        Column("records", "INT64", "Records in them"),
        Column("bytes", "INT64", "Bytes of the answers"),
        Column("requests", "INT64", "Requests sent on the day it ended, repeated ones among them"),
        Column("retries", "INT64", "Requests that were repeated"),
        Column("throttled_seconds", "FLOAT64", "How long its requests waited for the API's limits"),
        Column("cursor_before", "STRING", "Where the run began to ask"),
        Column("cursor_after", "STRING", "Where the next one begins, once the run has succeeded"),
        Column("started_at", "TIMESTAMP", "When the run began with the endpoint"),
        Column("completed_at", "TIMESTAMP", "When it ended, whatever its status"),
        Column("error_message", "STRING", "Why it failed, or where it stopped"),
        Column("warnings", "STRING", "What a person should know of the data, one a line"),
        Column("raw_uri", "STRING", "The folder of the run's files"),
        Column("table_name", "STRING", "project.dataset.table that the records are loaded into"),
        Column("job_id", "STRING", "Dataflow job, or host and process of a local run"),
        Column("settings", "STRING", "The flags that the run was started with, as JSON"),
    ),
)


def running(
    run: RawRun,
    started_at: dt.datetime,
    *,
    cursor_before: str | None = None,
    job_id: str | None = None,
    settings: str | None = None,
) -> dict[str, Any]:
    """The row of an endpoint that a run begins with, or goes on with."""
    row: dict[str, Any] = dict.fromkeys(column.name for column in FETCHES.columns)
    return row | {
        "run_id": run.run_id,
        "client_name": run.client_name,
        "api": run.api,
        "endpoint": run.endpoint,
        "tenant": run.tenant,
        "status": RUNNING,
        "started_at": started_at,
        "cursor_before": cursor_before,
        "raw_uri": run.folder,
        "job_id": job_id,
        "settings": settings,
    }


def succeeded(
    row: Mapping[str, Any], now: dt.datetime, *, cursor_after: str | None, table: str, warnings: tuple[str, ...] = ()
) -> dict[str, Any]:
    """`row` when its records are in the table. Without a newer cursor the one it began with stays."""
    return {
        **row,
        "status": SUCCESS,
        "completed_at": now,
        "cursor_after": cursor_after or row["cursor_before"],
        "table_name": table,
        "warnings": "\n".join(warnings)[:_LONGEST_TEXT] or None,
        "error_message": None,
    }


def stopped(row: Mapping[str, Any], now: dt.datetime, why: str) -> dict[str, Any]:
    """`row` when the day's budget is spent."""
    return {**row, "status": STOPPED, "completed_at": now, "error_message": why[:_LONGEST_TEXT]}


def failed(row: Mapping[str, Any], now: dt.datetime, error: str) -> dict[str, Any]:
    """`row` when it failed, and why."""
    return {**row, "status": FAILED, "completed_at": now, "error_message": error[:_LONGEST_TEXT]}
