"""Which rows of its source a run exports, as SQL; and what a watermark is.

An incremental export takes the rows above its watermark, the highest value of a column that it has sent, in one
statement that makes a table of them. So the rows of a run are one snapshot, whatever arrives while they are
read, and the highest value among them is the next watermark.

Rows that come later with the watermark's own value are sent as well: the run records a fingerprint of each row
that has the value, and the next one takes what exceeds them. Rows that come later with a smaller value are not
seen, and rows without a value are never exported incrementally.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from wharf.model.errors import UsageError
from wharf.model.schema import TableId

# The columns that an increment's table has besides the exported ones.
WATERMARK_COLUMN = "wharf_watermark"

WATERMARK_TYPES = ("TIMESTAMP", "DATETIME", "DATE", "INT64", "STRING")


@dataclass(frozen=True)
class Watermark:
    """The highest value of the watermark column that was sent, as text; `type` is the column's."""

    type: str
    text: str

    @classmethod
    def parse(cls, type_: str, text: str, *, where: str) -> Watermark:
        """A recorded watermark, also as other tools wrote it, such as `2024-05-01T10:00:00Z` or `... UTC`.

        Raises: UsageError if it is no value of the column's type.
        """
        try:
            return cls(type_, _canonical(type_, text.strip()))
        except ValueError as error:
            raise UsageError(
                f"{where}: the watermark is no {type_}, the type of the column it is compared with: mend "
                "last_exported_value there, or name the column in timestamp_column that it belongs to"
            ) from error

    @property
    def literal(self) -> str:
        """As SQL."""
        if self.type == "INT64":
            return self.text
        quoted = self.text.replace("\\", "\\\\").replace("'", "\\'")
        return f"'{quoted}'" if self.type == "STRING" else f"{self.type} '{quoted}'"

    @property
    def timestamp(self) -> dt.datetime | None:
        """As a point in time, where it is one; wall clocks and days as if they were of UTC."""
        if self.type not in {"TIMESTAMP", "DATETIME", "DATE"}:
            return None
        moment = dt.datetime.fromisoformat(self.text)
        return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


@dataclass(frozen=True)
class Tied:
    """Where the rows are recorded that have the watermark's value and were sent: by run, in a table of `TIES`."""

    table: TableId
    export_id: str
    columns: tuple[str, ...]  # those that the recorded fingerprints are of


def _canonical(type_: str, text: str) -> str:
    if type_ == "INT64":
        return str(int(text))
    if type_ == "DATE":
        return dt.date.fromisoformat(text[:10]).isoformat()
    if type_ == "STRING":
        return text
    moment = dt.datetime.fromisoformat(text.removesuffix(" UTC"))
    if type_ == "DATETIME":
        return moment.replace(tzinfo=None).isoformat(sep=" ")
    moment = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
    return moment.astimezone(dt.UTC).replace(tzinfo=None).isoformat(sep=" ") + "+00:00"


def select(source: str, columns: Sequence[str], condition: str) -> str:
    """`source` stands behind FROM."""
    where = f" WHERE {condition}" if condition else ""
    return f"SELECT {_names(columns)} FROM {source}{where}"


def count(source: str, *conditions: str) -> str:
    """How many rows meet all conditions, as `n`; empty conditions are met by all."""
    where = " AND ".join(f"({condition})" for condition in conditions if condition)
    return f"SELECT COUNT(*) AS n FROM {source}" + (f" WHERE {where}" if where else "")


def increment(
    source: str, columns: Sequence[str], column: str, condition: str, after: Watermark | None, tied: Tied | None
) -> str:
    """The rows above `after`, and those beside it that are not recorded as sent; with WATERMARK_COLUMN.

    Without `after`: all rows with a value.
    """
    also = f" AND ({condition})" if condition else ""
    rows = f"SELECT {_names(columns)}, `{column}` AS {WATERMARK_COLUMN} FROM {source}"
    if not after:
        return f"{rows} WHERE `{column}` IS NOT NULL{also}"
    above = f"{rows} WHERE `{column}` > {after.literal}{also}"
    if not tied:
        return above
    mark = fingerprint(tied.columns)
    return (
        f"{above} UNION ALL SELECT {_names(columns)}, {WATERMARK_COLUMN} FROM ("
        f"SELECT *, `{column}` AS {WATERMARK_COLUMN}, {mark} AS wharf_fingerprint, "
        f"ROW_NUMBER() OVER (PARTITION BY {mark}) AS wharf_number "
        f"FROM {source} WHERE `{column}` = {after.literal}{also}) AS tied "
        f"LEFT JOIN (SELECT fingerprint, `rows` AS wharf_sent FROM `{tied.table}` "
        f"WHERE export_id = '{tied.export_id}') AS sent ON sent.fingerprint = tied.wharf_fingerprint "
        "WHERE tied.wharf_number > COALESCE(sent.wharf_sent, 0)"
    )


def record_ties(
    increment_table: TableId, ties: TableId, export_id: str, columns: Sequence[str], at: Watermark, former: Tied | None
) -> str:
    """Record the rows that a run's increment has at the watermark, under the run.

    `former`: what an earlier run recorded for the same value, which the new record includes.
    """
    listed = ",".join(columns).replace("'", "\\'")
    sent = (
        f"SELECT {fingerprint(columns)} AS fingerprint, COUNT(*) AS sent "
        f"FROM `{increment_table}` WHERE {WATERMARK_COLUMN} = {at.literal} GROUP BY 1"
    )
    if former:
        sent += (
            f" UNION ALL SELECT fingerprint, `rows` AS sent FROM `{former.table}` "
            f"WHERE export_id = '{former.export_id}'"
        )
    return (
        f"INSERT INTO `{ties}` (export_id, fingerprint, `rows`, columns, recorded_at) "
        f"SELECT '{export_id}', fingerprint, SUM(sent), '{listed}', CURRENT_TIMESTAMP() "
        f"FROM ({sent}) AS sent_rows GROUP BY fingerprint"
    )


def fingerprint(columns: Sequence[str]) -> str:
    """The same for rows that are the same in all `columns`."""
    return f"TO_HEX(MD5(TO_JSON_STRING(STRUCT({_names(columns)}))))"


def _names(columns: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in columns)
