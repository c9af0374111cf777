"""`wharf cancel`: end a run, on Dataflow or in a process of this machine, and have the ledgers say so."""

from __future__ import annotations

import argparse
import datetime as dt
import getpass
import os
import signal
import socket
import time
from typing import TYPE_CHECKING, Any

from wharf.launch.launch_config import add_launch_config, named_launch_config
from wharf.launch.ledgers.launches import launch_of
from wharf.launch.ledgers.run_history import open_history
from wharf.launch.output import print_lines, run_facts, say
from wharf.launch.parser import add_command
from wharf.model.errors import RunFailed, UsageError

if TYPE_CHECKING:
    from wharf.connectors.endpoints import Endpoints
    from wharf.connectors.run_history import RunHistory
    from wharf.model.history.runs import Run
    from wharf.model.launching.config import LaunchConfig

_SLACK = dt.timedelta(seconds=2)  # a process's beginning is known to the second
_LONGEST = 60.0  # seconds for a local run to clean up behind itself


def register(commands: Any) -> None:
    """Add `cancel` to the commands of a parser."""
    cancel = add_command(
        commands,
        "cancel",
        _cancel,
        "end a run, wait until it has ended, and record it as FAILED",
        examples=(
            "wharf cancel measurements-20250301-20250401-0123456789abcdef --launch_config prod.json",
            "wharf cancel 2025-04-01_02_00_00-1234567890 --drain --launch_config prod.json  # streaming",
            "wharf cancel measurements-20250301T000000-20250401T000000-7ef4b4f0 --project my-project",
        ),
    )
    cancel.add_argument("run_id", metavar="RUN_ID|JOB_ID", help="as `wharf status`, `wharf run` or Dataflow show it")
    cancel.add_argument("--drain", action="store_true", help="let a streaming job finish what it has read")
    add_launch_config(cancel)
    cancel.add_argument("--project", metavar="PROJECT", help="whose default tables are read without --launch_config")
    cancel.add_argument("--json", action="store_true", help="print the runs as JSON, one object a line")


def _cancel(arguments: argparse.Namespace) -> int:
    import asyncio

    from wharf.connectors.endpoints import Endpoints
    from wharf.connectors.light_bigquery import import_lightly
    from wharf.model.history.retries import is_on_dataflow
    from wharf.model.history.tables import run_table

    import_lightly()
    endpoints = Endpoints.resolve()
    config = named_launch_config(arguments, endpoints)
    history = open_history(arguments)
    job_id, since = _job_of(arguments.run_id, config, endpoints, history)
    why = f"cancelled by {getpass.getuser()} on {socket.gethostname()}"
    if is_on_dataflow(job_id):
        if not config:
            raise UsageError(
                f"{job_id} is a job on Dataflow: name the launch configuration that it was launched by, which says "
                "project and region, with --launch_config or WHARF_LAUNCH_CONFIG"
            )
        asyncio.run(_end_job(config, endpoints, job_id, why, drain=arguments.drain))
    elif arguments.drain:
        raise UsageError("--drain is for jobs on Dataflow; this run is a process")
    else:
        _end_process(job_id, history.of_job(job_id, since))
    history.fail_job(job_id, why, since)
    runs = history.of_job(job_id, since)
    if arguments.json:
        print_lines(map(run_facts, runs))
    else:
        print("\n".join(map(run_table, runs)) or f"{job_id} has ended; no ledger has a run of it")
    return 0


def _job_of(
    name: str, config: LaunchConfig | None, endpoints: Endpoints, history: RunHistory
) -> tuple[str, dt.date | None]:
    """The job, or the process, that is at work on a run; and when that began, if a ledger says so.

    Raises: UsageError if there is none.
    """
    from wharf.model.history.retries import is_on_dataflow

    if is_on_dataflow(name):
        return name, None
    run = history.run(name)
    if run and run.completed_at:
        raise UsageError(f"run {name} is {run.status} since {run.completed_at:%Y-%m-%d %H:%M:%S} UTC")
    if run and run.pipeline == "files_to_bigquery":
        raise UsageError(f"{name} is a batch, one of many that a run loads: name the Dataflow job, or end its process")
    if run and run.job_id:
        return run.job_id, run.started_at.date()
    record = launch_of(config, endpoints, name) if config else None
    if not record:
        raise UsageError(
            f"there is no run {name!r} in these ledgers, and no launch of that name"
            + ("" if config else "; name the launch configuration with --launch_config")
        )
    if record.has_ended or not record.job_id:
        raise UsageError(f"launch {name} is {record.state}: there is nothing to cancel")
    return record.job_id, None


async def _end_job(config: LaunchConfig, endpoints: Endpoints, job_id: str, why: str, *, drain: bool) -> None:
    """End a job, wait for that, and record it.

    Raises: UsageError if there is no such job.
    """
    from wharf.connectors.launcher import Launcher
    from wharf.launch.running.following import follow
    from wharf.model.launching.record import SUCCESS

    async with Launcher(config, endpoints) as launcher:
        await launcher.dataflow.cancel(job_id, drain=drain)
        say(f"job {job_id} is being {'drained' if drain else 'cancelled'}; Ctrl-C does not stop that")
        job, _ = await follow(launcher.dataflow, job_id)
        await launcher.ended(job.name, job.id, job.end, "" if job.end == SUCCESS else why)


def _end_process(process: str, runs: list[Run]) -> None:
    """End the process of a local run as Ctrl-C does, and wait for that.

    Raises: UsageError if it is none of this machine. RunFailed if it does not end.
    """
    from wharf.connectors import machine

    pid = machine.id_here(process)
    if pid is None:
        raise UsageError(f"{process} is a process of another machine: run `wharf cancel` there")
    if machine.is_gone(process):
        say(f"process {pid} is gone already")
        return
    began, recorded = machine.began_at(pid), min(run.started_at for run in runs)
    if began and began > recorded + _SLACK:
        say(f"process {pid} began after the run: it is another one, and the run's own is gone")
        return
    try:
        os.kill(pid, signal.SIGTERM)
    except PermissionError as error:
        raise UsageError(f"process {pid} is another account's: cancel it as that account") from error
    except ProcessLookupError:
        return
    say(f"process {pid} is asked to end")
    deadline = time.monotonic() + _LONGEST
    while not machine.is_gone(process):
        if time.monotonic() > deadline:
            raise RunFailed(f"process {pid} does not end: is it suspended? `kill -9 {pid}` ends it at any rate")
        time.sleep(0.05)
