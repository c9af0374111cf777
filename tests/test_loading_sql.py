"""The statements that bring staged rows into their table, on the embedded stack's BigQuery."""

from __future__ import annotations

import datetime as dt
import itertools
import re
import uuid

import pytest
from google.api_core.exceptions import GoogleAPICallError
from google.cloud.bigquery import Dataset, SchemaField, Table

from wharf.connectors import bigquery
from wharf.model.errors import UsageError
from wharf.model.loading import sql, transform_sql
from wharf.model.loading.sql import Staged
from wharf.model.loading.sql_text import literal, sql_type, string
from wharf.model.schema import Field, TableId

STAMP = "file_timestamp"
ORDERS = (
    Field(name="id", type="INT64"),
    Field(name="note", type="STRING"),
    Field(name=STAMP, type="TIMESTAMP"),
    Field(name="region", type="STRING"),
)
FILES = ORDERS[:2]
FIRST, SECOND, THIRD = (dt.datetime(2025, 3, day, tzinfo=dt.UTC) for day in (1, 2, 3))


class Tables:
    """Makes tables in a dataset of this module's own."""

    def __init__(self, client, project: str) -> None:
        self.client = client
        self.project = project
        self.dataset = f"sql_{uuid.uuid4().hex[:8]}"
        self._numbers = itertools.count()
        client.create_dataset(Dataset(f"{project}.{self.dataset}"), retry=None)

    def make(self, fields: tuple[Field, ...], *rows: str) -> TableId:
        """A table with rows written as SQL, such as `(1, 'a')`."""
        table = TableId(self.project, self.dataset, f"t{next(self._numbers)}")
        schema = [SchemaField.from_api_repr(field.to_api()) for field in fields]
        self.client.create_table(Table(str(table), schema), retry=None)
        if rows:
            self.run(f"INSERT INTO `{table}` VALUES {', '.join(rows)}")
        return table

    def staged(self, *rows: str, at: dt.datetime | None = None, fields=FILES, constants=()) -> Staged:
        return Staged(self.make(fields, *rows), at, tuple(constants), fields)

    def run(self, text: str) -> list[dict]:
        return bigquery.rows(self.client, text)

    def rows(self, table: TableId) -> list[tuple]:
        return sorted((tuple(row.values()) for row in self.run(f"SELECT * FROM `{table}`")), key=repr)


@pytest.fixture(scope="module")
def tables(stack) -> Tables:
    return Tables(stack.endpoints.bigquery_client(stack.project), stack.project)


def test_appending_goes_by_names_and_fills_time_and_constants(tables):
    target = tables.make(ORDERS, "(0, 'old', TIMESTAMP '2025-02-28', 'eu')")
    turned = tuple(reversed(FILES))
    staged = [
        tables.staged("(1, 'a')", "(2, NULL)", at=FIRST, constants=[("region", "us")]),
        tables.staged("('b', 3)", at=SECOND, fields=turned),
        tables.staged("(4)", fields=FILES[:1], constants=[("REGION", "it's")]),
    ]
    tables.run(sql.append(target, ORDERS, staged, STAMP))
    assert tables.rows(target) == [
        (0, "old", dt.datetime(2025, 2, 28, tzinfo=dt.UTC), "eu"),
        (1, "a", FIRST, "us"),
        (2, None, FIRST, "us"),
        (3, "b", SECOND, None),
        (4, None, None, "it's"),
    ]


def test_columns_that_no_file_has_are_left_to_the_table(tables):
    """It may have defaults for them."""
    statement = sql.append(tables.make(ORDERS), ORDERS, [tables.staged("(1, 'a')")], STAMP)
    assert re.search(r"INSERT INTO `[^`]+` \(`id`, `note`\)", statement)


def test_what_the_files_hold_goes_before_what_their_path_says(tables):
    """A folder `$20250301` may say which partition is replaced by rows that have their own times."""
    target = tables.make(ORDERS)
    fields = (*ORDERS[:1], ORDERS[2])
    staged = tables.staged("(1, TIMESTAMP '2025-03-01 07:30:00')", at=FIRST, fields=fields)
    tables.run(sql.append(target, ORDERS, [staged], STAMP))
    assert tables.rows(target) == [(1, None, FIRST.replace(hour=7, minute=30), None)]


