"""BigQuery schemas as Avro schemas, and Arrow arrays made to fit them."""

from __future__ import annotations

import datetime as dt
import io
from decimal import Decimal
from importlib.util import find_spec
from typing import Any

import fastavro
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given

from tests.avro_rows import SCALARS, schemas
from wharf.formats.arrow import canonical
from wharf.formats.avro import AvroEncoder, AvroFormat
from wharf.formats.avro_schema import arrow_type, record_schema
from wharf.model.errors import UsageError
from wharf.model.schema import Field


def schema_of(*fields: Field, name: str = "t", doc: str = "") -> dict[str, Any]:
    schema = record_schema(name, fields, doc=doc)
    fastavro.parse_schema(schema)
    return schema


def type_of(field: Field) -> Any:
    return schema_of(field)["fields"][0]["type"]


@given(schemas(depth=3))
def test_fastavro_accepts_the_schema_of_any_table(fields: tuple[Field, ...]) -> None:
    schema_of(*fields)


@pytest.mark.parametrize(
    ("type_", "expected"),
    [
        ("INT64", "long"),
        ("FLOAT64", "double"),
        ("BOOL", "boolean"),
        ("STRING", "string"),
        ("BYTES", "bytes"),
        ("DATE", {"type": "int", "logicalType": "date"}),
        ("TIME", {"type": "long", "logicalType": "time-micros"}),
        ("TIMESTAMP", {"type": "long", "logicalType": "timestamp-micros"}),
        ("DATETIME", {"type": "string", "logicalType": "datetime"}),
        ("NUMERIC", {"type": "bytes", "logicalType": "decimal", "precision": 38, "scale": 9}),
        ("BIGNUMERIC", {"type": "bytes", "logicalType": "decimal", "precision": 77, "scale": 38}),
        ("GEOGRAPHY", {"type": "string", "sqlType": "GEOGRAPHY"}),
        ("JSON", {"type": "string", "sqlType": "JSON"}),
        ("INTERVAL", {"type": "string", "sqlType": "INTERVAL"}),
    ],
)
def test_types_are_those_of_bigquerys_own_export(type_: str, expected: Any) -> None:
    assert type_of(Field(name="a", type=type_, mode="REQUIRED")) == expected
    assert type_of(Field(name="a", type=type_)) == ["null", expected]
    assert type_of(Field(name="a", type=type_, mode="REPEATED")) == {"type": "array", "items": expected}


def test_parameterised_decimals_keep_precision_and_scale() -> None:
    field = Field(name="a", type="NUMERIC", mode="REQUIRED", precision=5)
    assert type_of(field) == {"type": "bytes", "logicalType": "decimal", "precision": 5, "scale": 0}


def test_docs_come_from_descriptions() -> None:
    described = Field(name="a", type="INT64", description="Ä unit: °C")
    schema = schema_of(described, Field(name="b", type="INT64"), doc="All of it")
    assert schema["doc"] == "All of it"
    assert [field.get("doc") for field in schema["fields"]] == ["Ä unit: °C", None]


@pytest.mark.parametrize(
    ("name", "expected"), [("flights", "flights"), ("2025-03", "_2025_03"), ("ÅÄÖ", "___"), ("a.b c", "a_b_c")]
)
def test_a_tables_name_becomes_an_avro_name(name: str, expected: str) -> None:
    assert schema_of(Field(name="a", type="INT64"), name=name)["name"] == expected


@pytest.mark.parametrize("name", ["größe", "a b", "1st", "a-b"])
def test_a_flexible_column_name_is_refused_with_a_remedy(name: str) -> None:
    """Renaming it in silence would load into another column."""
    for field in (
        Field(name=name, type="INT64"),
        Field(name="s", type="STRUCT", fields=(Field(name=name, type="INT64"),)),
    ):
        with pytest.raises(UsageError, match=f"column '{name}' .*--columns"):
            schema_of(field)


@pytest.mark.parametrize(
    "field", [Field(name="a", type="FOREIGN"), Field(name="a", type="STRUCT"), Field(name="a", type="RANGE")]
)
def test_a_type_without_an_avro_form_is_refused(field: Field) -> None:
    with pytest.raises(UsageError, match=rf"column 'a' has type {field.type}"):
        schema_of(field)


def test_a_range_is_defined_once_and_referred_to_afterwards() -> None:
    """Inside structs as well: names are known in the whole file."""
    ranges = [Field(name=name, type="RANGE", mode="REQUIRED", range_element="DATE") for name in "abc"]
    schema = schema_of(ranges[0], Field(name="s", type="STRUCT", mode="REQUIRED", fields=(ranges[1],)), ranges[2])
    first, struct, last = (field["type"] for field in schema["fields"])
    assert (first["namespace"], first["name"], first["sqlType"]) == ("google.sqlType", "RANGE_DATE", "RANGE")
    assert struct["fields"][0]["type"] == last == "google.sqlType.RANGE_DATE"


