"""The runs of a backfill: some at a time, each ended in order when somebody interrupts."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wharf.launch.backfilling.steps import Step
from wharf.launch.output import say
from wharf.launch.running.request import DATAFLOW
from wharf.model.errors import WharfError

if TYPE_CHECKING:
    from wharf.model.launching.periods import Period

DONE, TODO, SUCCESS, FAILED, NOT_RUN = "DONE BEFORE", "TO DO", "SUCCESS", "FAILED", "NOT RUN"

RunStep = Callable[[Step], Awaitable[str]]  # -> what went wrong; empty if nothing did


@dataclass
class Outcome:
    """What became of a period."""

    status: str = NOT_RUN
    error: str = ""
    seconds: float | None = None


def run_all(arguments: argparse.Namespace, todo: list[Step], outcomes: Mapping[Period, Outcome]) -> None:
    """Run the steps, and fill in what becomes of each period; an interruption ends those at work first."""
    say(f"{len(todo)} of {len(outcomes)} periods are to be done, {arguments.concurrency} at a time")
    is_on_dataflow = arguments.target == DATAFLOW
    work = _on_dataflow if is_on_dataflow else _here
    try:
        asyncio.run(work(arguments, todo, outcomes))
    except KeyboardInterrupt:
        goes_on = "jobs that were launched go on; " if is_on_dataflow else ""
        say(f"interrupted: {goes_on}the same command goes on with what is not done")
        raise


async def _on_dataflow(arguments: argparse.Namespace, todo: list[Step], outcomes: Mapping[Period, Outcome]) -> None:
    from wharf.launch.backfilling.on_dataflow import open_jobs

    async with open_jobs(todo[0].request) as run:
        await work_off(todo, outcomes, arguments, run)


async def _here(arguments: argparse.Namespace, todo: list[Step], outcomes: Mapping[Period, Outcome]) -> None:
    from wharf.launch.backfilling.here import run_here

    await work_off(todo, outcomes, arguments, run_here)


async def work_off(
    todo: list[Step], outcomes: Mapping[Period, Outcome], arguments: argparse.Namespace, run: RunStep
) -> None:
    """Run all steps, some at a time; after one has failed begin no other, unless that is wanted."""
    waiting, ended = deque(todo), 0

    async def work() -> None:
        nonlocal ended
        while waiting:
            step = waiting.popleft()
            outcome, began = outcomes[step.period], time.monotonic()
            say(f"{step.period}  begins")
            try:
                outcome.error = await run(step)
            except WharfError as error:
                outcome.error = str(error)
            outcome.status, outcome.seconds = FAILED if outcome.error else SUCCESS, time.monotonic() - began
            ended += 1
            said = f": {outcome.error}" if outcome.error else ""
            say(f"{step.period}  {outcome.status} after {outcome.seconds:.0f} s, {ended} of {len(todo)}{said}")
            if outcome.error and not arguments.keep_going:
                waiting.clear()

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(arguments.concurrency, len(todo))):
                group.create_task(work())
    except ExceptionGroup as errors:  # nothing that a run can be blamed for; one error says what to do
        raise errors.exceptions[0] from errors
