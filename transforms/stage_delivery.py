"""Rows of an export -> complete files in the staging folder, and the manifest that says where each is to go."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import apache_beam as beam
import google_crc32c

from transforms.spill import InOneGroup, Spill
from transforms.write_shards import Shard, StagedFile, WriteShards, bounded_shards
from wharf.connectors import bigquery
from wharf.connectors.deliveries import Deliveries
from wharf.connectors.storage import put
from wharf.formats.block import FileFormat
from wharf.model.checksums import crc32c_text
from wharf.model.manifest import Folder, Manifest, StagedName
from wharf.model.schema import TableId
from wharf.model.selection import WATERMARK_COLUMN, Tied, Watermark
from wharf.model.sftp_export import SftpExport, file_names


@dataclass(frozen=True)
class Increment:
    """Where an incremental run's rows were materialised, and what it goes on from."""

    table: TableId
    watermark_type: str
    columns: tuple[str, ...]
    before: Watermark | None
    tied: Tied | None


@dataclass
class StageDelivery(beam.PTransform):
    """Encode an export's rows into files below the staging folder, and seal the run.

    pyarrow.RecordBatch -> one Manifest. Files have the names that they will have on the server, so that a repeated
    bundle writes the same ones. `draft` is the manifest without its files and its watermark.
    """

    export: SftpExport
    format: FileFormat
    draft: Manifest
    increment: Increment | None
    temporary: TableId | None  # what the rows were materialised in
    deliveries: Deliveries

    @property
    def folder(self) -> Folder:
        return Folder(self.deliveries.staging, self.export.name, self.draft.export_id)

    def expand(self, batches: Any) -> Any:
        begin_and_end = self.format.assembler()
        overhead = len(begin_and_end.begin()) + len(begin_and_end.end())
        endpoints, export = self.deliveries.endpoints, self.export
        staged = (
            batches
            | "SpillInOneGroup" >> Spill(InOneGroup(self.format, export.name), self.folder.root, endpoints)
            | "Gather" >> beam.GroupByKey()
            | "CutShards" >> beam.FlatMap(bounded_shards, export.max_rows_per_file, export.max_bytes_per_file, overhead)
            | "WriteShards" >> WriteShards(self.format, self.folder.files, endpoints, self.file_name)
        )
        return (
            batches.pipeline
            | "SealOnce" >> beam.Create([None])
            | "Seal" >> beam.ParDo(_Seal(self), beam.pvalue.AsList(staged)).with_output_types(Manifest)
            | "KeepSealed" >> beam.Reshuffle()  # a repeated bundle below must not need the table again
            | "DropTemporary" >> beam.Map(self.drop_temporary).with_output_types(Manifest)
        )

    def drop_temporary(self, manifest: Manifest) -> Manifest:
        """Remove what the rows were materialised in: they are staged now."""
        if self.temporary:
            bigquery.drop(self.deliveries.client, self.temporary)
        return manifest

    def file_name(self, shard: Shard) -> str:
        """What a shard's file is called, below the folder of files and below the server's directory."""
        return self.names(shard.of)[shard.number]

    def names(self, shards: int) -> list[str]:
        draft = self.draft
        return file_names(self.export, draft.started_at, draft.date, draft.export_id, shards)


@dataclass
class _Seal(beam.DoFn):
    """All staged files -> the run's Manifest, written where a repeated run finds it."""

    spec: StageDelivery

    def process(self, _once: None, staged: list[StagedFile]) -> Iterator[Manifest]:
        spec, deliveries = self.spec, self.spec.deliveries
        deliveries.ledger.check_mine(spec.draft.export_id)
        if not staged and spec.export.when_empty == "send":
            staged = [self._empty_file()]
        names = spec.names(len(staged))
        files = tuple(
            StagedName(names[file.number], file.uri, file.rows, file.bytes, file.crc32c)
            for file in sorted(staged, key=lambda file: file.number)
        )
        manifest = replace(spec.draft, files=files, watermark=self._watermark())
        deliveries.seal(manifest)
        yield manifest

    def _watermark(self) -> Watermark | None:
        """The increment's highest value, or the former watermark if nothing came; its ties are recorded."""
        increment, deliveries = self.spec.increment, self.spec.deliveries
        if not increment:
            return None
        sql = f"SELECT CAST(MAX({WATERMARK_COLUMN}) AS STRING) AS highest FROM `{increment.table}`"
        highest = bigquery.rows(deliveries.client, sql)[0]["highest"]
        at = increment.before
        if highest is not None:
            at = Watermark.parse(increment.watermark_type, highest, where=str(increment.table))
        if at:
            former = increment.tied if at == increment.before else None
            deliveries.record_ties(increment.table, self.spec.draft.export_id, increment.columns, at, former)
        return at

    def _empty_file(self) -> StagedFile:
        """A file without rows: what a partner gets who waits for one."""
        assembler = self.spec.format.assembler()
        data = assembler.begin() + assembler.end()
        uri = f"{self.spec.folder.files}/{self.spec.names(1)[0]}"
        put(self.spec.deliveries.storage, uri, data)
        checksum = crc32c_text(google_crc32c.value(data))
        return StagedFile(self.spec.export.name, None, 0, 1, uri, 0, len(data), checksum, dt.datetime.now(dt.UTC))
