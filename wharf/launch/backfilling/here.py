"""A step of a backfill in a process of its own, on this machine."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress

from wharf.launch.backfilling.steps import Step

_LONGEST = 60.0  # seconds for a run to clean up behind itself


async def run_here(step: Step) -> str:
    """Run `python -m pipelines.NAME`. -> what went wrong, empty if nothing did.

    When it is cancelled the process is ended as Ctrl-C ends it, so that the ledger says so.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", step.request.pipeline.module, *step.request.words),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,  # Ctrl-C is for us: we tell it
    )
    try:
        said, _ = await process.communicate()
    except asyncio.CancelledError:
        with suppress(ProcessLookupError):  # it has ended this moment
            process.terminate()
            try:
                await asyncio.wait_for(process.communicate(), _LONGEST)
            except TimeoutError:
                process.kill()
                await process.wait()
        raise
    if process.returncode == 0:
        return ""
    lines = [line for line in said.decode(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("error: ")]
    last = (errors or lines or [f"it ended with exit code {process.returncode}"])[-1]
    return last.removeprefix("error: ")