def test_narrower_types_are_converted_to_the_tables(tables):
    wide = (Field(name="n", type="NUMERIC"), Field(name="x", type="FLOAT64"), Field(name="day", type="DATE"))
    narrow = (Field(name="n", type="INT64"), Field(name="x", type="INT64"))
    target = tables.make(wide)
    staged = [
        tables.staged("(1, 2)", fields=narrow, constants=[("day", "2025-03-01")]),
        tables.staged("(1.5, 2.5)", fields=wide[:2]),
    ]
    tables.run(sql.append(target, wide, staged, STAMP))
    assert [(float(n), x, day) for n, x, day in tables.rows(target)] == [
        (1.0, 2.0, dt.date(2025, 3, 1)),
        (1.5, 2.5, None),
    ]


def test_missing_lists_and_structs_are_empty(tables):
    fields = (
        Field(name="id", type="INT64"),
        Field(name="tags", type="STRING", mode="REPEATED"),
        Field(name="place", type="STRUCT", fields=(Field(name="x", type="FLOAT64"),)),
    )
    target = tables.make(fields)
    staged = [
        tables.staged("(1, ['a', 'b'], STRUCT(1.5))", fields=fields),
        tables.staged("(2)", fields=fields[:1]),
    ]
    tables.run(sql.append(target, fields, staged, STAMP))
    (one, two) = tables.rows(target)
    assert one == (1, ["a", "b"], {"x": 1.5})
    assert (two[0], two[1] or [], two[2]) == (2, [], None)


@pytest.mark.parametrize(("type_", "hour"), [("TIMESTAMP", 5), ("DATETIME", 5), ("DATE", 0)])
def test_a_partition_is_replaced_and_its_neighbours_stay(tables, type_, hour):
    fields = (Field(name="id", type="INT64"), Field(name=STAMP, type=type_))
    stamps = ["2025-03-01 23:59:59", "2025-03-02 00:00:00", "2025-03-02 23:59:59", "2025-03-03 00:00:00"]
    target = tables.make(
        fields,
        *(f"({number}, {type_} '{stamp[:10] if type_ == 'DATE' else stamp}')" for number, stamp in enumerate(stamps)),
    )
    staged = [tables.staged("(7)", at=SECOND.replace(hour=hour), fields=fields[:1])]
    statement = sql.replace_partition(target, fields, staged, STAMP, spans=[(SECOND, THIRD)])
    for _ in range(2):
        tables.run(statement)
        assert [row[0] for row in tables.rows(target)] == [0, 3, 7]


def test_spans_that_touch_are_deleted_as_one(tables):
    target = tables.make(ORDERS, "(1, 'old', TIMESTAMP '2025-03-01', 'eu')", "(2, 'old', NULL, 'eu')")
    staged = [tables.staged("(3, 'new')", at=FIRST), tables.staged("(4, 'new')", at=SECOND)]
    statement = sql.replace_partition(
        target, ORDERS, staged, STAMP, spans=[(SECOND, THIRD), (FIRST, SECOND), (FIRST, SECOND)]
    )
    assert statement.count(">=") == 1
    tables.run(statement)
    assert [row[0] for row in tables.rows(target)] == [2, 3, 4]


def test_the_partitioning_column_says_what_is_replaced_where_a_table_has_no_timestamp_column(tables):
    fields = (Field(name="id", type="INT64"), Field(name="dt", type="DATE"))
    target = tables.make(fields, "(1, DATE '2025-03-01')", "(2, DATE '2025-03-02')")
    staged = tables.staged("(3)", at=FIRST, fields=fields[:1], constants=[("dt", "2025-03-01")])
    tables.run(
        sql.replace_partition(
            target, fields, [staged], STAMP, spans=[(FIRST, SECOND)], partition_column="dt", granularity="DAY"
        )
    )
    assert tables.rows(target) == [(2, dt.date(2025, 3, 2)), (3, dt.date(2025, 3, 1))]


