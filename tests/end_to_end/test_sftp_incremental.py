"""Incremental exports: every row is sent once, by watermark, whatever comes between and during runs."""

from __future__ import annotations

import datetime as dt
import signal

import pytest
from google.cloud.bigquery import SchemaField

from wharf.model.ledger import RUNS

COLUMNS = [
    SchemaField("id", "INT64"),
    SchemaField("number", "INT64"),
    SchemaField("moment", "TIMESTAMP"),
    SchemaField("day", "DATE"),
]
WATERMARKS = {"by_number": "number", "by_moment": "moment", "by_day": "day"}


def at(id_: int, value: int | None) -> str:
    """Row `id_`, with `value` as its number, minute and day."""
    if value is None:
        return f"SELECT {id_}, NULL, NULL, NULL"
    return (
        f"SELECT {id_}, {value}, TIMESTAMP_ADD(TIMESTAMP '2025-03-01 00:00:00+00', INTERVAL {value} MINUTE), "
        f"DATE_ADD(DATE '2025-03-01', INTERVAL {value} DAY)"
    )


@pytest.fixture
def table(make_table) -> str:
    """Rows 1 to 20, and row 0 without values."""
    return make_table(COLUMNS, " UNION ALL ".join([at(0, None), *(at(n, n) for n in range(1, 21))]))


@pytest.fixture
def add(sql, table):
    """`add((21, 20), (22, None))`: more rows, as `at` makes them."""
    return lambda *rows: sql(f"INSERT INTO `{table}` {' UNION ALL '.join(at(*row) for row in rows)}")


@pytest.fixture
def their_table(make_table, sql):
    """`their_table(columns, row, ...)`: a metadata table that people have.

    The emulator lists columns that are added through the API and does not make them: here they are made beforehand,
    where it does not list them.
    """

    def make(columns: list[SchemaField], *rows: str) -> str:
        metadata = make_table(columns, " UNION ALL ".join(rows))
        present = {column.name for column in columns}
        shape = RUNS.adapted_to(present)
        for column in RUNS.columns:
            if shape.name_of(column.name) not in present:
                sql(f"ALTER TABLE `{metadata}` ADD COLUMN {column.name} {column.type}")
        return metadata

    return make


def theirs(name: str, moment: str, text: str, status: str, day: int) -> str:
    """A row that another tool has left."""
    ended = f"TIMESTAMP '2025-03-{day:02} 00:00:00+00'"
    return f"SELECT '{name}', 's', {moment}, {text}, 5, 'f.csv', '{status}', {ended}, {ended}, CAST(NULL AS STRING)"


@pytest.fixture
def news(delivery, table):
    """The table, exported by `moment`."""
    delivery.write({"news": {"source_table": table, "timestamp_column": "moment"}})
    return delivery


def state(delivery, name: str) -> tuple[list[int], str]:
    """What has been sent by an export in all, and its watermark."""
    tables = [rows for file, rows in delivery.tables.items() if file.startswith(name)]
    *_, last = delivery.runs(name)
    return sorted(int(row[0]) for rows in tables for row in rows[1:]), last["last_exported_value"]


def marks(value: int) -> dict[str, str]:
    """Each export's watermark at `value`."""
    return {
        "by_number": str(value),
        "by_moment": f"2025-03-01 00:{value:02}:00+00:00",
        "by_day": f"2025-03-{1 + value:02}",
    }


def test_each_run_sends_what_came_since_whatever_the_type_of_the_watermark(delivery, table, add):
    delivery.write({name: {"source_table": table, "timestamp_column": column} for name, column in WATERMARKS.items()})

    def run_all(expected_ids: list[int], value: int) -> None:
        ended = delivery.run("--export_name=all")
        assert ended.code == 0, ended.err
        assert {name: state(delivery, name) for name in WATERMARKS} == {
            name: (expected_ids, mark) for name, mark in marks(value).items()
        }

    run_all(list(range(1, 21)), 20)
    run_all(list(range(1, 21)), 20)
    assert len(delivery.files) == 3, "a run that finds nothing sends nothing"
    nothing = delivery.runs("by_day")[-1]
    assert (nothing["status"], nothing["rows_exported"], nothing["files"]) == ("SUCCESS", 0, 0)
    assert nothing["last_export_timestamp"] == dt.datetime(2025, 3, 21, tzinfo=dt.UTC)
    # Beside the watermark: two new rows and one more copy of a sent row. Row 24 is too late, row 25 has no value.
    add((21, 20), (22, 20), (20, 20), (23, 22), (24, 5), (25, None))
    sent = [*range(1, 21), 20, 21, 22, 23]
    run_all(sorted(sent), 22)
    add((26, 20), (27, 22))
    run_all(sorted([*sent, 27]), 22)
    assert {row["status"] for row in delivery.runs()} == {"SUCCESS"}


def test_a_row_that_comes_while_a_run_is_at_work_is_sent_by_the_next_one_exactly_once(news, add):
    delivery = news
    first = delivery.start("--export_name=news")
    first.signal_when(lambda: any(delivery.staging.glob("*/*/spill-*")), signal.SIGSTOP)
    (at_work,) = delivery.runs()
    add((21, 20), (22, 21))

    second = delivery.run("--export_name=news")
    assert second.code == 3
    (line,) = second.err.splitlines()
    assert at_work["export_id"] in line
    assert "--force" in line
    assert delivery.runs() == [at_work], "the one that was refused leaves no trace"

    first.signal(signal.SIGCONT)
    ended = first.wait()
    assert ended.code == 0, ended.err
    assert state(delivery, "news") == (list(range(1, 21)), marks(20)["by_moment"])
    assert delivery.run("--export_name=news").code == 0
    assert state(delivery, "news") == (list(range(1, 23)), marks(21)["by_moment"])
    assert len(delivery.files) == 2


