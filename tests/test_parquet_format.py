"""Parquet files, read back by pyarrow and DuckDB."""

from __future__ import annotations

import io
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.avro_rows import as_batch, comparable, rows_of, schemas
from tests.test_csv_format import assembled, file_of
from wharf.formats.avro import interval_text
from wharf.formats.parquet_format import ParquetFormat
from wharf.model.schema import Field

unhurried = settings(deadline=None, max_examples=50)
NUMBER = Field(name="number", type="INT64")


def as_read(field: Field, value: Any) -> Any:
    """What a reader of Parquet answers for one value."""
    if value is None:
        return None
    if field.mode == "REPEATED":
        return [as_read(replace(field, mode="NULLABLE"), item) for item in value]
    if field.type == "STRUCT":
        return {child.name: as_read(child, value[child.name]) for child in field.fields}
    return interval_text(value) if field.type == "INTERVAL" else value


@st.composite
def tables(draw: st.DrawFn) -> tuple[tuple[Field, ...], list[dict], pa.RecordBatch]:
    """Schema, rows, and the batch that holds them: a slice of a larger one."""
    fields = draw(schemas())
    rows = draw(rows_of(fields))
    first = draw(st.integers(0, len(rows)))
    return fields, rows[first:], as_batch(fields, rows).slice(first)


@unhurried
@given(tables(), st.integers(0, 20))
def test_pyarrow_gets_back_every_row_of_blocks_in_any_grouping(
    table: tuple[tuple[Field, ...], list[dict], pa.RecordBatch], cut: int
) -> None:
    fields, rows, batch = table
    format_ = ParquetFormat(fields=fields, max_rows=3, block_bytes=200)
    blocks = list(format_.encoder().blocks(batch))
    assert all(0 < block.rows <= 3 for block in blocks)
    found = []
    for part in (blocks[:cut], blocks[cut:]):
        file = pq.read_table(io.BytesIO(assembled(format_, part)))
        assert file.num_rows == sum(block.rows for block in part)
        found += file.to_pylist()
    expected = [{field.name: as_read(field, row[field.name]) for field in fields} for row in rows]
    assert comparable(found) == comparable(expected)


TYPES = [
    ("INT64", "INT64", "None"),
    ("FLOAT64", "DOUBLE", "None"),
    ("BOOL", "BOOLEAN", "None"),
    ("STRING", "BYTE_ARRAY", "String"),
    ("JSON", "BYTE_ARRAY", "String"),
    ("GEOGRAPHY", "BYTE_ARRAY", "String"),
    ("INTERVAL", "BYTE_ARRAY", "String"),
    ("BYTES", "BYTE_ARRAY", "None"),
    ("DATE", "INT32", "Date"),
    ("NUMERIC", "FIXED_LEN_BYTE_ARRAY", "Decimal(precision=38, scale=9)"),
    ("BIGNUMERIC", "FIXED_LEN_BYTE_ARRAY", "Decimal(precision=76, scale=38)"),
    ("TIMESTAMP", "INT64", "Timestamp(isAdjustedToUTC=true, timeUnit=microseconds"),
    ("DATETIME", "INT64", "Timestamp(isAdjustedToUTC=false, timeUnit=microseconds"),
    ("TIME", "INT64", "Time("),
]


@pytest.mark.parametrize(("name", "physical", "logical"), TYPES)
def test_types_are_those_of_bigquerys_export(name: str, physical: str, logical: str) -> None:
    data = file_of(ParquetFormat(fields=(Field(name="x", type=name),)))
    column = pq.ParquetFile(io.BytesIO(data)).schema.column(0)
    assert column.physical_type == physical
    assert str(column.logical_type).startswith(logical)


@pytest.mark.parametrize(("codec", "name"), [("snappy", "SNAPPY"), ("gzip", "GZIP")])
def test_columns_are_compressed_inside_the_file(codec: str, name: str) -> None:
    format_ = ParquetFormat(fields=(NUMBER,), codec=codec)
    data = file_of(format_, as_batch((NUMBER,), [{"number": 1}]))
    assert pq.ParquetFile(io.BytesIO(data)).metadata.row_group(0).column(0).compression == name


def test_blocks_share_row_groups() -> None:
    format_ = ParquetFormat(fields=(NUMBER,), block_bytes=10_000)
    blocks = list(format_.encoder().blocks(as_batch((NUMBER,), [{"number": at} for at in range(20_000)])))
    assert len(blocks) > 10
    file = pq.ParquetFile(io.BytesIO(assembled(format_, blocks)))
    assert file.num_row_groups == 1
    assert file.read().column("number").to_pylist() == list(range(20_000))


def test_a_file_leaves_memory_row_group_by_row_group() -> None:
    format_ = ParquetFormat(fields=(NUMBER,))
    assembler = format_.assembler()
    batch = pa.record_batch({"number": pa.array(range(4_500_000), pa.int64())})
    parts = [assembler.begin(), *(assembler.add(block.data) for block in format_.encoder().blocks(batch))]
    assert any(parts[1:])
    file = pq.ParquetFile(io.BytesIO(b"".join((*parts, assembler.end()))))
    assert file.num_row_groups == 2
    assert file.metadata.num_rows == 4_500_000


def test_duckdb_reads_the_files(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    path.write_bytes(file_of(ParquetFormat(fields=(NUMBER,)), as_batch((NUMBER,), [{"number": 1}, {"number": None}])))
    with duckdb.connect() as connection:
        assert connection.execute(f"SELECT number FROM '{path}'").fetchall() == [(1,), (None,)]


def test_a_required_column_is_required_in_the_file_and_refuses_nulls() -> None:
    field = replace(NUMBER, mode="REQUIRED")
    format_ = ParquetFormat(fields=(field,))
    data = file_of(format_, as_batch((field,), [{"number": 1}]))
    assert pq.ParquetFile(io.BytesIO(data)).schema.column(0).max_definition_level == 0
    with pytest.raises(ValueError, match="column 'number' is REQUIRED"):
        file_of(format_, as_batch((field,), [{"number": None}]))


def test_a_format_is_picklable() -> None:
    format_ = ParquetFormat(fields=(NUMBER,), codec="gzip")
    assert pickle.loads(pickle.dumps(format_)) == format_
