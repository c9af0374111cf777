"""Made-up measurements, the same every time: made by one query, inside the emulator."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from google.cloud.bigquery import Client

VENDORS = ("testvendor", "acme", "northwind", "contoso")


def make_measurements(client: Client, table: str, rows: int) -> None:
    """Create `table` (`project.dataset.table`) with `rows` measurements of March 2025, days and vendors mixed."""
    names = ", ".join(f"'{name}'" for name in VENDORS)
    client.create_dataset(table.rpartition(".")[0], exists_ok=True)
    # The emulator lays arrays out from 1 where the index is computed, so the name is joined, not indexed.
    sql = f"""
        CREATE OR REPLACE TABLE `{table}` AS
        SELECT CONCAT('meter-', CAST(MOD(n * 7919, 5000) AS STRING)) AS device_id,
               v.name AS vendor,
               IF(MOD(n, 31) = 0, NULL, 'kWh') AS unit,
               TIMESTAMP_ADD(TIMESTAMP '2025-03-01 00:00:00+00', INTERVAL MOD(n * 86413, 2678400) SECOND) AS when_read,
               MOD(n * 31, 10007) / 7.0 AS value,
               MOD(n, 3) != 0 AS valid
        FROM UNNEST(GENERATE_ARRAY(1, {rows})) AS n
        JOIN (SELECT name, ROW_NUMBER() OVER () - 1 AS number FROM UNNEST([{names}]) AS name) AS v
          ON v.number = MOD(n, {len(VENDORS)})
    """
    client.query(sql).result()
