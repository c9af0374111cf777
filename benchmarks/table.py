"""The measurement table inside the embedded stack, made by a query: the columns of `data`, as many rows as wanted."""

from __future__ import annotations

import datetime as dt

from wharf.connectors.bigquery_read import ReadRequest
from wharf.local.stack import LocalStack
from wharf.model.schema import TableId

DATASET = "benchmark"
FIRST_DAY = dt.date(2025, 3, 1)
VENDORS = 16

# Row i is of vendor i mod 16 and of the next day each 16 rows: a run of days * 16 rows visits every partition once.
_QUERY = """
CREATE TABLE IF NOT EXISTS `{table}` AS SELECT
  FORMAT('meter-%06d', MOD(i * 7919, 10000)) AS device_id,
  FORMAT('vendor-%02d', MOD(i, {vendors})) AS vendor,
  CASE MOD(DIV(i, 3), 33) WHEN 0 THEN NULL WHEN 1 THEN 'MWh' WHEN 2 THEN 'degC' ELSE 'kWh' END AS unit,
  TIMESTAMP_ADD(TIMESTAMP '{first} 00:00:00+00', INTERVAL
    MOD(DIV(i, {vendors}), {days}) * 86400000000 + MOD(i * 7919777, 86400000000) MICROSECOND) AS when_read,
  IF(MOD(i, 37) = 0, NULL, MOD(i * 31337, 200000) / 1000.0) AS value,
  CAST(MOD(i * 123456789, 10000000000000) AS NUMERIC) / 1000000000 AS amount,
  MOD(i, 50) <> 0 AS valid
FROM UNNEST(GENERATE_ARRAY(0, {rows} - 1)) AS i
"""


def ensure_table(stack: LocalStack, rows: int, days: int) -> str:
    """Make a table of `rows` over `days` from March 1st 2025 on, unless it is there -> `project.dataset.table`."""
    client = stack.endpoints.bigquery_client(stack.project)
    client.create_dataset(DATASET, exists_ok=True)
    table = f"{stack.project}.{DATASET}.measurements_{rows}_{days}"
    sql = _QUERY.format(table=table, rows=rows, days=days, first=FIRST_DAY, vendors=VENDORS)
    client.query(sql).result()
    return table


def window(days: int) -> tuple[str, str]:
    """The window that holds all rows, as the flags spell it."""
    return f"{FIRST_DAY}T00:00:00", f"{FIRST_DAY + dt.timedelta(days=days)}T00:00:00"


def read_request(table: str, columns: list[str]) -> ReadRequest:
    """All of a table's rows, in one stream."""
    project, dataset, name = table.split(".")
    return ReadRequest(TableId(project, dataset, name), tuple(columns), "", project, max_streams=1)