def test_a_run_that_was_taken_over_sends_nothing_more(news):
    delivery = news
    first = delivery.start("--export_name=news")
    first.signal_when(lambda: any(delivery.staging.glob("*/*/spill-*")), signal.SIGSTOP)
    assert delivery.run("--export_name=news", "--force").code == 0
    first.signal(signal.SIGCONT)
    ended = first.wait()
    assert ended.code == 1
    assert ended.err.splitlines()[-1].startswith("error: ")
    assert state(delivery, "news") == (list(range(1, 21)), marks(20)["by_moment"])
    lost, won = delivery.runs()
    assert (lost["status"], won["status"]) == ("FAILED", "SUCCESS")
    assert won["export_id"] in lost["error_message"]
    assert len(delivery.files) == 1


def test_a_metadata_table_that_people_have_goes_on_being_used(delivery, client, table, their_table):
    columns = [
        SchemaField("export_name", "STRING", mode="REQUIRED"),
        SchemaField("source_table", "STRING", mode="REQUIRED"),
        SchemaField("last_export_timestamp", "TIMESTAMP"),
        SchemaField("last_exported_value", "STRING"),
        SchemaField("rows_exported", "INT64"),
        SchemaField("file_name", "STRING"),
        SchemaField("export_status", "STRING"),
        SchemaField("started_at", "TIMESTAMP"),
        SchemaField("completed_at", "TIMESTAMP"),
        SchemaField("error_message", "STRING"),
    ]
    delivery.metadata = their_table(
        columns,
        theirs("news", "NULL", "'2025-03-01T00:05:00Z'", "SUCCESS", 2),
        theirs("news", "TIMESTAMP '2025-03-01 00:10:00+00'", "NULL", "SUCCESS", 3),
        theirs("news", "NULL", "'2025-03-01 00:15:00'", "FAILED", 4),
        theirs("other", "NULL", "'2025-03-01 00:16:00'", "SUCCESS", 5),
    )
    before = delivery.runs()
    delivery.write({"news": {"source_table": table, "timestamp_column": "moment"}})
    ended = delivery.run("--export_name=news")
    assert ended.code == 0, ended.err
    assert state(delivery, "news") == (list(range(11, 21)), marks(20)["by_moment"])
    *former, row = delivery.runs()
    assert former == before
    assert (row["export_status"], row["rows_exported"], row["source_table"]) == ("SUCCESS", 10, table)
    assert row["export_id"]
    names = [column.name for column in client.get_table(delivery.metadata).schema]
    assert names[: len(columns)] == [column.name for column in columns]
    assert set(names) == {column.name for column in RUNS.columns} - {"status"} | {"export_status"}
    again = delivery.run("--export_name=news")
    assert again.code == 0, again.err
    assert len(delivery.files) == 1
    history = delivery.wharf("status", "--since=2025-03-01")
    assert history.code == 0, history.err
    assert (history.out.count("SUCCESS"), history.out.count("FAILED")) == (5, 1)


def test_a_metadata_table_with_required_columns_and_no_watermark_gets_what_it_lacks(delivery, table, their_table):
    columns = [
        SchemaField("export_id", "STRING", mode="REQUIRED"),
        SchemaField("export_name", "STRING", mode="REQUIRED"),
        SchemaField("source_table", "STRING", mode="REQUIRED"),
        SchemaField("destination_uri", "STRING"),
        SchemaField("status", "STRING", mode="REQUIRED"),
        SchemaField("rows_exported", "INT64"),
        SchemaField("started_at", "TIMESTAMP", mode="REQUIRED"),
        SchemaField("completed_at", "TIMESTAMP"),
        SchemaField("error_message", "STRING"),
    ]
    moment = "TIMESTAMP '2025-03-02 00:00:00+00'"
    delivery.metadata = their_table(
        columns, f"SELECT 'old', 'news', 's', 'd', 'SUCCESS', 7, {moment}, {moment}, CAST(NULL AS STRING)"
    )
    delivery.write({"news": {"source_table": table, "timestamp_column": "moment"}})
    for _ in range(2):
        ended = delivery.run("--export_name=news")
        assert ended.code == 0, ended.err
    assert state(delivery, "news") == (list(range(1, 21)), marks(20)["by_moment"])
    assert [row["rows_exported"] for row in delivery.runs()] == [7, 20, 0]


def test_a_watermark_of_another_type_is_refused_before_anything_is_sent(news, sql):
    delivery = news
    assert delivery.run("--export_name=news").code == 0
    sql(f"UPDATE `{delivery.metadata}` SET last_exported_value = 'yesterday' WHERE TRUE")
    ended = delivery.run("--export_name=news")
    assert ended.code == 2
    (line,) = ended.err.splitlines()
    assert "the watermark is no TIMESTAMP" in line
    assert delivery.metadata in line
    assert [row["status"] for row in delivery.runs()] == ["SUCCESS", "FAILED"]
    assert len(delivery.files) == 1


def test_a_plan_tells_of_rows_that_are_never_exported_and_of_those_above_the_watermark(news, add):
    delivery = news
    assert delivery.run("--export_name=news").code == 0
    add((21, 25))
    ended = delivery.run("--export_name=news", "--plan")
    assert (ended.code, ended.err) == (0, "")
    assert "1 row without a value in moment: never exported" in ended.out
    assert f"watermark    {marks(20)['by_moment']}\n" in ended.out
    assert "rows         1\n" in ended.out
