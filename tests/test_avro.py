"""The Avro encoder, held against fastavro: same values read back, same bytes written."""

from __future__ import annotations

import datetime as dt
import io
from decimal import Decimal
from typing import Any

import fastavro
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.avro_rows import SCALARS, as_batch, as_read, as_written, comparable, rows_of, schemas, without_logical_types
from wharf.formats.avro import AvroEncoder, AvroFormat, Block, _Plan, interval_text
from wharf.formats.avro_schema import arrow_type
from wharf.model.schema import Field

# Compiling the kernel counts as the first example's time.
unhurried = settings(deadline=None, max_examples=150)


@st.composite
def cases(draw: st.DrawFn) -> tuple[tuple[Field, ...], list[dict], pa.RecordBatch, np.ndarray, np.ndarray]:
    """Schema, rows, the batch that holds them (a slice of a larger one), a row order and group bounds."""
    fields = draw(schemas())
    rows = draw(rows_of(fields))
    first = draw(st.integers(0, len(rows)))
    batch, rows = as_batch(fields, rows).slice(first), rows[first:]
    order = draw(st.permutations(range(len(rows))))
    cuts = sorted(draw(st.lists(st.integers(0, len(rows)), max_size=3)))
    return fields, rows, batch, np.array(order, np.int64), np.array([0, *cuts, len(rows)], np.int64)


def everything(batch: pa.RecordBatch) -> tuple[np.ndarray, np.ndarray]:
    """All rows as they come, in one group."""
    return np.arange(len(batch)), np.array([0, len(batch)])


def read(format_: AvroFormat, blocks: list[Block]) -> list[Any]:
    return list(fastavro.reader(io.BytesIO(format_.header + b"".join(block.data for block in blocks))))


def content(block: Block) -> bytes:
    """What an uncompressed block holds between its two counts and its sync marker."""
    data = io.BytesIO(block.data)
    assert fastavro.schemaless_reader(data, "long", None) == block.rows
    length = fastavro.schemaless_reader(data, "long", None)
    assert len(block.data) == data.tell() + length + 16
    return data.read(length)


def encoded(field: Field, array: pa.Array) -> list[Any]:
    """A single column, encoded and read back."""
    format_ = AvroFormat(name="t", fields=(field,))
    batch = pa.RecordBatch.from_arrays([array], names=[field.name])
    return [row[field.name] for row in read(format_, list(AvroEncoder(format_).blocks(batch, *everything(batch))))]


@unhurried
@given(cases(), st.sampled_from(("snappy", "deflate", "zstandard", "null")), st.sampled_from((1, 64, 1 << 20)))
def test_fastavro_reads_back_what_was_encoded(case: Any, codec: str, block_bytes: int) -> None:
    """Any schema, any rows, any order, any groups, any codec."""
    fields, rows, batch, order, bounds = case
    format_ = AvroFormat(name="t", fields=fields, codec=codec)
    blocks = list(AvroEncoder(format_, block_bytes).blocks(batch, order, bounds))
    found = read(format_, blocks)
    assert comparable(found) == comparable([as_read(fields, rows[row]) for row in order])
    for group in range(len(bounds) - 1):
        assert sum(block.rows for block in blocks if block.group == group) == bounds[group + 1] - bounds[group]
    assert [block.group for block in blocks] == sorted(block.group for block in blocks)


@unhurried
@given(cases())
def test_the_bytes_are_those_fastavro_writes(case: Any) -> None:
    """fastavro gets primitive values: for decimals such as -128 it writes a byte more than the sign needs."""
    fields, rows, batch, order, bounds = case
    format_ = AvroFormat(name="t", fields=fields, codec="null")
    schema = fastavro.parse_schema(without_logical_types(format_.schema))
    expected = io.BytesIO()
    for row in order:
        fastavro.schemaless_writer(expected, schema, as_written(fields, rows[row]))
    assert b"".join(map(content, AvroEncoder(format_).blocks(batch, order, bounds))) == expected.getvalue()


EXTREMES: dict[str, list[Any]] = {
    "INT64": [-(2**63), 2**63 - 1],
    "FLOAT64": [float("-inf")],
    "BOOL": [True],
    "DATE": [dt.date.min, dt.date.max],
    "DATETIME": [dt.datetime.fromisoformat("9999-12-31T23:59:59.999999")],
    "TIME": [dt.time.max],
    "TIMESTAMP": [dt.datetime.min.replace(tzinfo=dt.UTC), dt.datetime.max.replace(tzinfo=dt.UTC)],
    "BYTES": [b"", b"\xff" * 100],
    "INTERVAL": [pa.MonthDayNano([-120_000, -3_660_000, -(2**63) + 1000])],
    "RANGE": [{"start": None, "end": None}],
}


