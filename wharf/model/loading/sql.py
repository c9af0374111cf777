"""The statements that bring staged rows into their table, each of them atomic.

Rows go by the columns' names. A column that the files hold is taken from them; else the timestamp column gets the
files' time, and a `key=value` folder's column its value; else it is NULL.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from wharf.model.errors import UsageError
from wharf.model.flags import nearest
from wharf.model.loading.sql_text import literal, null, quoted, sql_type, string
from wharf.model.schema import Field, TableId
from wharf.model.windows import DATE_TYPES

Span = tuple[dt.datetime, dt.datetime]  # from the first instant until, and without, the second; both UTC

_TURN = "wharf_turn"  # which of the staging tables a row is from, counted in their order


@dataclass(frozen=True)
class Staged:
    """A staging table with `fields`, and what its rows get besides them: a timestamp in UTC, (column, text)."""

    table: TableId
    timestamp: dt.datetime | None
    constants: tuple[tuple[str, str], ...]
    fields: tuple[Field, ...]

    def fills(self, column: Field, timestamp_column: str) -> bool:
        """Whether rows from here have a value for the column."""
        return self.value(column, timestamp_column) is not None

    def holds(self, column: str) -> bool:
        """Whether the files have that column themselves."""
        return any(field.name.lower() == column.lower() for field in self.fields)

    def value(self, column: Field, timestamp_column: str) -> str | None:
        """The expression for `column`, of the type it has in the target; None if nothing here says its value."""
        name = column.name.lower()
        if field := self._by_name.get(name):
            same = field.type == column.type
            return quoted(field.name) if same else f"CAST({quoted(field.name)} AS {sql_type(column)})"
        if name == timestamp_column.lower() and self.timestamp:
            return literal(self.timestamp, column.type)
        for key, text in self.constants:
            if key.lower() == name:
                return f"CAST({string(text)} AS {sql_type(column)})"
        return None

    @cached_property
    def _by_name(self) -> dict[str, Field]:
        return {field.name.lower(): field for field in self.fields}


def append(target: TableId, fields: Sequence[Field], staged: Sequence[Staged], timestamp_column: str) -> str:
    """Add the rows; columns that none of them has get the table's defaults."""
    columns = [field for field in fields if any(each.fills(field, timestamp_column) for each in staged)]
    names = ", ".join(quoted(field.name) for field in columns)
    return f"INSERT INTO `{target}` ({names})\n{rows_of(staged, columns, timestamp_column)}"


def replace_table(
    target: TableId,
    fields: Sequence[Field],
    staged: Sequence[Staged],
    timestamp_column: str,
    *,
    partition_column: str = "",
) -> str:
    """The rows instead of all that are there; with `partition_column` also where queries must name partitions."""
    # Not TRUNCATE: the emulator does not take it back when the transaction fails.
    name = quoted(partition_column)
    every = f"{name} IS NULL OR {name} IS NOT NULL" if partition_column else "TRUE"
    return _transaction(f"DELETE FROM `{target}` WHERE {every}", append(target, fields, staged, timestamp_column))


def replace_partition(
    target: TableId,
    fields: Sequence[Field],
    staged: Sequence[Staged],
    timestamp_column: str,
    *,
    spans: Iterable[Span],
    partition_column: str = "",
    granularity: str = "",
) -> str:
    """The rows instead of those that are in `spans` of the timestamp column, or of the partitioning one without it.

    Rows without a timestamp replace the partitions that they themselves are in: those of `partition_column`, as long
    as `granularity` says (HOUR, DAY, MONTH, YEAR).

    Raises: UsageError where no column says what is replaced.
    """
    by_name = {field.name.lower(): field for field in fields}
    partitioning = by_name.get(partition_column.lower())
    conditions, before = [], ""
    if joined := _joined(spans):
        column = by_name.get(timestamp_column.lower()) or partitioning
        if column is None or column.type not in DATE_TYPES:
            raise UsageError(_nothing_to_replace(target, timestamp_column))
        conditions += [_within(column, span) for span in joined]
    if unstamped := [each for each in staged if each.timestamp is None]:
        if partitioning is None or partitioning.type not in DATE_TYPES:
            raise UsageError(_nothing_to_replace(target, timestamp_column))
        name = quoted(partitioning.name)
        start = f"{partitioning.type}_TRUNC({name}, {granularity.upper()})"
        # Variables instead of subqueries, which would neither prune partitions nor count as naming them.
        rows = rows_of(unstamped, [partitioning], timestamp_column)
        before = (
            f"DECLARE wharf_starts ARRAY<{partitioning.type}> DEFAULT ("
            f"ARRAY(SELECT DISTINCT {start} FROM (\n{rows}\n) WHERE {name} IS NOT NULL));\n"
            f"DECLARE wharf_null BOOL DEFAULT (SELECT LOGICAL_OR({name} IS NULL) FROM (\n{rows}));\n"
        )
        conditions += [f"{start} IN UNNEST(wharf_starts)", f"({name} IS NULL AND wharf_null)"]
    delete = f"DELETE FROM `{target}` WHERE " + "\nOR ".join(conditions)
    return before + _transaction(delete, append(target, fields, staged, timestamp_column))


