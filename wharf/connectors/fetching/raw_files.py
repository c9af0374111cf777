"""Fetched records as files: parts with a checkpoint behind each, and a manifest once nothing is missing.

A part appears complete or not at all, its checkpoint after it. So a worker that dies leaves a checkpoint that tells of
whole parts, and perhaps parts that no checkpoint tells of, which do not count.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import uuid
from collections.abc import Iterator
from dataclasses import replace

import google_crc32c
from isal import isal_zlib

from wharf.connectors.storage import Storage, put
from wharf.formats.assembler import Concatenation
from wharf.formats.gzip_member import GzipAssembler, deflated
from wharf.model.checksums import crc32c_text
from wharf.model.errors import RunFailed
from wharf.model.fetching.checkpoint import Checkpoint, RawManifest, RawPart
from wharf.model.fetching.layout import RawRun, is_part

PART_BYTES = 64 << 20  # of text, before compression
PART_PAGES = 100  # what a killed worker fetches again: less than two minutes of an API that allows one page a second
_CHUNK_BYTES = 1 << 20  # compressed together
_GZIP = 31  # wbits of a gzip member


def resume(storage: Storage, run: RawRun) -> Checkpoint | None:
    """How far an earlier attempt at the run has come; None if it is to begin anew.

    Raises: RunFailed.
    """
    text = storage.read_all(run.checkpoint)
    return None if text is None else Checkpoint.from_json(text, where=run.checkpoint)


def sealed(storage: Storage, run: RawRun) -> RawManifest | None:
    """The manifest of a run that is complete; None if it is not.

    Raises: RunFailed.
    """
    if storage.read_all(run.success) is None:
        return None
    text = storage.read_all(run.manifest)
    return None if text is None else RawManifest.from_json(text, where=run.manifest)


def read_part(storage: Storage, run: RawRun, part: RawPart) -> bytes:
    """A part's JSON lines.

    Raises: RunFailed if it is gone, or is not what was written.
    """
    data = storage.read_all(f"{run.folder}/{part.name}")
    if data is None or crc32c_text(google_crc32c.value(data)) != part.crc32c:
        raise RunFailed(f"{run.folder}/{part.name} is {'gone' if data is None else 'damaged'}: fetch it again")
    return isal_zlib.decompress(data, wbits=_GZIP)


def read_parts(storage: Storage, run: RawRun, parts: tuple[RawPart, ...]) -> Iterator[bytes]:
    """The JSON lines of `parts`, part by part: of a manifest, or of a checkpoint to go on from."""
    return (read_part(storage, run, part) for part in parts)


class RawWriter:
    """Writes the parts of one run, endpoint and tenant; for the tasks of one event loop.

    `resumed` is what `resume` found. Nothing is written before there is a part's worth of lines.
    """

    def __init__(
        self,
        storage: Storage,
        run: RawRun,
        resumed: Checkpoint | None = None,
        *,
        part_bytes: int = PART_BYTES,
        part_pages: int = PART_PAGES,
    ) -> None:
        self.run = run
        self._storage = storage
        self._part_bytes, self._part_pages = part_bytes, part_pages
        self._latest = self._written = resumed or Checkpoint(position={}, pages=0, records=0)
        self._attempt = uuid.uuid4().hex[:8]
        self._numbers = itertools.count(len(self._written.parts))
        self._turn = asyncio.Lock()
        self._writing: asyncio.Task[Checkpoint] | None = None
        self._begin()

    async def append(self, lines: bytes, checkpoint: Checkpoint) -> None:
        """Add a page's lines; `checkpoint` tells where the fetch stands behind them and all before.

        Returns while a part that has become full is being written; what is wrong with that is raised by the next call.

        Raises: WharfError, GoogleAPIError, OSError.
        """
        async with self._turn:
            self._waiting.append(lines)
            self._waiting_bytes += len(lines)
            self._latest = checkpoint
            if self._waiting_bytes >= _CHUNK_BYTES:
                await self._compress()
            pages = checkpoint.pages - self._begun.pages
            if self._bytes + self._waiting_bytes >= self._part_bytes or pages >= self._part_pages:
                await self._end_part()

    async def flush(self) -> Checkpoint:
        """Write what there is, as before a pause until the next day's run. -> the checkpoint to go on from.

        Raises: as `append`.
        """
        async with self._turn:
            await self._end_part()
            await self._settle()
            return self._written

    async def give_up(self) -> None:
        """Leave nothing to go on from: what was written lies there, and counts for no other run.

        Raises: GoogleAPIError, OSError.
        """
        async with self._turn:
            if self._writing:
                await asyncio.gather(self._writing, return_exceptions=True)
            await asyncio.to_thread(self._storage.delete, [self.run.checkpoint])

    async def seal(self) -> RawManifest:
        """Write the rest, and make the run complete. -> its manifest, an earlier one if another worker was faster.

        Raises: as `append`.
        """
        await self.flush()
        return await asyncio.to_thread(self._seal)

    def _begin(self) -> None:
        self._begun = self._latest
        self._blocks: list[bytes] = []
        self._waiting: list[bytes] = []
        self._bytes = self._waiting_bytes = 0

    async def _compress(self) -> None:
        text = b"".join(self._waiting)
        block = await asyncio.to_thread(deflated, text)  # until it has ended, lines wait: it may be cancelled
        self._waiting, self._waiting_bytes = [], 0
        self._blocks.append(block)
        self._bytes += len(text)

    async def _end_part(self) -> None:
        """Hand the part to a thread; one is written at a time, so that checkpoints come in their order."""
        if self._waiting_bytes:
            await self._compress()
        await self._settle()
        if self._latest is not self._begun:
            behind = replace(self._latest, parts=self._written.parts)
            records = self._latest.records - self._begun.records
            self._writing = asyncio.create_task(asyncio.to_thread(self._write, self._blocks, records, behind))
        self._begin()

    async def _settle(self) -> None:
        if self._writing:
            self._written = await self._writing  # one that failed fails all that comes later: nothing may be left out
            self._writing = None

    def _write(self, blocks: list[bytes], records: int, checkpoint: Checkpoint) -> Checkpoint:
        """Write a part, if there is anything in it, and then its checkpoint."""
        if blocks:
            assembler = GzipAssembler(Concatenation())
            data = b"".join((assembler.begin(), *map(assembler.add, blocks), assembler.end()))
            uri = self.run.part(next(self._numbers), self._attempt)
            put(self._storage, uri, data)
            part = RawPart(uri.rsplit("/", 1)[-1], records, len(data), crc32c_text(google_crc32c.value(data)))
            checkpoint = replace(checkpoint, parts=(*checkpoint.parts, part))
        put(self._storage, self.run.checkpoint, checkpoint.to_json().encode())
        return checkpoint

    def _seal(self) -> RawManifest:
        run, storage, last = self.run, self._storage, self._written
        if done := sealed(storage, run):
            return done
        manifest = RawManifest(run=run, pages=last.pages, records=last.records, cursor=last.cursor, parts=last.parts)
        put(storage, run.manifest, manifest.to_json().encode())
        counted = set(manifest.uris)
        # Readers who know nothing of manifests take every part once they see _SUCCESS.
        storage.delete(uri for uri in storage.list(f"{run.folder}/part-") if is_part(uri) and uri not in counted)
        put(storage, run.success, json.dumps({"run_id": run.run_id, "records": manifest.records}).encode())
        storage.delete([run.checkpoint])
        return manifest
