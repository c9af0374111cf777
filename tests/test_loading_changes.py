"""Whether staged rows fit their table, and how it must change for them."""

from __future__ import annotations

import pytest

from wharf.model.errors import RunFailed
from wharf.model.loading.changes import Changes, compare
from wharf.model.schema import Field

ADD, RELAX = "ALLOW_FIELD_ADDITION", "ALLOW_FIELD_RELAXATION"


def column(name: str, type_: str = "STRING", mode: str = "NULLABLE", *fields: Field, **more) -> Field:
    return Field(name=name, type=type_, mode=mode, fields=fields, **more)


def test_the_same_columns_in_any_order_and_case_change_nothing():
    table = (column("id", "INT64", "REQUIRED"), column("Note"), column("tags", mode="REPEATED"))
    staged = (column("tags", mode="REPEATED"), column("NOTE"), column("id", "INT64"))
    assert not compare(table, staged)


def test_columns_that_wharf_fills_need_not_be_in_the_files():
    table = (column("id"), column("file_timestamp", "TIMESTAMP", "REQUIRED"), column("region", "INT64"))
    assert not compare(table, (column("id"), column("region")), filled={"FILE_TIMESTAMP", "region"})


def test_nullable_columns_may_be_missing():
    assert not compare((column("id"), column("note"), column("tags", mode="REPEATED")), (column("id"),))


def test_new_columns_are_added_where_that_is_allowed():
    staged = (column("id"), column("new", "INT64", "REQUIRED"), column("more", "DATE", "REPEATED"))
    assert compare((column("id"),), staged, allowed={ADD}) == Changes(
        added=(column("new", "INT64"), column("more", "DATE", "REPEATED"))
    )
    with pytest.raises(RunFailed, match=rf"column new \(INT64\) is not in the table.*{ADD}.*more \(ARRAY<DATE>\)"):
        compare((column("id"),), staged, allowed={RELAX})


def test_required_columns_become_nullable_where_that_is_allowed():
    table = (column("id", mode="REQUIRED"), column("Kept", mode="REQUIRED"), column("gone", mode="REQUIRED"))
    staged = (column("id"), column("kept", mode="REQUIRED"))
    assert compare(table, staged, allowed={RELAX, ADD}) == Changes(relaxed=("id", "gone"))
    with pytest.raises(RunFailed, match=rf"^[^;]*column gone \(STRING REQUIRED\) is not in the files[^;]*{RELAX}$"):
        compare(table, staged, allowed={ADD})


@pytest.mark.parametrize(
    ("there", "here"),
    [
        *(("NUMERIC", "INT64"), ("BIGNUMERIC", "INT64"), ("FLOAT64", "INT64"), ("BIGNUMERIC", "NUMERIC")),
        *(("FLOAT64", "NUMERIC"), ("FLOAT64", "BIGNUMERIC"), ("DATETIME", "DATE")),
    ],
)
def test_types_that_bigquery_widens_fit_one_way_only(there, here):
    assert not compare((column("x", there),), (column("x", here),))
    with pytest.raises(RunFailed, match=f"column x is {here} in the table and {there} in the files"):
        compare((column("x", here),), (column("x", there),))


def test_a_parameter_of_the_type_is_checked_by_bigquery_row_by_row():
    assert not compare((column("x", "NUMERIC", precision=10, scale=2),), (column("x", "NUMERIC"),))


@pytest.mark.parametrize(
    ("there", "here", "said"),
    [
        (column("x", "INT64"), column("x", "STRING"), "x is INT64 in the table and STRING in the files"),
        (column("x", "DATE"), column("x", "DATE", "REPEATED"), "x is DATE in the table and ARRAY<DATE> in the files"),
        (
            column("x", "FLOAT64", "REPEATED"),
            column("x", "INT64", "REPEATED"),
            "x is ARRAY<FLOAT64> in the table and ARRAY<INT64> in the files",
        ),
        (
            column("x", "RANGE", range_element="DATE"),
            column("x", "RANGE", range_element="DATETIME"),
            "x is RANGE<DATE> in the table and RANGE<DATETIME> in the files",
        ),
    ],
)
def test_other_types_are_refused(there, here, said):
    with pytest.raises(RunFailed, match=said):
        compare((there,), (here,), allowed={ADD, RELAX})


def struct(*fields: Field, mode: str = "NULLABLE") -> Field:
    return column("s", "STRUCT", mode, *fields)


def test_structs_of_the_same_shape_fit():
    inner = column("t", "STRUCT", "REPEATED", column("a"), column("b", "INT64"))
    assert not compare((struct(inner),), (struct(inner),))


@pytest.mark.parametrize(
    ("there", "here", "said"),
    [
        (struct(column("a")), struct(column("a"), column("b", "DATE")), r"field s\.b \(DATE\) is not in the table"),
        (struct(column("a"), column("b")), struct(column("a")), r"field s\.b \(STRING\) is not in the files"),
        (struct(column("a"), column("b")), struct(column("b"), column("a")), "s come in another order.*as a, b"),
        (struct(column("a", "FLOAT64")), struct(column("a", "INT64")), r"column s\.a is FLOAT64 in the table"),
        (
            struct(column("t", "STRUCT", "NULLABLE", column("a", "INT64"))),
            struct(column("t", "STRUCT", "NULLABLE", column("a"))),
            r"column s\.t\.a is INT64 in the table and STRING in the files",
        ),
        (struct(column("a")), column("s"), "column s is STRUCT<`a` STRING> in the table and STRING in the files"),
    ],
)
def test_structs_of_another_shape_are_refused_by_dotted_paths(there, here, said):
    with pytest.raises(RunFailed, match=said):
        compare((there,), (here,), allowed={ADD, RELAX})


def test_every_difference_is_said_at_once():
    table = (column("a", "INT64"), column("b", mode="REQUIRED"))
    with pytest.raises(RunFailed) as raised:
        compare(table, (column("a"), column("c")))
    said = str(raised.value)
    assert said.count("column ") == 3
    assert all(f"column {name} " in said for name in "abc")
