"""What files may be written in, and where it is said how they are read."""

from __future__ import annotations

import datetime as dt
import gzip
import io
from collections.abc import Callable
from typing import Any

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.end_to_end.loads import Loads, csv_of, jsonl_of

NOON = dt.datetime(2025, 3, 1, 12, tzinfo=dt.UTC)
COLUMNS = "id,name,amount,seen"
ROWS = [(1, 'He said "no", twice', 1.5, NOON), (2, "Zoë; Łódź", -0.25, NOON), (3, None, None, None)]
SCHEMA = [
    {"name": "id", "type": "INT64"},
    {"name": "name", "type": "STRING"},
    {"name": "amount", "type": "FLOAT64"},
    {"name": "seen", "type": "TIMESTAMP"},
]
AVRO = {
    "type": "record",
    "name": "Order",
    "fields": [
        {"name": "id", "type": "long"},
        {"name": "name", "type": ["null", "string"]},
        {"name": "amount", "type": ["null", "double"]},
        {"name": "seen", "type": ["null", {"type": "long", "logicalType": "timestamp-micros"}]},
    ],
}


def as_csv(delimiter: str = ",") -> str:
    return csv_of(COLUMNS, *[(*row[:3], row[3] and row[3].isoformat()) for row in ROWS], delimiter=delimiter)


def as_dicts() -> list[dict[str, Any]]:
    return [dict(zip(COLUMNS.split(","), row, strict=True)) for row in ROWS]


def as_json() -> str:
    return jsonl_of(*[row | {"seen": row["seen"] and row["seen"].isoformat()} for row in as_dicts()])


def as_avro(codec: str = "null") -> bytes:
    file = io.BytesIO()
    fastavro.writer(file, AVRO, as_dicts(), codec=codec)
    return file.getvalue()


def as_parquet() -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(as_dicts()), file)
    return file.getvalue()


@pytest.fixture
def asked(loads: Loads) -> Callable[[str], dict[str, Any]]:
    """`asked("orders/2025/03/01")`: what a directory's load job was told of how files are read."""

    def find(directory: str) -> dict[str, Any]:
        configs = [
            job._properties["configuration"]["load"] for job in loads.client.list_jobs() if job.job_type == "load"
        ]
        its = [config for config in configs if config["sourceUris"][0].startswith(loads.uri(directory))]
        return {key: value for key, value in its[0].items() if key not in {"sourceUris", "destinationTable"}}

    return find


def test_each_format_is_known_by_its_files_names_and_loads_the_same_rows(loads):
    dropped: dict[str, tuple[str, str | bytes]] = {
        "plain": ("part.csv", as_csv()),
        "packed": ("part.csv.gz", gzip.compress(as_csv().encode())),
        "tabs": ("part.tsv", as_csv("\t")),
        "lines": ("part.json", as_json()),
        "packed_lines": ("part.JSONL.gz", gzip.compress(as_json().encode())),
        "avro": ("part.avro", as_avro("deflate")),
        "parquet": ("part-0.parquet", as_parquet()),
    }
    loads.put("_config/schema.json", SCHEMA)
    loads.put("tabs/_config/load.json", {"fieldDelimiter": "\t"})
    for table, (name, content) in dropped.items():
        loads.drop(f"{table}/2025/03/01", {name: content})
    ended = loads.run()
    assert ended.code == 0, ended.err
    assert loads.tables() == set(dropped)
    for table in dropped:
        assert loads.rows(table, COLUMNS) == ROWS, table
        types = [field.field_type for field in loads.table(table).schema]
        assert types == ["INT64", "STRING", "FLOAT64", "TIMESTAMP", "TIMESTAMP"]
    recorded = {row["directory"]: (row["rows"], row["bytes"]) for row in loads.states()}
    sizes = {
        table: len(content.encode() if isinstance(content, str) else content) for table, (_, content) in dropped.items()
    }
    assert recorded == {f"{table}/2025/03/01": (3, sizes[table]) for table in dropped}


def test_plain_and_packed_files_are_loaded_by_jobs_of_their_own(loads):
    """BigQuery refuses a job that has both; their rows become visible together."""
    loads.put("_config/schema.json", SCHEMA)
    packed = gzip.compress(as_csv().encode())
    loads.drop("orders/2025/03/01", {"a.csv": as_csv(), "b.csv.gz": packed, "c.csv": as_csv(), "d.csv.gz": packed})
    ended = loads.run()
    assert ended.code == 0, ended.err
    assert loads.rows("orders", "COUNT(*), SUM(id)") == [(12, 24)]
    (row,) = loads.states()
    assert (row["rows"], row["loaded_batches"]) == (12, 1)
    jobs = [set(job.source_uris) for job in loads.client.list_jobs() if job.job_type == "load"]
    for names in ({"a.csv", "c.csv"}, {"b.csv.gz", "d.csv.gz"}):
        assert {loads.uri(f"orders/2025/03/01/{name}") for name in names} in jobs


