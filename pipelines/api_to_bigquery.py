"""api_to_bigquery: the endpoints of an API -> JSON lines on Cloud Storage -> raw tables in BigQuery.

python -m pipelines.api_to_bigquery --config xero.json --client_name acme
"""

from __future__ import annotations

import datetime as dt
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions

from pipelines import command_line, running
from transforms.fail_if_any import FailIfAny
from transforms.fetch_api import FetchApi, LoadRaw, StateSpec, concluded, failure
from transforms.record import RecordRows
from transforms.tell_fetches import TellFetches
from wharf.connectors import secrets
from wharf.connectors.config import load_api_config
from wharf.connectors.endpoints import Endpoints
from wharf.connectors.fetching import planned
from wharf.connectors.storage import open_storage
from wharf.model import report
from wharf.model.errors import RunFailed, UsageError
from wharf.model.fetching.config import ApiConfig, check_remote_secrets, select
from wharf.model.fetching.flags import FLAGS, PIPELINE
from wharf.model.fetching.layout import new_run_id
from wharf.model.fetching.ledger import FETCHES
from wharf.model.fetching.unit import Fetch, units
from wharf.model.flags import as_switch, given
from wharf.model.history.retries import repeat
from wharf.model.ledger import RUNNING, SUCCESS
from wharf.model.schema import TableId


@dataclass(frozen=True)
class Job:
    """One run."""

    config: ApiConfig
    state: StateSpec
    endpoints: Endpoints
    options: PipelineOptions
    again: str  # the command that fetches what has failed


def build(pipeline: beam.Pipeline, job: Job, fetches: Sequence[Fetch]) -> Any:
    """The graph: fetch -> load -> record -> tell. -> PCollection of Concluded."""
    config, spec = job.config, job.state
    spent = spec.open().spent_today(config.api.client_name, config.api.name, dt.datetime.now(dt.UTC))
    fetched = (
        pipeline
        | "Units" >> beam.Create(list(units(config.api, tuple(fetches), spent)), reshuffle=False)
        | "FetchApi" >> FetchApi(job.endpoints, spec)
    )
    typed = config.raw_mode == "typed"
    loaded = fetched.complete | "LoadRaw" >> LoadRaw(config.project, config.dataset, typed, job.endpoints)
    recorded = (
        loaded
        | "Rows" >> beam.Map(lambda each: each.row)
        | "Record" >> RecordRows(spec.table, FETCHES, spec.project, job.endpoints)
    )
    ended = (loaded, fetched.incomplete | "Incomplete" >> beam.Map(concluded)) | "Ended" >> beam.Flatten()
    told = ended | "Tell" >> TellFetches(config, spec.run_id, job.again, job.endpoints, after=recorded)
    return told | "FailIfAny" >> FailIfAny(failure)


def execute(job: Job, fetches: Sequence[Fetch]) -> int:
    """Run, and show how each endpoint ended. -> exit code."""
    watched = command_line.is_watched(job.options)
    pipeline = beam.Pipeline(options=job.options)
    build(pipeline, job, fetches)
    if not watched:
        print(f"{job.state.run_id} runs as Dataflow job {running.submit(pipeline)}")
        return 0
    failed: BaseException | None = None
    try:
        with running.progress(report.fetch_progress):
            pipeline.run().wait_until_finish()
    except BaseException as error:  # noqa: BLE001 - what was fetched is reported whatever happened
        failed = running.failure(error)
    newest = job.state.open().newest(job.config.api.client_name, job.config.api.name)
    found = [(fetch.run, newest.get((fetch.endpoint.name, fetch.tenant))) for fetch in fetches]
    rows = [row for run, row in found if row and row["run_id"] == run.run_id]
    if any(row["status"] != RUNNING for row in rows):
        print(report.fetches_table(rows))
    if failed and not isinstance(failed, RunFailed):
        raise failed
    if any(row["status"] != SUCCESS for row in rows) and any(row["error_message"] for row in rows):
        return 1
    if failed:
        raise failed
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """The command. -> exit code."""
    return running.end_with(lambda: _main(sys.argv[1:] if argv is None else argv))


def _main(argv: Sequence[str]) -> int:
    values, endpoints, options = command_line.parse(PIPELINE, FLAGS, argv, __doc__)
    if not values["config"]:
        raise UsageError("--config is missing: name the file that describes the API")
    project = options.view_as(GoogleCloudOptions).project or ""
    config = load_api_config(values["config"], endpoints, client_name=values["client_name"], project=project)
    running.set_up_logging(structured=not command_line.is_watched(options))
    command_line.check(options)
    for warning in config.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if not command_line.is_watched(options):
        check_remote_secrets(config)
    if not config.project:
        raise UsageError("which project pays? set project in the configuration, or give --project")
    names = [name.strip() for name in values["endpoints"].split(",") if name.strip()]
    config = replace(config, api=select(config.api, names), raw_mode=values["raw_mode"] or config.raw_mode)
    said = given(FLAGS, {**values, "client_name": config.api.client_name})
    settings = {name: value for name, value in said.items() if name not in {"force", "plan"}}
    now = dt.datetime.now(dt.UTC)
    spec = StateSpec(
        project=config.project,
        table=TableId.parse(config.metadata_table, flag="metadata_table", project=config.project),
        run_id=new_run_id(now),
        # Also on Dataflow, where a worker renews it as long as it fetches.
        lease=dt.timedelta(minutes=int(values["lease_minutes"]))
        if values["lease_minutes"]
        else command_line.WATCHED_LEASE,
        force=as_switch(values, "force"),
        endpoints=endpoints,
        job_id=running.launched_job(options),
        settings=json.dumps(settings),
    )
    state, is_plan = spec.open(), as_switch(values, "plan")
    if not is_plan:
        if command_line.is_watched(options):
            _check_secrets(config, endpoints)
        state.ensure()
    storage = open_storage(config.bucket, endpoints)
    fetches = list(
        planned.fetches(
            config.api,
            config.bucket,
            state,
            storage,
            spec.run_id,
            now,
            full=as_switch(values, "full"),
            force=as_switch(values, "force"),
        )
    )
    if is_plan:
        for fetch in fetches:
            print(report.planned_fetch(fetch))
        return 0
    # What is done is not repeated, unless everything was asked for.
    again = (
        repeat(PIPELINE, {**settings, "project": project})
        if command_line.is_watched(options)
        else repeat(PIPELINE, settings, on_dataflow=True)
    )
    return execute(Job(config, spec, endpoints, options, again), fetches)


def _check_secrets(config: ApiConfig, endpoints: Endpoints) -> None:
    """Make sure that there are the secrets that requests need: one that is missing is no failed run, but a mistake.

    Raises: UsageError.
    """
    auth = config.api.auth
    for secret in filter(None, (auth.password, auth.client_id, auth.client_secret, auth.token)):
        secrets.resolve(secret, endpoints, keep_seconds=0)


if __name__ == "__main__":
    # The importable module's main, so that workers find its classes by name and not in this `__main__`.
    from pipelines.api_to_bigquery import main as importable_main

    sys.exit(importable_main())
