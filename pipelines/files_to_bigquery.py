"""files_to_bigquery: files that landed below a prefix -> BigQuery tables, each directory once its `_SUCCESS` is there.

    python -m pipelines.files_to_bigquery --input 'gs://bucket/in/**' --project project
    python -m pipelines.files_to_bigquery --subscription projects/project/subscriptions/landed \\
        --prefix gs://bucket/in/ --project project
"""

from __future__ import annotations

import datetime as dt
import sys
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions, StandardOptions

from pipelines import command_line, running
from transforms.fail_if_any import FailIfAny
from transforms.find_batches import AwaitFile, FindAnnounced, FindBatches, HoldUntil, find_batches
from transforms.load_files import Ended, LoadFiles
from transforms.read_notifications import ReadNotifications
from transforms.tell_loads import TellLoads
from wharf.connectors import bigquery
from wharf.connectors.config import load_notifications
from wharf.connectors.endpoints import Endpoints, default_project, load_state_table
from wharf.connectors.loading.loaded_files import LoadedFiles
from wharf.connectors.loading.loader import LoaderSpec
from wharf.connectors.loading.rejects import Rejects
from wharf.connectors.loading.state import LoadState
from wharf.model import report
from wharf.model.errors import RunFailed, UsageError
from wharf.model.flags import as_switch
from wharf.model.loading.flags import FLAGS
from wharf.model.loading.settings import LoadSettings
from wharf.model.loading.state import DONE
from wharf.model.notification import Notifications

PIPELINE = "files_to_bigquery"
_STREAMING_SLOTS = 10


@dataclass(frozen=True)
class Job:
    """One run."""

    spec: LoaderSpec
    notifications: Notifications | None
    options: PipelineOptions
    streaming: bool

    @property
    def settings(self) -> LoadSettings:
        return self.spec.settings

    @property
    def endpoints(self) -> Endpoints:
        return self.spec.endpoints

    @property
    def state(self) -> LoadState:
        return LoadState(self.endpoints.bigquery_client(self.settings.project), self.settings.state_table)


def build(pipeline: beam.Pipeline, job: Job) -> Any:
    """The graph: find -> load and record -> tell. -> PCollection of Ended."""
    batches = _announced(pipeline, job) if job.streaming else _listed(pipeline, job)
    ended = batches | "LoadFiles" >> LoadFiles(job.spec, _STREAMING_SLOTS if job.streaming else 1)
    if job.notifications:
        _ = ended | "TellPeople" >> TellLoads(job.notifications, job.settings.state_table, job.endpoints)
    return ended


def _listed(pipeline: beam.Pipeline, job: Job) -> Any:
    return (
        pipeline
        | "Pattern" >> beam.Create([job.settings.pattern])
        | "AwaitFile" >> AwaitFile(job.settings.wait_for, job.settings.wait, job.endpoints)
        | "FindBatches" >> FindBatches(job.settings, job.endpoints)
    )


def _announced(pipeline: beam.Pipeline, job: Job) -> Any:
    """What notifications announce; what was missed while nobody listened; what was held until a file came."""
    settings, endpoints = job.settings, job.endpoints
    notified = pipeline | "ReadNotifications" >> ReadNotifications(
        settings.subscription, settings.prefix, settings.marker, settings.wait_for
    )
    pattern = f"{settings.prefix}**"
    missed = pipeline | "AtStart" >> beam.Create([pattern])
    released = notified.released | "Released" >> beam.Map(lambda _: pattern)
    announced = notified.markers | "FindAnnounced" >> FindAnnounced(settings, endpoints)
    listed = (missed, released) | "Patterns" >> beam.Flatten() | "FindBatches" >> FindBatches(settings, endpoints)
    found = (announced, listed) | "Found" >> beam.Flatten()
    return found | "HoldUntil" >> HoldUntil(settings, endpoints) if settings.wait_for else found


def _failure(ended: Ended) -> str:
    return "" if ended.row["status"] == DONE else str(ended.row["error_message"])


