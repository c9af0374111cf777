"""`_config/bq_transform.sql`: what is done with a batch before, or instead of, adding its rows."""

from __future__ import annotations

import datetime as dt

from google.cloud.bigquery import SchemaField

from tests.end_to_end.loads import csv_of

FIRST, SECOND = (dt.datetime(2025, 3, day, tzinfo=dt.UTC) for day in (1, 2))


def test_a_querys_rows_are_the_batch(loads):
    """By the write mode, with the batch's timestamp; the nearest query counts."""
    loads.put("_config/bq_transform.sql", "SELECT no_such_column FROM temp_ext")
    query = (
        "-- net, not gross; temp_ext\nSELECT temp_ext.id, ROUND(price * 2, 1) AS doubled FROM temp_ext WHERE id > 1;"
    )
    loads.put("orders/_config/bq_transform.sql", query)
    loads.drop(
        "orders/2025/03/01", {"a.csv": csv_of("id,price", (1, 1.5), (2, 2.5)), "b.csv": csv_of("id,price", (3, 4))}
    )
    loads.drop("orders/2025/03/02", {"a.csv": csv_of("id,price", (4, 5.5))})
    loads.drop("others/2025/03/02", {"a.csv": csv_of("id,price", (4, 5.5))})
    ended = loads.run("--write_mode=replace_partition", f"--staging_dataset={loads.dataset}_staging")
    assert ended.code == 1
    assert loads.statuses() == {
        "orders/2025/03/01": "DONE",
        "orders/2025/03/02": "DONE",
        "others/2025/03/02": "FAILED",
    }
    assert "_config/bq_transform.sql" in loads.errors()["others/2025/03/02"]
    assert "no_such_column" in loads.errors()["others/2025/03/02"]
    assert loads.rows("orders", "id, doubled, file_timestamp") == [(2, 5.0, FIRST), (3, 8.0, FIRST), (4, 11.0, SECOND)]
    assert {"id", "doubled", "file_timestamp"} == {field.name for field in loads.table("orders").schema}
    loads.drop("orders/2025/03/01", {"a.csv": csv_of("id,price", (5, 1))})
    loads.run("--write_mode=replace_partition")
    assert loads.rows("orders", "id, doubled") == [(3, 8.0), (4, 11.0), (5, 2.0)]
    assert loads.staged(f"{loads.dataset}_staging") == set()


def test_a_statement_brings_the_rows_in_itself(loads):
    """With what the files do not hold: the time of each, and the values in the folders' names."""
    loads.make_table("orders", SchemaField("id", "INT64"), SchemaField("hour", "INT64"), SchemaField("shop", "STRING"))
    loads.put(
        "orders/_config/bq_transform.sql",
        "INSERT INTO {dest_dataset}.{dest_table} (id, hour, shop)\n"
        "SELECT id, EXTRACT(HOUR FROM file_timestamp), UPPER(shop) FROM temp_ext",
    )
    # Without it the emulator takes the folders' names for columns of the files.
    loads.put("orders/_config/schema.json", [{"name": "id", "type": "INT64"}])
    loads.drop(
        "orders/2025/03/01",
        {
            "shop=eu/orders_2025030107.csv": csv_of("id", (1,), (2,)),
            "shop=us/orders_2025030108.csv": csv_of("id", (3,)),
        },
    )
    ended = loads.run(r"--timestamp_regex=_(\d{10})\.csv", "--timestamp_format=%Y%m%d%H")
    assert ended.code == 0, ended.err
    assert loads.rows("orders") == [(1, 7, "EU"), (2, 7, "EU"), (3, 8, "US")]
    (row,) = loads.states()
    assert (row["status"], row["rows"]) == ("DONE", 3)


def test_several_statements_take_effect_together_or_not_at_all(loads):
    """The target is there; the second statement of the broken one fails, and the first is taken back."""
    for table in ("good", "broken"):
        loads.make_table(table, SchemaField("id", "INT64"))
        loads.sql(f"INSERT INTO `{loads.dataset}.{table}` (id) VALUES (1), (2)")
        loads.drop(f"{table}/one", {"part.csv": csv_of("id", (2,), (3,))})
    delete = "DELETE FROM `{dest_dataset}.{dest_table}` WHERE id IN (SELECT id FROM temp_ext);\n"
    insert = "INSERT INTO {dest_dataset}.{dest_table} (id) SELECT %s FROM `temp_ext`;\n"
    loads.put("good/_config/bq_transform.sql", delete + insert % "id * 10")
    loads.put("broken/_config/bq_transform.sql", delete + insert % "IF(id = 3, ERROR('no threes'), id)")
    assert loads.run().code == 1
    assert loads.rows("good", "id") == [(1,), (20,), (30,)]
    assert loads.rows("broken", "id") == [(1,), (2,)]
    assert loads.statuses() == {"good/one": "DONE", "broken/one": "FAILED"}
    assert "no threes" in loads.errors()["broken/one"]


def test_a_transformation_that_cannot_be_meant_is_refused(loads):
    wrong = {
        "unknown": ("SELECT * FROM {dest_datset}.{dest_table}, temp_ext", "{dest_datset} is not known"),
        "unread": ("SELECT 1 AS id", "does not name temp_ext"),
        "empty": ("-- later\n", "holds no SQL"),
        "broken": ("SELECT FROM WHERE temp_ext", "bq_transform.sql"),
    }
    for table, (text, _) in wrong.items():
        loads.put(f"{table}/_config/bq_transform.sql", text)
        loads.drop(f"{table}/one", {"part.csv": csv_of("id", (1,))})
    ended = loads.run()
    assert ended.code == 1
    assert loads.tables() == set()
    for table, (_, error) in wrong.items():
        assert error in loads.errors()[f"{table}/one"], loads.errors()
        assert f"/{table}/" in loads.errors()[f"{table}/one"]
