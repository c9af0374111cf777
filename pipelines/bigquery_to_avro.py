"""bigquery_to_avro: a window of a BigQuery table -> `year=/month=/day=/vendor=` Avro files.

    python -m pipelines.bigquery_to_avro --source_table project.dataset.table --output gs://bucket/prefix \\
        --period 202503
"""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import DirectOptions, GoogleCloudOptions, PipelineOptions

from pipelines import command_line, running
from pipelines.avro_export_run import Resolved, claim, manifest, plan, resolve
from transforms.read_bigquery import ReadFromBigQuery
from transforms.record import RecordRows, RecordSuccess
from transforms.spill import ByPartition, Spill
from transforms.write_partitions import WritePartitions
from wharf.connectors import bigquery
from wharf.connectors.bigquery_read import ReadRequest
from wharf.connectors.endpoints import Endpoints, default_project
from wharf.connectors.ledger import RunLedger
from wharf.connectors.output_tree import OutputTree
from wharf.connectors.storage import open_storage
from wharf.formats.avro import BLOCK_BYTES
from wharf.formats.partition_rows import Partitioner
from wharf.model import ledger, report
from wharf.model.avro_export import AvroExport
from wharf.model.avro_flags import FLAGS
from wharf.model.errors import RunFailed
from wharf.model.flags import as_switch
from wharf.model.layout import manifest_prefix
from wharf.model.schema import TableId


@dataclass(frozen=True)
class _MayPublish:
    """Called on a worker before anything is published: is the window still this run's?"""

    endpoints: Endpoints
    project: str
    table: TableId
    export_id: str

    def __call__(self) -> None:
        RunLedger(self.endpoints.bigquery_client(self.project), self.table).check_mine(self.export_id)


@dataclass(frozen=True)
class _DropTemporary:
    """Called on a worker at the end: remove what a query was materialised in."""

    endpoints: Endpoints
    project: str
    table: TableId | None

    def __call__(self) -> None:
        if self.table:
            bigquery.drop(self.endpoints.bigquery_client(self.project), self.table)


def build(pipeline: beam.Pipeline, run: Resolved, tree: OutputTree, skipped: frozenset[str], streams: int = 0) -> Any:
    """The graph: read -> spill by partition -> write -> publish -> record. -> the run's outcome, one dict."""
    export, endpoints = run.export, run.endpoints
    format_ = run.format
    clocks = {span.day: span.clock for span in export.window.spans}
    request = ReadRequest(
        run.table, tuple(field.name for field in run.read), run.restriction, export.project, max_streams=streams
    )
    partitioner = Partitioner(export.window, export.date_column, run.date_type, export.vendor_column)
    by_partition = ByPartition(format_, partitioner, min(BLOCK_BYTES, export.target_file_bytes), skipped)
    written = (
        pipeline
        | "Read" >> ReadFromBigQuery(request, endpoints, query=export.query)
        | "SpillByPartition" >> Spill(by_partition, run.layout.staging, endpoints)
        | "WritePartitions"
        >> WritePartitions(
            layout=run.layout,
            format=format_,
            target_bytes=export.target_file_bytes,
            clocks=clocks,
            former_files=tree.files,
            left_alone=skipped,
            manifest=manifest(run),
            stale_manifests=manifest_prefix(export.output, export.export_name, export.window),
            endpoints=endpoints,
            may_publish=_MayPublish(endpoints, export.project, export.metadata_table, run.layout.export_id),
            clean_up=_clean_up(run),
        )
    )
    recorded = written.files | "RecordFiles" >> RecordRows(export.files_table, ledger.FILES, export.project, endpoints)
    return written.outcome | "RecordRun" >> RecordSuccess(export.metadata_table, export.project, endpoints, recorded)


def execute(run: Resolved, options: PipelineOptions, lease: dt.timedelta, *, force: bool) -> int:
    """Claim, run, record. -> exit code.

    Raises: WharfError.
    """
    tree, skipped = claim(run, running.job_of(options), lease, force=force)
    export_id, watched = run.layout.export_id, command_line.is_watched(options)
    clean_up = _clean_up(run)
    try:
        pipeline = beam.Pipeline(options=options)
        build(pipeline, run, tree, skipped, _streams(options))
        if not watched:
            job_id = running.submit(pipeline)
            run.ledger.assign_job(export_id, job_id)
            print(f"{export_id} runs as Dataflow job {job_id}")
            return 0
        with run.ledger.kept_alive([export_id], lease), running.progress(report.progress_line):
            pipeline.run().wait_until_finish()
        row = run.ledger.row(export_id)
        if row["status"] != ledger.SUCCESS:
            raise RunFailed(f"the pipeline ended and left run {export_id} {row['status']}")
    except BaseException as error:
        failed = running.failure(error)
        run.ledger.fail(export_id, str(failed) or "interrupted")
        storage = open_storage(run.export.output, run.endpoints)
        staged = storage.list(f"{run.layout.staging}/")
        storage.delete([uri for uri in staged if uri != run.layout.note])
        clean_up()
        raise failed from error
    print(report.closing_table(row, skipped=len(skipped)))
    return 0


def _clean_up(run: Resolved) -> _DropTemporary:
    return _DropTemporary(run.endpoints, run.export.project, run.table if run.export.query else None)


def main(argv: Sequence[str] | None = None) -> int:
    """The command. -> exit code."""
    return running.end_with(lambda: _main(sys.argv[1:] if argv is None else argv))


def _main(argv: Sequence[str]) -> int:
    values, endpoints, options = command_line.parse("bigquery_to_avro", FLAGS, argv, __doc__)
    project = options.view_as(GoogleCloudOptions).project or default_project()
    export = AvroExport.from_flags(values, project=project, now=dt.datetime.now(dt.UTC))
    running.set_up_logging(structured=not command_line.is_watched(options))
    command_line.check(options)
    run = resolve(export, endpoints)
    if as_switch(values, "plan"):
        print(plan(run))
        return 0
    lease = command_line.lease(values["lease_minutes"], options)
    return execute(run, options, lease, force=as_switch(values, "force"))


def _streams(options: PipelineOptions) -> int:
    """As many streams as worker processes that were asked for, where a server would give fewer; else its choice."""
    workers = options.view_as(DirectOptions).direct_num_workers or 1
    return workers if workers > 1 else 0


if __name__ == "__main__":
    # The importable module's main, so that workers find its classes by name and not in this `__main__`.
    from pipelines.bigquery_to_avro import main as importable_main

    sys.exit(importable_main())