def execute(job: Job) -> int:
    """Make the tables that record, run, report. -> exit code."""
    settings, watched = job.settings, command_line.is_watched(job.options)
    client = job.endpoints.bigquery_client(settings.project)
    job.state.ensure()
    Rejects(client, job.endpoints.storage_client(), settings.rejects_table, settings.dead_letter_prefix).ensure()
    LoadedFiles(client, settings.files_table).ensure()
    pipeline = beam.Pipeline(options=job.options)
    ended = build(pipeline, job)
    if not job.streaming:
        _ = ended | "FailIfAny" >> FailIfAny(_failure)
    if not watched:
        print(f"{job.spec.run_id} runs as Dataflow job {running.submit(pipeline)}")
        return 0
    failed: BaseException | None = None
    try:
        with running.progress(report.loads_progress):
            pipeline.run().wait_until_finish()
    except BaseException as error:  # noqa: BLE001 - what was loaded is reported whatever happened
        failed = running.failure(error)
    rows = job.state.of_run(job.spec.run_id)
    if job.streaming and isinstance(failed, KeyboardInterrupt):  # the way it ends; it is no failure
        done = sum(row["status"] == DONE for row in rows)
        print(f"stopped: {done:,} of {len(rows):,} batches are loaded; what comes until the next start is found then")
        return 0
    if rows or not failed:
        print(report.loads_table(rows) if rows else "nothing to load: every complete directory has been loaded")
    if failed and not isinstance(failed, RunFailed):
        raise failed
    undone = [row for row in rows if row["status"] != DONE]
    for row in undone[:20]:
        print(f"error: {row['error_message'] or row['directory']}", file=sys.stderr)
    if len(undone) > 20:
        print(f"and {len(undone) - 20:,} more; the table above has them all", file=sys.stderr)
    if failed and not (undone and all(row["error_message"] for row in undone)):
        raise failed
    return 1 if undone else 0


def plan(settings: LoadSettings, endpoints: Endpoints) -> Iterator[str]:
    """What a run would load, a line for each batch; writes nothing.

    Raises: UsageError.
    """
    if not settings.pattern:
        raise UsageError("--plan needs --input: what notifications will announce, nobody knows")
    client = endpoints.bigquery_client(settings.project)
    state = LoadState(client, settings.state_table) if bigquery.exists(client, settings.state_table) else None
    for batch in find_batches(settings, endpoints.storage_client(), state):
        yield report.planned_load(batch)


def main(argv: Sequence[str] | None = None) -> int:
    """The command. -> exit code."""
    return running.end_with(lambda: _main(sys.argv[1:] if argv is None else argv))


def _main(argv: Sequence[str]) -> int:
    job, is_plan = job_of(argv)
    running.set_up_logging(structured=not command_line.is_watched(job.options))
    command_line.check(job.options)
    if is_plan:
        for line in plan(job.settings, job.endpoints):
            print(line)
        return 0
    return execute(job)


def job_of(argv: Sequence[str]) -> tuple[Job, bool]:
    """The words of the command -> the run that they ask for, whether it is only to be planned.

    Raises: UsageError.
    """
    values, endpoints, options = command_line.parse(PIPELINE, FLAGS, argv, __doc__)
    streaming = _streaming(options, values["subscription"])
    settings = LoadSettings.from_flags(
        values,
        project=options.view_as(GoogleCloudOptions).project or default_project(),
        state_table=load_state_table(),
        now=dt.datetime.now(dt.UTC),
    )
    unique = f"{dt.datetime.now(dt.UTC):%Y%m%d%H%M%S}-{uuid.uuid4().hex[:8]}"
    spec = LoaderSpec(
        settings=settings,
        endpoints=endpoints,
        run_id=f"load-{running.launched_job(options) or unique}",
        lease=dt.timedelta(minutes=int(values["lease_minutes"] or 2)),
        most_jobs=settings.max_jobs,
        retry_failed=not streaming,
    )
    notifications = load_notifications(settings.notifications, endpoints) if settings.notifications else None
    return Job(spec, notifications, options, streaming), as_switch(values, "plan")


def _streaming(options: PipelineOptions, subscription: str) -> bool:
    """Whether the pipeline streams: with a subscription, whose notifications come without end.

    That is enough, because a template's parameters are `--name=value`, and Beam's `--streaming` takes no value.

    Raises: UsageError for --streaming without --subscription.
    """
    if subscription:
        command_line.stream(options)
    elif options.view_as(StandardOptions).streaming:
        raise UsageError("--streaming needs --subscription: files that are there already are loaded without it")
    return bool(subscription)


if __name__ == "__main__":
    # The importable module's main, so that workers find its classes by name and not in this `__main__`.
    from pipelines.files_to_bigquery import main as importable_main

    sys.exit(importable_main())
