"""Columns -> arrays of text, each value as BigQuery prints it.

| type | text | example |
|---|---|---|
| INT64, BOOL, DATE | | `-7`, `true`, `2025-03-01` |
| FLOAT64 | shortest digits that read back as the same number; `inf`, `-inf`, `nan`; no `-0` | `1`, `0.1`, `1e+20` |
| NUMERIC, BIGNUMERIC | no exponent, no trailing zeros | `12.5`, `0` |
| STRING, JSON, GEOGRAPHY | as it is | `POINT(1 2)` |
| BYTES | base64 | `AP8=` |
| TIMESTAMP | UTC | `2025-03-01 00:00:00 UTC`, `2025-03-01 00:00:00.500 UTC` |
| DATETIME | with a `T` | `2025-03-01T00:00:00` |
| TIME | | `23:59:59.000001` |
| INTERVAL | see `interval_text` | `1-2 3 4:5:6` |
| RANGE | `[start, end)`, an end that is not there `UNBOUNDED` | `[2025-03-01, UNBOUNDED)` |

Fractions of a second are left out where there is none, else have three digits or six. Sources: BigQuery's "Exporting
table data", https://cloud.google.com/bigquery/docs/exporting-data, and "Conversion rules",
https://cloud.google.com/bigquery/docs/reference/standard-sql/conversion_functions#cast_as_string; for what they leave
open, the casts of google/zetasql (`RoundTripDoubleToString`, `NarrowTimestampScaleIfPossible`), except that it may
spend a 17th digit on a number where 16 do.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wharf.formats.avro import interval_text
from wharf.formats.avro_schema import range_fields
from wharf.formats.text_kernel import decimal_texts, time_texts, words_of
from wharf.model.schema import Field

NUMERIC_TYPES = frozenset({"INT64", "FLOAT64", "NUMERIC", "BIGNUMERIC"})

# Where Arrow prints a number without an exponent, as C's %g does.
_SMALLEST_FIXED, _LARGEST_FIXED = 1e-4, 1e10


def text_cells(field: Field, array: pa.Array) -> pa.Array:
    """Text of each value of a column that is neither REPEATED nor STRUCT; nulls stay null.

    `array` has the Arrow type `arrow_type(field)`; the answer is a pa.StringArray of its length.

    Raises: ValueError for a type without text.
    """
    if field.type in {"STRING", "JSON", "GEOGRAPHY"}:
        return array
    if field.type in {"INT64", "BOOL", "DATE"}:
        return array.cast(pa.string())
    if field.type in _TEXT_OF:
        return _TEXT_OF[field.type](array)
    if field.type == "RANGE":
        return _ranges(field, array)
    raise ValueError(f"column {field.name!r} of type {field.type} has no text")


def joined(*parts: Any) -> pa.Array:
    """Strings and arrays of text, one behind the other; null where any of them is."""
    return pc.binary_join_element_wise(*parts, "")


def content(cells: pa.Array) -> bytes:
    """All the text of a string array together."""
    values = cells.buffers()[2]
    if not len(cells) or values is None:
        return b""
    offsets = text_offsets(cells)
    return values.slice(offsets[0], offsets[-1] - offsets[0]).to_pybytes()


def text_offsets(cells: pa.Array) -> np.ndarray:
    """Where each text of a string array that is not empty begins in its value buffer, and where the last one ends."""
    return np.frombuffer(cells.buffers()[1], np.int32, len(cells) + 1, cells.offset * 4)


def _floats(array: pa.Array) -> pa.Array:
    cells = array.cast(pa.string())
    values = words_of(array).view(np.float64)
    size = np.abs(values)
    odd = np.isfinite(values) & ((size < _SMALLEST_FIXED) | (size >= _LARGEST_FIXED))
    odd &= (size > 0) | np.signbit(values)
    return _mended(cells, pa.array(odd), array, _float_text)


def _float_text(value: float) -> str:
    digits = next(digits for digits in (15, 16, 17) if float(f"{value:.{digits}g}") == value)
    return f"{value or 0.0:.{digits}g}"


def _decimals(array: pa.Array) -> pa.Array:
    if pa.types.is_decimal128(array.type) and (quick := decimal_texts(array)) is not None:
        return quick
    cells = array.cast(pa.string())
    if array.type.scale <= 0:
        return cells
    if b"E" in content(cells):  # Arrow's way with less than a millionth, and with nothing at all
        zero = pc.equal(array, pa.scalar(Decimal(0), array.type))
        cells = pc.if_else(zero, "0.0", cells)
        cells = _mended(cells, pc.match_substring(cells, "E"), array, "{:f}".format)
    return pc.ascii_rtrim(pc.ascii_rtrim(cells, "0"), ".")


def _one_by_one(text: Callable[[Any], str]) -> Callable[[pa.Array], pa.Array]:
    def cells(array: pa.Array) -> pa.Array:
        return pa.array([None if value is None else text(value) for value in array.to_pylist()], pa.string())

    return cells


def _mended(cells: pa.Array, which: pa.Array, array: pa.Array, text: Callable[[Any], str]) -> pa.Array:
    """`cells`, but those of `which` printed by `text`."""
    which = pc.fill_null(which, False)
    if not which.true_count:
        return cells
    return pc.replace_with_mask(cells, which, _one_by_one(text)(array.filter(which)))


def _ranges(field: Field, array: pa.Array) -> pa.Array:
    ends = [pc.coalesce(text_cells(end, array.field(end.name)), "UNBOUNDED") for end in range_fields(field)]
    cells = joined("[", ends[0], ", ", ends[1], ")")
    return pc.if_else(array.is_valid(), cells, None) if array.null_count else cells


_TEXT_OF: dict[str, Callable[[pa.Array], pa.Array]] = {
    "FLOAT64": _floats,
    "NUMERIC": _decimals,
    "BIGNUMERIC": _decimals,
    "BYTES": _one_by_one(lambda value: base64.b64encode(value).decode()),
    "TIMESTAMP": partial(time_texts, separator=" ", suffix=" UTC"),
    "DATETIME": partial(time_texts, separator="T"),
    "TIME": time_texts,
    "INTERVAL": _one_by_one(interval_text),
}
