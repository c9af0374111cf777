"""References to blocks -> files, published partition by partition once all are complete."""

from __future__ import annotations

import datetime as dt
import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import apache_beam as beam

from transforms.metrics import count
from transforms.thread_map import ThreadMapDoFn
from transforms.write_shards import StagedFile, WriteShards, even_shards
from wharf.connectors.endpoints import Endpoints
from wharf.connectors.storage import Storage, open_storage, put
from wharf.formats.avro import AvroFormat
from wharf.model.layout import SUCCESS_FILE, Layout, part_name, replacement
from wharf.model.ledger import SUCCESS
from wharf.model.partitions import parse_path


class WrittenPartitions(NamedTuple):
    """What WritePartitions gives: a row per published file, and one with the run's totals."""

    files: Any  # PCollection of dicts, columns of wharf.model.ledger.FILES
    outcome: Any  # PCollection of one dict: export_id, rows_exported, bytes_exported, files, partitions


@dataclass
class WritePartitions(beam.PTransform):
    """Gather blocks into files near `target_bytes` and publish them.

    (partition path, SpilledBlocks of `ByPartition`) -> WrittenPartitions. Nothing is published before every file of
    the run is complete and `may_publish` has returned. `clocks` names the part of each day that the window covers,
    by day. `former_files` are the file names of the window's partitions before the run: those of the window's rows are
    replaced, or removed where there are no rows any more, except in the partitions `left_alone`. The manifest comes
    last, then what the run staged is removed, and `clean_up` called.
    """

    layout: Layout
    format: AvroFormat
    target_bytes: int
    clocks: dict[dt.date, str]
    former_files: dict[str, list[str]]
    left_alone: frozenset[str]
    manifest: dict[str, Any]
    stale_manifests: str  # prefix of the manifests that this run's replaces
    endpoints: Endpoints
    may_publish: Callable[[], None]
    clean_up: Callable[[], None]

    def expand(self, references: Any) -> WrittenPartitions:
        pipeline = references.pipeline
        staged = (
            references
            | "ByPartition" >> beam.GroupByKey()
            | "CutShards" >> beam.FlatMap(even_shards, self.target_bytes)
            | "WriteShards" >> WriteShards(self.format, self.layout.staging, self.endpoints)
        )
        published = (
            pipeline
            | "SealOnce" >> beam.Create([None])
            | "Seal" >> beam.ParDo(_Seal(self.may_publish), beam.pvalue.AsList(staged))
            | "SpreadPartitions" >> beam.Reshuffle()
            | "Publish" >> beam.ParDo(_Publish(self))
        )
        committed = (
            pipeline
            | "CommitOnce" >> beam.Create([None])
            | "Commit" >> beam.ParDo(_Commit(self), beam.pvalue.AsList(published)).with_outputs("files", main="outcome")
        )
        return WrittenPartitions(files=committed.files, outcome=committed.outcome)


@dataclass
class _Seal(beam.DoFn):
    """All staged files -> the files of one partition at a time: from here on the run publishes."""

    may_publish: Callable[[], None]

    def process(self, _once: None, staged: list[StagedFile]) -> Iterator[list[StagedFile]]:
        self.may_publish()
        partitions = defaultdict(list)
        for file in staged:
            partitions[file.group].append(file)
        yield from partitions.values()


@dataclass
class _Publish(ThreadMapDoFn):
    """The staged files of one partition -> dicts of the same files, published."""

    spec: WritePartitions

    def setup(self) -> None:
        self._storage = open_storage(self.spec.layout.output, self.spec.endpoints)
        self.threads = min(self.threads, self._storage.parallel)

    def work(self, files: list[StagedFile]) -> list[dict[str, Any]]:
        layout = self.spec.layout
        partition, (day, _) = files[0].group, files[0].label
        clock = self.spec.clocks[day]
        folder = layout.folder(partition)
        targets = {part_name(clock, file.number, file.of): file for file in files}
        former = self.spec.former_files.get(partition, [])
        replaced = replacement(former, clock).replaced
        # Who waits for _SUCCESS never sees old and new files together; nobody ever sees half a file.
        if SUCCESS_FILE in former:
            self._storage.delete([f"{folder}/{SUCCESS_FILE}"])
        for name, file in targets.items():
            self._storage.move(file.uri, f"{folder}/{name}")
        self._storage.delete([f"{folder}/{name}" for name in replaced if name not in targets])
        _put(self._storage, f"{folder}/{SUCCESS_FILE}", {"export_id": layout.export_id}, layout.staging)
        count("partitions_published")
        return [self._row(f"{folder}/{name}", file) for name, file in targets.items()]

    def _row(self, uri: str, file: StagedFile) -> dict[str, Any]:
        day, vendor = file.label
        return {
            "export_id": self.spec.layout.export_id,
            "file_uri": uri,
            "partition_date": day.isoformat(),
            "vendor": vendor,
            "rows": file.rows,
            "bytes": file.bytes,
            "crc32c": file.crc32c,
            "status": SUCCESS,
            "started_at": file.started_at,
            "completed_at": dt.datetime.now(dt.UTC),
        }


@dataclass
class _Commit(beam.DoFn):
    """All published files -> the manifest; the run's totals, and as output `files` the files themselves."""

    spec: WritePartitions

    def process(self, _once: None, files: list[dict[str, Any]]) -> Iterator[Any]:
        layout = self.spec.layout
        storage = open_storage(layout.output, self.spec.endpoints)
        files = sorted(files, key=lambda file: file["file_uri"])
        written = {file["file_uri"].rpartition("/")[0] for file in files}
        for path in self.spec.former_files.keys() - self.spec.left_alone:
            if (folder := layout.folder(path)) not in written:
                self._empty(storage, path, folder)
        totals = {
            "rows_exported": sum(file["rows"] for file in files),
            "bytes_exported": sum(file["bytes"] for file in files),
            "files": len(files),
            "partitions": len(written),
        }
        listed = [{name: str(value) if isinstance(value, dt.datetime) else value for name, value in file.items()
                   if name not in {"export_id", "status"}} for file in files]  # fmt: skip
        _put(storage, layout.manifest, self.spec.manifest | totals | {"files": listed}, layout.staging)
        stale = [uri for uri in storage.list(self.spec.stale_manifests) if uri != layout.manifest]
        storage.delete(stale)
        staged = storage.list(f"{layout.staging}/")
        storage.delete([uri for uri in staged if uri != layout.note])
        self.spec.clean_up()
        storage.delete([layout.note])
        yield {"export_id": layout.export_id} | totals
        for file in files:
            yield beam.pvalue.TaggedOutput("files", file)

    def _empty(self, storage: Storage, path: str, folder: str) -> None:
        """Remove a partition's files of the window, and its marker if none are left."""
        partition = parse_path(path)
        assert partition
        what = replacement(self.spec.former_files[path], self.spec.clocks[partition.day])
        gone = what.replaced if what.kept else [*what.replaced, SUCCESS_FILE]
        storage.delete([f"{folder}/{name}" for name in gone])


def _put(storage: Storage, uri: str, content: dict[str, Any], staging: str) -> None:
    # By way of `staging`, which the next run clears, so that a killed one leaves no half file among the data.
    put(storage, uri, (json.dumps(content, indent=1, default=str) + "\n").encode(), aside=staging)
