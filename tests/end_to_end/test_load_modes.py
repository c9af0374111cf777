"""What a batch does to the rows that are there, and that each batch does it once."""

from __future__ import annotations

import datetime as dt

import pytest

from tests.end_to_end.loads import csv_of
from tests.servers.bigquery_calls import Call
from tests.servers.bigquery_proxy import BigQueryProxy


def test_a_marker_loads_once_and_a_new_one_again(loads):
    loads.drop("orders/2025/03/01", {"part-0.csv": csv_of("id", (1,), (2,))})
    first = loads.run()
    assert first.code == 0, first.err
    second = loads.run()
    assert second.code == 0, second.err
    assert "nothing to load" in second.out
    assert loads.rows("orders", "id") == [(1,), (2,)]
    loads.put("orders/2025/03/01/_SUCCESS")
    assert loads.run().code == 0
    assert loads.rows("orders", "id") == [(1,), (1,), (2,), (2,)]
    assert [(row["status"], row["attempts"], row["rows"]) for row in loads.states()] == [("DONE", 1, 2)] * 2


def test_a_delivery_replaces_exactly_its_own_day_or_hour(loads):
    mode = "--write_mode=replace_partition"
    for day in ("01", "02", "03"):
        loads.drop(f"days/2025/03/{day}", {"part-0.csv": csv_of("id", (1,)), "part-1.csv": csv_of("id", (2,))})
    for hour in ("00", "23"):
        loads.drop(f"hours/2025/03/02/{hour}", {"part.csv": csv_of("id", (int(hour),))})
    loads.drop("folders/$20250302", {"part.csv": csv_of("id", (1,))})
    loads.drop("folders/$2025030201", {"part.csv": csv_of("id", (2,))})
    assert loads.run(mode).code == 0
    # The whole day was replaced by the order of paths, and then an hour of it came.
    assert loads.rows("folders", "id") == [(1,), (2,)]

    loads.drop("days/2025/03/02", {"part-0.csv": csv_of("id", (7,)), "part-1.csv": ""})
    loads.drop("hours/2025/03/02/23", {"part.csv": csv_of("id", (99,))})
    loads.drop("folders/$20250302", {"part.csv": csv_of("id", (3,))})
    ended = loads.run(mode)
    assert ended.code == 0, ended.err
    first, second, third = (dt.datetime(2025, 3, day, tzinfo=dt.UTC) for day in (1, 2, 3))
    assert loads.rows("days", "file_timestamp, id") == [(first, 1), (first, 2), (second, 7), (third, 1), (third, 2)]
    assert loads.rows("hours", "id") == [(0,), (99,)]
    assert loads.rows("folders", "id") == [(3,)]


def test_a_day_that_the_files_name_in_a_column_of_their_own_is_replaced(loads, client):
    """The table is there, partitioned by a column of the data, and nothing in the paths says a time."""
    from google.cloud.bigquery import SchemaField, TimePartitioning

    columns = (SchemaField("id", "INT64"), SchemaField("day", "DATE"))
    loads.make_table("orders", *columns, time_partitioning=TimePartitioning(field="day"))
    loads.drop("orders/all", {"part.csv": csv_of("id,day", (1, "2025-03-01"), (2, "2025-03-02"), (3, "2025-03-03"))})
    assert loads.run("--write_mode=replace_partition").code == 0
    loads.drop("orders/new", {"part.csv": csv_of("id,day", (4, "2025-03-02"), (5, "2025-03-04"))})
    ended = loads.run("--write_mode=replace_partition")
    assert ended.code == 0, ended.err
    assert loads.rows("orders", "id") == [(1,), (3,), (4,), (5,)]


def test_a_table_is_replaced_by_the_newest_directory(loads):
    loads.drop("orders/2025/03/01", {"part.csv": csv_of("id", (1,), (2,))})
    loads.drop("orders/2025/03/02", {"part.csv": csv_of("id", (3,))})
    loads.put("again/_config/load.json", {"writeDisposition": "WRITE_TRUNCATE"})
    loads.drop("again/one", {"part.csv": csv_of("id", (1,), (2,))})
    ended = loads.run("--write_mode=replace_table")
    assert ended.code == 0, ended.err
    assert loads.rows("orders", "id") == [(3,)]
    loads.drop("again/two", {"part.csv": csv_of("id", (5,))})
    assert loads.run().code == 0
    assert loads.rows("again", "id") == [(5,)]
    assert set(loads.statuses().values()) == {"DONE"}


