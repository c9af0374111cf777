"""Runs as JSON: what the ledgers tell of them, and launches that no ledger tells of yet."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from collections.abc import Iterable
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from wharf.connectors.launcher import Launcher
from wharf.connectors.run_history import RunHistory
from wharf.launch.service.bodies import problems
from wharf.launch.service.filters import one_of
from wharf.launch.service.pages import Pages, wants_page
from wharf.launch.service.problems import Refusal
from wharf.model.errors import UsageError, WharfError
from wharf.model.history.runs import STATUSES, Run, RunFile
from wharf.model.history.unsettled import STATUS_OF, unsettled
from wharf.model.launching.pipelines import PIPELINES
from wharf.model.launching.record import LaunchRecord

_log = logging.getLogger(__name__)
_RECENT = 50  # launches that are looked at
_MOST_FILES = 1_000
# BigQuery's partitions, and Python's arithmetic, end somewhat further out.
_Day = Annotated[dt.date, Field(ge=dt.date(2000, 1, 1), le=dt.date(2200, 12, 31))]


class ShownLaunch(BaseModel):
    """A launch: its job may not have recorded anything yet."""

    run_id: str
    pipeline: str
    name: str
    window: str
    state: str = Field(examples=["LAUNCHED"])
    attempt: int
    job_id: str
    job_name: str
    accepted_at: dt.datetime
    launched_at: dt.datetime | None
    ended_at: dt.datetime | None
    error: str

    @classmethod
    def of(cls, record: LaunchRecord) -> ShownLaunch:
        """What is shown of a record."""
        launch = record.launch
        own = {name: getattr(record, name) for name in cls.model_fields if hasattr(record, name)}
        return cls(pipeline=launch.pipeline, name=launch.name, window=launch.window, **own)


class Runs(BaseModel):
    """The newest runs, and launches that no ledger knows of."""

    runs: list[Run]
    launches: list[ShownLaunch] = Field(description="those that have not succeeded and no ledger tells of")


class OneRun(BaseModel):
    """A launch and the runs that its job did, or a run, its launch and its files."""

    runs: list[Run]
    launch: ShownLaunch | None
    files: list[RunFile] = Field(description=f"of the run, if it is one; at most {_MOST_FILES:,}")


async def recent(launcher: Launcher) -> list[LaunchRecord]:
    """The newest launches; none where they cannot be read, as ledgers tell of runs without them."""
    try:
        return await launcher.recent(_RECENT)
    except WharfError as error:
        _log.warning("the records of launches cannot be read: %s", error)
        return []


def router(launcher: Launcher, history: RunHistory, pages: Pages) -> APIRouter:
    """The routes that show."""
    made = APIRouter(prefix="/runs", tags=["runs"])

    @made.get("", summary="Show the newest runs of all pipelines", responses=problems(400, 401, 403, 503))
    async def runs(
        pipeline: Annotated[str, Query(description="only its runs", json_schema_extra=_enum(PIPELINES))] = "",
        name: Annotated[str, Query(description="only what goes by this name")] = "",
        status: Annotated[str, Query(description="only runs of this status", json_schema_extra=_enum(STATUSES))] = "",
        day: Annotated[_Day | None, Query(description="only runs that began on it (UTC)")] = None,
        limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
    ) -> Runs:
        try:
            one_of(PIPELINES, pipeline, "pipeline")
            one_of(STATUSES, status, "status")
        except UsageError as error:
            raise Refusal.of(error) from error
        asked = partial(history.runs, pipeline=pipeline, name=name, status=status, since=day, until=day, limit=limit)
        found, records = await asyncio.gather(run_in_threadpool(asked), recent(launcher))
        open_ = [
            record
            for record in unsettled(records)
            if pipeline in ("", record.launch.pipeline)
            and name in ("", record.launch.name)
            and status in ("", STATUS_OF.get(record.state))
            and day in (None, record.accepted_at.date())
        ]
        known = await run_in_threadpool(history.known_jobs, {record.job_id for record in open_ if record.job_id})
        return Runs(runs=found, launches=[ShownLaunch.of(record) for record in open_ if record.job_id not in known])

    @made.get(
        "/{run_id}",
        summary="Show one run, or one launch",
        response_model=OneRun,
        responses=problems(401, 403, 404, 503),
    )
    async def run(request: Request, run_id: str) -> OneRun | Response:
        """JSON, or a page for a browser, which accepts HTML."""
        record = await launcher.record_of_job(run_id)  # by the run's id, or the name of one of its jobs
        runs = await run_in_threadpool(history.of_job, record.job_id) if record and record.job_id else []
        if wants_page(request.headers.get("accept", "")):
            return await run_in_threadpool(pages.run, run_id, request.query_params, record, runs)
        if record:
            return OneRun(runs=runs, launch=ShownLaunch.of(record), files=[])
        found = await run_in_threadpool(history.run, run_id)
        if not found:
            raise Refusal(404, f"there is no run {run_id!r}; GET /runs lists them")
        files = await run_in_threadpool(history.files, found, _MOST_FILES)
        return OneRun(runs=[found], launch=None, files=files)

    return made


def _enum(words: Iterable[str]) -> dict[str, Any]:
    """The words a parameter may be, for the description only: what a person is told of another one is `one_of`'s."""
    return {"enum": ["", *words]}
