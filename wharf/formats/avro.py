"""Arrow RecordBatches -> Avro: self-contained compressed blocks, and the header that makes them a file.

A block carries its own row count, size and sync marker, so blocks of one `AvroFormat` can be gathered under
one header in any order, by copying bytes. Layout: Avro 1.11 specification, "Object Container Files".
"""

from __future__ import annotations

import hashlib
import io
import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import fastavro
import numpy as np
import pyarrow as pa

from wharf.formats import avro_kernel as kernel
from wharf.formats.arrow import canonical
from wharf.formats.assembler import Concatenation
from wharf.formats.avro_schema import arrow_type, range_fields, record_schema
from wharf.model.schema import Field

# 1 MiB of rows to a block: BigQuery loads blocks in parallel, and codecs gain little beyond it.
BLOCK_BYTES = 1 << 20

_SCALARS = {
    "INT64": kernel.LONG,
    "TIME": kernel.LONG,
    "TIMESTAMP": kernel.LONG,
    "DATE": kernel.INT,
    "FLOAT64": kernel.DOUBLE,
    "BOOL": kernel.BOOL,
    "STRING": kernel.BYTES,
    "BYTES": kernel.BYTES,
    "JSON": kernel.BYTES,
    "GEOGRAPHY": kernel.BYTES,
    "NUMERIC": kernel.DECIMAL,
    "BIGNUMERIC": kernel.DECIMAL,
    "DATETIME": kernel.DATETIME,
}

# The most bytes a scalar cell takes, null branch included; of bytes and strings, without their content.
_LARGEST = {
    kernel.LONG: 11,
    kernel.INT: 6,
    kernel.DOUBLE: 9,
    kernel.BOOL: 2,
    kernel.BYTES: 6,
    kernel.DATETIME: 28,
    kernel.RAW: 0,
}


class Block(NamedTuple):
    """One compressed Avro block, ready to append to a file."""

    group: int  # which group of rows it belongs to
    rows: int
    data: bytes


@dataclass(frozen=True, kw_only=True)
class AvroFormat:
    """What all files of one export share: schema, codec, metadata; picklable.

    `codec` is an Avro codec name: null, deflate, snappy or zstandard.
    """

    name: str
    fields: tuple[Field, ...]
    codec: str = "snappy"
    doc: str = ""
    metadata: tuple[tuple[str, str], ...] = ()

    @cached_property
    def schema(self) -> dict[str, Any]:
        """The Avro schema as parsed JSON."""
        return record_schema(self.name, self.fields, doc=self.doc)

    @cached_property
    def sync(self) -> bytes:
        """The 16-byte marker: the same for all files of this format, so that blocks can move between them."""
        return hashlib.sha256(repr((self.schema, self.codec, self.metadata)).encode()).digest()[:16]

    @cached_property
    def header(self) -> bytes:
        """Everything before the first block."""
        metadata = {
            "avro.codec": self.codec,
            "avro.schema": json.dumps(self.schema, ensure_ascii=False),
            **dict(self.metadata),
        }
        pairs = b"".join(_bytes(key.encode()) + _bytes(value.encode()) for key, value in metadata.items())
        return b"Obj\x01" + _long(len(metadata)) + pairs + _long(0) + self.sync

    def assembler(self) -> Concatenation:
        """What makes a file of blocks."""
        return Concatenation(self.header)


