"""Which rows an incremental run takes, tried on the emulator: none lost, none twice."""

from __future__ import annotations

import datetime as dt
import uuid

import pytest
from google.cloud.bigquery import SchemaField, Table

from wharf.connectors import bigquery
from wharf.model.errors import UsageError
from wharf.model.ledger import TIES
from wharf.model.schema import TableId
from wharf.model.selection import WATERMARK_COLUMN, Tied, Watermark, count, increment, record_ties, select

COLUMNS = ("id", "seq", "tags")


@pytest.fixture(scope="module")
def client(stack):
    made = stack.endpoints.bigquery_client(stack.project)
    made.create_dataset("selection", exists_ok=True, retry=None)
    return made


@pytest.fixture(scope="module")
def ties(client) -> TableId:
    table = TableId(client.project, "selection", "ties")
    bigquery.ensure_table(client, table, TIES)
    return table


class Source:
    """A table that grows, and an export of it that goes on from its watermark."""

    def __init__(self, client, ties: TableId) -> None:
        self.client, self.ties = client, ties
        self.table = TableId(client.project, "selection", f"t_{uuid.uuid4().hex[:8]}")
        fields = [
            SchemaField("id", "INT64"),
            SchemaField("seq", "INT64"),
            SchemaField("tags", "STRING", mode="REPEATED"),
        ]
        client.create_table(Table(str(self.table), fields), retry=None)
        self.watermark: Watermark | None = None
        self.tied: Tied | None = None

    def add(self, *rows: tuple[int, int | None]) -> None:
        values = ", ".join(f"({id_}, {'NULL' if at is None else at}, ['x', 'y'])" for id_, at in rows)
        bigquery.execute(self.client, f"INSERT INTO `{self.table}` (id, seq, tags) VALUES {values}", {})

    def run(self, condition: str = "") -> list[int]:
        """The ids that one run sends."""
        run = f"run-{uuid.uuid4().hex[:8]}"
        made = self.table._replace(table=f"{self.table.table}_{run[4:]}")
        sql = increment(f"`{self.table}`", COLUMNS, "seq", condition, self.watermark, self.tied)
        bigquery.materialise(self.client, sql, made, dt.datetime(2100, 1, 1, tzinfo=dt.UTC))
        sent = bigquery.rows(self.client, f"SELECT id, {WATERMARK_COLUMN} AS seq FROM `{made}`")
        if sent or self.watermark:
            before, former = self.watermark, self.tied
            at = Watermark("INT64", str(max(row["seq"] for row in sent))) if sent else before
            former = former if at == before else None
            bigquery.execute(self.client, record_ties(made, self.ties, run, COLUMNS, at, former), {})
            self.watermark, self.tied = at, Tied(self.ties, run, COLUMNS)
        return sorted(row["id"] for row in sent)


@pytest.fixture
def source(client, ties) -> Source:
    return Source(client, ties)


def test_the_first_run_takes_every_row_that_has_a_value(source):
    source.add((1, 10), (2, 20), (3, None))
    assert source.run() == [1, 2]


def test_a_run_takes_the_rows_that_came_since(source):
    source.add((1, 10))
    assert source.run() == [1]
    source.add((2, 20), (3, 30))
    assert source.run() == [2, 3]
    assert source.run() == []


def test_rows_that_come_later_with_the_watermarks_value_are_sent_once(source):
    source.add((1, 10), (2, 10))
    assert source.run() == [1, 2]
    source.add((3, 10))
    assert source.run() == [3]
    assert source.run() == []
    source.add((4, 10), (5, 20))
    assert source.run() == [4, 5]
    source.add((6, 10), (7, 20))
    assert source.run() == [7], "a row below the watermark is not seen"


def test_rows_that_are_the_same_in_every_column_are_counted(source):
    source.add((1, 10), (1, 10))
    assert source.run() == [1, 1]
    source.add((1, 10))
    assert source.run() == [1]
    assert source.run() == []


def test_ties_are_remembered_over_runs_that_find_nothing(source):
    source.add((1, 10))
    source.run()
    assert source.run() == source.run() == []
    source.add((2, 10))
    assert source.run() == [2]


def test_rows_without_a_value_are_never_sent(source):
    source.add((1, None))
    assert source.run() == []
    source.add((2, 10), (3, None))
    assert source.run() == [2]


def test_a_watermark_of_another_tool_counts_its_ties_as_sent(source):
    source.add((1, 10), (2, 20))
    source.watermark = Watermark.parse("INT64", " 10 ", where="t")
    assert source.run() == [2]


def test_a_restriction_holds_for_ties_as_well(source):
    source.add((1, 10), (2, 10))
    assert source.run("id < 2") == [1]
    source.add((0, 10), (3, 10), (1, 20))
    assert source.run("id < 2") == [0, 1]


@pytest.mark.parametrize(
    ("type_", "text", "literal"),
    [
        ("TIMESTAMP", "2024-05-01T10:00:00Z", "TIMESTAMP '2024-05-01 10:00:00+00:00'"),
        ("TIMESTAMP", "2024-05-01 10:00:00 UTC", "TIMESTAMP '2024-05-01 10:00:00+00:00'"),
        ("TIMESTAMP", "2024-05-01 12:00:00.5+02:00", "TIMESTAMP '2024-05-01 10:00:00.500000+00:00'"),
        ("TIMESTAMP", "2024-05-01", "TIMESTAMP '2024-05-01 00:00:00+00:00'"),
        ("TIMESTAMP", "2024-05-01 10:00:00+00", "TIMESTAMP '2024-05-01 10:00:00+00:00'"),
        ("DATETIME", "2024-05-01T10:00:00.25", "DATETIME '2024-05-01 10:00:00.250000'"),
        ("DATE", "2024-05-01 00:00:00", "DATE '2024-05-01'"),
        ("INT64", "-7", "-7"),
        ("STRING", "it's \\", "'it\\'s \\\\'"),
    ],
)
def test_recorded_watermarks_are_read_in_the_forms_that_tools_write(type_, text, literal):
    watermark = Watermark.parse(type_, text, where="t")
    assert watermark.literal == literal
    assert Watermark.parse(type_, watermark.text, where="t") == watermark


@pytest.mark.parametrize(("type_", "text"), [("TIMESTAMP", "yesterday"), ("INT64", "1.5"), ("DATE", "20240501x")])
def test_a_watermark_of_another_type_is_refused_with_the_place_and_without_the_value(type_, text):
    with pytest.raises(UsageError, match=f"p.d.t: the watermark is no {type_}") as error:
        Watermark.parse(type_, text, where="p.d.t")
    assert text not in str(error.value)


def test_a_watermark_is_a_point_in_time_where_its_type_is():
    noon = dt.datetime(2024, 5, 1, 12, tzinfo=dt.UTC)
    assert Watermark.parse("TIMESTAMP", "2024-05-01 14:00:00+02:00", where="t").timestamp == noon
    assert Watermark.parse("DATE", "2024-05-01", where="t").timestamp == noon.replace(hour=0)
    assert Watermark.parse("INT64", "12", where="t").timestamp is None


def test_conditions_are_bracketed():
    assert select("t", ("a", "b"), "") == "SELECT `a`, `b` FROM t"
    assert count("t", "x OR y", "", "z") == "SELECT COUNT(*) AS n FROM t WHERE (x OR y) AND (z)"
