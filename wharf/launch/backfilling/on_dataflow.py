"""Steps of a backfill as jobs on Dataflow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from wharf.launch.backfilling.steps import Step
from wharf.launch.output import say
from wharf.launch.running.on_dataflow import follow_launched, launch_patiently, open_launcher, recorded
from wharf.launch.running.request import RunRequest


@asynccontextmanager
async def open_jobs(request: RunRequest) -> AsyncIterator[Callable[[Step], Awaitable[str]]]:
    """What runs a step as a job, and returns what went wrong; one launcher, that of `request`, makes them all."""
    from wharf.model.history.runs import SUCCESS as RUN_SUCCESS
    from wharf.model.launching.record import ENDS, SUCCESS

    async with open_launcher(request) as launcher:

        async def run(step: Step) -> str:
            launched = await launch_patiently(launcher, step.request.launch())
            say(f"{step.period}  Dataflow job {launched.job_id}")
            state, error = launched.state, ""
            if state not in ENDS:
                state, error = await follow_launched(launcher, launched, tell=lambda _: None)
            runs = await asyncio.to_thread(recorded, step.request, launched, state, error)
            if state != SUCCESS:
                return error or f"Dataflow job {launched.job_id} {state}"
            return next((run.error or run.status for run in runs if run.status != RUN_SUCCESS), "")

        yield run
