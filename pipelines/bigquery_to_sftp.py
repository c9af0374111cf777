"""bigquery_to_sftp: exports of BigQuery tables and queries -> files on an SFTP server, verified there.

python -m pipelines.bigquery_to_sftp --config exports.json --export_name orders_daily,customers
"""

from __future__ import annotations

import datetime as dt
import logging
import sys
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions
from google.api_core.exceptions import GoogleAPIError

from pipelines import command_line, running
from pipelines.sftp_export_run import Done, Ready, Unfinished, plan, resolve, take
from transforms.conclude_delivery import ConcludeDeliveries
from transforms.read_bigquery import ReadFromBigQuery
from transforms.stage_delivery import StageDelivery
from transforms.write_sftp import WriteToSftp
from wharf.connectors import bigquery
from wharf.connectors.announce import Announcer
from wharf.connectors.config import load_config
from wharf.connectors.deliveries import Deliveries, deliveries_of
from wharf.model import report
from wharf.model.config import SftpConfig, check_remote_secrets
from wharf.model.errors import RunInProgress, WharfError
from wharf.model.flags import as_switch
from wharf.model.ledger import RUNNING, SUCCESS
from wharf.model.manifest import Folder, Manifest
from wharf.model.sftp_export import SftpExport
from wharf.model.sftp_run import FLAGS, PIPELINE, chosen, new_export_id, run_date, settings

_LOG = logging.getLogger("wharf")


@dataclass(frozen=True)
class Job:
    """What every run of one command shares."""

    config: SftpConfig
    config_uri: str
    deliveries: Deliveries
    options: PipelineOptions
    lease: dt.timedelta
    force: bool

    @property
    def announcer(self) -> Announcer:
        settings = {export.name: export.notifications for export in self.config.exports.values()}
        return Announcer(self.deliveries, self.config_uri, settings)


def build(pipeline: beam.Pipeline, job: Job, runs: Sequence[Ready | Unfinished]) -> Any:
    """The graph: of each run read -> encode -> stage -> seal; of all send -> record -> tell. -> rows of the runs."""
    manifests = []
    for run in runs:
        if isinstance(run, Unfinished):
            manifests.append(pipeline | f"Again {run.manifest.export_name}" >> beam.Create([run.manifest]))
            continue
        export, deliveries = run.run.export, job.deliveries
        temporary = run.request.table if run.query else None
        manifests.append(
            pipeline
            | f"Read {export.name}" >> ReadFromBigQuery(run.request, deliveries.endpoints, query=run.query)
            | f"Stage {export.name}"
            >> StageDelivery(export, run.run.format, run.draft, run.increment, temporary, deliveries)
        )
    sealed = manifests | "Manifests" >> beam.Flatten()
    again = frozenset(_id(run) for run in runs if isinstance(run, Unfinished) or run.again)
    sent = (
        sealed
        | "Files" >> beam.FlatMap(lambda manifest: manifest.outbound(again=manifest.export_id in again))
        | "WriteToSftp" >> WriteToSftp(job.config.sftp, job.deliveries.endpoints)
    )
    results = (sent.delivered, sent.rejected) | "Results" >> beam.Flatten()
    return (sealed, results) | "Conclude" >> ConcludeDeliveries(job.deliveries, job.announcer)


def _id(run: Ready | Unfinished) -> str:
    return run.manifest.export_id if isinstance(run, Unfinished) else run.draft.export_id


def run_exports(job: Job, exports: Sequence[SftpExport], dates: Mapping[str, dt.date]) -> int:
    """Run exports side by side. -> exit code: that of the worst end, or how the launch went of a job that goes on.

    An export that cannot run does not keep the others from it.
    """
    worst = 0
    while exports:
        runs: list[Ready | Unfinished] = []
        for export in exports:
            try:
                taken = _take(job, export, dates[export.name])
            except WharfError as error:
                print(f"error: {error}", file=sys.stderr)
                worst = max(worst, error.exit_code)
                continue
            except GoogleAPIError as error:
                print(f"error: export {export.name}: {str(error).splitlines()[0]}", file=sys.stderr)
                worst = max(worst, 1)
                continue
            if isinstance(taken, Done):
                print(taken.reason)
            else:
                runs.append(taken)
        if not command_line.is_watched(job.options):
            if not runs and not worst:
                running.submit_nothing(job.options)
            # Not the worst: a launcher that fails ends the job. What could not run is recorded, and told of.
            return execute(job, runs) if runs else worst
        worst = max(worst, execute(job, runs) if runs else 0)
        # An increment that was left over has been sent: now the rows that came since.
        sent = {run.manifest.export_name for run in runs if isinstance(run, Unfinished)}
        exports = [e for e in exports if e.name in sent and e.export_type == "incremental"] if not worst else []
    return worst


