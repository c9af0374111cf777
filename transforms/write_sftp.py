"""Files -> an SFTP server, verified there; one result per file."""

from __future__ import annotations

import heapq
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from transforms.metrics import count
from wharf.connectors.endpoints import Endpoints
from wharf.connectors.sftp import server as sftp
from wharf.connectors.storage import open_storage
from wharf.model.delivery import DeliveryResult, OutboundFile, SftpTarget


class WrittenToSftp(NamedTuple):
    """What came of the files; together one result for each."""

    delivered: Any  # PCollection of DeliveryResult
    rejected: Any  # PCollection of DeliveryResult, each with an error


@dataclass
class WriteToSftp(beam.PTransform):
    """Deliver files as `target.delivery` says.

    OutboundFile -> WrittenToSftp. The files are dealt to as many slots as the server may have connections, and a
    worker makes no more of them than it has slots at the time: so they stay within `max_connections`, whatever the
    number of workers. What goes wrong is in the results; nothing is raised for a server that refuses.
    """

    target: SftpTarget
    endpoints: Endpoints

    def expand(self, files: Any) -> WrittenToSftp:
        results = (
            files.pipeline
            | "DealOnce" >> beam.Create([None])
            | "DealToSlots" >> beam.FlatMap(slots, beam.pvalue.AsList(files), self._slots, self.target.directory)
            | "SpreadSlots" >> beam.Reshuffle()
            | "Deliver" >> beam.ParDo(_Deliver(self)).with_outputs("rejected", main="delivered")
        )
        return WrittenToSftp(results.delivered, results.rejected)

    @property
    def _slots(self) -> int:
        profile = self.target.delivery
        return max(1, profile.max_connections // profile.stripes)


@dataclass
class DescribeFiles(beam.PTransform):
    """Look up what WriteToSftp must know of files that somebody else staged.

    (uri, remote path) -> OutboundFile, with the file's bytes and CRC32C as they are now.
    """

    endpoints: Endpoints

    def expand(self, places: Any) -> Any:
        return places | "Describe" >> beam.MapTuple(self.describe).with_output_types(OutboundFile)

    def describe(self, uri: str, remote_path: str) -> OutboundFile:
        return OutboundFile(uri, remote_path, *open_storage(uri, self.endpoints).describe(uri))


def slots(_once: None, files: list[OutboundFile], most: int, directory: str = "") -> Iterator[list[OutboundFile]]:
    """Deal files to at most so many slots, the largest first, each to the slot with the fewest bytes.

    Files with one path on the server, below `directory` if it is not absolute, are kept together, for `_Deliver` to
    reject.
    """
    dealt: list[list[OutboundFile]] = [[] for _ in range(min(most, len(files)))]
    heap = [(0, number) for number in range(len(dealt))]
    slot_of: dict[str, int] = {}
    for file in sorted(files, key=lambda file: (-file.bytes, file.remote_path)):
        held, number = heapq.heappop(heap)
        place = slot_of.setdefault(posixpath.join(directory, file.remote_path), number)
        dealt[place].append(file)
        heapq.heappush(heap, (held + file.bytes * (place == number), number))
    yield from filter(None, dealt)


@dataclass
class _Deliver(beam.DoFn):
    """The files of a slot -> a DeliveryResult for each; the slots of one bundle are worked off side by side."""

    spec: WriteToSftp

    def start_bundle(self) -> None:
        self._files: list[OutboundFile] = []
        self._slots = 0

    def process(self, files: list[OutboundFile]) -> None:
        self._files += files
        self._slots += 1

    def finish_bundle(self) -> Iterator[Any]:
        target, endpoints = self.spec.target, self.spec.endpoints
        mistakes = sftp.mistakes(self._files, target)
        results = [DeliveryResult(file, file.remote_path, 0, 0.0, error=error) for file, error in mistakes.items()]
        for result in results:
            _counted(result)
        sound = [file for file in self._files if file not in mistakes]
        if target.delivery.overwrite in {"version", "fail"}:
            # A repeated bundle does not know what the one before has sent, and must not make a second copy.
            sound = [replace(file, again=True) for file in sound]
        connections = min(target.delivery.max_connections, self._slots * target.delivery.stripes)
        results += sftp.deliver(sound, target, endpoints, connections=connections, on_result=_counted)
        for result in results:
            windowed = WindowedValue(result, GlobalWindow().max_timestamp(), [GlobalWindow()])
            yield beam.pvalue.TaggedOutput("rejected", windowed) if result.error else windowed


def _counted(result: DeliveryResult) -> None:
    if result.error:
        count("files_rejected")
    else:
        count("files_delivered")
        count("bytes_delivered", result.file.bytes)
