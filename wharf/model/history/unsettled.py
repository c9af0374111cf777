"""Launches that still matter to somebody: they are under way, or came to nothing and were not made up for."""

from __future__ import annotations

from collections.abc import Sequence

from wharf.model.history.retries import launch_again
from wharf.model.history.runs import FAILED as RUN_FAILED
from wharf.model.history.runs import RUNNING, WAITING, Run
from wharf.model.launching.record import ACCEPTED, CANCELLED, FAILED, LAUNCHED, SUCCESS, LaunchRecord

STATUS_OF = {ACCEPTED: WAITING, LAUNCHED: RUNNING, FAILED: RUN_FAILED, CANCELLED: RUN_FAILED}


def unsettled(records: Sequence[LaunchRecord]) -> list[LaunchRecord]:
    """Those that have not succeeded, unless a later launch of the same job, and of the same window, has."""
    done = [record for record in records if record.state == SUCCESS]
    return [
        record
        for record in records
        if record.state != SUCCESS and not any(_makes_up_for(other, record) for other in done)
    ]


def as_run(record: LaunchRecord) -> Run:
    """A launch that has not succeeded, and that no ledger tells of, as a run."""
    launch, status = record.launch, STATUS_OF[record.state]
    return Run(
        run_id=record.run_id,
        pipeline=launch.pipeline,
        name=launch.name,
        status=status,
        started_at=record.accepted_at,
        completed_at=record.ended_at,
        window=launch.window_text,
        job_id=record.job_id,
        error=record.error,
        retry="" if status == RUNNING else launch_again(launch),
    )


def _makes_up_for(done: LaunchRecord, record: LaunchRecord) -> bool:
    launch, other = record.launch, done.launch
    is_same = (launch.pipeline, launch.name, launch.window) == (other.pipeline, other.name, other.window)
    return is_same and done.accepted_at > record.accepted_at