@pytest.mark.parametrize("type_", ["TIMESTAMP", "DATETIME", "DATE"])
def test_rows_with_their_own_dates_replace_the_partitions_they_are_in(tables, type_):
    fields = (Field(name="id", type="INT64"), Field(name="day", type=type_))
    target = tables.make(
        fields,
        *(f"({day}, {type_} '2025-03-{day:02}')" for day in (1, 2, 3)),
        "(9, NULL)",
    )
    staged = [
        tables.staged(f"(11, {type_} '2025-03-01')", fields=fields),
        tables.staged(f"(13, {type_} '2025-03-03')", "(14, NULL)", fields=fields),
    ]

    def replaced(some: list[Staged]) -> list[int]:
        tables.run(
            sql.replace_partition(target, fields, some, STAMP, spans=(), partition_column="day", granularity="DAY")
        )
        return [row[0] for row in tables.rows(target)]

    assert replaced(staged[:1]) == [11, 2, 3, 9]
    assert replaced(staged) == [11, 13, 14, 2]


@pytest.mark.parametrize("spans", [(), [(FIRST, SECOND)]])
def test_where_nothing_says_what_is_replaced_nothing_is(tables, spans):
    target = TableId("p", "d", "t")
    staged = Staged(target, FIRST if spans else None, (), FILES)
    with pytest.raises(UsageError, match=r"p\.d\.t: .*replace_partition.*--timestamp_regex"):
        sql.replace_partition(target, FILES, [staged], STAMP, spans=spans)


def test_a_part_of_a_day_is_not_replaced_in_a_column_of_dates():
    target = TableId("p", "d", "t")
    fields = (*FILES, Field(name=STAMP, type="DATE"))
    span = (FIRST.replace(hour=4), FIRST.replace(hour=5))
    with pytest.raises(UsageError, match="2025-03-01 04:00 is a part of one"):
        sql.replace_partition(target, fields, [Staged(target, FIRST, (), FILES)], STAMP, spans=[span])


@pytest.mark.parametrize("partition_column", ["", STAMP])
def test_a_table_is_replaced_whole(tables, partition_column):
    target = tables.make(ORDERS, "(1, 'old', TIMESTAMP '2025-03-01', 'eu')", "(3, 'old', NULL, 'eu')")
    staged = [tables.staged("(2, 'new')", at=SECOND)]
    tables.run(sql.replace_table(target, ORDERS, staged, STAMP, partition_column=partition_column))
    assert tables.rows(target) == [(2, "new", SECOND, None)]


def test_a_statement_that_fails_leaves_the_table_as_it_was(tables):
    target = tables.make(ORDERS, "(1, 'old', TIMESTAMP '2025-03-01', 'eu')")
    bad = tables.staged("('x')", at=FIRST, fields=(Field(name="note", type="STRING"),), constants=[("id", "no number")])
    for statement in (
        sql.replace_table(target, ORDERS, [bad], STAMP),
        sql.replace_partition(target, ORDERS, [bad], STAMP, spans=[(FIRST, SECOND)]),
    ):
        with pytest.raises((UsageError, GoogleAPICallError)):
            tables.run(statement)
        assert [row[0] for row in tables.rows(target)] == [1]


def test_merging_changes_rows_with_the_same_key_and_the_last_one_counts(tables):
    target = tables.make(ORDERS, "(1, 'old', TIMESTAMP '2025-02-01', 'eu')", "(2, 'old', NULL, 'eu')")
    staged = [
        tables.staged("(1, 'a')", "(3, 'a')", at=FIRST),
        tables.staged("(3, 'b')", "(4, 'b')", at=SECOND),
    ]
    for _ in range(2):
        tables.run(sql.merge(target, ORDERS, staged, STAMP, ["ID"]))
        assert tables.rows(target) == [
            (1, "a", FIRST, "eu"),
            (2, "old", None, "eu"),
            (3, "b", SECOND, None),
            (4, "b", SECOND, None),
        ]


def test_merging_tables_with_different_columns_is_merging_one_after_the_other(tables):
    """In one transaction, and what a table does not have stays as an earlier one left it."""
    target = tables.make(ORDERS)
    staged = [
        tables.staged("(1, 'a')", at=FIRST, constants=[("region", "us")]),
        tables.staged("(1)", at=SECOND, fields=FILES[:1]),
    ]
    statement = sql.merge(target, ORDERS, staged, STAMP, ["id"])
    assert statement.startswith("BEGIN TRANSACTION")
    tables.run(statement)
    assert tables.rows(target) == [(1, "a", SECOND, "us")]


