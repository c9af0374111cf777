"""RecordBatches -> encoded blocks, spilled beside the output; references to them.

The data itself does not go on: whoever makes files of the blocks fetches the ranges it needs.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import apache_beam as beam
import google_crc32c
import numpy as np
import pyarrow as pa
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from transforms.metrics import count
from wharf.connectors.endpoints import Endpoints
from wharf.connectors.storage import open_storage
from wharf.formats.avro import AvroEncoder, AvroFormat
from wharf.formats.partition_rows import Partitioner
from wharf.model.partitions import partition_path

if TYPE_CHECKING:
    from wharf.formats.block import FileFormat

# Rows are coalesced so that a partition's share of a batch is worth a block, and encoded well before Arrow's
# 32-bit offsets end at 2 GiB.
BATCH_ROWS = 262_144
BATCH_BYTES = 64 << 20
_SMALL_BLOCK_ROWS = 128  # blocks this small cost more by their number than by their rows: encode more rows at once


class GroupedBlock(NamedTuple):
    """A block, and which group of rows it belongs to: `group` is the key of shuffling, `label` says it in full."""

    group: str
    label: Any
    rows: int
    data: bytes


class GroupEncoder(Protocol):
    """Encodes batches group by group; picklable, one to a worker thread once it is opened."""

    def open(self) -> None:
        """Make what cannot be pickled."""

    def blocks(self, batch: pa.RecordBatch) -> Iterator[GroupedBlock]:
        """The blocks of one batch, to be used up before the next."""


@dataclass(frozen=True)
class SpilledBlocks:
    """Where one spill file holds blocks of one group: int64 rows of (offset, length, rows, crc32c)."""

    uri: str
    label: Any
    blocks: np.ndarray


@dataclass
class Spill(beam.PTransform):
    """Encode rows once, and write the blocks aside.

    pyarrow.RecordBatch -> (group, SpilledBlocks). A bundle makes one spill file below `staging`; a file whose bundle
    failed is never referenced.
    """

    encoder: GroupEncoder
    staging: str
    endpoints: Endpoints

    def expand(self, batches: Any) -> Any:
        return batches | "Spill" >> beam.ParDo(_Spill(self)).with_output_types(tuple[str, SpilledBlocks])


@dataclass
class ByPartition:
    """Avro blocks of each (day, vendor) by partition path; rows of the partitions `skipped` are left out."""

    format: AvroFormat
    partitioner: Partitioner
    block_bytes: int
    skipped: frozenset[str] = frozenset()

    def open(self) -> None:
        self._encoder = AvroEncoder(self.format, self.block_bytes)
        self._paths: dict[tuple[dt.date, str | None], str] = {}

    def blocks(self, batch: pa.RecordBatch) -> Iterator[GroupedBlock]:
        groups = self.partitioner.partition(batch)
        for key in groups.partitions:
            if key not in self._paths:
                self._paths[key] = partition_path(*key)
        labels = [(self._paths[key], key) for key in groups.partitions]
        for block in self._encoder.blocks(batch, groups.order, groups.bounds):
            path, key = labels[block.group]
            if path not in self.skipped:
                yield GroupedBlock(path, key, block.rows, block.data)


@dataclass
class InOneGroup:
    """Blocks of any file format, all of the one group `name`."""

    format: FileFormat
    name: str

    def open(self) -> None:
        self._encoder = self.format.encoder()

    def blocks(self, batch: pa.RecordBatch) -> Iterator[GroupedBlock]:
        for block in self._encoder.blocks(batch):
            yield GroupedBlock(self.name, None, block.rows, block.data)


@dataclass
class _Spill(beam.DoFn):
    spec: Spill
    _waiting: list[pa.RecordBatch] = field(default_factory=list, init=False)

    def setup(self) -> None:
        self._storage = open_storage(self.spec.staging, self.spec.endpoints)
        self.spec.encoder.open()
        self._batch_rows = BATCH_ROWS
        self._file: Any = None

    def start_bundle(self) -> None:
        if self._file:  # of a bundle that failed
            self._file.discard()
        self._file, self._offset = None, 0
        self._waiting, self._waiting_rows, self._waiting_bytes = [], 0, 0
        self._blocks: dict[str, list[tuple[int, int, int, int]]] = {}
        self._labels: dict[str, Any] = {}

    def process(self, batch: pa.RecordBatch) -> None:
        for first in range(0, batch.num_rows, BATCH_ROWS):
            piece = batch.slice(first, BATCH_ROWS)
            if self._waiting_rows + piece.num_rows > self._batch_rows:
                self._encode_waiting()
            self._waiting.append(piece)
            self._waiting_rows += piece.num_rows
            self._waiting_bytes += piece.nbytes
            if self._waiting_bytes >= BATCH_BYTES:
                self._encode_waiting()

    def finish_bundle(self) -> Iterator[WindowedValue]:
        self._encode_waiting()
        if self._file:
            self._file.close()
        for group, blocks in self._blocks.items():
            reference = SpilledBlocks(self._uri, self._labels[group], np.array(blocks, np.int64))
            yield WindowedValue((group, reference), GlobalWindow().max_timestamp(), [GlobalWindow()])
        self._file = None

    def teardown(self) -> None:
        if self._file:
            self._file.discard()

    def _encode_waiting(self) -> None:
        if not self._waiting_rows:
            return
        batch = self._waiting[0] if len(self._waiting) == 1 else pa.concat_batches(self._waiting)
        self._waiting, self._waiting_rows, self._waiting_bytes = [], 0, 0
        if not self._file:
            self._uri = f"{self.spec.staging}/spill-{uuid.uuid4().hex}"
            self._file = self._storage.create(self._uri)
        start, encoded, blocks = self._offset, 0, 0
        for group, label, rows, data in self.spec.encoder.blocks(batch):
            length = len(data)
            place = (self._offset, length, rows, google_crc32c.value(data))
            self._blocks.setdefault(group, []).append(place)
            self._labels[group] = label
            self._file.write(data)
            self._offset += length
            encoded += rows
            blocks += 1
        if encoded < blocks * _SMALL_BLOCK_ROWS:
            self._batch_rows = 2 * BATCH_ROWS
        count("rows_encoded", encoded)
        count("bytes_spilled", self._offset - start)