def test_avro_and_parquet_load_into_a_table_that_is_there_without_a_schema_file(loads):
    loads.put("first/_config/schema.json", SCHEMA)
    loads.drop("first/2025/03/01", {"part.avro": as_avro()})
    assert loads.run(f"--destination_table={loads.dataset}.orders").code == 0
    loads.drop("second/2025/03/02", {"part.avro": as_avro()})
    loads.drop("third/2025/03/02", {"part.parquet": as_parquet()})
    ended = loads.run(f"--destination_table={loads.dataset}.orders")
    assert ended.code == 0, ended.err
    (counted,) = loads.rows("orders", "COUNT(*), SUM(id), SUM(amount)")
    assert counted == (9, 18, 3 * 1.25)


def test_flags_and_the_nearest_load_json_say_key_by_key_how_csv_is_read(loads, asked):
    """The emulator guesses how CSV is written, so what it is asked to do counts here."""
    loads.put("_config/load.json", {"configuration": {"load": {"fieldDelimiter": ";", "nullMarker": "-"}}})
    loads.put("near/_config/load.json", {"load": {"fieldDelimiter": "|", "quote": "'"}})
    loads.put("nearest/2025/03/02/_config/load.json", {"nullMarker": "?", "writeMode": "replace_partition"})
    loads.drop("near/2025/03/01", {"part.csv": "id|name\n1|'one|uno'\n"})
    loads.drop("nearest/2025/03/02", {"part.csv": "id;name\n1;one\n"})
    loads.drop("nearest/2025/03/03", {"part.avro": as_avro()})
    loads.put("nearest/2025/03/03/_config/schema.json", SCHEMA)
    flags = ["--field_delimiter=tab", "--quote=none", "--encoding=ISO-8859-1", "--max_bad_records=3"]
    ended = loads.run(*flags, "--ignore_unknown_values", "--skip_leading_rows=2")
    assert ended.code == 1, "the last one's columns differ"
    read = {
        "sourceFormat": "CSV",
        "autodetect": True,
        "encoding": "ISO-8859-1",
        "ignoreUnknownValues": True,
        "maxBadRecords": 3,
        "skipLeadingRows": 2,
        "writeDisposition": "WRITE_TRUNCATE",
    }
    assert asked("near/2025/03/01") == read | {"fieldDelimiter": "|", "nullMarker": "-", "quote": "'"}
    assert asked("nearest/2025/03/02") == read | {"fieldDelimiter": ";", "nullMarker": "?", "quote": ""}
    assert asked("nearest/2025/03/03") == {
        "sourceFormat": "AVRO",
        "autodetect": False,
        "useAvroLogicalTypes": True,
        "ignoreUnknownValues": True,
        "schema": {"fields": [{**column, "mode": "NULLABLE"} for column in SCHEMA]},
        "writeDisposition": "WRITE_TRUNCATE",
    }
    assert loads.rows("near", "id, name") == [(1, "one|uno")]
    assert {row["directory"]: row["write_mode"] for row in loads.states()} == {
        "near/2025/03/01": "append",
        "nearest/2025/03/02": "replace_partition",
        "nearest/2025/03/03": "append",
    }


def test_of_schema_json_the_nearest_counts(loads):
    loads.put("_config/schema.json", [{"name": "id", "type": "STRING"}])
    loads.put("numbers/_config/schema.json", {"fields": [{"name": "number", "type": "NUMERIC", "mode": "REQUIRED"}]})
    loads.drop("texts/2025/03/01", {"part.csv": csv_of("n", ("007",))})
    loads.drop("numbers/2025/03/01", {"part.csv": csv_of("n", ("007",))})
    ended = loads.run()
    assert ended.code == 0, ended.err
    assert loads.rows("texts", "id") == [("007",)]
    assert loads.rows("numbers", "number") == [(7,)]
    assert (loads.table("numbers").schema[0].field_type, loads.table("numbers").schema[0].mode) == (
        "NUMERIC",
        "REQUIRED",
    )


def test_an_orc_file_is_loaded_as_one(loads, asked):
    """As far as can be seen here: the emulator cannot read ORC."""
    loads.drop("orders/2025/03/01", {"part.orc": b"ORC"})
    assert loads.run("--max_bad_records=3").code == 1
    assert asked("orders/2025/03/01") == {"sourceFormat": "ORC", "writeDisposition": "WRITE_TRUNCATE"}
