"""References to blocks -> files, complete but not yet where readers look."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import apache_beam as beam
import google_crc32c
import numpy as np

from transforms.metrics import count
from transforms.spill import SpilledBlocks
from transforms.thread_map import ThreadMapDoFn
from wharf.connectors.endpoints import Endpoints
from wharf.connectors.storage import Range, open_storage, read_parts
from wharf.formats.assembler import Assembler
from wharf.model.checksums import crc32c_text
from wharf.model.errors import RunFailed


class MakesFiles(Protocol):
    """A file format, as far as it is needed here; picklable."""

    def assembler(self) -> Assembler:
        """What makes one file of blocks."""


@dataclass(frozen=True)
class Shard:
    """The blocks that become one file of a group."""

    group: str
    number: int
    of: int
    parts: tuple[SpilledBlocks, ...]


@dataclass(frozen=True)
class StagedFile:
    """A complete file under a staging name."""

    group: str
    label: Any
    number: int
    of: int
    uri: str
    rows: int
    bytes: int
    crc32c: str
    started_at: dt.datetime


@dataclass
class WriteShards(beam.PTransform):
    """Gather blocks into files below `staging`. Shard -> StagedFile.

    `name` says what a shard's file is called there; by default it has a name of its own at each attempt.
    """

    format: MakesFiles
    staging: str
    endpoints: Endpoints
    name: Callable[[Shard], str] | None = None

    def expand(self, shards: Any) -> Any:
        return (
            shards
            | "SpreadShards" >> beam.Reshuffle()
            | "WriteShard" >> beam.ParDo(_WriteShard(self)).with_output_types(StagedFile)
        )


def even_shards(grouped: tuple[str, Iterable[SpilledBlocks]], target_bytes: int) -> Iterator[Shard]:
    """Cut a group's blocks, in the order they were spilled, into files of even size near `target_bytes`."""
    group, spilled = grouped
    spills = sorted(spilled, key=lambda spill: spill.uri)
    lengths = np.concatenate([spill.blocks[:, 1] for spill in spills])
    wanted = max(1, round(int(lengths.sum()) / target_bytes))
    # A block goes where its middle falls; a block larger than a file leaves numbers without blocks.
    middles = np.cumsum(lengths) - lengths / 2
    numbers = np.unique((middles * wanted / lengths.sum()).astype(np.int64), return_inverse=True)[1]
    yield from _numbered(group, spills, numbers)


def bounded_shards(
    grouped: tuple[str, Iterable[SpilledBlocks]], max_rows: int, max_bytes: int, overhead: int = 0
) -> Iterator[Shard]:
    """Put a group's blocks into as few files as hold `max_rows` rows and `max_bytes` bytes each; 0 is no bound.

    `overhead` is what a file takes besides its blocks. Full blocks first, so that the remainders of batches fill up
    what is left (first fit, decreasing). A block that is too large by itself has a file of its own.
    """
    group, spilled = grouped
    spills = sorted(spilled, key=lambda spill: spill.uri)
    sizes = np.concatenate([spill.blocks[:, 1:3] for spill in spills])  # (bytes, rows)
    numbers = np.zeros(len(sizes), np.int64)
    if max_rows or max_bytes:
        whole = [[max_bytes - overhead if max_bytes else np.inf], [max_rows or np.inf]]
        room = np.repeat(np.array(whole), len(sizes), axis=1)  # what each file has left
        files = 0
        for at in np.argsort(-sizes[:, 1], kind="stable").tolist():
            size, rows = sizes[at]
            fits = (room[0, :files] >= size) & (room[1, :files] >= rows)
            numbers[at] = found = int(fits.argmax()) if fits.any() else files
            room[:, found] -= size, rows
            files = max(files, found + 1)
    yield from _numbered(group, spills, numbers)


def _numbered(group: str, spills: list[SpilledBlocks], numbers: np.ndarray) -> Iterator[Shard]:
    """`numbers`: for each block, spill after spill, the file it goes to; every number up to the largest is used."""
    of = int(numbers.max()) + 1
    ends = np.cumsum([len(spill.blocks) for spill in spills])[:-1]
    by_spill = np.split(numbers, ends)
    for number in range(of):
        parts = (
            SpilledBlocks(spill.uri, spill.label, spill.blocks[mine == number])
            for spill, mine in zip(spills, by_spill, strict=True)
        )
        yield Shard(group, number, of, tuple(part for part in parts if len(part.blocks)))


@dataclass
class _WriteShard(ThreadMapDoFn):
    """Shard -> StagedFile."""

    spec: WriteShards
    threads = 4  # each holds what it reads ahead and what it uploads, some 20 MB

    def setup(self) -> None:
        self._storage = open_storage(self.spec.staging, self.spec.endpoints)
        self.threads = min(self.threads, self._storage.parallel)

    def work(self, shard: Shard) -> list[StagedFile]:
        started = dt.datetime.now(dt.UTC)
        name = self.spec.name(shard) if self.spec.name else f"staged-{uuid.uuid4().hex}"
        uri = f"{self.spec.staging}/{name}"
        file = self._storage.create(uri)
        crc, size, rows = 0, 0, 0
        assembler = self.spec.format.assembler()

        def put(data: bytes) -> None:
            nonlocal crc, size
            file.write(data)
            crc = google_crc32c.extend(crc, data)
            size += len(data)

        try:
            put(assembler.begin())
            for data, block_rows in self._blocks(shard):
                put(assembler.add(data))
                rows += block_rows
            put(assembler.end())
        except BaseException:
            file.discard()
            raise
        file.close()
        count("rows_written", rows)
        count("bytes_written", size)
        count("files_written")
        label = shard.parts[0].label if shard.parts else None
        return [StagedFile(shard.group, label, shard.number, shard.of, uri, rows, size, crc32c_text(crc), started)]

    def _blocks(self, shard: Shard) -> Iterator[tuple[bytes, int]]:
        places = [(part.uri, *block) for part in shard.parts for block in part.blocks.tolist()]
        ranges = (Range(uri, offset, length) for uri, offset, length, _, _ in places)
        for (uri, offset, _, rows, crc), data in zip(places, read_parts(self._storage, ranges), strict=True):
            if google_crc32c.value(data) != crc:
                raise RunFailed(f"{uri} is damaged at byte {offset}: run the export again")
            yield data, rows