def merge(
    target: TableId,
    fields: Sequence[Field],
    staged: Sequence[Staged],
    timestamp_column: str,
    keys: Sequence[str],
) -> str:
    """Rows replace those with the same `keys`, and others are added; a later staging table's go before an earlier's.

    Columns that a staging table does not have stay as they are in the rows it changes.

    Raises: UsageError for a key that is no column.
    """
    key_fields = _key_fields(target, fields, keys)

    def filled(each: Staged) -> tuple[Field, ...]:
        return tuple(field for field in fields if each.fills(field, timestamp_column))

    statements = [
        _merge(target, columns, key_fields, list(group), timestamp_column)
        for columns, group in itertools.groupby(staged, key=filled)
    ]
    return statements[0] if len(statements) == 1 else _transaction(*statements)


def merge_check(
    target: TableId, fields: Sequence[Field], staged: Sequence[Staged], timestamp_column: str, keys: Sequence[str]
) -> str:
    """Count what keeps one batch from being merged: rows with a NULL in their key, keys that several rows have.

    The answer is a row (null_keys, repeated_keys).

    Raises: UsageError for a key that is no column.
    """
    columns = _key_fields(target, fields, keys)
    names = [quoted(field.name) for field in columns]
    any_null = " OR ".join(f"{name} IS NULL" for name in names)
    return (
        "SELECT IFNULL(SUM(IF(is_null, wharf_rows, 0)), 0) AS null_keys, "
        "COUNTIF(wharf_rows > 1 AND NOT is_null) AS repeated_keys FROM (\n"
        f"SELECT {any_null} AS is_null, COUNT(*) AS wharf_rows FROM (\n"
        f"{rows_of(staged, columns, timestamp_column)})\nGROUP BY {', '.join(names)})"
    )


def outside(fields: Sequence[Field], staged: Sequence[Staged], timestamp_column: str, spans: Iterable[Span]) -> str:
    """Count rows whose `timestamp_column` is in none of `spans`. The answer is a row (rows_outside,)."""
    column = next(field for field in fields if field.name.lower() == timestamp_column.lower())
    inside = " OR ".join(_within(column, span) for span in _joined(spans))
    rows = rows_of(staged, [column], timestamp_column)
    return f"SELECT COUNTIF(NOT IFNULL({inside}, FALSE)) AS rows_outside FROM (\n{rows})"


def rows_of(staged: Sequence[Staged], columns: Sequence[Field], timestamp_column: str, *, turns: bool = False) -> str:
    """The staged rows as a query with the target's `columns`; with `turns` it says which table a row is from."""

    def select(number: int, each: Staged) -> str:
        expressions = [
            f"{each.value(column, timestamp_column) or null(column)} AS {quoted(column.name)}" for column in columns
        ]
        expressions += [f"{number} AS {_TURN}"] if turns else []
        return f"SELECT {', '.join(expressions)} FROM `{each.table}`"

    return "\nUNION ALL ".join(itertools.starmap(select, enumerate(staged)))


def _merge(
    target: TableId, columns: Sequence[Field], keys: Sequence[Field], staged: list[Staged], timestamp_column: str
) -> str:
    names = [quoted(field.name) for field in columns]
    key_names = [quoted(field.name) for field in keys]
    missing = [key.name for key in keys if key not in columns]
    if missing:
        raise UsageError(f"{target}: the files have no column {', '.join(missing)}, by which they are to be merged")
    changes = ", ".join(f"{name} = new.{name}" for name in names if name not in key_names)
    return (
        f"MERGE INTO `{target}` AS old USING (\n"
        f"SELECT * FROM (\n{rows_of(staged, columns, timestamp_column, turns=True)})\nWHERE TRUE "
        f"QUALIFY ROW_NUMBER() OVER (PARTITION BY {', '.join(key_names)} ORDER BY {_TURN} DESC) = 1\n) AS new "
        f"ON {' AND '.join(f'old.{name} = new.{name}' for name in key_names)}\n"
        + (f"WHEN MATCHED THEN UPDATE SET {changes}\n" if changes else "")
        + f"WHEN NOT MATCHED THEN INSERT ({', '.join(names)}) VALUES ({', '.join(f'new.{name}' for name in names)})"
    )


def _key_fields(target: TableId, fields: Sequence[Field], keys: Sequence[str]) -> list[Field]:
    by_name = {field.name.lower(): field for field in fields}
    for key in keys:
        if key.lower() not in by_name:
            raise UsageError(f"--merge_keys: {target} has no column {key!r}{nearest(key, by_name)}")
    return [by_name[key.lower()] for key in keys]


def _transaction(*statements: str) -> str:
    return ";\n".join(["BEGIN TRANSACTION", *statements, "COMMIT TRANSACTION"]) + ";"


def _joined(spans: Iterable[Span]) -> list[Span]:
    """Spans that touch or overlap as one."""
    found: list[Span] = []
    for start, end in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found


def _within(column: Field, span: Span) -> str:
    if column.type == "DATE" and any(edge.astimezone(dt.UTC).time() != dt.time() for edge in span):
        raise UsageError(
            f"column {column.name} holds dates, and {span[0]:%Y-%m-%d %H:%M} is a part of one: replace whole days"
        )
    start, end = (literal(edge, column.type) for edge in span)
    return f"({quoted(column.name)} >= {start} AND {quoted(column.name)} < {end})"


def _nothing_to_replace(target: TableId, timestamp_column: str) -> str:
    return (
        f"{target}: write mode replace_partition needs to know what a batch replaces: name its time with "
        f"--timestamp_regex or by its folders for a TIMESTAMP, DATETIME or DATE column {timestamp_column}, or "
        "partition the table by such a column of the files"
    )
