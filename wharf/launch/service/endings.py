"""What is done when a job ends: its records say so, and people are told of one that died."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from collections.abc import Sequence
from weakref import WeakValueDictionary

from starlette.concurrency import run_in_threadpool

from wharf.connectors import secrets
from wharf.connectors.endpoints import Endpoints
from wharf.connectors.launcher import Launcher
from wharf.connectors.notify import notify
from wharf.connectors.run_history import RunHistory
from wharf.launch.service.events import Job
from wharf.model.history.retries import launch_again
from wharf.model.history.runs import Run
from wharf.model.launching.config import LaunchConfig
from wharf.model.launching.record import CANCELLED, FAILED, SUCCESS, LaunchRecord
from wharf.model.notification import Outcome

# A job that is UPDATED goes on as another one.
_ENDS = {"DONE": SUCCESS, "DRAINED": SUCCESS, "FAILED": FAILED, "CANCELLED": CANCELLED}
_log = logging.getLogger(__name__)


class Endings:
    """Does it once for each job, however often its end is told.

    Ledgers are written first, the launch's record last: if this process dies in between, the event comes again and
    the rest is done, the notification at worst twice. Of a job that was not launched here no record is kept, and only
    the ledgers tell whether its end was news.
    """

    def __init__(self, config: LaunchConfig, endpoints: Endpoints, launcher: Launcher, history: RunHistory) -> None:
        self._config, self._endpoints, self._launcher, self._history = config, endpoints, launcher, history
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def take_in(self, job: Job) -> str:
        """Do what is to be done about `job`; says what that was.

        Raises: UsageError, RunFailed and Google's errors if it could not be recorded: it is to be told again.
        """
        end = _ENDS.get(job.state)
        if not end:
            return f"job {job.id} is {job.state}"
        lock = self._locks.setdefault(job.id, asyncio.Lock())
        async with lock:
            record = await self._launcher.record_of_job(job.name)
            known_as = await self._known_as(record, job) if record else ""
            if not known_as:
                record = None
            if record and known_as in record.told:
                return f"job {job.id}: {end}, as is known"
            died: Sequence[Run] = ()
            error = "" if end == SUCCESS else f"Dataflow job {job.id} ended as {job.state}: {self._page_of(job.id)}"
            if error:
                died = await run_in_threadpool(self._history.fail_job, job.id, error)
            if error and (died or record):
                await run_in_threadpool(self._tell, job, record, died, error)
            is_news = record and await self._launcher.ended(job.name, known_as, end, error, is_told=bool(error))
        return f"job {job.id}: {end}" if died or is_news else f"job {job.id}: {end}, as is known, or none of ours"

    async def _known_as(self, record: LaunchRecord, job: Job) -> str:
        """The id that a record has for `job`; empty for a second job of an attempt, which its launcher cancelled."""
        if record.is_own(job.id, job.name):
            return job.id
        newest = await self._launcher.dataflow.job(record.job_id) if record.job_id else None
        return record.job_id if newest and newest.id == job.id else ""  # an update put `job` in its place

    def _tell(self, job: Job, record: LaunchRecord | None, died: Sequence[Run], error: str) -> None:
        now = dt.datetime.now(dt.UTC)
        starts = [run.started_at for run in died] or ([record.accepted_at] if record else [now])
        commands = [run.retry for run in died if run.retry]
        if not commands and record:
            commands = [launch_again(record.launch)]
        outcome = Outcome(
            pipeline=record.launch.pipeline if record else died[0].pipeline,
            export_name=record.launch.name if record else ", ".join(dict.fromkeys(run.name for run in died)),
            export_id=record.run_id if record else ", ".join(run.run_id for run in died),
            status="FAILED",
            date=f"{min(starts):%Y-%m-%d}",
            rows=sum(run.rows or 0 for run in died),
            bytes=sum(run.bytes or 0 for run in died),
            seconds=(now - min(starts)).total_seconds(),
            destination=", ".join(dict.fromkeys(run.destination for run in died if run.destination)),
            error=error,
            retry_command="\n".join(commands),
        )
        failures = notify(
            outcome, self._config.notifications, lambda reference: secrets.resolve(reference, self._endpoints)
        )
        for failure in failures:
            _log.error("the end of job %s could not be told: %s", job.id, failure)

    def _page_of(self, job_id: str) -> str:
        place = f"https://console.cloud.google.com/dataflow/jobs/{self._config.region}/{job_id}"
        return f"{place}?project={self._config.project}"
