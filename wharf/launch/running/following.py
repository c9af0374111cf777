"""Watching a job on Dataflow until it has ended."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import TYPE_CHECKING

from wharf.launch.output import Say, say
from wharf.model.errors import RunFailed

if TYPE_CHECKING:
    from wharf.connectors.dataflow import Dataflow, JobState

# Seconds between two looks: short ones while something happens, as a job has quotas to spare.
_SHORTEST, _LONGEST = 0.5, 10.0


async def follow(dataflow: Dataflow, job_id: str, tell: Say = say) -> tuple[JobState, str]:
    """Tell of each state and message of a job, a line each, until it has ended. -> the job, why it did not succeed.

    Raises: RunFailed if Dataflow does not know the job (any more).
    """
    from wharf.model.launching.errors import LaunchBusy
    from wharf.model.launching.record import SUCCESS

    since: dt.datetime | None = None
    state, error, pause, is_silent = "", "", _SHORTEST, False
    while True:
        try:
            job = await dataflow.job(job_id)
            messages = await dataflow.messages(job.id, since) if job else []
            is_silent = False
        except LaunchBusy as busy:  # the job does not mind
            if not is_silent:
                tell(f"{_clock()}  {busy}; asking on")
            is_silent = True
            await asyncio.sleep(min(busy.retry_after, _LONGEST))
            continue
        if not job:
            raise RunFailed(f"Dataflow does not know job {job_id}: are project and region right?")
        for message in messages:
            tell(f"{_clock(message.time)}  {message.importance.lower():<7} {' '.join(message.text.split())}")
            since = message.time
            error = message.text if message.importance == "ERROR" else error
        if job.state != state:
            tell(f"{_clock(job.changed_at)}  {job.state}")
        pause = _SHORTEST if messages or job.state != state else min(pause * 1.5, _LONGEST)
        state = job.state
        if job.end:
            return job, "" if job.end == SUCCESS else error
        await asyncio.sleep(pause)


def _clock(time: dt.datetime | None = None) -> str:
    return f"{(time or dt.datetime.now(dt.UTC)).astimezone(dt.UTC):%H:%M:%S}"
