"""JSON lines, held against `json.loads` and a plain reference."""

from __future__ import annotations

import json
import math
import pickle
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.avro_rows import as_batch, rows_of, schemas
from tests.test_csv_format import assembled, file_of
from tests.test_text_cells import plain_text
from wharf.formats.avro_schema import range_fields
from wharf.formats.jsonl_format import JsonlFormat
from wharf.model.schema import Field

unhurried = settings(deadline=None, max_examples=60)
WORDS = {math.inf: "Infinity", -math.inf: "-Infinity"}


def plain_value(field: Field, value: Any) -> Any:
    """What a reader of JSON must find for one value; a null that is left out is None."""
    if field.mode == "REPEATED":
        return [plain_value(replace(field, mode="NULLABLE"), item) for item in value or ()]
    if value is None:
        return None
    if field.type == "STRUCT":
        return plain_row(field.fields, value)
    if field.type == "RANGE":
        return {end.name: plain_value(end, value[end.name]) for end in range_fields(field)}
    if field.type == "FLOAT64":
        return WORDS.get(value, value) if value == value else "NaN"
    if field.type in {"BOOL", "JSON"}:
        return json.loads(value) if field.type == "JSON" else value
    return plain_text(field, value)


def plain_row(fields: tuple[Field, ...], row: dict[str, Any]) -> dict[str, Any]:
    values = {field.name: plain_value(field, row[field.name]) for field in fields}
    return {name: value for name, value in values.items() if value is not None}


def with_json(field: Field, value: Any) -> Any:
    """The same value, but text in JSON columns is JSON, spread over lines."""
    if value is None:
        return None
    if field.mode == "REPEATED":
        return [with_json(replace(field, mode="NULLABLE"), item) for item in value]
    if field.type == "STRUCT":
        return {child.name: with_json(child, value[child.name]) for child in field.fields}
    return json.dumps({"text": value}, indent=1) if field.type == "JSON" else value


@st.composite
def tables(draw: st.DrawFn) -> tuple[tuple[Field, ...], list[dict], pa.RecordBatch]:
    """Schema, rows, and the batch that holds them: a slice of a larger one."""
    fields = draw(schemas())
    rows = [{field.name: with_json(field, row[field.name]) for field in fields} for row in draw(rows_of(fields))]
    first = draw(st.integers(0, len(rows)))
    return fields, rows[first:], as_batch(fields, rows).slice(first)


def lines_of(field: Field, *values: Any) -> list[str]:
    batch = as_batch((field,), [{field.name: value} for value in values])
    return file_of(JsonlFormat(fields=(field,)), batch).decode().split("\n")[:-1]


@unhurried
@given(tables())
def test_a_json_reader_gets_back_every_row(table: tuple[tuple[Field, ...], list[dict], pa.RecordBatch]) -> None:
    fields, rows, batch = table
    data = file_of(JsonlFormat(fields=fields, block_bytes=100), batch)
    lines = data.decode().split("\n")
    assert lines.pop() == ""
    assert [json.loads(line) for line in lines] == [plain_row(fields, row) for row in rows]


@unhurried
@given(tables(), st.integers(0, 20))
def test_blocks_in_any_grouping_make_files_of_the_same_rows(
    table: tuple[tuple[Field, ...], list[dict], pa.RecordBatch], cut: int
) -> None:
    fields, rows, batch = table
    format_ = JsonlFormat(fields=fields, max_rows=3, block_bytes=100)
    blocks = list(format_.encoder().blocks(batch))
    assert sum(block.rows for block in blocks) == len(rows)
    assert all(0 < block.rows <= 3 for block in blocks)
    assert assembled(format_, blocks[:cut]) + assembled(format_, blocks[cut:]) == assembled(format_, blocks)


TEXT = Field(name="x", type="STRING")
DATES = Field(name="x", type="RANGE", range_element="DATE")
EXPECTED = [
    (Field(name="x", type="INT64"), 2**63 - 1, '{"x":"9223372036854775807"}'),
    (Field(name="x", type="FLOAT64"), 1.0, '{"x":1}'),
    (Field(name="x", type="FLOAT64"), 1e20, '{"x":1e+20}'),
    (Field(name="x", type="FLOAT64"), -math.inf, '{"x":"-Infinity"}'),
    (Field(name="x", type="BOOL"), True, '{"x":true}'),
    (Field(name="x", type="BYTES"), b"\x00\xff", '{"x":"AP8="}'),
    (TEXT, 'a<b>&"c"\\\n\t\x01é', '{"x":"a\\u003cb\\u003e\\u0026\\"c\\"\\\\\\n\\t\\u0001é"}'),
    (TEXT, "", '{"x":""}'),
    (TEXT, None, "{}"),
    (Field(name="x", type="JSON"), '{"a":\n[1]}', '{"x":{"a": [1]}}'),
    (Field(name="x", type="JSON"), "null", '{"x":null}'),
    (Field(name="x", type="INT64", mode="REPEATED"), [], '{"x":[]}'),
    (Field(name="x", type="INT64", mode="REPEATED"), [1, 2], '{"x":["1","2"]}'),
    (Field(name="x", type="STRING", mode="REPEATED"), ["", "a"], '{"x":["","a"]}'),
    (
        Field(name="x", type="STRUCT", fields=(Field(name="a", type="INT64"), Field(name="b", type="STRING"))),
        {"a": None, "b": "c"},
        '{"x":{"b":"c"}}',
    ),
    (
        Field(name="x", type="RANGE", range_element="DATE"),
        {"start": None, "end": None},
        '{"x":{"start":null,"end":null}}',
    ),
    (Field(name='odd "name"', type="INT64"), 1, '{"odd \\"name\\"":"1"}'),
]


@pytest.mark.parametrize(("field", "value", "line"), EXPECTED)
def test_lines_look_as_bigquery_writes_them(field: Field, value: Any, line: str) -> None:
    assert lines_of(field, value) == [line]


def test_a_null_is_left_out_wherever_it_stands() -> None:
    fields = tuple(Field(name=name, type="INT64") for name in "abc")
    rows = [(None, 2, 3), (1, None, 3), (1, 2, None), (None, None, None)]
    batch = as_batch(fields, [dict(zip("abc", row, strict=True)) for row in rows])
    assert file_of(JsonlFormat(fields=fields), batch).decode().splitlines() == [
        '{"b":"2","c":"3"}',
        '{"a":"1","c":"3"}',
        '{"a":"1","b":"2"}',
        "{}",
    ]


def test_a_format_is_picklable_and_a_file_without_rows_empty() -> None:
    format_ = JsonlFormat(fields=(Field(name="x", type="INT64"),))
    assert pickle.loads(pickle.dumps(format_)) == format_
    assert file_of(format_) == b""
