"""Random BigQuery schemas and rows, and what Avro must make of them; the plain reference of the Avro tests.

A row is a dict of Python values. `as_batch` puts rows into Arrow, `as_read` says what an Avro reader answers for
them, `as_written` the primitive values that the specification encodes.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from wharf.formats.avro import interval_text
from wharf.formats.avro_schema import arrow_type, decimal_parameters, range_fields
from wharf.model.schema import Field

INT64 = st.integers(-(2**63), 2**63 - 1)
EPOCH = dt.datetime(1970, 1, 1)
MICROSECOND = dt.timedelta(microseconds=1)

SCALARS = (
    *(Field(name="x", type=name) for name in ("INT64", "FLOAT64", "BOOL", "STRING", "BYTES", "JSON", "GEOGRAPHY")),
    *(Field(name="x", type=name) for name in ("DATE", "DATETIME", "TIME", "TIMESTAMP", "INTERVAL")),
    *(Field(name="x", type="NUMERIC", precision=p, scale=s) for p, s in ((None, None), (5, 2), (1, 0), (38, 9))),
    *(Field(name="x", type="BIGNUMERIC", precision=p, scale=s) for p, s in ((None, None), (20, 5), (40, 3), (76, 38))),
    *(Field(name="x", type="RANGE", range_element=name) for name in ("DATE", "DATETIME", "TIMESTAMP")),
)


@st.composite
def schemas(draw: st.DrawFn, depth: int = 2) -> tuple[Field, ...]:
    """One to four columns, with structs in structs to `depth`."""
    fields = []
    for index in range(draw(st.integers(1, 4))):
        name, mode = f"c{index}", draw(st.sampled_from(("NULLABLE", "REQUIRED", "REPEATED")))
        if depth and draw(st.integers(0, 2)) == 0:
            fields.append(Field(name=name, type="STRUCT", mode=mode, fields=draw(schemas(depth - 1))))
        else:
            fields.append(replace(draw(st.sampled_from(SCALARS)), name=name, mode=mode))
    return tuple(fields)


def rows_of(fields: tuple[Field, ...]) -> st.SearchStrategy[list[dict[str, Any]]]:
    return st.lists(st.fixed_dictionaries({field.name: cells(field) for field in fields}), max_size=12)


def cells(field: Field) -> st.SearchStrategy[Any]:
    """Values of a column; a REPEATED one may be null in Arrow, though not in BigQuery."""
    value = values(field)
    if field.mode == "REPEATED":
        return st.none() | st.lists(value, max_size=4)
    return value if field.mode == "REQUIRED" else st.none() | value


def values(field: Field) -> st.SearchStrategy[Any]:
    if field.type in {"NUMERIC", "BIGNUMERIC"}:
        precision, scale = decimal_parameters(field)
        largest = 10 ** min(precision, 76) - 1
        return st.integers(-largest, largest).map(lambda unscaled: decimal(unscaled, scale))
    if field.type == "STRUCT":
        return st.fixed_dictionaries({child.name: cells(child) for child in field.fields})
    if field.type == "RANGE":
        return st.fixed_dictionaries({end.name: cells(end) for end in range_fields(field)})
    return {
        "INT64": INT64,
        "FLOAT64": st.floats(),
        "BOOL": st.booleans(),
        "BYTES": st.binary(max_size=20),
        "DATE": st.dates(),
        "DATETIME": st.datetimes(),
        "TIME": st.times(),
        "TIMESTAMP": st.datetimes(timezones=st.just(dt.UTC)),
        "INTERVAL": st.tuples(
            st.integers(-120_000, 120_000),
            st.integers(-3_660_000, 3_660_000),
            st.integers(-(2**63) // 1000 + 1, 2**63 // 1000 - 1).map(lambda micros: micros * 1000),
        ).map(pa.MonthDayNano),
    }.get(field.type, st.text(max_size=20))


def decimal(unscaled: int, scale: int) -> Decimal:
    """Exact, whatever the precision of the decimal context."""
    return Decimal((unscaled < 0, tuple(map(int, str(abs(unscaled)))), -scale))


def as_batch(fields: tuple[Field, ...], rows: list[dict[str, Any]]) -> pa.RecordBatch:
    arrays = [pa.array([row[field.name] for row in rows], arrow_type(field)) for field in fields]
    return pa.RecordBatch.from_arrays(arrays, names=[field.name for field in fields])


def as_read(fields: tuple[Field, ...], row: dict[str, Any]) -> dict[str, Any]:
    """What a reader that knows Avro's logical types answers."""
    return {field.name: _cell(field, row[field.name], _read_value) for field in fields}


def as_written(fields: tuple[Field, ...], row: dict[str, Any]) -> dict[str, Any]:
    """The same as primitive values, for a schema without logical types."""
    return {field.name: _cell(field, row[field.name], _primitive) for field in fields}


def without_logical_types(schema: Any) -> Any:
    if isinstance(schema, list):
        return [without_logical_types(branch) for branch in schema]
    if isinstance(schema, dict):
        return {key: without_logical_types(value) for key, value in schema.items() if key != "logicalType"}
    return schema


def comparable(value: Any) -> Any:
    """The same value, but NaN equals itself."""
    if isinstance(value, dict):
        return {key: comparable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [comparable(item) for item in value]
    return "NaN" if isinstance(value, float) and value != value else value


def _cell(field: Field, cell: Any, scalar: Any) -> Any:
    if field.mode == "REPEATED":
        return [_cell(replace(field, mode="REQUIRED"), item, scalar) for item in cell or ()]
    if cell is None:
        return None
    if field.type in {"STRUCT", "RANGE"}:
        children = field.fields or range_fields(field)
        return {child.name: _cell(child, cell[child.name], scalar) for child in children}
    return scalar(field, cell)


def _read_value(field: Field, value: Any) -> Any:
    if field.type == "DATETIME":
        return value.isoformat()
    return interval_text(value) if field.type == "INTERVAL" else value


def _primitive(field: Field, value: Any) -> Any:
    if field.type == "DATE":
        return (value - EPOCH.date()).days
    if field.type == "TIME":
        return (dt.datetime.combine(EPOCH, value) - EPOCH) // MICROSECOND
    if field.type == "TIMESTAMP":
        return (value - EPOCH.replace(tzinfo=dt.UTC)) // MICROSECOND
    if isinstance(value, Decimal):
        sign, digits, _ = value.as_tuple()
        unscaled = int("".join(map(str, digits))) * (-1 if sign else 1)
        return unscaled.to_bytes((unscaled + (unscaled < 0)).bit_length() // 8 + 1, "big", signed=True)
    return _read_value(field, value)
