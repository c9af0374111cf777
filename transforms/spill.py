"""RecordBatches -> encoded blocks, ordered by partition and spilled beside the output; references to them."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

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

# Rows are coalesced so that a partition's share of a batch is worth a block, and encoded well before Arrow's
# 32-bit offsets end at 2 GiB.
BATCH_ROWS = 262_144
BATCH_BYTES = 64 << 20

Key = tuple[dt.date, str | None]


@dataclass(frozen=True)
class SpilledBlocks:
    """Where one spill file holds blocks of one partition: int64 rows of (offset, length, rows, crc32c)."""

    uri: str
    day: dt.date
    vendor: str | None
    blocks: np.ndarray


@dataclass
class SpillByPartition(beam.PTransform):
    """Encode rows once, in partition order, and write them aside.

    pyarrow.RecordBatch -> (partition path, SpilledBlocks). The data itself does not go on: a writer fetches the
    ranges it needs. A bundle makes one spill file below `staging`; a file whose bundle failed is never referenced.
    Rows of the partitions `skipped` are left out.
    """

    format: AvroFormat
    partitioner: Partitioner
    staging: str
    endpoints: Endpoints
    block_bytes: int
    skipped: frozenset[str] = frozenset()

    def expand(self, batches: Any) -> Any:
        return batches | "Spill" >> beam.ParDo(_Spill(self)).with_output_types(tuple[str, SpilledBlocks])


@dataclass
class _Spill(beam.DoFn):
    spec: SpillByPartition
    _waiting: list[pa.RecordBatch] = field(default_factory=list, init=False)

    def setup(self) -> None:
        self._storage = open_storage(self.spec.staging, self.spec.endpoints)
        self._encoder = AvroEncoder(self.spec.format, self.spec.block_bytes)
        self._paths: dict[Key, str] = {}
        self._file: Any = None

    def start_bundle(self) -> None:
        if self._file:  # of a bundle that failed
            self._file.discard()
        self._file, self._offset = None, 0
        self._waiting, self._waiting_rows, self._waiting_bytes = [], 0, 0
        self._blocks: dict[str, list[tuple[int, int, int, int]]] = {}
        self._keys: dict[str, Key] = {}

    def process(self, batch: pa.RecordBatch) -> None:
        for first in range(0, batch.num_rows, BATCH_ROWS):
            piece = batch.slice(first, BATCH_ROWS)
            if self._waiting_rows + piece.num_rows > BATCH_ROWS:
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
        for path, blocks in self._blocks.items():
            reference = SpilledBlocks(self._uri, *self._keys[path], np.array(blocks, np.int64))
            yield WindowedValue((path, reference), GlobalWindow().max_timestamp(), [GlobalWindow()])
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
        groups = self.spec.partitioner.partition(batch)
        paths = [self._path(key) for key in groups.partitions]
        start, skipped = self._offset, 0
        for block in self._encoder.blocks(batch, groups.order, groups.bounds):
            path = paths[block.group]
            if path in self.spec.skipped:
                skipped += block.rows
                continue
            length = len(block.data)
            place = (self._offset, length, block.rows, google_crc32c.value(block.data))
            self._blocks.setdefault(path, []).append(place)
            self._file.write(block.data)
            self._offset += length
        count("rows_encoded", batch.num_rows - skipped)
        count("bytes_spilled", self._offset - start)

    def _path(self, key: Key) -> str:
        path = self._paths.get(key)
        if path is None:
            path = self._paths[key] = partition_path(*key)
        self._keys[path] = key
        return path
