"""What happened, as rows: one per run and one per file, in the tables `--metadata_table` and `--files_table`."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import NamedTuple

RUNNING, SUCCESS, FAILED = "RUNNING", "SUCCESS", "FAILED"


class Column(NamedTuple):
    """A ledger column: its standard SQL type and what it means."""

    name: str
    type: str
    description: str


@dataclass(frozen=True, kw_only=True)
class LedgerTable:
    """A metadata table's shape: `key` identifies a row, so that writing one twice changes nothing."""

    columns: tuple[Column, ...]
    key: tuple[str, ...]
    partition_by: str
    cluster_by: tuple[str, ...]
    former_names: tuple[tuple[str, str], ...] = ()  # (column, what tables that people already have may call it)
    names: tuple[tuple[str, str], ...] = ()  # (column, what this table calls it) where that is another name

    def adapted_to(self, present: Collection[str]) -> LedgerTable:
        """This shape for a table that has the columns `present`, some under former names."""
        renamed = ((name, former) for name, former in self.former_names if former in present and name not in present)
        return replace(self, names=tuple(renamed))

    def name_of(self, column: str) -> str:
        """What the table calls `column`."""
        return dict(self.names).get(column, column)


RUNS = LedgerTable(
    key=("export_id",),
    former_names=(("status", "export_status"),),
    partition_by="started_at",
    cluster_by=("export_name", "status"),
    columns=(
        Column("export_id", "STRING", "Identifies the run"),
        Column("export_name", "STRING", "What is exported, over all its runs"),
        Column("source_table", "STRING", "project.dataset.table, or the query"),
        Column("destination_uri", "STRING", "Where the files are"),
        Column("status", "STRING", "RUNNING, SUCCESS or FAILED"),
        Column("rows_exported", "INT64", "Rows in the run's files"),
        Column("started_at", "TIMESTAMP", "When the run was recorded as RUNNING"),
        Column("completed_at", "TIMESTAMP", "When it ended, whatever its status"),
        Column("error_message", "STRING", "Why it failed"),
        Column("window_from", "TIMESTAMP", "First instant of the window"),
        Column("window_to", "TIMESTAMP", "First instant after the window"),
        Column("time_zone", "STRING", "Where the window's days begin"),
        Column("bytes_exported", "INT64", "Bytes of the run's files"),
        Column("files", "INT64", "Number of the run's files"),
        Column("partitions", "INT64", "Number of partitions written"),
        Column("job_id", "STRING", "Dataflow job, or host and process of a local run"),
        Column("file_name", "STRING", "The files delivered, by name"),
        Column("last_exported_value", "STRING", "Watermark of an incremental export once the run has succeeded"),
        Column("last_export_timestamp", "TIMESTAMP", "The same, where it is a point in time"),
        Column("notification_error", "STRING", "Which notification of the run's end could not be sent, and why"),
        Column("lease_until", "TIMESTAMP", "Until when a RUNNING run keeps others from its window"),
        Column("settings", "STRING", "The flags that the run was started with, as JSON"),
    ),
)

FILES = LedgerTable(
    key=("export_id", "file_uri"),
    partition_by="started_at",
    cluster_by=("export_id", "status"),
    columns=(
        Column("export_id", "STRING", "The run that wrote the file"),
        Column("file_uri", "STRING", "Where the file is"),
        Column("partition_date", "DATE", "Day of the file's rows"),
        Column("vendor", "STRING", "Vendor of the file's rows"),
        Column("rows", "INT64", "Rows in the file"),
        Column("bytes", "INT64", "Size of the file"),
        Column("crc32c", "STRING", "CRC32C of the file in base64, as Cloud Storage shows it"),
        Column("remote_path", "STRING", "Where it was delivered to on the SFTP server"),
        Column("attempts", "INT64", "How often its delivery was begun"),
        Column("status", "STRING", "SUCCESS once the file is published or delivered, FAILED if it was refused"),
        Column("error_message", "STRING", "Why it was refused"),
        Column("started_at", "TIMESTAMP", "When writing began"),
        Column("completed_at", "TIMESTAMP", "When it was published"),
    ),
)

# Rows that share the watermark's value: what tells a row that came later with the same value from those that were sent.
TIES = LedgerTable(
    key=("export_id", "fingerprint"),
    partition_by="recorded_at",
    cluster_by=("export_id",),
    columns=(
        Column("export_id", "STRING", "The run that sent the rows"),
        Column("fingerprint", "STRING", "MD5 of a row's exported columns"),
        Column("rows", "INT64", "How many rows have it"),
        Column("columns", "STRING", "The exported columns, separated by commas"),
        Column("recorded_at", "TIMESTAMP", "When the run recorded them"),
    ),
)
