"""Steps of a backfill as jobs on Dataflow."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from wharf.launch.backfill_steps import Step
from wharf.launch.progress import say
from wharf.launch.run_on_dataflow import follow_launched, launch_patiently, open_launcher, recorded


async def each_on_dataflow(
    todo: list[Step], outcomes: Any, arguments: argparse.Namespace, work_off: Callable[..., Awaitable[None]]
) -> None:
    """Let `work_off` run each step as a job, all by one launcher."""
    from wharf.model.launching.record import ENDS, SUCCESS
    from wharf.model.launching.runs import SUCCESS as RUN_SUCCESS

    async with open_launcher(todo[0].asked) as launcher:

        async def run(step: Step) -> str:
            launched = await launch_patiently(launcher, step.asked.launch(force=arguments.repeat))
            say(f"{step.period}  Dataflow job {launched.job_id}")
            state, error = launched.state, ""
            if state not in ENDS:
                state, error = await follow_launched(launcher, launched, tell=lambda _: None)
            runs = await asyncio.to_thread(recorded, step.asked, launched, state, error)
            if state != SUCCESS:
                return error or f"Dataflow job {launched.job_id} {state}"
            return next((run.error or run.status for run in runs if run.status != RUN_SUCCESS), "")

        await work_off(todo, outcomes, arguments, run)
