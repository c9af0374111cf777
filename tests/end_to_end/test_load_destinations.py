"""Which table files go to, and what their paths and names say of their rows' time."""

from __future__ import annotations

import datetime as dt
import threading

from tests.end_to_end.loads import csv_of

HOUR = dt.datetime(2017, 4, 11, 1, tzinfo=dt.UTC)
ONE = {"part.csv": csv_of("id", (1,))}


def test_a_path_names_the_table_and_the_time(loads):
    paths = {
        "bare": None,
        "batch/any_name": None,
        "current/incremental/2017/04/11/01": HOUR,
        "old/historical/$2017041101/batch7": HOUR,
        "year/2017": HOUR.replace(month=1, day=1, hour=0),
        "day/2017/04/11": HOUR.replace(hour=0),
        "hour/2017/04/11/01/batch7": HOUR,
        "partition/$201704": HOUR.replace(day=1, hour=0),
        "hive/year=2017/month=04/day=11/hour=01": HOUR,
        "date/dt=2017-04-11": HOUR.replace(hour=0),
    }
    loads.put("_config/schema.json", [{"name": "id", "type": "INT64"}])
    for path in paths:
        loads.drop(path, ONE)
    ended = loads.run()
    assert ended.code == 0, ended.err
    tables = {path.partition("/")[0]: time for path, time in paths.items()}
    assert loads.tables() == set(tables)
    for table, time in tables.items():
        assert loads.rows(table) == [(1,) if time is None else (1, time)], table
    assert loads.table("hour").time_partitioning.type_ == "DAY"


def test_paths_are_read_below_the_pattern_or_below_the_prefix(loads):
    loads.drop("orders/2017/04/11", ONE)
    loads.drop("orders/2017/04/12", ONE)
    loads.drop("others/2017/04/12", ONE)
    prefix = f"gs://{loads.bucket.name}/{loads.prefix}"
    wrong = loads.run(f"--input={loads.uri('orders/2017/04/12/')}**")
    assert wrong.code == 1
    assert "say with --prefix below which folder paths name tables" in wrong.err
    ended = loads.run(f"--input={loads.uri('o*/*/04/12/**')}", f"--prefix={prefix}")
    assert ended.code == 0, ended.err
    assert loads.rows("orders") == loads.rows("others") == [(1, HOUR.replace(day=12, hour=0))]


def test_everything_may_go_to_one_table(loads):
    loads.drop("any/where/2017/04/11", ONE)
    loads.drop("else/$2017041101", {"part.csv": csv_of("id", (2,))})
    ended = loads.run(f"--destination_table={loads.project}.{loads.dataset}.all_of_it")
    assert ended.code == 0, ended.err
    assert loads.tables() == {"all_of_it"}
    assert loads.rows("all_of_it") == [(1, HOUR.replace(hour=0)), (2, HOUR)]


def test_an_expression_of_ones_own_names_the_table(loads):
    loads.drop("x-2017-04-11-orders/load1", ONE)
    loads.drop("x-2017-04-11-others/load1", ONE)
    loads.drop("y-2017-04-11-others/load1", ONE)
    regex = r"(?P<dataset>[^/]+)/x-(?P<yyyy>\d{4})-(?P<mm>\d\d)-(?P<dd>\d\d)-(?P<table>\w+)/(?P<batch>\w+)/"
    ended = loads.run(f"--destination_regex={regex}")
    assert ended.code == 1
    assert loads.rows("orders") == loads.rows("others") == [(1, HOUR.replace(hour=0))]
    assert list(loads.errors()) == ["y-2017-04-11-others/load1"]
    assert "does not match --destination_regex" in loads.errors()["y-2017-04-11-others/load1"]


def test_a_files_name_says_its_rows_time(loads):
    """Several times in one directory; each file's rows get their own, and the day is one partition."""
    loads.drop(
        "orders/2017/04/11",
        {f"orders_20170411{hour:02}.csv": csv_of("id", (hour,)) for hour in (1, 2, 3)} | {"orders_2017041104.csv": ""},
    )
    flags = [r"--timestamp_regex=_(?P<timestamp>\d+)\.csv", "--timestamp_format=%Y%m%d%H", "--timestamp_column=loaded"]
    ended = loads.run(*flags, "--partition_granularity=hour")
    assert ended.code == 0, ended.err
    assert loads.rows("orders", "loaded, id") == [(HOUR.replace(hour=hour), hour) for hour in (1, 2, 3)]
    made = loads.table("orders")
    assert (made.time_partitioning.field, made.time_partitioning.type_) == ("loaded", "HOUR")
    assert made.clustering_fields == ["loaded"]
    assert {row["file_uri"][-6:]: row["file_timestamp"] for row in loads.file_rows()} == {
        f"{hour:02}.csv": HOUR.replace(hour=hour) for hour in (1, 2, 3)
    }


def test_only_what_is_complete_and_visible_is_loaded(loads):
    """A directory waits for its marker, hidden files are no data, empty ones are counted, the nearest marker counts."""
    loads.drop("orders/2017/04/11", ONE, marker=None)
    hidden = {"_tmp.csv": "id\n8\n", ".part.csv.crc": "x", "_temporary/0/part.csv": "id\n9\n", ".x/part.csv": "id\n9\n"}
    empty = {"part-1.csv": "", "eu/part-2.csv": ""}
    deeper = {"eu/part-3.csv": csv_of("id", (3,))}
    loads.drop("orders/2017/04/12", ONE | hidden | empty | deeper)
    loads.drop("orders/2017/04/12/us", {"part.csv": csv_of("id", (4,))})
    ended = loads.run()
    assert ended.code == 0, ended.err
    assert loads.rows("orders", "id") == [(1,), (3,), (4,)]
    found = {row["directory"]: (row["files"], row["empty_files"]) for row in loads.states()}
    assert found == {"orders/2017/04/12": (2, 2), "orders/2017/04/12/us": (1, 0)}
    loads.put("orders/2017/04/11/_SUCCESS")
    assert loads.run().code == 0
    assert loads.rows("orders", "id") == [(1,), (1,), (3,), (4,)]


def test_what_was_complete_when_is_chosen_by_since_and_until(loads):
    loads.drop("orders/one", ONE)
    before = (dt.datetime.now(dt.UTC) - dt.timedelta(minutes=5)).strftime("%Y-%m-%dT%H:%M:%S")
    ended = loads.run(f"--until={before}")
    assert (ended.code, loads.tables()) == (0, set()), ended.err
    ended = loads.run(f"--since={before}")
    assert (ended.code, loads.rows("orders")) == (0, [(1,)]), ended.err


def test_a_run_waits_for_the_file_it_is_told_of(loads):
    loads.drop("orders/one", ONE)
    threading.Timer(1, loads.put, ["HISTORY_COMPLETE"]).start()
    ended = loads.run(f"--wait_for={loads.uri('HISTORY_COMPLETE')}", "--wait_minutes=1")
    assert (ended.code, loads.rows("orders")) == (0, [(1,)]), ended.err
