"""Columns for records that nobody has described."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wharf.model.errors import RunFailed
from wharf.model.fetching import shapes
from wharf.model.fetching.shapes import META, column_name, column_of, evolve, is_time, look
from wharf.model.schema import Field

META_NAMES = [field.name for field in META]


def seen(*records: dict, times=()) -> dict:
    found: dict = {}
    look(records, found, times)
    return found


def types(shape) -> dict[str, str]:
    """Of the added columns, without those of the fetch."""
    return {field.name: field.type for field in shape.added if field.name not in META_NAMES}


def grown(*batches: list[dict], declared=()) -> tuple[list[Field], list[str]]:
    """The table after `batches`, one load after the other, and all warnings."""
    table: list[Field] = []
    warnings: list[str] = []
    for batch in batches:
        shape = evolve(table, seen(*batch, times=shapes.times(table, declared)), declared)
        table += shape.added
        warnings += shape.warnings
    return table, warnings


@pytest.mark.parametrize(
    ("values", "type_"),
    [
        ([1, -2, None], "INT64"),
        ([2**63 - 1, -(2**63)], "INT64"),
        ([1, 2**63], "NUMERIC"),
        ([10**29 - 1], "NUMERIC"),
        ([10**29, 1], "JSON"),
        ([10**38], "JSON"),
        ([1.5, 2], "FLOAT64"),
        ([1.5, 10**15 - 1], "FLOAT64"),
        ([1.5, 10**15], "JSON"),
        ([True, False], "BOOL"),
        (["a", ""], "STRING"),
        (["2025-03-23T10:00:00Z"], "STRING"),
        ([{"a": 1}], "JSON"),
        ([[1, 2], None], "JSON"),
        ([[]], "JSON"),
        ([1, "1"], "JSON"),
        ([True, 1], "JSON"),
        (["a", {"b": 1}], "JSON"),
    ],
)
def test_a_new_field_gets_the_narrowest_type_that_holds_all_its_values(values, type_):
    shape = evolve((), seen(*({"x": value} for value in values)))
    assert types(shape) == {"x": type_}
    assert shape.warnings == ()


def test_a_table_begins_with_what_is_known_of_the_fetch():
    assert [field.name for field in evolve((), seen({"x": 1})).added] == [*META_NAMES, "x"]


def test_what_wharf_adds_to_records_is_no_field_of_theirs():
    assert seen(dict.fromkeys(META_NAMES, 1)) == {}


def test_a_field_that_was_only_null_gets_its_column_with_its_first_value():
    table, warnings = grown([{"a": 1, "b": None}], [{"a": 2, "b": "x"}])
    assert [(field.name, field.type) for field in table[len(META) :]] == [("a", "INT64"), ("b", "STRING")]
    assert not warnings


def test_a_field_that_is_missing_now_keeps_its_column():
    shape = evolve(grown([{"a": 1, "b": 2}])[0], seen({"b": 3}))
    assert shape.added == ()
    assert [column.field.name for column in shape.columns] == ["b"]


def test_what_does_not_fit_a_column_any_more_goes_beside_it_with_a_warning():
    table, warnings = grown([{"total": 1}], [{"total": 1.5}, {"total": "none"}], [{"total": 3}])
    assert [(field.name, field.type) for field in table[len(META) :]] == [("total", "INT64"), ("total_json", "JSON")]
    assert warnings == ["total is INT64 and came as number, text too: see column total_json"]
    assert column_of(table, "total").rest.name == "total_json"


@pytest.mark.parametrize(
    ("values", "type_"),
    [
        ([1, None, 2**63 - 1], ""),
        ([2**63, 1], "NUMERIC"),
        ([0.5, 10**15 - 1], "FLOAT64"),
        ([0.5, 10**15], ""),
        ([0.5, 2**63], ""),
        ([10**29], ""),
        ([0.5, "none"], "FLOAT64"),
        (["none", [1]], ""),
    ],
)
def test_integers_get_a_type_with_room_for_the_other_numbers_that_come(values, type_):
    table, _ = grown([{"id": 1}])
    found = shapes.wider(table, seen(*({"id": value, "new": value} for value in values)))
    assert found == ({"id": type_} if type_ else {})


def test_a_column_that_has_its_json_column_keeps_its_type():
    table, _ = grown([{"id": 1}], [{"id": "one"}])
    assert shapes.wider(table, seen({"id": 0.5})) == {}


def test_json_takes_everything():
    _, warnings = grown([{"x": {"a": 1}}], [{"x": 1}, {"x": "a"}, {"x": 10**50}, {"x": [True]}])
    assert not warnings


def test_times_are_times_only_where_somebody_says_so():
    stamp = {"at": "2025-03-23T10:00:00.123Z", "other": "2025-03-23"}
    table, _ = grown([stamp], declared=["at"])
    assert {field.name: field.type for field in table}["at"] == "TIMESTAMP"
    assert {field.name: field.type for field in table}["other"] == "STRING"
    table, warnings = grown([{"at": "soon"}], [stamp], declared=["at"])
    assert warnings == ["at is TIMESTAMP and came as text too: see column at_json"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2025-03-23", True),
        ("2025-03-23 10:00:00", True),
        ("2025-03-23T10:00:00.123456+01:00", True),
        ("2025-03-23T10:00:00.1234567Z", False),  # BigQuery's cast takes six digits
        ("2025-02-30T10:00:00Z", False),
        ("2025-03-23T25:00:00Z", False),
        ("20250323", False),
        ("", False),
        ("/Date(1742724000000+0000)/", True),
        ("/Date(-1)/", True),
        ("/Date(999999999999999)/", False),  # in the year 33658
        ("/Date(12a)/", False),
        ("0001-01-01T00:00:00", True),
        ("0001-01-01T00:00:00+01:00", False),  # in UTC it lies in no year
        ("9999-12-31T23:59:59-05:00", False),
    ],
)
def test_a_time_is_what_the_statement_makes_a_timestamp_of(text, expected):
    assert is_time(text) is expected


def test_names_are_made_fit_and_those_that_meet_are_kept_apart_for_good():
    first, _ = grown([{"Id": 1, "id": "a", "a b": 1, "a-b": 2, "été": 3, "1st": 4, "": 5, "_TABLE_x": 6, "_page_": 7}])
    names = {shapes._key_of(field): field.name for field in first if field.name not in META_NAMES}
    assert names == {
        "Id": "Id",
        "id": "id_2",
        "a b": "a_b",
        "a-b": "a_b_2",
        "été": "ete",
        "1st": "_1st",
        "": "_",
        "_TABLE_x": "field_TABLE_x",
        "_page_": "_page_",
    }
    # In whatever order they come later.
    shape = evolve(first, seen({"a-b": 1, "id": "b", "Id": 2, "a b": 1}))
    assert shape.added == ()
    assert {column.key: column.field.name for column in shape.columns}["id"] == "id_2"


@pytest.mark.parametrize(
    ("key", "name"), [("Straße", "Strasse"), ("Größe", "Grosse"), ("Ørsted", "_rsted"), ("a→b", "a_b"), ("名前", "_")]
)
def test_what_a_columns_name_cannot_hold_is_replaced_and_not_left_out(key, name):
    assert column_name(key) == name


def test_a_field_named_like_the_column_beside_another_gets_a_name_of_its_own():
    table, _ = grown([{"x": 1}], [{"x": "a", "x_json": 5}], [{"x": "b", "x_json": 6}])
    columns = {key: column_of(table, key) for key in ("x", "x_json")}
    assert columns["x"].rest.type == "JSON"
    assert columns["x_json"].field.type == "INT64"
    assert len({field.name.lower() for field in table}) == len(table)


def test_a_table_of_somebody_elses_is_taken_by_its_columns_names():
    table = (Field(name="id", type="INT64"), Field(name="tags", type="STRING", mode="REPEATED"))
    shape = evolve(table, seen({"id": 1, "tags": ["a"]}))
    assert types(shape) == {"tags_json": "JSON"}
    assert [column.field.name for column in shape.columns] == ["id", "tags"]


def test_records_with_a_field_for_each_key_of_a_map_are_refused_with_the_remedy():
    with pytest.raises(RunFailed, match="--raw_mode json"):
        evolve((), seen({f"k{number}": number for number in range(3_000)}))


VALUES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.just({}) | st.just([1])
RECORDS = st.lists(st.dictionaries(st.text(max_size=4), VALUES, max_size=6), max_size=6)


@given(st.lists(RECORDS, max_size=4))
def test_columns_stay_whatever_comes_and_nothing_is_without_a_place(batches):
    table: list[Field] = []
    for batch in batches:
        found = seen(*batch)
        shape = evolve(table, found)
        table += shape.added
        assert evolve(table, found).added == ()
        for key, kinds in found.items():
            column = column_of(table, key)
            assert column or not kinds
            if column and not column.rest:
                assert kinds <= shapes._FITS[column.field.type]
    names = [field.name.lower() for field in table]
    assert len(set(names)) == len(names)


@given(st.text())
def test_any_name_becomes_one_that_bigquery_takes(name):
    assert column_name(name).isascii()
    assert column_name(name).isidentifier()
    assert len(column_name(name)) <= 290
