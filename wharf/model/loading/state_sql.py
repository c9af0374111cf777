"""The statements that change the load-state table. Rows come as the parameter `rows`, a JSON array; text out.

BigQuery refuses the later of two statements that change one row at the same time, and runs it again on what the
earlier left. Rows that two statements insert at the same time it lets stand both.
"""

from __future__ import annotations

from collections.abc import Sequence

from wharf.model.ledger import Column
from wharf.model.loading.state import LOADS, OUTCOME, RESULT
from wharf.model.schema import TableId

ROWS_PER_STATEMENT = 1_000  # with the longest texts that a row may hold, below the 10 MB of a request
OF_IDS = "batch_id IN (SELECT item FROM UNNEST(SPLIT(@ids, ' ')) AS item)"

_COLUMNS = {column.name: column for column in LOADS.columns}
_SEEN = [column for column in LOADS.columns if column.name not in RESULT]
# What a claim leaves of a row that is there: what it is, how it came to be known, and, not named here, the job that may
# have done the work and what that would have brought.
_KEPT = {"batch_id", "directory", "success_uri", "success_generation", "discovered_at", "attempts"}
_INSERT = (
    f"WHEN NOT MATCHED THEN INSERT ({', '.join(column.name for column in _SEEN)}) "
    f"VALUES ({', '.join(f'given.{column.name}' for column in _SEEN)})"
)
_CLAIM = ", ".join(
    ["attempts = old.attempts + 1"]
    + [f"{column.name} = given.{column.name}" for column in _SEEN if column.name not in _KEPT]
    + [f"{name} = NULL" for name in ("completed_at", "error_message")]
)
_MAY_CLAIM = (
    "old.status = 'DISCOVERED' OR old.status = 'FAILED' AND given.retry "
    "OR old.status IN ('CLAIMED', 'SUBMITTED') AND old.lease_until <= CURRENT_TIMESTAMP()"
)
# The row whose owner got further goes first, then the older claim.
_RANK = (
    "CONCAT(IF({0}.status IN ('SUBMITTED', 'DONE'), '0 ', '1 '), "
    "IFNULL(CAST({0}.claimed_at AS STRING), '~'), ' ', IFNULL({0}.claimed_by, ''), ' ', "
    "CAST({0}.discovered_at AS STRING))"
)


def discover(table: TableId) -> str:
    """Insert rows of batches that are not known."""
    return f"{_merge(table, _SEEN)} {_INSERT}"


def claim(table: TableId) -> str:
    """Insert rows of batches that are not known, and take over those that may be; each row says whether to `retry`."""
    given = [*_SEEN, Column("retry", "BOOL", "")]
    return f"{_merge(table, given)} WHEN MATCHED AND ({_MAY_CLAIM}) THEN UPDATE SET {_CLAIM} {_INSERT}"


def settle(table: TableId) -> str:
    """Of several rows of one batch among `ids` leave one: all who run this choose the same."""
    return (
        f"MERGE `{table}` old USING (SELECT batch_id, MIN({_RANK.format('twin')}) AS kept "
        f"FROM `{table}` twin WHERE {OF_IDS} GROUP BY batch_id) given ON old.batch_id = given.batch_id "
        f"WHEN MATCHED AND {_RANK.format('old')} > given.kept THEN DELETE"
    )


def write(table: TableId) -> str:
    """Change the outcome of batches that still are whose they were."""
    given = [_COLUMNS[name] for name in ("batch_id", "claimed_by", *OUTCOME)]
    updates = ", ".join(f"`{name}` = given.`{name}`" for name in OUTCOME)
    return (
        f"UPDATE `{table}` old SET {updates} FROM {_given(given)} "
        "WHERE old.batch_id = given.batch_id AND old.claimed_by = given.claimed_by"
    )


def _merge(table: TableId, columns: Sequence[Column]) -> str:
    return f"MERGE `{table}` old USING {_given(columns)} ON old.batch_id = given.batch_id"


def _given(columns: Sequence[Column]) -> str:
    # Quoted, as `rows` is a reserved word; so is `new`, which would read well for the rows that are given.
    selected = ", ".join(f"{_from_json(column)} AS `{column.name}`" for column in columns)
    return f"(SELECT {selected} FROM UNNEST(JSON_QUERY_ARRAY(@rows)) AS item) given"


def _from_json(column: Column) -> str:
    text = f"JSON_VALUE(item, '$.{column.name}')"
    return text if column.type == "STRING" else f"CAST({text} AS {column.type})"
