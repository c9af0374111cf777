"""How a table is made, how its columns may change, and which files do not fit."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

from google.cloud.bigquery import SchemaField, TimePartitioning

from tests.end_to_end.loads import csv_of, jsonl_of

FIRST = dt.datetime(2025, 3, 1, tzinfo=dt.UTC)
ADDITION = "--schema_update_options=ALLOW_FIELD_ADDITION"
RELAXATION = "--schema_update_options=ALLOW_FIELD_RELAXATION"


def test_a_table_is_made_as_the_flags_and_load_json_say(loads):
    loads.drop("orders/2025/03/01", {"part.csv": csv_of("id,carrier", (1, "AA"))})
    loads.drop("plain/all", {"part.csv": csv_of("id,carrier", (1, "AA"))})
    loads.put("own/_config/load.json", {"timePartitioning": {"field": "day"}, "clustering": {"fields": ["id"]}})
    loads.drop("own/2025/03/01", {"part.csv": csv_of("id,day", (1, "2025-03-01"))})
    options = ["--clustering=carrier", "--partition_expiration_days=90", "--require_partition_filter"]
    ended = loads.run(
        "--partition_granularity=month", "--timestamp_column=of", "--table_labels=team=a,cost=b", *options
    )
    assert ended.code == 0, ended.err
    made = loads.table("orders")
    assert (made.time_partitioning.type_, made.time_partitioning.field) == ("MONTH", "of")
    assert made.time_partitioning.expiration_ms == 90 * 86_400_000
    assert made.to_api_repr()["timePartitioning"]["requirePartitionFilter"]
    assert made.clustering_fields == ["of", "carrier"]
    assert made.labels == {"team": "a", "cost": "b"}
    assert [(field.name, field.field_type) for field in made.schema][-1] == ("of", "TIMESTAMP")
    assert loads.rows("orders", "*") == [(1, "AA", FIRST)]
    assert loads.table("plain").time_partitioning is None
    assert loads.table("plain").clustering_fields == ["carrier"]
    own = loads.table("own")
    assert (own.time_partitioning.field, own.time_partitioning.type_, own.clustering_fields) == ("day", "DAY", ["id"])
    assert loads.rows("own", "*") == [(1, dt.date(2025, 3, 1), FIRST)]


def test_new_columns_are_added_where_that_is_allowed(loads):
    columns = [{"name": "id", "type": "INT64"}, {"name": "name", "type": "STRING", "mode": "REQUIRED"}]
    for table in ("csv", "json", "guessed"):
        loads.make_table(table, SchemaField("id", "INT64"))
    loads.drop("csv/one", {"part.csv": csv_of("id", (1,))})
    loads.drop("csv/two", {"part.csv": csv_of("id,name", (2, "b"))})
    loads.put("csv/two/_config/schema.json", columns)
    loads.drop("json/two", {"part.json": jsonl_of({"name": "b", "id": 2})})
    loads.put("json/_config/schema.json", columns)
    loads.put("guessed/_config/load.json", {"autodetect": True, "schemaUpdateOptions": ["ALLOW_FIELD_ADDITION"]})
    loads.drop("guessed/two", {"part.json": jsonl_of({"id": 2, "name": "b"})})
    refused = loads.run()
    assert refused.code == 1
    for table in ("csv", "json"):
        assert "column name (STRING) is not in the table: add it, or allow that with" in loads.errors()[f"{table}/two"]
        assert [field.name for field in loads.table(table).schema] == ["id"]
    assert loads.rows("guessed", "id, name") == [(2, "b")]
    ended = loads.run(ADDITION)
    assert ended.code == 0, ended.err
    assert loads.rows("csv", "id, name") == [(1, None), (2, "b")]
    assert loads.rows("json", "id, name") == [(2, "b")]
    assert {field.name: field.mode for field in loads.table("csv").schema} == {"id": "NULLABLE", "name": "NULLABLE"}


def test_required_columns_are_relaxed_where_that_is_allowed(loads):
    loads.make_table("orders", SchemaField("id", "INT64", "REQUIRED"), SchemaField("name", "STRING", "REQUIRED"))
    loads.put("orders/_config/schema.json", [{"name": "id", "type": "INT64"}])
    loads.drop("orders/one", {"part.csv": csv_of("id", (1,))})
    assert loads.run().code == 1
    assert "column name (STRING REQUIRED) is not in the files: deliver it, or allow it" in loads.errors()["orders/one"]
    ended = loads.run(RELAXATION)
    assert ended.code == 0, ended.err
    assert loads.rows("orders", "id, name") == [(1, None)]
    assert {field.mode for field in loads.table("orders").schema} == {"NULLABLE"}


def test_what_does_not_fit_is_refused_with_every_difference(loads):
    inner = (SchemaField("x", "INT64"),)
    loads.make_table(
        "orders", SchemaField("id", "INT64"), SchemaField("day", "DATE"), SchemaField("s", "STRUCT", fields=inner)
    )
    loads.sql(f"INSERT INTO `{loads.dataset}.orders` (id) VALUES (7)")
    loads.put(
        "orders/one/_config/schema.json",
        [
            {"name": "id", "type": "STRING"},
            {"name": "day", "type": "TIMESTAMP"},
            {"name": "s", "type": "STRUCT", "fields": [{"name": "x", "type": "INT64"}, {"name": "y", "type": "INT64"}]},
            {"name": "more", "type": "BOOL"},
        ],
    )
    loads.drop("orders/one", {"part.json": jsonl_of({"id": "a"})})
    loads.drop("orders/two", {"part.json": jsonl_of({"id": 1})})
    assert loads.run().code == 1
    error = loads.errors()["orders/one"]
    assert error.startswith(loads.uri("orders/one/")), error
    for difference in (
        "column id is INT64 in the table and STRING in the files",
        "column day is DATE in the table and TIMESTAMP in the files",
        "field s.y (INT64) is not in the table",
        "column more (BOOL) is not in the table: add it, or allow that with --schema_update_options=",
    ):
        assert difference in error
    assert loads.statuses() == {"orders/one": "FAILED", "orders/two": "DONE"}
    assert loads.rows("orders", "id") == [(1,), (7,)]
    assert len(loads.table("orders").schema) == 3


def test_values_of_paths_become_what_the_tables_columns_are(loads):
    """Columns that the files have themselves are theirs; BigQuery widens numbers."""
    loads.make_table(
        "orders",
        SchemaField("amount", "NUMERIC"),
        SchemaField("file_timestamp", "DATE"),
        SchemaField("shop", "INT64"),
        SchemaField("note", "STRING"),
        time_partitioning=TimePartitioning(field="file_timestamp"),
    )
    loads.put("orders/_config/schema.json", [{"name": "amount", "type": "INT64"}])
    loads.drop("orders/dt=2025-03-01/shop=7", {"part.csv": csv_of("amount", (3,))})
    # Without it the emulator takes the folders' names for columns of the files.
    loads.put("new/_config/schema.json", [{"name": "id", "type": "INT64"}])
    loads.drop("new/year=2025/month=03/day=02/hour=05/shop=eu-west", {"part.csv": csv_of("id", (1,))})
    loads.make_table("timeless", SchemaField("id", "INT64"))
    loads.drop("timeless/2025/03/01", {"part.csv": csv_of("id", (1,))})
    ended = loads.run()
    assert ended.code == 0, ended.err
    assert loads.rows("orders") == [(Decimal(3), dt.date(2025, 3, 1), 7, None)]
    assert loads.rows("new", "id, shop, file_timestamp") == [(1, "eu-west", dt.datetime(2025, 3, 2, 5, tzinfo=dt.UTC))]
    assert loads.rows("timeless") == [(1,)]