def test_structs_of_one_name_do_not_collide() -> None:
    def nested(name: str, *fields: Field) -> Field:
        return Field(name=name, type="STRUCT", mode="REPEATED", fields=fields)

    leaf = Field(name="x", type="INT64")
    schema_of(nested("t", nested("t", nested("t", leaf))), nested("s", nested("t", leaf)))


@pytest.mark.parametrize("name", ["bytes", "string", "record", "null"])
def test_a_struct_never_takes_the_name_of_a_primitive_type(name: str) -> None:
    struct = type_of(Field(name=name, type="STRUCT", mode="REQUIRED", fields=(Field(name="x", type="INT64"),)))
    assert struct["name"] == name.capitalize()


@pytest.mark.parametrize("field", SCALARS, ids=lambda field: f"{field.type}{field.precision or field.range_element}")
def test_an_array_of_the_wanted_type_is_not_copied(field: Field) -> None:
    array = pa.nulls(3, arrow_type(field))
    assert canonical(array, arrow_type(field)) is array


@pytest.mark.parametrize(
    ("given_", "wanted"),
    [
        (pa.array([Decimal("1.500"), None], pa.decimal128(18, 3)), pa.decimal128(38, 9)),
        (pa.array([Decimal("1.5"), None], pa.decimal128(18, 3)), pa.decimal256(76, 38)),
        (pa.array([Decimal("1.5"), None], pa.decimal256(76, 38)), pa.decimal128(20, 5)),
        (pa.array(["ÅÄÖ", None, ""], pa.large_string()), pa.string()),
        (pa.array(["a", None, "a"]).dictionary_encode(), pa.string()),
        (pa.array([b"a", None], pa.large_binary()), pa.binary()),
        (pa.array([1, None], pa.int32()), pa.int64()),
        (pa.array([1.5, None], pa.float32()), pa.float64()),
        (pa.array([dt.time(1, 2, 3), None], pa.time32("s")), pa.time64("us")),
        (pa.array([dt.datetime(2025, 3, 1), None], pa.timestamp("ns")), pa.timestamp("us")),
        (pa.array([[1], None, [2, 3], []], pa.list_(pa.int32())), pa.list_(pa.int64())),
        (pa.array([[1], None, [2, 3], []], pa.large_list(pa.int32())), pa.list_(pa.int64())),
        (pa.array([{"a": 1}, None, {"a": None}], pa.struct({"a": pa.int32()})), pa.struct({"a": pa.int64()})),
        (
            pa.array([[{"a": [1]}, {"a": None}], None, []], pa.list_(pa.struct({"a": pa.list_(pa.int32())}))),
            pa.list_(pa.struct({"a": pa.list_(pa.int64())})),
        ),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else "",
)
def test_other_widths_become_the_documented_type(given_: pa.Array, wanted: pa.DataType) -> None:
    """Slices included: an emulator's batches are slices of larger ones."""
    for first in range(len(given_) + 1):
        made = canonical(given_.slice(first), wanted)
        assert made.type == wanted
        assert made.to_pylist() == given_.slice(first).to_pylist()


def test_a_value_that_does_not_fit_is_an_error() -> None:
    with pytest.raises(pa.ArrowInvalid):
        canonical(pa.array([Decimal("1.2345")]), pa.decimal128(5, 2))


@pytest.mark.skipif(find_spec("shapely") is None, reason="shapely is not installed")
def test_well_known_binary_becomes_well_known_text() -> None:
    point = bytes.fromhex("0101000000000000000000f03f0000000000000040")
    assert canonical(pa.array([point, None]), pa.string()).to_pylist() == ["POINT (1 2)", None]


def test_what_an_emulator_sends_is_encoded_as_what_bigquery_sends() -> None:
    fields = (Field(name="n", type="NUMERIC"), Field(name="s", type="STRING", mode="REPEATED"))
    format_ = AvroFormat(name="t", fields=fields)
    arrays = [
        pa.array([Decimal("-1.5"), None], pa.decimal128(18, 3)),
        pa.array([["a"], None], pa.large_list(pa.large_string())),
    ]
    blocks = AvroEncoder(format_).blocks(
        pa.RecordBatch.from_arrays(arrays, names=["n", "s"]), np.arange(2), np.array([0, 2])
    )
    found = list(fastavro.reader(io.BytesIO(format_.header + b"".join(block.data for block in blocks))))
    assert found == [{"n": Decimal("-1.5"), "s": ["a"]}, {"n": None, "s": []}]