def test_merging_by_all_columns_adds_what_is_not_there(tables):
    target = tables.make(FILES, "(1, 'a')")
    staged = [tables.staged("(1, 'a')", "(1, 'b')")]
    tables.run(sql.merge(target, FILES, staged, STAMP, ["id", "note"]))
    assert tables.rows(target) == [(1, "a"), (1, "b")]


def test_a_key_that_is_no_column_is_named():
    target = TableId("p", "d", "t")
    staged = [Staged(target, None, (), FILES[1:])]
    with pytest.raises(UsageError, match=r"no column 'nite' \(did you mean note\?\)"):
        sql.merge(target, ORDERS, staged, STAMP, ["nite"])
    with pytest.raises(UsageError, match="the files have no column id, by which"):
        sql.merge(target, ORDERS, staged, STAMP, ["id"])


def test_keys_that_cannot_be_merged_by_are_counted(tables):
    staged = [tables.staged("(1, 'a')", "(1, 'a')", "(2, NULL)"), tables.staged("(NULL, 'a')", "(3, 'c')", "(1, 'a')")]
    target = TableId("p", "d", "t")

    def check(some: list[Staged], *keys: str) -> list[dict]:
        return tables.run(sql.merge_check(target, ORDERS, some, STAMP, keys))

    assert check(staged, "id", "note") == [{"null_keys": 2, "repeated_keys": 1}]
    assert check(staged[1:], "id") == [{"null_keys": 1, "repeated_keys": 0}]
    assert check([tables.staged()], "id") == [{"null_keys": 0, "repeated_keys": 0}]


@pytest.mark.parametrize("text", ["it's", "back\\slash", "line\r\nbreak", "ÅÄÖ 😀", "`x`", "a\u2028b", ""])
def test_any_text_can_be_a_literal(tables, text):
    assert tables.run(f"SELECT {string(text)} AS x") == [{"x": text}]
    assert "\n" not in string(text)


@pytest.mark.parametrize(
    ("field", "text"),
    [
        (Field(name="x", type="NUMERIC", precision=10), "NUMERIC(10)"),
        (Field(name="x", type="NUMERIC", precision=10, scale=2), "NUMERIC(10, 2)"),
        (Field(name="x", type="RANGE", range_element="DATE"), "RANGE<DATE>"),
        (
            Field(name="x", type="STRUCT", mode="REPEATED", fields=(Field(name="y", type="INT64", mode="REPEATED"),)),
            "ARRAY<STRUCT<`y` ARRAY<INT64>>>",
        ),
    ],
)
def test_types_are_written_as_sql_has_them(field, text):
    assert sql_type(field) == text


def test_a_time_is_written_in_the_columns_type():
    instant = dt.datetime(2025, 3, 2, 0, 30, tzinfo=dt.timezone(dt.timedelta(hours=1)))
    assert literal(instant, "TIMESTAMP") == "TIMESTAMP '2025-03-01 23:30:00+00:00'"
    assert literal(instant, "DATETIME") == "DATETIME '2025-03-01 23:30:00'"
    assert literal(instant, "DATE") == "DATE '2025-03-01'"


# bq_transform.sql


