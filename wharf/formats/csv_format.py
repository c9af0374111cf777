"""Arrow RecordBatches -> CSV files as RFC 4180 describes them; values print as `text_cells` says.

Each column becomes an array of text, quoted where a look at its whole content says that some cell needs it; then
Arrow joins the columns row by row. No Python code runs for a cell, short of the rare ones.

A null prints the null marker and is never quoted; a string that is equal to the marker always is. So the two are
told apart, by readers that look at quotes. Two things differ where the marker is nothing:

- In a file of one column the line of a null would be empty, and readers skip those. It is `""` there, like that of an
  empty string.
- With `quoting` none, an empty string and a null look alike.

Lines end with CR LF, the last one too. Text is UTF-8 without a byte order mark.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, reduce

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wharf.formats.assembler import Concatenation
from wharf.formats.block import Block, canonical_batch, pieces, text_blocks
from wharf.formats.text_cells import NUMERIC_TYPES, content, joined, text_cells, text_offsets
from wharf.model.errors import UsageError
from wharf.model.schema import Field

QUOTINGS = ("minimal", "all", "nonnumeric", "none")
_LINE_END = "\r\n"
_SPECIAL = '"\r\n'
_MAY_BE_EMPTY = frozenset({"STRING", "BYTES", "JSON", "GEOGRAPHY"})


@dataclass(frozen=True, kw_only=True)
class CsvFormat:
    """What all CSV files of one export share; picklable.

    Raises: UsageError for options that contradict each other, or a column that CSV cannot hold.
    """

    export_name: str
    fields: tuple[Field, ...]
    delimiter: str = ","
    header: bool = True
    quoting: str = "minimal"
    null_marker: str = ""
    max_rows: int = 0
    block_bytes: int = 1 << 20

    def __post_init__(self) -> None:
        if mistake := self._mistake():
            raise UsageError(f"export {self.export_name}: {mistake}")
        _ = self.first_line  # refuses a name that may not be quoted

    @property
    def extension(self) -> str:
        return "csv"

    @cached_property
    def first_line(self) -> bytes:
        """The names of the columns, or nothing."""
        if not self.header:
            return b""
        names = [self.quoted(Field(name=field.name, type="STRING"), pa.array([field.name])) for field in self.fields]
        return (self.delimiter.join(name[0].as_py() for name in names) + _LINE_END).encode()

    def encoder(self) -> CsvEncoder:
        return CsvEncoder(self)

    def assembler(self) -> Concatenation:
        return Concatenation(self.first_line)

    def quoted(self, field: Field, cells: pa.Array) -> pa.Array:
        """`cells` with quotes where they must have them.

        Raises: UsageError where they must not.
        """
        if self.quoting == "all" or (self.quoting == "nonnumeric" and field.type not in NUMERIC_TYPES):
            return _in_quotes(cells)
        needy = self._needy(field, cells)
        if needy is None:
            return cells
        if self.quoting == "none":
            raise UsageError(
                f"export {self.export_name}: column {field.name!r} holds the delimiter, a quote, a line end, the null"
                " marker or, as the only column, nothing, and quoting is none: set quoting to minimal, or another"
                " delimiter or null_marker"
            )
        return pc.replace_with_mask(cells, needy, _in_quotes(cells.filter(needy)))

    def _needy(self, field: Field, cells: pa.Array) -> pa.Array | None:
        """Which cells need quotes; None where none does."""
        text = content(cells)
        special = _SPECIAL + self.delimiter
        masks = []
        if any(character.encode() in text for character in special):
            masks.append(pc.match_substring_regex(cells, _one_of(special)))
        if self.null_marker and self.null_marker.encode() in text:
            masks.append(pc.equal(cells, self.null_marker))
        if self._empty_is_quoted and field.type in _MAY_BE_EMPTY and _has_empty(cells):
            masks.append(pc.equal(cells, ""))
        needy = reduce(pc.or_, masks) if masks else None
        return pc.fill_null(needy, False) if needy is not None and needy.true_count else None

    @property
    def _empty_is_quoted(self) -> bool:
        # In a file of one column it would be an empty line.
        return len(self.fields) == 1 or (not self.null_marker and self.quoting != "none")

    def _mistake(self) -> str:
        if self.quoting not in QUOTINGS:
            return f"quoting {self.quoting!r} is none of {', '.join(QUOTINGS)}"
        if len(self.delimiter) != 1 or self.delimiter in _SPECIAL + "\0":
            return f"delimiter {self.delimiter!r} is not one character other than a quote or a line end"
        if any(character in self.null_marker for character in _SPECIAL + self.delimiter):
            return f"null_marker {self.null_marker!r} holds the delimiter, a quote or a line end"
        if self.quoting == "none" and len(self.fields) == 1 and not self.null_marker:
            return "a null in the only column would be an empty line, and quoting is none: set null_marker"
        nested = [field.name for field in self.fields if field.mode == "REPEATED" or field.type == "STRUCT"]
        if nested:
            return (
                f"column {nested[0]!r} is nested or repeated, which CSV cannot hold: set format to jsonl, avro or"
                " parquet, or leave it out with columns"
            )
        return ""


@dataclass
class CsvEncoder:
    """Encodes batches as lines of CSV."""

    format: CsvFormat

    def blocks(self, batch: pa.RecordBatch) -> Iterator[Block]:
        """Rows of `batch` in their order -> blocks.

        Raises: UsageError for text that needs quotes which it must not have.
        """
        form = self.format
        fields = form.fields
        null = form.null_marker or ('""' if len(fields) == 1 else "")
        row_bytes = len(fields) * len(null)
        for piece in pieces(canonical_batch(batch, fields), row_bytes=row_bytes, max_rows=form.max_rows):
            cells = (
                form.quoted(*column) for column in zip(fields, map(text_cells, fields, piece.columns), strict=True)
            )
            lines = pc.binary_join_element_wise(*cells, form.delimiter, null_handling="replace", null_replacement=null)
            yield from text_blocks(lines, _LINE_END, block_bytes=form.block_bytes, max_rows=form.max_rows)


def _in_quotes(cells: pa.Array) -> pa.Array:
    if b'"' in content(cells):
        cells = pc.replace_substring(cells, '"', '""')
    return joined('"', cells, '"')


def _has_empty(cells: pa.Array) -> bool:
    """Whether a text, or what stands for a null, is empty."""
    return bool(len(cells)) and not np.diff(text_offsets(cells)).all()


def _one_of(characters: str) -> str:
    """A regular expression."""
    return "[" + "".join(f"\\{character}" if character in "\\]^-[" else character for character in characters) + "]"
