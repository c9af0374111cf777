"""Names, types and values as GoogleSQL writes them."""

from __future__ import annotations

import datetime as dt

from wharf.model.schema import Field


def sql_type(field: Field) -> str:
    """A column's type as GoogleSQL writes it."""
    text = field.type
    if field.fields:
        text = f"STRUCT<{', '.join(f'{quoted(child.name)} {sql_type(child)}' for child in field.fields)}>"
    elif field.range_element:
        text = f"RANGE<{field.range_element}>"
    elif field.precision is not None:
        text += f"({field.precision})" if field.scale is None else f"({field.precision}, {field.scale})"
    return f"ARRAY<{text}>" if field.mode == "REPEATED" else text


def quoted(name: str) -> str:
    """A column's name in backticks."""
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def string(text: str) -> str:
    """Any text as a literal on one line."""
    for char, escaped in (("\\", "\\\\"), ("'", "\\'"), ("\n", "\\n"), ("\r", "\\r")):
        text = text.replace(char, escaped)
    return f"'{text}'"


def literal(instant: dt.datetime, type_: str) -> str:
    """A point in time, which is in UTC, as a value of a column of `type_`."""
    wall = instant.astimezone(dt.UTC).replace(tzinfo=None)
    if type_ == "DATE":
        return f"DATE '{wall.date()}'"
    if type_ == "DATETIME":
        return f"DATETIME '{wall}'"
    stamp = f"TIMESTAMP '{wall}+00:00'"
    return stamp if type_ == "TIMESTAMP" else f"CAST({stamp} AS {type_})"


def null(field: Field) -> str:
    """A NULL of a column's type."""
    return f"CAST(NULL AS {sql_type(field)})"
