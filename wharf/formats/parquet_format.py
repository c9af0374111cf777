"""Arrow RecordBatches -> Parquet files.

A block is an Arrow IPC stream compressed with LZ4: column chunks cannot be moved between Parquet files, so that the
columns are encoded where a file is put together. Types are those of BigQuery's own Parquet export,
https://cloud.google.com/bigquery/docs/exporting-data#parquet_export_details: NUMERIC and BIGNUMERIC as decimals,
TIMESTAMP in microseconds of UTC, DATETIME in microseconds of no zone, JSON, GEOGRAPHY and INTERVAL as text, RANGE as
its two ends.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from wharf.formats.arrow import canonical
from wharf.formats.avro_schema import arrow_type
from wharf.formats.block import Block, block_bounds
from wharf.formats.text_cells import text_cells
from wharf.model.schema import Field

# In memory, before a row group is written. Readers like large ones, but each file being made holds one.
_ROW_GROUP_BYTES = 32 << 20
_IPC = pa.ipc.IpcWriteOptions(compression="lz4")


@dataclass(frozen=True, kw_only=True)
class ParquetFormat:
    """What all Parquet files of one export share; picklable. `codec` is snappy, gzip or another of Parquet's."""

    fields: tuple[Field, ...]
    codec: str = "snappy"
    max_rows: int = 0
    block_bytes: int = 1 << 20

    @property
    def extension(self) -> str:
        return "parquet"

    @cached_property
    def schema(self) -> pa.Schema:
        """The columns as they are in blocks and files."""
        return pa.schema(
            [pa.field(field.name, _file_type(field), nullable=field.mode != "REQUIRED") for field in self.fields]
        )

    def encoder(self) -> ParquetEncoder:
        return ParquetEncoder(self)

    def assembler(self) -> ParquetAssembler:
        return ParquetAssembler(self)


@dataclass
class ParquetEncoder:
    """Encodes batches as Arrow IPC streams."""

    format: ParquetFormat

    def blocks(self, batch: pa.RecordBatch) -> Iterator[Block]:
        """Rows of `batch` in their order -> blocks for a `ParquetAssembler`.

        Raises: ValueError for a null in a REQUIRED column.
        """
        if not batch.num_rows:
            return
        form = self.format
        columns = [_file_column(field, canonical(batch.column(field.name), arrow_type(field))) for field in form.fields]
        for column, wanted in zip(columns, form.schema, strict=True):
            if column.null_count and not wanted.nullable:
                raise ValueError(f"column {wanted.name!r} is REQUIRED, and holds a null")
        ready = pa.RecordBatch.from_arrays(columns, schema=form.schema)
        positions = np.arange(ready.num_rows + 1) * (ready.nbytes / ready.num_rows)
        bounds = block_bounds(positions, block_bytes=form.block_bytes, max_rows=form.max_rows).tolist()
        for first, end in pairwise(bounds):
            yield Block(end - first, _packed(ready.slice(first, end - first)))


@dataclass
class ParquetAssembler:
    """Makes one Parquet file of Arrow IPC streams of one batch each."""

    format: ParquetFormat
    _waiting: list[pa.RecordBatch] = field(default_factory=list, init=False)
    _waiting_bytes: int = field(default=0, init=False)

    def begin(self) -> bytes:
        self._sink = _Sink()
        # Without a copy of the schema in Arrow's own terms: it would be half of a small file.
        self._writer = pq.ParquetWriter(
            self._sink, self.format.schema, compression=self.format.codec, store_schema=False
        )
        return self._sink.taken()

    def add(self, data: bytes) -> bytes:
        batch = pa.ipc.open_stream(data).read_next_batch()
        self._waiting.append(batch)
        self._waiting_bytes += batch.nbytes
        if self._waiting_bytes >= _ROW_GROUP_BYTES:
            self._write_row_group()
        return self._sink.taken()

    def end(self) -> bytes:
        if self._waiting:
            self._write_row_group()
        self._writer.close()
        return self._sink.taken()

    def _write_row_group(self) -> None:
        table = pa.Table.from_batches(self._waiting)
        self._writer.write_table(table, row_group_size=table.num_rows)
        self._waiting, self._waiting_bytes = [], 0


def _packed(batch: pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema, options=_IPC) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes()


class _Sink(io.RawIOBase):
    """A file that is written to, and whose bytes are taken away."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._length = 0

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        part = bytes(data)  # type: ignore[call-overload]
        self._parts.append(part)
        self._length += len(part)
        return len(part)

    def tell(self) -> int:
        return self._length

    def taken(self) -> bytes:
        """What was written since the last time."""
        parts, self._parts = self._parts, []
        return b"".join(parts)


def _file_type(field: Field) -> pa.DataType:
    if field.type == "INTERVAL":
        wanted = pa.string()
    elif field.type == "STRUCT":
        wanted = pa.struct([pa.field(child.name, _file_type(child)) for child in field.fields])
    else:
        return arrow_type(field)
    return pa.list_(wanted) if field.mode == "REPEATED" else wanted


def _file_column(field: Field, array: pa.Array) -> pa.Array:
    """`array`, which has the type `arrow_type(field)`, as the type that Parquet has for it."""
    wanted = _file_type(field)
    if array.type.equals(wanted):
        return array
    mask = array.is_null() if array.null_count else None
    if field.mode == "REPEATED":
        item = Field(name=field.name, type=field.type, fields=field.fields)
        offsets = pa.array(array.offsets.to_numpy())  # the same memory; a slice of offsets takes no mask
        return pa.ListArray.from_arrays(offsets, _file_column(item, array.values), type=wanted, mask=mask)
    if field.type == "STRUCT":
        children = [_file_column(child, array.field(at)) for at, child in enumerate(field.fields)]
        return pa.StructArray.from_arrays(children, fields=list(wanted), mask=mask)
    return text_cells(field, array)