def worst(field: Field) -> list[Any]:
    if field.type in {"NUMERIC", "BIGNUMERIC"}:
        digits = min(field.precision or 76, 76 if field.type == "BIGNUMERIC" else 38)
        scale = (field.scale or 0) if field.precision else {"NUMERIC": 9, "BIGNUMERIC": 38}[field.type]
        return [Decimal((sign, (9,) * digits, -scale)) for sign in (0, 1)]
    if field.type == "RANGE":
        ends = EXTREMES[field.range_element]
        return [{"start": ends[0], "end": ends[-1]}]
    return EXTREMES.get(field.type, ["", "ÅÄÖ" * 50])


@pytest.mark.parametrize("field", SCALARS, ids=lambda field: f"{field.type}{field.precision or field.range_element}")
@pytest.mark.parametrize("shape", ["NULLABLE", "REPEATED", "STRUCT", "REPEATED STRUCT"])
def test_the_buffer_holds_the_largest_values(field: Field, shape: str) -> None:
    """The kernel writes without looking where the buffer ends, so the plan must never promise too little."""
    mode = "REPEATED" if shape.startswith("REPEATED") else "NULLABLE"
    inner = Field(name="x", type=field.type, precision=field.precision, scale=field.scale,
                  range_element=field.range_element, mode="NULLABLE" if "STRUCT" in shape else mode)  # fmt: skip
    column = Field(name="c", type="STRUCT", mode=mode, fields=(inner,)) if "STRUCT" in shape else inner
    values = [{"x": value} for value in worst(field)] if "STRUCT" in shape else worst(field)
    for copies in (1, 7, 40):
        array = pa.array([values * copies] * copies if mode == "REPEATED" else values * copies, arrow_type(column))
        assert_fits((column,), pa.RecordBatch.from_arrays([array], names=[column.name]))


@unhurried
@given(cases())
def test_the_buffer_holds_any_rows(case: Any) -> None:
    assert_fits(case[0], case[2])


def assert_fits(fields: tuple[Field, ...], batch: pa.RecordBatch) -> None:
    plan = _Plan()
    for _ in fields:
        plan.reserve()
    for at, field in enumerate(fields):
        plan.add(at, field, batch.column(field.name))
    table, _ = AvroEncoder(AvroFormat(name="t", fields=fields)).encode(batch, *everything(batch))
    assert max(table[:, 3], default=0) <= plan.bytes


def test_blocks_end_at_the_first_row_past_their_size_and_at_their_group() -> None:
    """Ten rows of four bytes: three to a block of ten bytes, and none across two groups."""
    field = Field(name="s", type="STRING", mode="REQUIRED")
    format_ = AvroFormat(name="t", fields=(field,), codec="null")
    batch = pa.RecordBatch.from_arrays([pa.array(["abc"] * 10)], names=["s"])
    blocks = list(AvroEncoder(format_, 10).blocks(batch, np.arange(10), np.array([0, 7, 7, 10])))
    assert [(block.group, block.rows, len(content(block))) for block in blocks] == [
        (0, 3, 12), (0, 3, 12), (0, 1, 4), (2, 3, 12),
    ]  # fmt: skip


@unhurried
@given(cases(), st.sampled_from((1, 64, 1 << 20)))
def test_rows_that_lie_in_their_order_make_the_same_blocks_without_one(case: Any, block_bytes: int) -> None:
    fields, _, batch, _, _ = case
    format_ = AvroFormat(name="t", fields=fields)
    order, bounds = everything(batch)
    assert list(AvroEncoder(format_, block_bytes).blocks(batch, None, bounds)) == list(
        AvroEncoder(format_, block_bytes).blocks(batch, order, bounds)
    )


