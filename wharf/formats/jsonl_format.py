"""Arrow RecordBatches -> JSON lines: one object to a line, as BigQuery's own JSON export writes them.

Values print as `text_cells` says, and become

- JSON strings, INT64, NUMERIC and BIGNUMERIC among them, so that no reader loses digits;
- numbers and true or false: FLOAT64 and BOOL; a number that JSON does not have is "NaN", "Infinity" or "-Infinity";
- what they are: JSON columns, STRUCTs as objects and REPEATED columns as arrays; RANGEs as {"start": ..., "end": ...}.

A null is left out; in an array, it is null. `<`, `>` and `&` are escaped (`\\u003c`). Lines end with LF; text is UTF-8.
Sources: BigQuery's "Exporting table data", https://cloud.google.com/bigquery/docs/exporting-data#export_limitations,
and "JSON encodings",
https://cloud.google.com/bigquery/docs/reference/standard-sql/json_functions#json_encodings. BigQuery loads such a file
with the same columns.

Each column becomes an array of text, escaped where a look at its whole content says that some cell needs it; then
Arrow joins keys and columns row by row.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wharf.formats.assembler import Concatenation
from wharf.formats.avro_schema import range_fields
from wharf.formats.block import Block, canonical_batch, pieces, text_blocks
from wharf.formats.text_cells import content, joined, text_cells
from wharf.model.schema import Field

_ESCAPES = {
    "\\": "\\\\",  # the first to be escaped
    '"': '\\"',
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    **{character: f"\\u{ord(character):04x}" for character in "<>&"},
}
_ESCAPES |= {chr(code): f"\\u{code:04x}" for code in range(0x20) if chr(code) not in _ESCAPES}
_NEEDS_ESCAPE = r'["\\<>&\x00-\x1f]'
_ESCAPED_SIGNS = tuple(sign.encode() for sign in '"\\<>&')


@dataclass(frozen=True, kw_only=True)
class JsonlFormat:
    """What all JSON lines files of one export share; picklable."""

    fields: tuple[Field, ...]
    max_rows: int = 0
    block_bytes: int = 1 << 20

    @property
    def extension(self) -> str:
        return "jsonl"

    def encoder(self) -> JsonlEncoder:
        return JsonlEncoder(self)

    def assembler(self) -> Concatenation:
        return Concatenation()


@dataclass
class JsonlEncoder:
    """Encodes batches as lines of JSON."""

    format: JsonlFormat

    def blocks(self, batch: pa.RecordBatch) -> Iterator[Block]:
        """Rows of `batch` in their order -> blocks."""
        form = self.format
        row_bytes = _key_bytes(form.fields)
        for piece in pieces(canonical_batch(batch, form.fields), row_bytes=row_bytes, max_rows=form.max_rows):
            lines = _objects(form.fields, piece.columns)
            yield from text_blocks(lines, "\n", block_bytes=form.block_bytes, max_rows=form.max_rows)


def _key_bytes(fields: Iterable[Field]) -> int:
    return sum(len(field.name) + 6 + _key_bytes(field.fields) for field in fields)


def _objects(fields: Iterable[Field], columns: Iterable[pa.Array]) -> pa.Array:
    """Text of an object for each row."""
    parts: list[pa.Array | str] = []
    first_is_there = False
    for field, column in zip(fields, columns, strict=True):
        quote, cells = _bare_values(field, column)
        if not parts:
            first_is_there = cells.null_count == 0
        before = f"{'' if not parts and first_is_there else ','}{_key(field.name)}:{quote}"
        parts += [joined(before, cells, quote)] if cells.null_count else [before, cells, quote]
    if first_is_there:
        return _side_by_side(["{", *parts, "}"])
    # Which member is the first differs from row to row: each has a comma, and what stands first loses it.
    return joined("{", pc.utf8_slice_codeunits(_side_by_side(parts), 1), "}")


def _side_by_side(parts: list[pa.Array | str]) -> pa.Array:
    """The parts of each row behind one another, nulls left out."""
    return pc.binary_join_element_wise(*_merged(parts), "", null_handling="replace", null_replacement="")


def _merged(parts: list[pa.Array | str]) -> list[pa.Array | str]:
    """`parts` with neighbouring constants in one."""
    merged: list[pa.Array | str] = [""]
    for part in parts:
        if isinstance(part, str) and isinstance(merged[-1], str):
            merged[-1] += part
        else:
            merged.append(part)
    return merged


def _values(field: Field, array: pa.Array) -> pa.Array:
    """JSON text of each value; nulls stay null."""
    quote, cells = _bare_values(field, array)
    return joined(quote, cells, quote) if quote else cells


def _bare_values(field: Field, array: pa.Array) -> tuple[str, pa.Array]:
    """JSON text of each value, but for the quotes around it: those, or nothing, are the first part of the answer."""
    if field.mode == "REPEATED":
        return "", _arrays(field, array)
    if field.type == "STRUCT":
        children = [array.field(index) for index in range(len(field.fields))]
        return "", _where_valid(array, _objects(field.fields, children))
    if field.type == "RANGE":
        start, end = (pc.coalesce(_values(end, array.field(end.name)), "null") for end in range_fields(field))
        return "", _where_valid(array, joined('{"start":', start, ',"end":', end, "}"))
    cells = text_cells(field, array)
    if field.type in {"STRING", "GEOGRAPHY"}:
        return '"', _escaped(cells)
    if field.type == "JSON":
        return "", _on_one_line(cells)
    if field.type == "FLOAT64":
        return "", _with_words(array, cells)
    return ("" if field.type == "BOOL" else '"'), cells


def _arrays(field: Field, array: pa.Array) -> pa.Array:
    items = pc.coalesce(_values(replace(field, mode="NULLABLE"), array.flatten()), "null")
    lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
    offsets = np.zeros(len(array) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    return joined("[", pc.binary_join(pa.ListArray.from_arrays(pa.array(offsets), items), ","), "]")


def _where_valid(array: pa.Array, cells: pa.Array) -> pa.Array:
    return pc.if_else(array.is_valid(), cells, None) if array.null_count else cells


def _escaped(cells: pa.Array) -> pa.Array:
    text = content(cells)
    if not any(sign in text for sign in _ESCAPED_SIGNS) and (not text or np.frombuffer(text, np.uint8).min() >= 0x20):
        return cells
    needy = pc.fill_null(pc.match_substring_regex(cells, _NEEDS_ESCAPE), False)
    escaped = cells.filter(needy)
    present = content(escaped)
    for character, escape in _ESCAPES.items():
        if character.encode() in present:
            escaped = pc.replace_substring(escaped, character, escape)
    return pc.replace_with_mask(cells, needy, escaped)


def _on_one_line(cells: pa.Array) -> pa.Array:
    """JSON without line ends, which are only ever between its parts: in its strings they are escaped."""
    text = content(cells)
    for line_end in "\r\n":
        if line_end.encode() in text:
            cells = pc.replace_substring(cells, line_end, " ")
    return cells


def _with_words(numbers: pa.Array, cells: pa.Array) -> pa.Array:
    finite = pc.fill_null(pc.is_finite(numbers), True)
    if not finite.false_count:
        return cells
    words = pc.if_else(pc.is_nan(numbers), '"NaN"', pc.if_else(pc.greater(numbers, 0), '"Infinity"', '"-Infinity"'))
    return pc.if_else(finite, cells, words)


def _key(name: str) -> str:
    return json.dumps(name, ensure_ascii=False)
