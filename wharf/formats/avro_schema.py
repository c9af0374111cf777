"""BigQuery schema -> Avro schema, as BigQuery's own Avro export writes it with logical types on.

Source: https://cloud.google.com/bigquery/docs/exporting-data#avro_export_details. Loading such a file with
`useAvroLogicalTypes` gives the same columns back.
"""

from __future__ import annotations

import re
from typing import Any

import pyarrow as pa

from wharf.model.errors import UsageError
from wharf.model.schema import Field

_AVRO_NAME = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")

_SIMPLE: dict[str, Any] = {
    "INT64": "long",
    "FLOAT64": "double",
    "BOOL": "boolean",
    "STRING": "string",
    "BYTES": "bytes",
    "DATE": {"type": "int", "logicalType": "date"},
    "TIME": {"type": "long", "logicalType": "time-micros"},
    "TIMESTAMP": {"type": "long", "logicalType": "timestamp-micros"},
    "DATETIME": {"type": "string", "logicalType": "datetime"},
    "GEOGRAPHY": {"type": "string", "sqlType": "GEOGRAPHY"},
    "JSON": {"type": "string", "sqlType": "JSON"},
    "INTERVAL": {"type": "string", "sqlType": "INTERVAL"},
}

_ARROW = {
    "INT64": pa.int64(),
    "FLOAT64": pa.float64(),
    "BOOL": pa.bool_(),
    "STRING": pa.string(),
    "BYTES": pa.binary(),
    "DATE": pa.date32(),
    "TIME": pa.time64("us"),
    "TIMESTAMP": pa.timestamp("us", tz="UTC"),
    "DATETIME": pa.timestamp("us"),
    "GEOGRAPHY": pa.string(),
    "JSON": pa.string(),
    "INTERVAL": pa.month_day_nano_interval(),
}

# (precision, scale) where the column has none of its own.
_DECIMALS = {"NUMERIC": (38, 9), "BIGNUMERIC": (77, 38)}


def record_schema(name: str, fields: tuple[Field, ...], *, doc: str = "") -> dict[str, Any]:
    """The Avro record of a table called `name`.

    Raises: UsageError for a column that Avro cannot name or hold.
    """
    root = re.sub(r"[^A-Za-z0-9_]", "_", name)
    root = root if _AVRO_NAME.match(root) else f"_{root}"
    defined: set[str] = set()
    record: dict[str, Any] = {"type": "record", "name": root}
    if doc:
        record["doc"] = doc
    return record | {"fields": [_field_schema(field, root, defined) for field in fields]}


def range_fields(field: Field) -> tuple[Field, Field]:
    """The two ends of a RANGE as fields; an unbounded end is null."""
    return (
        Field(name="start", type=field.range_element),
        Field(name="end", type=field.range_element),
    )


def decimal_parameters(field: Field) -> tuple[int, int]:
    """Precision and scale of a NUMERIC or BIGNUMERIC column."""
    if field.precision is None:
        return _DECIMALS[field.type]
    return field.precision, field.scale or 0


def arrow_type(field: Field) -> pa.DataType:
    """The Arrow type the Storage Read API gives for `field`.

    https://cloud.google.com/bigquery/docs/reference/storage#arrow_schema_details
    """
    if field.mode == "REPEATED":
        return pa.list_(_item_type(field))
    return _item_type(field)


def _item_type(field: Field) -> pa.DataType:
    if field.type in _DECIMALS:
        precision, scale = decimal_parameters(field)
        # BigQuery says BIGNUMERIC has 76.76 digits; Arrow's widest decimal has 76, in the same 32 bytes.
        return pa.decimal128(precision, scale) if precision <= 38 else pa.decimal256(min(precision, 76), scale)
    if field.type == "STRUCT":
        return pa.struct([pa.field(child.name, arrow_type(child)) for child in field.fields])
    if field.type == "RANGE":
        return pa.struct([pa.field(end.name, arrow_type(end)) for end in range_fields(field)])
    return _ARROW[field.type]


def _field_schema(field: Field, namespace: str, defined: set[str]) -> dict[str, Any]:
    if not _AVRO_NAME.match(field.name):
        raise UsageError(
            f"column {field.name!r} cannot be named in Avro (letters, digits and _ only): "
            "leave it out with --columns, or rename it with --query 'SELECT ... AS ...'"
        )
    type_ = _value_schema(field, namespace, defined)
    if field.mode == "REPEATED":
        type_ = {"type": "array", "items": type_}
    elif field.mode != "REQUIRED":
        type_ = ["null", type_]
    schema: dict[str, Any] = {"name": field.name, "type": type_}
    if field.description:
        schema["doc"] = field.description
    return schema


def _value_schema(field: Field, namespace: str, defined: set[str]) -> Any:
    if field.type in _SIMPLE:
        return _SIMPLE[field.type]
    if field.type in _DECIMALS:
        precision, scale = decimal_parameters(field)
        return {"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale}
    if field.type == "STRUCT" and field.fields:
        # The path of the column is its namespace, so that two structs of one name do not collide. The capital keeps
        # a column called `bytes` from taking a primitive type's name, which Avro forbids in any namespace.
        inner = f"{namespace}.{field.name}"
        children = [_field_schema(child, inner, defined) for child in field.fields]
        name = field.name[0].upper() + field.name[1:]
        return {"type": "record", "name": name, "namespace": namespace, "fields": children}
    if field.type == "RANGE" and field.range_element in {"DATE", "DATETIME", "TIMESTAMP"}:
        name = f"RANGE_{field.range_element}"
        if name in defined:  # Avro defines a name once and refers to it afterwards
            return f"google.sqlType.{name}"
        defined.add(name)
        ends = [_field_schema(end, namespace, defined) for end in range_fields(field)]
        return {"type": "record", "namespace": "google.sqlType", "name": name, "sqlType": "RANGE", "fields": ends}
    raise UsageError(
        f"column {field.name!r} has type {field.type}, which cannot be written as Avro: leave it out with --columns"
    )