@dataclass
class AvroEncoder:
    """Encodes batches into blocks of one format; holds the reused output buffers, so one per thread.

    A column the kernel does not cover (INTERVAL) is encoded cell by cell with fastavro and copied in.
    """

    format: AvroFormat
    block_bytes: int = BLOCK_BYTES
    _rows: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint8), init=False, repr=False)
    _ordered: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint8), init=False, repr=False)

    def __post_init__(self) -> None:
        self._compress = _compressor(self.format.codec)

    def blocks(self, batch: pa.RecordBatch, order: np.ndarray | None, bounds: np.ndarray) -> Iterator[Block]:
        """Rows of `batch` in the order `order`, cut at `bounds` -> compressed blocks, group by group.

        `order`: int64 row numbers, each once at most; None where the rows lie in their order already. `bounds`:
        int64, where in the order each group begins, then its end. Use up the blocks before the next batch: it
        writes to the same buffer.

        Raises: ValueError for a null in a REQUIRED column.
        """
        table, encoded = self.encode(batch, order, bounds)
        view = encoded.data
        sync = self.format.sync
        for group, rows, begin, end in table.tolist():
            data = self._compress(view[begin:end])
            yield Block(group, rows, b"".join((_long(rows), _long(len(data)), data, sync)))

    def encode(self, batch: pa.RecordBatch, order: np.ndarray | None, bounds: np.ndarray) -> tuple[np.ndarray, ...]:
        """As `blocks`, uncompressed: int64 rows of (group, rows, begin, end), and the reused buffer they point to."""
        plan = _Plan()
        for _ in self.format.fields:
            plan.reserve()
        for at, column in enumerate(self.format.fields):
            plan.add(at, column, canonical(batch.column(column.name), arrow_type(column)))
        # A fresh buffer per batch would be paid in page faults.
        self._rows = _at_least(plan.bytes + 16, self._rows)
        positions = np.empty(batch.num_rows + 1, np.int64)
        nodes = np.array(plan.nodes, np.int64).reshape(-1, kernel.COLUMNS)
        fault = kernel.encode_rows(nodes, len(self.format.fields), positions, self._rows.ctypes.data)
        if fault:
            name = self.format.fields[kernel.NULL_IN_REQUIRED - fault].name
            raise ValueError(f"column {name!r} is REQUIRED, or an array, and holds a null")
        table = np.empty((len(bounds) + plan.bytes // self.block_bytes + 1, 4), np.int64)
        if order is None:
            return table[: kernel.cut_rows(positions, bounds, self.block_bytes, table)], self._rows
        self._ordered = _at_least(plan.bytes + 16, self._ordered)
        places = self._rows.ctypes.data, self._ordered.ctypes.data
        count = kernel.gather_rows(places[0], positions, order, bounds, self.block_bytes, places[1], table)
        return table[:count], self._ordered


def _at_least(size: int, buffer: np.ndarray) -> np.ndarray:
    return buffer if len(buffer) >= size else np.empty(size + size // 4, np.uint8)


class _Plan:
    """The kernel's nodes for one batch, the most bytes it can write, and the arrays it reads, kept alive."""

    def __init__(self) -> None:
        self.nodes: list[list[int]] = []
        self.bytes = 0
        self._alive: list[Any] = []

    def reserve(self) -> int:
        self.nodes.append([0] * kernel.COLUMNS)
        return len(self.nodes) - 1

    def add(self, at: int, column: Field, array: pa.Array, *, is_item: bool = False) -> None:
        """Fill node `at`, and its children after all nodes there are, for every row of `array`."""
        repeated = column.mode == "REPEATED" and not is_item
        if not repeated and column.type not in _SCALARS and column.type not in {"STRUCT", "RANGE"}:
            array = _raw_cells(column, array, is_item=is_item)
            column = Field(name=column.name, type="RAW", mode="REQUIRED")
        self._alive.append(array)
        node = self.nodes[at]
        buffers = array.buffers()
        node[kernel.NULLABLE] = int(column.mode == "NULLABLE" and not is_item)
        node[kernel.VALIDITY] = buffers[0].address if array.null_count and buffers[0] else 0
        node[kernel.START] = array.offset
        if repeated:
            self._add_list(node, column, array)
        elif column.type in {"STRUCT", "RANGE"}:
            self._add_struct(node, column, array)
        else:
            self._add_scalar(node, column, array)

    def _add_scalar(self, node: list[int], column: Field, array: pa.Array) -> None:
        kind = node[kernel.KIND] = _SCALARS.get(column.type, kernel.RAW)
        buffers = array.buffers()
        node[kernel.DATA] = buffers[-1].address if buffers[-1] else 0
        if kind == kernel.DECIMAL:
            node[kernel.WIDTH] = array.type.byte_width
            self.bytes += len(array) * (array.type.byte_width + 3)
            return
        if kind in {kernel.BYTES, kernel.RAW}:
            node[kernel.OFFSETS] = buffers[1].address if buffers[1] else 0
            self.bytes += _content_bytes(array)
        self.bytes += len(array) * _LARGEST[kind]

    def _add_struct(self, node: list[int], column: Field, array: pa.Array) -> None:
        node[kernel.KIND] = kernel.STRUCT
        fields = column.fields or range_fields(column)
        node[kernel.CHILDREN] = len(fields)
        self.bytes += len(array)
        # A struct's children are sliced with it; its own offset is already in theirs.
        places = [self.reserve() for _ in fields]
        node[kernel.CHILD] = places[0]
        for place, child, index in zip(places, fields, range(len(fields)), strict=True):
            self.add(place, child, array.field(index))

    def _add_list(self, node: list[int], column: Field, array: pa.Array) -> None:
        node[kernel.KIND] = kernel.LIST
        buffers = array.buffers()
        node[kernel.OFFSETS] = buffers[1].address if buffers[1] else 0
        self.bytes += len(array) * 7
        node[kernel.CHILD] = self.reserve()
        self.add(node[kernel.CHILD], column, array.values, is_item=True)


def _content_bytes(array: pa.Array) -> int:
    """Bytes of all strings of `array` together."""
    buffers = array.buffers()
    if not len(array) or not buffers[1]:
        return 0
    offsets = np.frombuffer(buffers[1], np.int32, count=array.offset + len(array) + 1)
    return int(offsets[-1] - offsets[array.offset])


def _raw_cells(column: Field, array: pa.Array, *, is_item: bool) -> pa.Array:
    """INTERVAL, and whatever else has no kernel kind: each cell as the bytes fastavro writes for it.

    A null that has no place stays one: it is the kernel that knows whether the row it is in will be written.
    """
    nullable = column.mode == "NULLABLE" and not is_item
    schema = fastavro.parse_schema(["null", "string"] if nullable else "string")
    cells: list[bytes | None] = []
    for value in array.to_pylist():
        if value is None and not nullable:
            cells.append(None)
            continue
        out = io.BytesIO()
        fastavro.schemaless_writer(out, schema, None if value is None else interval_text(value))
        cells.append(out.getvalue())
    return pa.array(cells, pa.binary())


def interval_text(value: Any) -> str:
    """(months, days, nanoseconds) as BigQuery prints an INTERVAL: `[-]Y-M [-]D [-]H:M:S[.ddd[ddd]]`.

    Source: `IntervalValue::ToString` of google/zetasql, whose fractions come in groups of three digits.
    """
    months, days, nanos = value
    years, months_left = divmod(abs(months), 12)
    seconds, fraction = divmod(abs(nanos) // 1000, 1_000_000)
    part = f".{fraction:06d}".removesuffix("000") if fraction else ""
    clock = f"{seconds // 3600}:{seconds // 60 % 60}:{seconds % 60}{part}"
    return f"{'-' * (months < 0)}{years}-{months_left} {days} {'-' * (nanos < 0)}{clock}"


def _compressor(codec: str) -> Callable[[memoryview], Any]:
    """Avro's codecs; pyarrow's compressors let go of the interpreter lock."""
    if codec == "null":
        return bytes
    if codec == "deflate":
        return _deflate
    compress = pa.Codec("zstd" if codec == "zstandard" else codec).compress
    if codec == "snappy":
        return lambda data: compress(data, asbytes=True) + zlib.crc32(data).to_bytes(4, "big")
    return lambda data: compress(data, asbytes=True)


def _deflate(data: memoryview) -> bytes:
    return zlib.compress(data, wbits=-15)  # raw deflate, without zlib's header (RFC 1951)


@lru_cache(1 << 16)
def _long(value: int) -> bytes:
    """Avro's zigzag varint of a non-negative number."""
    value <<= 1
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _bytes(data: bytes) -> bytes:
    return _long(len(data)) + data
