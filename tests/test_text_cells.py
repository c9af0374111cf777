"""Text of columns, held against a plain printing of each value."""

from __future__ import annotations

import base64
import datetime as dt
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.avro_rows import SCALARS, values
from wharf.formats.avro import interval_text
from wharf.formats.avro_schema import arrow_type, range_fields
from wharf.formats.text_cells import text_cells
from wharf.model.schema import Field

unhurried = settings(deadline=None, max_examples=200)


def clock(value: dt.datetime | dt.time) -> str:
    fraction = f".{value.microsecond:06d}".removesuffix("000") if value.microsecond else ""
    return f"{value.hour:02}:{value.minute:02}:{value.second:02}{fraction}"


def plain_text(field: Field, value: Any) -> str:
    """One value as BigQuery prints it, in plain Python."""
    if field.type == "FLOAT64":
        short = f"{value or 0.0:.15g}"
        return short if float(short) == value or value != value else _longer(value)
    if field.type in {"NUMERIC", "BIGNUMERIC"}:
        text = f"{value:f}"
        text = text.rstrip("0").rstrip(".") if "." in text else text
        return "0" if text == "-0" else text
    if field.type == "RANGE":
        start, end = (
            "UNBOUNDED" if value[end.name] is None else plain_text(end, value[end.name]) for end in range_fields(field)
        )
        return f"[{start}, {end})"
    if field.type in {"DATETIME", "TIMESTAMP"}:
        date = f"{value.year:04}-{value.month:02}-{value.day:02}"
        return f"{date}T{clock(value)}" if field.type == "DATETIME" else f"{date} {clock(value)} UTC"
    return {
        "BOOL": lambda: str(value).lower(),
        "BYTES": lambda: base64.b64encode(value).decode(),
        "DATE": lambda: f"{value.year:04}-{value.month:02}-{value.day:02}",
        "TIME": lambda: clock(value),
        "INTERVAL": lambda: interval_text(value),
    }.get(field.type, lambda: str(value))()


def _longer(value: float) -> str:
    text = f"{value:.16g}"
    return text if float(text) == value else f"{value:.17g}"


@st.composite
def columns(draw: st.DrawFn) -> tuple[Field, list[Any], pa.Array]:
    """A column, its values, and the array of them: a slice of a longer one."""
    field = draw(st.sampled_from(SCALARS))
    cells = draw(st.lists(st.none() | values(field), max_size=12))
    first = draw(st.integers(0, len(cells)))
    last = draw(st.integers(first, len(cells)))
    return field, cells[first:last], pa.array(cells, arrow_type(field))[first:last]


@unhurried
@given(columns())
def test_every_type_prints_as_its_plain_reference_does(case: tuple[Field, list[Any], pa.Array]) -> None:
    field, cells, array = case
    text = text_cells(field, array)
    text.validate(full=True)
    assert text.type == pa.string()
    assert text.to_pylist() == [None if value is None else plain_text(field, value) for value in cells]


@unhurried
@given(st.lists(st.floats(allow_nan=False), min_size=1), st.sampled_from((1.0, 1e-6, 1e8)))
def test_floats_read_back_as_the_same_numbers(numbers: list[float], scale: float) -> None:
    numbers = [number * scale for number in numbers]
    text = text_cells(Field(name="x", type="FLOAT64"), pa.array(numbers, pa.float64())).to_pylist()
    assert [float(cell) for cell in text] == numbers


NUMBERS = [
    (1.0, "1"),
    (-0.0, "0"),
    (0.1, "0.1"),
    (100000.0, "100000"),
    (0.0001, "0.0001"),
    (0.00001, "1e-05"),
    (123456789012345.0, "123456789012345"),
    (1e15, "1e+15"),
    (1e20, "1e+20"),
    (0.1 + 0.2, "0.30000000000000004"),
    (float("inf"), "inf"),
    (float("-inf"), "-inf"),
    (float("nan"), "nan"),
]


@pytest.mark.parametrize(("number", "text"), NUMBERS)
def test_floats_are_spelled_as_bigquery_spells_them(number: float, text: str) -> None:
    assert text_cells(Field(name="x", type="FLOAT64"), pa.array([number])).to_pylist() == [text]


DECIMALS = ["0", "1", "-1", "100", "0.5", "-0.000000001", "0.0000001", "12345678901234567890123456789.123456789"]


@pytest.mark.parametrize("text", DECIMALS)
def test_decimals_have_no_exponent_and_no_trailing_zeros(text: str) -> None:
    for name in ("NUMERIC", "BIGNUMERIC"):
        field = Field(name="x", type=name)
        assert text_cells(field, pa.array([Decimal(text)], arrow_type(field))).to_pylist() == [text]


def test_a_decimal_without_fraction_keeps_its_zeros() -> None:
    field = Field(name="x", type="NUMERIC", precision=5, scale=0)
    assert text_cells(field, pa.array([Decimal(100)], arrow_type(field))).to_pylist() == ["100"]


TIMES = [
    ("TIMESTAMP", dt.datetime(2025, 3, 1, tzinfo=dt.UTC), "2025-03-01 00:00:00 UTC"),
    ("TIMESTAMP", dt.datetime(1969, 12, 31, 23, 59, 59, 500_000, tzinfo=dt.UTC), "1969-12-31 23:59:59.500 UTC"),
    ("TIMESTAMP", dt.datetime(1, 1, 1, tzinfo=dt.UTC), "0001-01-01 00:00:00 UTC"),
    ("TIMESTAMP", dt.datetime.max.replace(tzinfo=dt.UTC), "9999-12-31 23:59:59.999999 UTC"),
    ("DATETIME", dt.datetime(2024, 2, 29, 1, 2, 3, 40), "2024-02-29T01:02:03.000040"),
    ("DATE", dt.date(1, 1, 1), "0001-01-01"),
    ("TIME", dt.time(23, 59, 59, 1_000), "23:59:59.001"),
]


@pytest.mark.parametrize(("name", "value", "text"), TIMES)
def test_times_have_a_fraction_only_where_there_is_one(name: str, value: Any, text: str) -> None:
    field = Field(name="x", type=name)
    assert text_cells(field, pa.array([value], arrow_type(field))).to_pylist() == [text]


def test_a_range_without_an_end_is_unbounded() -> None:
    field = Field(name="x", type="RANGE", range_element="DATE")
    cells = [{"start": dt.date(2025, 3, 1), "end": None}, None, {"start": None, "end": None}]
    text = text_cells(field, pa.array(cells, arrow_type(field)))
    assert text.to_pylist() == ["[2025-03-01, UNBOUNDED)", None, "[UNBOUNDED, UNBOUNDED)"]


def test_a_struct_has_no_text() -> None:
    field = Field(name="pair", type="STRUCT", fields=(Field(name="a", type="INT64"),))
    with pytest.raises(ValueError, match="'pair' of type STRUCT"):
        text_cells(field, pa.array([{"a": 1}], arrow_type(field)))
