"""Records the files of batches that have ended."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from wharf.connectors import bigquery
from wharf.connectors.loading.group_commit import GroupCommit
from wharf.model.loading.batch import Batch
from wharf.model.loading.state import LOAD_FILES, file_rows
from wharf.model.schema import TableId

if TYPE_CHECKING:
    from google.cloud.bigquery import Client


class LoadedFiles:
    """Rows of `table`, one a file. Threads may share it."""

    def __init__(self, client: Client, table: TableId) -> None:
        self._client, self._table = client, table
        self._merge: GroupCommit[Mapping[str, Any], int] = GroupCommit(
            lambda rows: bigquery.merge_rows(client, table, LOAD_FILES, rows)
        )

    def ensure(self) -> None:
        """Make the table where it is missing."""
        bigquery.ensure_table(self._client, self._table, LOAD_FILES)

    def record(self, ended: Iterable[tuple[Batch, Mapping[str, Any]]]) -> None:
        """Record the files of batches, each with the row that says how it ended. Twice is the same as once."""
        now = dt.datetime.now(dt.UTC)
        if rows := [file for batch, row in ended for file in file_rows(batch, row, now)]:
            self._merge(rows)