def _take(job: Job, export: SftpExport, date: dt.date) -> Ready | Unfinished | Done:
    """Take an export; one that cannot run for anything but another run is recorded as FAILED, and told of."""
    moment = dt.datetime.now(dt.UTC)
    row: dict[str, Any] = {"export_id": new_export_id(export, date, uuid.uuid4().hex[:8]), "export_name": export.name}
    row |= {"source_table": export.source, "destination_uri": str(job.config.sftp), "started_at": moment}
    row["settings"] = settings(job.config_uri, export)
    try:
        resolved = resolve(job.config, job.deliveries, export, date, moment, running.job_of(job.options))
        row = resolved.row
        return take(resolved, job.lease, force=job.force)
    except RunInProgress:
        raise
    except (WharfError, GoogleAPIError) as error:
        try:
            job.deliveries.ensure_tables(None)
            job.deliveries.ledger.refuse(row, str(error))
            job.announcer(job.deliveries.ledger.row(row["export_id"]), None)
        except (WharfError, GoogleAPIError) as further:
            _LOG.warning("export %s could not run, and that could not be recorded: %s", export.name, further)
        raise


def execute(job: Job, runs: Sequence[Ready | Unfinished]) -> int:
    """Run what is taken, and see to it that each run ends in the ledger. -> exit code.

    One export can break the pipeline of all; then those that have not ended go on one by one.
    """
    ledger, watched = job.deliveries.ledger, command_line.is_watched(job.options)
    ids = [_id(run) for run in runs]
    failed: BaseException | None = None
    try:
        pipeline = beam.Pipeline(options=job.options)
        build(pipeline, job, runs)
        if not watched:
            job_id = running.submit(pipeline)
            for export_id in ids:
                ledger.assign_job(export_id, job_id)
                print(f"{export_id} runs as Dataflow job {job_id}")
            return 0
        with ledger.kept_alive(ids, job.lease), running.progress(report.progress_line):
            pipeline.run().wait_until_finish()
    except BaseException as error:  # noqa: BLE001 - whatever it was, every run has to end in the ledger
        failed = running.failure(error)
    broken = [run for run in runs if ledger.row(_id(run))["status"] == RUNNING]  # they could not say how they ended
    alone = broken if watched and len(runs) > 1 and isinstance(failed, Exception) else []
    for run in broken if not alone else ():
        _end_broken(job, run, _id(run), str(failed or "the pipeline ended without recording the run"))
    rows = [ledger.row(_id(run)) for run in runs if run not in alone]
    for row in rows:
        print(report.delivery_table(row))
        if row["status"] != SUCCESS:
            print(f"error: run {row['export_id']}: {row['error_message']}", file=sys.stderr)
    if failed and not isinstance(failed, Exception):
        raise failed
    codes = [int(row["status"] != SUCCESS) for row in rows]
    for at, run in enumerate(alone):
        try:
            codes.append(execute(job, [_as_far_as_it_is(job, run)]))
        except BaseException:
            for left in alone[at + 1 :]:
                _end_broken(job, left, _id(left), "interrupted before it was its turn")
            raise
    return max(codes)


def _as_far_as_it_is(job: Job, run: Ready | Unfinished) -> Ready | Unfinished:
    """A run whose pipeline broke: what is left of it."""
    if isinstance(run, Unfinished) or not (manifest := _sealed(job, run)):
        return run
    return Unfinished(manifest)


def _sealed(job: Job, run: Ready) -> Manifest | None:
    folder = Folder(job.deliveries.staging, run.run.export.name, run.draft.export_id)
    if job.deliveries.storage.read_all(folder.manifest) is None:
        return None
    return job.deliveries.manifest(folder.manifest)


def _end_broken(job: Job, run: Ready | Unfinished, export_id: str, why: str) -> None:
    """Record FAILED, and tell. What is staged stays if it is complete, else it goes."""
    job.deliveries.ledger.fail(export_id, why)
    manifest = run.manifest if isinstance(run, Unfinished) else _sealed(job, run)
    if isinstance(run, Ready):
        if not manifest:
            job.deliveries.discard(run.run.export.name, export_id)
        if run.query:
            bigquery.drop(job.deliveries.client, run.request.table)
    job.announcer(job.deliveries.ledger.row(export_id), manifest)


def main(argv: Sequence[str] | None = None) -> int:
    """The command. -> exit code."""
    return running.end_with(lambda: _main(sys.argv[1:] if argv is None else argv))


def _main(argv: Sequence[str]) -> int:
    values, endpoints, options = command_line.parse(PIPELINE, FLAGS, argv, __doc__)
    config = load_config(values["config"], endpoints)
    running.set_up_logging(structured=not command_line.is_watched(options))
    command_line.check(options)
    if config.debug:
        logging.getLogger("wharf").setLevel(logging.DEBUG)
    for warning in config.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    exports = chosen(config.exports, values["export_name"])
    if not command_line.is_watched(options):
        check_remote_secrets(config)
    deliveries = deliveries_of(config, endpoints, options.view_as(GoogleCloudOptions).project)
    now = dt.datetime.now(dt.UTC)
    dates = {export.name: run_date(values["date"], export, now) for export in exports}
    if as_switch(values, "plan"):
        for export in exports:
            print(plan(resolve(config, deliveries, export, dates[export.name], now, running.job_of(options))))
        return 0
    lease = command_line.lease(values["lease_minutes"], options)
    job = Job(config, values["config"], deliveries, options, lease, as_switch(values, "force"))
    return run_exports(job, exports, dates)


if __name__ == "__main__":
    # The importable module's main, so that workers find its classes by name and not in this `__main__`.
    from pipelines.bigquery_to_sftp import main as importable_main

    sys.exit(importable_main())
