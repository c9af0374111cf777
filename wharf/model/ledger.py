"""What happened, as rows: one per run and one per file, in the tables `--metadata_table` and `--files_table`."""

from __future__ import annotations

from dataclasses import dataclass
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


RUNS = LedgerTable(
    key=("export_id",),
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
        Column("lease_until", "TIMESTAMP", "Until when a RUNNING run keeps others from its window"),
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
        Column("status", "STRING", "SUCCESS once the file is published"),
        Column("started_at", "TIMESTAMP", "When writing began"),
        Column("completed_at", "TIMESTAMP", "When it was published"),
    ),
)
