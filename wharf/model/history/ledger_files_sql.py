"""The files of a run, in the tables beside its ledger: under the names that they have where no flag gives others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from wharf.model.fetching.ledger import FETCHES
from wharf.model.history.ledger_sql import FETCHING, LOADING, present
from wharf.model.ledger import FILES, LedgerTable
from wharf.model.loading.state import LOAD_FILES
from wharf.model.schema import TableId

Tables = Mapping[TableId, frozenset[str]]  # with their columns


def tables_of(pipeline: str, ledger: TableId) -> list[TableId]:
    """Where the files of runs in `ledger` are recorded, and what is wrong with them."""
    if pipeline == FETCHING:
        return [ledger]
    suffixes = ("_files", "_rejects") if pipeline == LOADING else ("_files",)
    return [ledger._replace(table=f"{ledger.table}{suffix}") for suffix in suffixes]


def files(pipeline: str, tables: Sequence[TableId], columns: Sequence[frozenset[str]], limit: int, offset: int) -> str:
    """A run's files (@run; recorded at @since or later), those with an error first; empty if there is no such table.

    `tables` are those of `tables_of`, `columns` theirs: none for a table that there is not.
    """
    if not columns[0]:
        return ""
    end = f"ORDER BY IF(error_message IS NULL, 1, 0), 1, 2 LIMIT {limit} OFFSET {offset}"
    return f"{_SELECTS.get(pipeline, _of_exports)(tables, columns)} {end}"


def _of_exports(tables: Sequence[TableId], columns: Sequence[frozenset[str]]) -> str:
    names = ("file_uri", "status", "rows", "bytes", "error_message", "remote_path", "attempts")
    selected = ", ".join(_columns(FILES, names, columns[0]))
    return f"SELECT {selected} FROM `{tables[0]}` WHERE export_id = @run AND started_at >= @since"


def _of_loads(tables: Sequence[TableId], columns: Sequence[frozenset[str]]) -> str:
    selected = ", ".join(_columns(LOAD_FILES, ("file_uri", "status", "rows", "bytes"), columns[0]))
    loaded = f"SELECT {selected} FROM `{tables[0]}` WHERE batch_id = @run AND recorded_at >= @since"
    if not columns[1]:
        return f"SELECT *, CAST(NULL AS STRING) AS error_message FROM ({loaded})"
    rejects = (
        "SELECT file_uri, STRING_AGG(message, '\\n' ORDER BY message LIMIT 3) AS error_message "
        f"FROM `{tables[1]}` WHERE batch_id = @run AND rejected_at >= @since GROUP BY file_uri"
    )
    return (
        "SELECT loaded.*, IF(loaded.status = 'FAILED', rejected.error_message, NULL) AS error_message "
        f"FROM ({loaded}) AS loaded LEFT JOIN ({rejects}) AS rejected ON rejected.file_uri = loaded.file_uri"
    )


def _of_fetches(tables: Sequence[TableId], columns: Sequence[frozenset[str]]) -> str:
    names = (
        "endpoint",
        "tenant",
        "status",
        "records",
        "bytes",
        "error_message",
        "pages",
        "requests",
        "retries",
        "throttled_seconds",
        "table_name",
        "warnings",
    )
    selected = ", ".join(_columns(FETCHES, names, columns[0]))
    return f"SELECT {selected} FROM `{tables[0]}` WHERE run_id = @run AND started_at >= @since"


def _columns(shape: LedgerTable, names: Sequence[str], columns: frozenset[str]) -> list[str]:
    types = {column.name: column.type for column in shape.columns}
    return [f"{present(name, types[name], columns)} AS `{name}`" for name in names]


_SELECTS: dict[str, Callable[[Sequence[TableId], Sequence[frozenset[str]]], str]] = {
    LOADING: _of_loads,
    FETCHING: _of_fetches,
}