URI = "gs://b/in/_config/bq_transform.sql"
TARGET, STAGING = TableId("p", "d", "t"), TableId("p", "s", "wharf_1")


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("SELECT * FROM temp_ext", "SELECT * FROM `p.s.wharf_1`"),
        ("SELECT temp_ext.a FROM `temp_ext`", "SELECT `wharf_1`.a FROM `p.s.wharf_1`"),
        ("INSERT {dest_dataset}.{dest_table} SELECT * FROM temp_ext", "INSERT `p.d.t` SELECT * FROM `p.s.wharf_1`"),
        ("INSERT `{dest_dataset}.{dest_table}` SELECT 1 FROM temp_ext", "INSERT `p.d.t` SELECT 1 FROM `p.s.wharf_1`"),
        ("INSERT x.{dest_dataset}.{dest_table} SELECT * FROM temp_ext", "INSERT x.`d`.`t` SELECT * FROM `p.s.wharf_1`"),
        ("INSERT `x.{dest_dataset}.{dest_table}` SELECT * FROM temp_ext", "INSERT `x.d.t` SELECT * FROM `p.s.wharf_1`"),
        ("SELECT * FROM temp_ext JOIN {dest_dataset}.other", "SELECT * FROM `p.s.wharf_1` JOIN `p.d`.other"),
        ("SELECT * FROM temp_ext JOIN o.{dest_table}", "SELECT * FROM `p.s.wharf_1` JOIN o.`t`"),
        (
            "SELECT 'temp_ext', \"\"\"it's temp_ext\"\"\", r'\\', t.temp_ext FROM temp_ext AS t -- temp_ext {x}",
            "SELECT 'temp_ext', \"\"\"it's temp_ext\"\"\", r'\\', t.temp_ext FROM `p.s.wharf_1` AS t -- temp_ext {x}",
        ),
        ("SELECT '{dest_table}' FROM temp_ext /* {dest_table} */", "SELECT 't' FROM `p.s.wharf_1` /* {dest_table} */"),
        ("SELECT my_temp_ext, '{x}' FROM temp_ext", "SELECT my_temp_ext, '{x}' FROM `p.s.wharf_1`"),
    ],
)  # fmt: skip
def test_a_transformation_names_the_tables_of_its_batch(text, rendered):
    assert transform_sql.render(text, URI, TARGET, STAGING) == rendered


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("  -- nothing\n;", "holds no SQL"),
        ("SELECT 'temp_ext' -- temp_ext", "does not name temp_ext"),
        ("SELECT 1 FROM temp_ext, {dest_tabel}", r"\{dest_tabel\} is not known \(did you mean dest_table\?\)"),
    ],
)  # fmt: skip
def test_a_transformation_that_cannot_be_meant_is_refused_by_its_name(text, said):
    with pytest.raises(UsageError, match=f"^{URI}: .*{said}"):
        transform_sql.render(text, URI, TARGET, STAGING)


@pytest.mark.parametrize(
    ("text", "is_query"),
    [
        ("-- all\nselect 1;", True),
        ("((SELECT 1) UNION ALL (SELECT 2))", True),
        ("WITH a AS (SELECT ';') SELECT * FROM a", True),
        ("SELECT 1; SELECT 2", False),
        ("INSERT t SELECT 1", False),
        ("DECLARE x INT64; SELECT x", False),
        ("", False),
    ],
)
def test_a_query_is_told_from_a_statement(text, is_query):
    assert transform_sql.is_query(text) is is_query


def test_a_query_can_stand_in_brackets(tables):
    statement = transform_sql.query("SELECT ';' AS x; -- the end")
    assert tables.run(f"SELECT * FROM ({statement})") == [{"x": ";"}]


@pytest.mark.parametrize("text", ["INSERT t SELECT 1;", "BEGIN TRANSACTION; INSERT t SELECT 1; COMMIT TRANSACTION;"])
def test_what_is_atomic_already_is_run_as_it_is(text):
    assert transform_sql.script(text) == text


def test_several_statements_are_one_transaction(tables):
    target = tables.make(FILES, "(1, 'old')", "(2, 'old')")
    staged = tables.staged("(1, 'new')")
    text = """
        DECLARE suffix STRING DEFAULT '!';  -- a variable; declared first
        DELETE FROM {dest_dataset}.{dest_table} WHERE id IN (SELECT id FROM temp_ext);
        INSERT INTO `{dest_dataset}.{dest_table}` (id, note) SELECT id, CONCAT(note, suffix) FROM temp_ext;
    """
    script = transform_sql.script(transform_sql.render(text, URI, target, staged.table))
    assert script.startswith("DECLARE")
    tables.run(script)
    assert tables.rows(target) == [(1, "new!"), (2, "old")]
    with pytest.raises((UsageError, GoogleAPICallError)):
        tables.run(
            transform_sql.script(f"DELETE FROM `{target}` WHERE TRUE; INSERT INTO `{target}` SELECT 1, ERROR('x')")
        )
    assert len(tables.rows(target)) == 2