def test_rows_are_merged_by_their_key_and_the_later_directory_wins(loads):
    flags = ["--write_mode=merge", "--merge_keys=id,country"]
    columns = "id,country,name"
    loads.drop("orders/2025/03/01", {"part.csv": csv_of(columns, (1, "at", "a"), (2, "at", "b"), (2, "de", "c"))})
    assert loads.run(*flags).code == 0
    loads.drop("orders/2025/03/03", {"part.csv": csv_of(columns, (2, "at", "newest"))})
    loads.drop("orders/2025/03/02", {"part.csv": csv_of(columns, (2, "at", "newer"), (3, "at", "d"))})
    loads.drop("orders/2025/03/04", {"part.csv": csv_of(columns, (9, "at", "x"), (9, "at", "y"), (10, None, "z"))})
    ended = loads.run(*flags)
    assert ended.code == 1
    assert loads.rows("orders", columns) == [(1, "at", "a"), (2, "at", "newest"), (2, "de", "c"), (3, "at", "d")]
    assert list(loads.errors()) == ["orders/2025/03/04"]
    assert "1 rows have no value in id, country, and 1 keys come more than once" in loads.errors()["orders/2025/03/04"]


def test_one_run_takes_each_directorys_own_write_mode(loads):
    """The mode changes from directory to directory of one table; the order of paths is kept."""
    loads.drop("orders/2025/03/01", {"part.csv": csv_of("id", (1,))})
    loads.drop("orders/2025/03/02", {"part.csv": csv_of("id", (2,))})
    loads.put("orders/2025/03/02/_config/load.json", {"writeMode": "replace_table"})
    loads.drop("orders/2025/03/03", {"part.csv": csv_of("id", (2,), (3,))})
    loads.put("orders/2025/03/03/_config/load.json", {"writeMode": "merge", "mergeKeys": ["id"]})
    loads.drop("orders/2025/03/04", {"part.csv": csv_of("id", (3,))})
    ended = loads.run()
    assert ended.code == 0, ended.err
    assert loads.rows("orders", "id") == [(2,), (3,), (3,)]


def test_a_batch_of_more_files_than_a_job_takes_becomes_visible_at_once(loads):
    """A job takes 3 here: 10,001 files would take the emulator minutes."""
    loads.drop("orders/2025/03/01", {f"part-{n}.csv": csv_of("id", (n,)) for n in range(8)})
    loads.drop("broken/2025/03/01", {f"part-{n}.csv": csv_of("id", (n if n < 7 else "x",)) for n in range(8)})
    loads.put("broken/_config/schema.json", [{"name": "id", "type": "INT64"}])
    ended = loads.run_with_jobs_of(3, f"--staging_dataset={loads.dataset}_staging")
    assert ended.code == 1
    assert loads.rows("orders", "id") == [(n,) for n in range(8)]
    assert "broken" not in loads.tables(), "not one of its three jobs may be seen"
    jobs = [job.job_id for job in loads.client.list_jobs() if loads.dataset in str(job._properties["configuration"])]
    assert len(jobs) > 6
    assert loads.statuses() == {"orders/2025/03/01": "DONE", "broken/2025/03/01": "FAILED"}
    assert [(row["rows"], row["loaded_rows"]) for row in loads.states()][1] == (8, 8)
    assert loads.staged(f"{loads.dataset}_staging") == set()


def test_many_tables_load_at_once_and_no_more_jobs_run_than_may(loads, stack):
    loads.put("_config/schema.json", [{"name": "id", "type": "INT64"}])
    for table in "abcd":
        loads.drop(f"{table}/2025/03/01", {"part.csv": csv_of("id", (1,))})
        loads.drop(f"{table}/2025/03/02", {"part.csv": csv_of("id", (2,))})

    def changes(call: Call) -> bool:
        return call.kind == "load" or any(call.modifies(f"{loads.dataset}.{table}") for table in "abcd")

    with BigQueryProxy(stack.endpoints.bigquery, hold=0.3, holds=changes) as proxy:
        ended = loads.run(f"--bigquery_endpoint={proxy.url}", "--max_jobs=2")
        assert ended.code == 0, ended.err
        times = sorted(call.arrived for call in proxy.jobs if changes(call))
    assert len(times) == 12, "two loads and one statement for each table"
    assert all(third - first >= 0.3 for first, third in zip(times, times[2:], strict=False))
    assert [loads.rows(table, "id") for table in "abcd"] == [[(1,), (2,)]] * 4


@pytest.mark.parametrize("marker", ["none", "DONE"])
def test_the_marker_may_be_called_otherwise_or_be_missing(loads, marker):
    loads.drop("orders/2025/03/01", {"a.csv": csv_of("id", (1,)), "b.csv": csv_of("id", (2,))}, marker=None)
    loads.drop("orders/2025/03/02", {"a.csv": csv_of("id", (3,))}, marker="DONE")
    loads.drop("orders/2025/03/03", {"a.csv": csv_of("id", (4,))})
    ended = loads.run(f"--success_file={marker}", "--source_format=CSV")
    assert ended.code == 0, ended.err
    if marker == "DONE":
        assert loads.rows("orders", "id") == [(3,)]
        assert loads.statuses() == {"orders/2025/03/02": "DONE"}
    else:
        assert loads.rows("orders", "id") == [(1,), (2,), (3,), (4,)]
        files = ["01/a.csv", "01/b.csv", "02/a.csv", "03/a.csv"]
        assert loads.statuses() == {f"orders/2025/03/{name}": "DONE" for name in files}