def test_an_encoder_may_be_used_again_for_larger_and_smaller_batches() -> None:
    format_ = AvroFormat(name="t", fields=(Field(name="s", type="STRING"),))
    encoder = AvroEncoder(format_)
    for texts in (["a"], ["b" * 1000] * 50, [], [None, "ö"]):
        batch = pa.RecordBatch.from_arrays([pa.array(texts, pa.string())], names=["s"])
        for order, bounds in (everything(batch), (None, everything(batch)[1])):
            assert [row["s"] for row in read(format_, list(encoder.blocks(batch, order, bounds)))] == texts


@pytest.mark.parametrize(
    "field",
    [
        Field(name="bad", type="INT64", mode="REQUIRED"),
        Field(name="bad", type="INTERVAL", mode="REQUIRED"),
        Field(name="bad", type="STRUCT", mode="REQUIRED", fields=(Field(name="x", type="BOOL"),)),
    ],
    ids=lambda field: field.type,
)
def test_a_null_in_a_required_column_is_refused_by_name(field: Field) -> None:
    format_ = AvroFormat(name="t", fields=(Field(name="good", type="INT64"), field))
    batch = pa.RecordBatch.from_arrays([pa.array([1]), pa.nulls(1, arrow_type(field))], names=["good", "bad"])
    with pytest.raises(ValueError, match="'bad' is REQUIRED"):
        AvroEncoder(format_).encode(batch, *everything(batch))


@pytest.mark.parametrize("type_", ["INT64", "STRING", "INTERVAL"])
def test_a_null_inside_an_array_is_refused(type_: str) -> None:
    """BigQuery writes none into tables, and Avro has no place for one."""
    field = Field(name="bad", type=type_, mode="REPEATED")
    format_ = AvroFormat(name="t", fields=(field,))
    batch = pa.RecordBatch.from_arrays([pa.array([[None]], arrow_type(field))], names=["bad"])
    with pytest.raises(ValueError, match="'bad'"):
        AvroEncoder(format_).encode(batch, *everything(batch))


@pytest.mark.parametrize("type_", ["INT64", "INTERVAL"])
def test_a_required_field_of_a_null_struct_is_no_error(type_: str) -> None:
    inner = Field(name="x", type=type_, mode="REQUIRED")
    field = Field(name="s", type="STRUCT", fields=(inner,))
    assert encoded(field, pa.nulls(2, arrow_type(field))) == [None, None]


def test_list_values_may_start_anywhere_in_their_buffers() -> None:
    values = pa.array([None, 1, 2, 3, 4], pa.int64()).slice(1)
    array = pa.ListArray.from_arrays(pa.array([0, 1, 1, 4], pa.int32()), values)
    assert encoded(Field(name="a", type="INT64", mode="REPEATED"), array.slice(1)) == [[], [2, 3, 4]]


@pytest.mark.parametrize(
    ("interval", "text"),
    [
        ((0, 0, 0), "0-0 0 0:0:0"),
        ((14, 3, 14_706_789_999_000), "1-2 3 4:5:6.789999"),
        ((-14, -3, -14_706_500_000_000), "-1-2 -3 -4:5:6.500"),
        ((-1, 3, 1_000), "-0-1 3 0:0:0.000001"),
        ((0, 0, 360_000_000_000_000), "0-0 0 100:0:0"),
    ],
)
def test_intervals_are_spelled_as_bigquery_spells_them(interval: tuple[int, int, int], text: str) -> None:
    assert interval_text(interval) == text


def test_formats_that_differ_have_different_sync_markers() -> None:
    """Blocks can only be gathered under a header whose marker they carry."""
    fields = (Field(name="a", type="INT64"),)
    formats = [
        AvroFormat(name="t", fields=fields),
        AvroFormat(name="u", fields=fields),
        AvroFormat(name="t", fields=fields, codec="null"),
        AvroFormat(name="t", fields=fields, metadata=(("wharf.version", "1"),)),
    ]
    assert len({format_.sync for format_ in formats}) == len(formats)
    assert AvroFormat(name="t", fields=fields).sync == formats[0].sync


def test_the_header_carries_schema_codec_and_metadata() -> None:
    format_ = AvroFormat(name="Mätwerte", fields=(Field(name="a", type="INT64", description="ÅÄÖ"),), codec="null",
                         metadata=(("wharf.version", "1"),))  # fmt: skip
    reader = fastavro.reader(io.BytesIO(format_.header))
    assert reader.metadata["avro.codec"] == "null"
    assert reader.metadata["wharf.version"] == "1"
    assert reader.writer_schema["fields"][0]["doc"] == "ÅÄÖ"
    assert list(reader) == []
