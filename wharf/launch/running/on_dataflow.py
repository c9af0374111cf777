"""A run on Dataflow: launched once, followed to its end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from wharf.launch.output import Say, print_result, say
from wharf.launch.running.following import follow
from wharf.launch.running.request import RunRequest

if TYPE_CHECKING:
    from wharf.connectors.launcher import Launched, Launcher
    from wharf.connectors.run_history import RunHistory
    from wharf.model.history.runs import Run
    from wharf.model.launching.launch import Launch

_TRIES = 6  # of a launch, while Dataflow has a quota to wait for
_LONGEST_WAIT = 60.0  # seconds


def run_on_dataflow(request: RunRequest, *, detach: bool, as_json: bool) -> int:
    """Launch, follow, and show what the ledgers say. -> exit code, 130 if nobody wanted to wait for the end."""
    from wharf.connectors.light_bigquery import import_lightly

    import_lightly()
    launched: Launched | None = None

    async def work() -> tuple[str, str]:
        nonlocal launched
        async with open_launcher(request) as launcher:
            launched = await launch_patiently(launcher, request.launch())
            _announce(request, launched)
            if detach or launched.state in _ended():
                return launched.state, ""
            return await follow_launched(launcher, launched)

    try:
        state, error = asyncio.run(work())
    except KeyboardInterrupt:
        if launched:
            say(
                f"the job goes on: the same command follows it again, `wharf cancel {launched.run_id}` ends it, "
                f"`wharf status` shows it"
            )
        raise
    assert launched
    return _report(request, launched, state, error, as_json=as_json)


def open_launcher(request: RunRequest) -> Launcher:
    """The launches of what is asked for, to be entered with `async with`."""
    from wharf.connectors.launcher import Launcher

    def fail_job(job_id: str, why: str) -> None:
        _history(request).fail_job(job_id, why)

    return Launcher(request.launch_config, request.endpoints, fail_job=fail_job)


async def launch_patiently(launcher: Launcher, launch: Launch) -> Launched:
    """Launch, and ask again where Dataflow has no room for the moment.

    Raises: LaunchBusy if that lasts. UsageError.
    """
    from wharf.model.launching.errors import LaunchBusy

    for _ in range(_TRIES - 1):
        try:
            return await launcher.launch(launch)
        except LaunchBusy as busy:
            pause = min(busy.retry_after, _LONGEST_WAIT)
            say(f"{busy}; asking again in {pause:.0f} s")
            await asyncio.sleep(pause)
    return await launcher.launch(launch)


async def follow_launched(launcher: Launcher, launched: Launched, tell: Say = say) -> tuple[str, str]:
    """Watch the job of a launch to its end, and record that. -> how it ended, why."""
    job, error = await follow(launcher.dataflow, launched.job_id, tell)
    await launcher.ended(launched.job_name, job.id, job.end, error)
    return job.end, error


def launch_request(request: RunRequest) -> dict[str, Any]:
    """What Dataflow would be asked for, as its API calls it."""
    from wharf.connectors.attempt_jobs import asked_for
    from wharf.connectors.dataflow import launch_parameter

    launch = request.launch()
    return launch_parameter(*asked_for(request.launch_config, launch, launch.job_name(1)))


def recorded(request: RunRequest, launched: Launched, state: str, error: str) -> list[Run]:
    """The runs that a job did the work of; those that it left behind are recorded as FAILED first."""
    from wharf.model.launching.record import CANCELLED, FAILED

    history = _history(request)
    if state in (FAILED, CANCELLED):
        history.fail_job(launched.job_id, error or f"Dataflow job {launched.job_id} {state}")
    return history.of_job(launched.job_id)


def _history(request: RunRequest) -> RunHistory:
    from wharf.connectors.run_history import RunHistory

    config = request.launch_config
    return RunHistory(request.endpoints.bigquery_client(config.project), config.tables)


def _report(request: RunRequest, launched: Launched, state: str, error: str, *, as_json: bool) -> int:
    from wharf.model.history.runs import SUCCESS as RUN_SUCCESS
    from wharf.model.history.tables import run_table
    from wharf.model.launching.record import LAUNCHED, SUCCESS

    runs = [] if state == LAUNCHED else recorded(request, launched, state, error)
    is_well = state == LAUNCHED or (state == SUCCESS and all(run.status == RUN_SUCCESS for run in runs))
    if as_json:
        facts = {"pipeline": request.pipeline.name, "job": request.job or None, "target": request.target}
        print_result(facts | launched._asdict() | {"state": state, "error": error, "exit_code": int(not is_well)}, runs)
        return int(not is_well)
    for run in runs:
        print(run_table(run))
    if not runs and state != LAUNCHED:
        print(f"job {launched.job_id} ended: {state}")
    if error and not any(run.error for run in runs):
        say(f"error: {error}")
    return int(not is_well)


def _announce(request: RunRequest, launched: Launched) -> None:
    config = request.launch_config
    how = "has been done" if launched.state in _ended() else "runs" if launched.is_new else "runs already"
    say(f"{launched.run_id} {how} as Dataflow job {launched.job_id}")
    say(f"https://console.cloud.google.com/dataflow/jobs/{config.region}/{launched.job_id}?project={config.project}")


def _ended() -> tuple[str, ...]:
    from wharf.model.launching.record import ENDS

    return ENDS
