"""The record of a launch, and how it changes; `wharf.connectors.launcher` says when.

ACCEPTED -> LAUNCHED -> SUCCESS | FAILED | CANCELLED -> ACCEPTED, the next attempt
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace

import orjson

from wharf.model.launching.launch import Launch

ACCEPTED, LAUNCHED, SUCCESS, FAILED, CANCELLED = "ACCEPTED", "LAUNCHED", "SUCCESS", "FAILED", "CANCELLED"
ENDS = (SUCCESS, FAILED, CANCELLED)
_MOST_KEYS = 200
_MOST_JOBS = 20
_TIMES = ("accepted_at", "claimed_at", "launched_at", "ended_at")


@dataclass(frozen=True, kw_only=True)
class LaunchRecord:
    """What became of a `Launch`. Times are aware; those of the attempt that `attempt` counts."""

    run_id: str
    launch: Launch
    state: str
    attempt: int
    job_name: str
    keys: tuple[str, ...]  # of all requests that asked for this run, oldest first
    owner: str  # the launcher that launches, or has launched
    accepted_at: dt.datetime
    claimed_at: dt.datetime  # when `owner` began to launch
    job_id: str = ""
    launched_at: dt.datetime | None = None
    ended_at: dt.datetime | None = None
    error: str = ""  # of a job that failed, or why there is none
    former_jobs: tuple[str, ...] = ()  # of former attempts, oldest first
    told: tuple[str, ...] = ()  # jobs, also of former attempts, of whose end people were told

    @classmethod
    def accepted(cls, launch: Launch, keys: Iterable[str], owner: str, now: dt.datetime) -> LaunchRecord:
        """The first attempt, which is about to be launched."""
        return cls(
            run_id=launch.run_id,
            launch=launch,
            state=ACCEPTED,
            attempt=1,
            job_name=launch.job_name(1),
            keys=tuple(keys),
            owner=owner,
            accepted_at=now,
            claimed_at=now,
        )

    @property
    def has_ended(self) -> bool:
        return self.state in ENDS

    def is_own(self, job_id: str, job_name: str) -> bool:
        """Whether a job is that of an attempt, and no second one; of an attempt that knows no job yet any may be."""
        return job_id in (self.job_id, *self.former_jobs) or (job_name == self.job_name and not self.job_id)

    def with_keys(self, keys: Iterable[str]) -> LaunchRecord:
        """Remember who asked; of very many the last."""
        return replace(self, keys=tuple(dict.fromkeys((*self.keys, *keys)))[-_MOST_KEYS:])

    def claimed(self, owner: str, now: dt.datetime) -> LaunchRecord:
        """The same attempt, to be launched by another launcher."""
        return replace(self, owner=owner, claimed_at=now, error="")

    def refused(self, error: str) -> LaunchRecord:
        """The same attempt, of which Dataflow made no job this time, as far as one can tell."""
        return replace(self, error=error)

    def launched(self, job_id: str, now: dt.datetime) -> LaunchRecord:
        """Dataflow has the job."""
        return replace(self, state=LAUNCHED, job_id=job_id, launched_at=now, error="")

    def ended(self, state: str, now: dt.datetime, error: str = "") -> LaunchRecord:
        """The job has ended as `state`, one of ENDS."""
        return replace(self, state=state, ended_at=now, error=error)

    def with_end(self, job_id: str, state: str, now: dt.datetime, error: str, *, is_told: bool) -> LaunchRecord:
        """A job of this run has ended, and `is_told`: people know; itself where both were known.

        A job that the record does not know yet changes no state: who settles the attempt will find it.
        """
        new = self.ended(state, now, error) if job_id == self.job_id and not self.has_ended else self
        if not is_told or job_id in self.told:
            return new
        return replace(new, told=(*self.told, job_id)[-_MOST_JOBS:])

    def again(self, launch: Launch, owner: str, now: dt.datetime) -> LaunchRecord:
        """The next attempt; `launch` is what asks for it."""
        number = self.attempt + 1
        first = self.accepted(launch, self.keys, owner, now)
        return replace(
            first,
            attempt=number,
            job_name=launch.job_name(number),
            former_jobs=(*self.former_jobs, self.job_id)[-_MOST_JOBS:],
            told=self.told,
        )

    def as_json(self) -> bytes:
        return orjson.dumps(self)

    @classmethod
    def from_json(cls, data: bytes) -> LaunchRecord:
        """What `as_json` wrote, here or in a version that knew fewer, or more, of what has a default.

        Raises: ValueError if it is no such thing.
        """
        try:
            found = orjson.loads(data)
            times = {name: found[name] and dt.datetime.fromisoformat(found[name]) for name in _TIMES}
            lists = {name: tuple(found.get(name, ())) for name in ("keys", "former_jobs", "told")}
            known = {each.name: found[each.name] for each in fields(cls) if each.name in found}
            return cls(**known | times | lists | {"launch": Launch(**found["launch"])})
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError("no record of a launch") from error
