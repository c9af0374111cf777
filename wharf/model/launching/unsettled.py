"""Launches that still matter to somebody: they are under way, or came to nothing and were not made up for."""

from __future__ import annotations

from collections.abc import Sequence

from wharf.model.launching.record import SUCCESS, LaunchRecord


def unsettled(records: Sequence[LaunchRecord]) -> list[LaunchRecord]:
    """Those that have not succeeded, unless a later launch of the same job, and of the same window, has."""
    done = [record for record in records if record.state == SUCCESS]
    return [
        record
        for record in records
        if record.state != SUCCESS and not any(_makes_up_for(other, record) for other in done)
    ]


def _makes_up_for(done: LaunchRecord, record: LaunchRecord) -> bool:
    launch, other = record.launch, done.launch
    is_same = (launch.pipeline, launch.name, launch.window) == (other.pipeline, other.name, other.window)
    return is_same and done.accepted_at > record.accepted_at
