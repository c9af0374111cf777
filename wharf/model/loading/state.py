"""What became of each batch, its files and its rejects, as rows: the load-state table and the two beside it.

    DISCOVERED -> CLAIMED -> SUBMITTED -> DONE
         held        \\__________\\______-> FAILED -> CLAIMED, by a retry

A batch is DISCOVERED while it waits for another or for a file, CLAIMED by one worker at a time and for the length of a
lease, SUBMITTED once the job that changes the table is named in `job_id`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from wharf.model.ledger import Column, LedgerTable
from wharf.model.loading.batch import Batch, Refused

DISCOVERED, CLAIMED, SUBMITTED, DONE, FAILED = "DISCOVERED", "CLAIMED", "SUBMITTED", "DONE", "FAILED"
LIVING = (CLAIMED, SUBMITTED)  # somebody is at work on it, while the lease lasts

# A thousand rows with a text of this length stay below the 10 MB that a request may have.
_LONGEST_TEXT = 2_000

LOADS = LedgerTable(
    key=("batch_id",),
    partition_by="discovered_at",
    cluster_by=("batch_id", "destination_table", "status"),
    columns=(
        Column("batch_id", "STRING", "Identifies the batch: its directory and the generation of its marker"),
        Column("directory", "STRING", "Where its files are, or the file that is a batch of its own"),
        Column("success_uri", "STRING", "The object whose arrival made it complete"),
        Column("success_generation", "INT64", "That object's generation; a new one is a new batch"),
        Column("destination_table", "STRING", "project.dataset.table"),
        Column("write_mode", "STRING", "append, replace_partition, replace_table or merge"),
        Column("status", "STRING", "DISCOVERED, CLAIMED, SUBMITTED, DONE or FAILED"),
        Column("ordered", "BOOL", "Whether its table takes batches in path order"),
        Column("files", "INT64", "Number of its data files"),
        Column("empty_files", "INT64", "Number of files that were left out because they are empty"),
        Column("bytes", "INT64", "Bytes of its data files"),
        Column("rows", "INT64", "Rows it brought; NULL where it shared a load with others"),
        Column("loaded_rows", "INT64", "Rows of the load that it was part of"),
        Column("loaded_batches", "INT64", "Number of batches of that load"),
        Column("rejected_rows", "INT64", "Rows that max_bad_records let BigQuery leave out"),
        Column("attempts", "INT64", "How often it was claimed"),
        Column("claimed_by", "STRING", "Who is or was at work on it"),
        Column("lease_until", "TIMESTAMP", "Until when a CLAIMED or SUBMITTED batch is left to that one"),
        Column("job_id", "STRING", "The last job that was to bring its rows into the table"),
        Column("discovered_at", "TIMESTAMP", "When it was first seen"),
        Column("claimed_at", "TIMESTAMP", "When it was last claimed"),
        Column("submitted_at", "TIMESTAMP", "When that job was recorded, before it was started"),
        Column("completed_at", "TIMESTAMP", "When it was DONE or FAILED"),
        Column("error_message", "STRING", "Why it FAILED, or what it waits for"),
        Column("settings", "STRING", "The flags it is loaded with, as JSON; a retry uses the same"),
    ),
)

# What is known of a batch only when something was done with it.
RESULT = (
    "rows",
    "loaded_rows",
    "loaded_batches",
    "rejected_rows",
    "job_id",
    "submitted_at",
    "completed_at",
    "error_message",
)
_NOTHING = dict.fromkeys(("rows", "loaded_rows", "loaded_batches", "rejected_rows"))
# What the owner of a claim may change of a row; `lease_until` belongs to whoever renews it.
OUTCOME = ("destination_table", "write_mode", "status", *RESULT)

LOAD_FILES = LedgerTable(
    key=("batch_id", "file_uri"),
    partition_by="recorded_at",
    cluster_by=("batch_id",),
    columns=(
        Column("batch_id", "STRING", "The batch that the file is of"),
        Column("file_uri", "STRING", "Where the file is"),
        Column("destination_table", "STRING", "project.dataset.table"),
        Column("bytes", "INT64", "Size of the file"),
        Column("generation", "INT64", "The object's generation"),
        Column("file_timestamp", "TIMESTAMP", "The time of its rows, as its name or folders say"),
        Column("rows", "INT64", "Rows in the file; NULL where it was loaded together with others"),
        Column("status", "STRING", "DONE or FAILED, as its batch"),
        Column("recorded_at", "TIMESTAMP", "When that was recorded"),
    ),
)

REJECTS = LedgerTable(
    key=("batch_id", "file_uri", "reason", "message"),
    partition_by="rejected_at",
    cluster_by=("batch_id",),
    columns=(
        Column("batch_id", "STRING", "The batch that failed"),
        Column("directory", "STRING", "Where its files are"),
        Column("file_uri", "STRING", "The file that the error is in; empty where BigQuery names none"),
        Column("reason", "STRING", "BigQuery's word for the kind of error"),
        Column("message", "STRING", "What is wrong"),
        Column("rejected_at", "TIMESTAMP", "When it was recorded"),
    ),
)


def discovered(batch: Batch | Refused, settings: str, now: dt.datetime) -> dict[str, Any]:
    """The row of a batch that was seen at `now`; `settings` are the flags to load it with, as JSON."""
    landing = batch.landing
    row: dict[str, Any] = dict.fromkeys(column.name for column in LOADS.columns)
    row |= {
        "batch_id": landing.batch_id,
        "directory": landing.directory,
        "success_uri": landing.marker.uri,
        "success_generation": landing.marker.generation,
        "destination_table": str(batch.table) if batch.table else None,
        "status": DISCOVERED,
        "ordered": False,
        "files": len(landing.files),
        "empty_files": landing.empty,
        "bytes": sum(file.bytes for file in landing.files),
        "attempts": 0,
        "discovered_at": now,
        "settings": settings,
    }
    if isinstance(batch, Batch):
        row |= {"write_mode": batch.options.write_mode, "ordered": batch.ordered}
    return row


def claimed(
    batch: Batch | Refused, settings: str, now: dt.datetime, claimer: str, lease: dt.timedelta
) -> dict[str, Any]:
    """The row of a batch that `claimer` is at work on from `now` on."""
    claim = {"status": CLAIMED, "attempts": 1, "claimed_by": claimer, "claimed_at": now, "lease_until": now + lease}
    return discovered(batch, settings, now) | claim


def submitted(
    row: Mapping[str, Any],
    job_id: str,
    now: dt.datetime,
    *,
    loaded_rows: int,
    loaded_batches: int = 1,
    rejected_rows: int = 0,
) -> dict[str, Any]:
    """`row` when the job that changes the table is about to start.

    `loaded_rows` and `rejected_rows` are those of all `loaded_batches` that lie in the same staging tables.
    """
    return {
        **row,
        "status": SUBMITTED,
        "job_id": job_id,
        "submitted_at": now,
        "rows": loaded_rows if loaded_batches == 1 else None,
        "loaded_rows": loaded_rows,
        "loaded_batches": loaded_batches,
        "rejected_rows": rejected_rows,
    }


def done(row: Mapping[str, Any], now: dt.datetime) -> dict[str, Any]:
    """`row` when its rows are in the table."""
    return {**row, "status": DONE, "completed_at": now, "error_message": None}


def failed(row: Mapping[str, Any], error: str, now: dt.datetime) -> dict[str, Any]:
    """`row` when the batch did not get into the table, and why."""
    return {**row, **_NOTHING, "status": FAILED, "completed_at": now, "error_message": error[:_LONGEST_TEXT]}


def held(row: Mapping[str, Any], why: str) -> dict[str, Any]:
    """`row` when the batch goes back to waiting, and for what."""
    return {**row, **_NOTHING, "status": DISCOVERED, "error_message": why[:_LONGEST_TEXT]}


def file_rows(batch: Batch, row: Mapping[str, Any], now: dt.datetime) -> list[dict[str, Any]]:
    """Rows of LOAD_FILES for a batch that has ended as `row` says."""
    alone = row["rows"] if len(batch.files) == 1 else None
    return [
        {
            "batch_id": batch.batch_id,
            "file_uri": file.uri,
            "destination_table": str(batch.table),
            "bytes": file.bytes,
            "generation": file.generation,
            "file_timestamp": part.timestamp,
            "rows": alone,
            "status": row["status"],
            "recorded_at": now,
        }
        for part in batch.parts
        for file in part.files
    ]


def reject_rows(batch: Batch | Refused, errors: Sequence[Mapping[str, Any]], now: dt.datetime) -> list[dict[str, Any]]:
    """Rows of REJECTS for a batch's `errors`, each as BigQuery's jobs have them: reason, message, location.

    An error that came twice is one row.
    """
    uris = [file.uri for file in batch.landing.files]
    made = [
        {
            "batch_id": batch.landing.batch_id,
            "directory": batch.landing.directory,
            "file_uri": _file_of(uris, error),
            "reason": str(error.get("reason") or ""),
            "message": str(error.get("message") or "")[:_LONGEST_TEXT],
            "rejected_at": now,
        }
        for error in errors
    ]
    return list({tuple(row[name] for name in REJECTS.key): row for row in made}.values())


def _file_of(uris: Sequence[str], error: Mapping[str, Any]) -> str:
    """The file that an error names, or that it must be in; else nothing. The longest name is meant: `a`, `a.gz`."""
    if len(uris) == 1:
        return uris[0]
    text = f"{error.get('location') or ''}\n{error.get('message') or ''}"
    return max((uri for uri in uris if uri in text), key=len, default="")
