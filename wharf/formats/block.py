"""Blocks: rows encoded together, from which files of any grouping are made; and how batches are cut into them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wharf.formats.arrow import canonical
from wharf.formats.assembler import Assembler
from wharf.formats.avro_schema import arrow_type
from wharf.formats.text_cells import text_offsets
from wharf.model.schema import Field

# What is worked on at once: several blocks, and little enough to stay in the processor's caches.
_PIECE_BYTES = 4 << 20
_CELL_BYTES = 8  # what a cell may take beside its Arrow buffers: a flag of one bit becomes `false,`


class Block(NamedTuple):
    """Rows encoded together. Blocks of one format can be put into files in any grouping."""

    rows: int
    data: bytes


class BlockEncoder(Protocol):
    """Encodes batches; may hold buffers, so one per thread."""

    def blocks(self, batch: pa.RecordBatch) -> Iterator[Block]:
        """All rows of `batch` in their order; use up the blocks before the next batch."""


class FileFormat(Protocol):
    """What all files of one export share: schema and options; a frozen value, picklable."""

    @property
    def extension(self) -> str:
        """What file names end with: csv, csv.gz, jsonl, jsonl.gz, parquet or avro."""

    def encoder(self) -> BlockEncoder:
        """What makes blocks of batches."""

    def assembler(self) -> Assembler:
        """What makes one file of blocks."""


def canonical_batch(batch: pa.RecordBatch, fields: tuple[Field, ...]) -> pa.RecordBatch:
    """The columns `fields` of `batch`, as the Storage Read API's documentation says they look.

    Raises: KeyError for a column that is missing; pyarrow.ArrowInvalid for a value that does not fit.
    """
    columns = [canonical(batch.column(field.name), arrow_type(field)) for field in fields]
    return pa.RecordBatch.from_arrays(columns, names=[field.name for field in fields])


def pieces(batch: pa.RecordBatch, *, row_bytes: int, max_rows: int) -> Iterator[pa.RecordBatch]:
    """Slices of `batch` of a few MB of text each; with more than `max_rows` rows, a multiple of it (0 is no bound).

    `row_bytes`: what a row takes beside its cells.
    """
    row_bytes += _CELL_BYTES * batch.num_columns + batch.nbytes // max(1, batch.num_rows)
    rows = max(1, _PIECE_BYTES // row_bytes)
    if max_rows and rows > max_rows:
        rows -= rows % max_rows
    for first in range(0, batch.num_rows, rows):
        yield batch.slice(first, rows)


def text_blocks(lines: pa.Array, line_end: str, *, block_bytes: int, max_rows: int) -> Iterator[Block]:
    """Lines without their ends -> blocks of about `block_bytes` bytes and at most `max_rows` lines (0 is no bound)."""
    if not len(lines):
        return
    end = line_end.encode()
    positions = text_offsets(lines) + np.arange(len(lines) + 1) * len(end)
    bounds = block_bounds(positions, block_bytes=block_bytes, max_rows=max_rows)
    texts = pc.binary_join(pa.ListArray.from_arrays(pa.array(bounds, pa.int32()), lines), line_end)
    content, places = memoryview(texts.buffers()[2] or b""), text_offsets(texts).tolist()
    for at, rows in enumerate(np.diff(bounds).tolist()):
        yield Block(rows, b"".join((content[places[at] : places[at + 1]], end)))


def block_bounds(positions: np.ndarray, *, block_bytes: int, max_rows: int) -> np.ndarray:
    """Row numbers at which blocks begin, and the number of rows; blocks are of even size.

    `positions`: where each row begins, and where the last one ends, in bytes. `max_rows` rows belong together, so
    that blocks fill files of so many rows.
    """
    count = len(positions) - 1
    bounds = [np.zeros(1, np.int64)]
    for first in range(0, count, max_rows or count):
        last = min(count, first + (max_rows or count))
        size = int(positions[last] - positions[first])
        blocks = max(1, round(size / block_bytes))
        targets = positions[first] + size * np.arange(1, blocks) / blocks
        bounds.append(np.clip(np.searchsorted(positions, targets), first, last))
        bounds.append(np.array([last]))
    return np.unique(np.concatenate(bounds))
