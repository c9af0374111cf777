"""Which windows have been exported, or delivered, by runs that succeeded."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wharf.connectors import bigquery
from wharf.model.ledger import RUNS, SUCCESS
from wharf.model.schema import TableId
from wharf.model.windows import Window

if TYPE_CHECKING:
    from google.cloud.bigquery import Client

_COLUMNS = ("export_id", "export_name", "destination_uri", "window_from", "window_to", "rows_exported", "completed_at")


@dataclass(frozen=True)
class DoneWindow:
    """A run that succeeded, and what it was a run of: from `start` up to `end`, aware."""

    run_id: str
    name: str
    destination: str
    start: dt.datetime
    end: dt.datetime
    rows: int | None

    def covers(self, window: Window) -> bool:
        return self.start <= window.first_instant and window.last_instant <= self.end

    def is_of(self, window: Window) -> bool:
        return (self.start, self.end) == (window.first_instant, window.last_instant)


def done_windows(client: Client, table: TableId, start: dt.datetime, end: dt.datetime) -> list[DoneWindow]:
    """Of the runs in a metadata table those that succeeded and touch `start` to `end`, the newest first.

    Raises: UsageError for a table that cannot be read.
    """
    with bigquery.translated(f"metadata table {table}"):
        if not bigquery.exists(client, table):
            return []
        present = {field.name for field in bigquery.describe_table(client, table, views=True).schema}
        if not present.issuperset(_COLUMNS):
            return []  # another tool's, which no run of a window has written to yet
        status = RUNS.adapted_to(present).name_of("status")
        found = bigquery.rows(
            client,
            f"SELECT {', '.join(_COLUMNS)} FROM `{table}` WHERE {status} = '{SUCCESS}' "
            "AND window_from < @end AND window_to > @start ORDER BY completed_at DESC",
            {"start": start, "end": end},
        )
    return [
        DoneWindow(
            row["export_id"] or "",
            row["export_name"],
            row["destination_uri"] or "",
            row["window_from"],
            row["window_to"],
            row["rows_exported"] or 0,
        )
        for row in found
    ]
