"""Makes one Dataflow job of a `Launch`, however often, from wherever and in whatever order it is asked for.

    ACCEPTED  the run is recorded; Dataflow is about to be asked for a job, is being asked, or has made one
    LAUNCHED  the record knows the job
    SUCCESS, FAILED, CANCELLED
              so did the job end; another request may begin the next attempt, which is ACCEPTED again

**The record before the job.** A launcher that dies at any moment leaves either no record, and then no job, or ACCEPTED.
Whoever asks next finds ACCEPTED and settles it: a job of the attempt's name that is as new as the record is taken over,
or else one is made. Were the job made first, nobody would know of it.

**The answer after the job.** A request is answered once the record says LAUNCHED. Who has no answer asks again; nothing
that was answered can be lost. For the same reason a refusal (LaunchBusy, UsageError) leaves ACCEPTED behind.

**One launcher at a time.** In a process a lock for each run; between processes the one whose write made the record
ACCEPTED. Another one waits for it, and takes over when that process is gone, or has been at it for longer than any
request to Dataflow lasts. A change of a record is refused if the record was changed meanwhile, so one of two wins.

**One job all the same.** Should two launchers ask Dataflow at once (the first was asleep for a minute), Dataflow
refuses the second active job of a name with 409, and the loser takes over the winner's. Should it not refuse, one of
the two finds that the record has another job, and cancels its own, which has not begun to work by then.

**Who asked.** A record keeps the keys of the requests that asked for it. A key that comes again (Pub/Sub delivers
again, a client repeats) gets the same run, whatever became of it. A new key, or a request without one, gets the run
that is active; if that has ended well and is the run of a window, that run too; if it has ended badly, another attempt.

**Another attempt.** A job that died has left its runs RUNNING in the ledgers, with a lease of a day: they would refuse
the next attempt. So they are failed first, and the record becomes the next attempt's only then.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import re
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, Self

from wharf.connectors import machine
from wharf.connectors.attempt_jobs import AttemptJobs
from wharf.connectors.dataflow import Dataflow
from wharf.connectors.endpoints import Endpoints
from wharf.connectors.google_http import GoogleHttp
from wharf.connectors.launches import Held, LaunchRecords, open_records
from wharf.model.errors import UsageError
from wharf.model.launching.config import LaunchConfig
from wharf.model.launching.errors import LaunchBusy
from wharf.model.launching.launch import Launch
from wharf.model.launching.record import ACCEPTED, ENDS, FAILED, LAUNCHED, SUCCESS, LaunchRecord

_FRESH = 5.0  # for how long what is known of a run is good enough to answer a request like the last one
_REMEMBERED = 10_000  # runs
_JOB_NAME = re.compile(r"([a-z][a-z0-9-]{0,45}-[0-9a-f]{16})(?:-[1-9][0-9]{0,4})?")


class Launched(NamedTuple):
    """A run that there is; `is_new`: because of this request. `state` is one of the record's."""

    run_id: str
    state: str
    job_id: str
    job_name: str
    attempt: int
    is_new: bool

    @classmethod
    def of(cls, record: LaunchRecord, *, is_new: bool = False) -> Launched:
        return cls(record.run_id, record.state, record.job_id, record.job_name, record.attempt, is_new)


@dataclass
class _Flight:
    """The requests for one run that are under way in this process."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    keys: dict[str, None] = field(default_factory=dict)  # of all of them; whoever writes the record writes them all
    requests: int = 0


class _Known(NamedTuple):
    """A record as it was at a `time.monotonic()`; `is_active`: its job was active then."""

    at: float
    record: LaunchRecord
    is_active: bool


class Launcher:
    """The launches of a configuration, inside an `async with` block.

    `fail_job(job_id, why)` records the runs of a job that died as FAILED; it is called in a thread. `lease`: seconds
    for which another launcher may be at work; a request to Dataflow is given up after 20. `patience`: seconds for which
    a request waits for it.
    """

    dataflow: Dataflow

    def __init__(
        self,
        config: LaunchConfig,
        endpoints: Endpoints,
        *,
        fail_job: Callable[[str, str], object] | None = None,
        lease: float = 30.0,
        patience: float = 5.0,
    ) -> None:
        self._config, self._endpoints, self._fail_job = config, endpoints, fail_job
        self._lease, self._patience = lease, patience
        self._owner = f"{machine.process()} {uuid.uuid4().hex[:8]}"
        self._flights: dict[str, _Flight] = {}
        self._known: OrderedDict[str, _Known] = OrderedDict()

    async def __aenter__(self) -> Self:
        self._http = await GoogleHttp().__aenter__()
        self.dataflow = Dataflow(self._http, self._endpoints, self._config.project, self._config.region)
        self._jobs = AttemptJobs(self.dataflow, self._config)
        self._records: LaunchRecords = open_records(self._config.records, self._http, self._endpoints)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.__aexit__()

    async def launch(self, launch: Launch) -> Launched:
        """The run that `launch` means; Dataflow has its job.

        Raises: LaunchBusy, and then the same is to be asked again. UsageError for what a person must mend.
        """
        run_id = launch.run_id
        if record := self._fresh(run_id, launch):
            return Launched.of(record)
        flight = self._flights.setdefault(run_id, _Flight())
        flight.requests += 1
        if launch.key and not launch.force:  # who forces another attempt must not be told that he asked before
            flight.keys[launch.key] = None
        try:
            async with flight.lock:
                if record := self._fresh(run_id, launch):
                    return Launched.of(record)
                if launch.key:
                    flight.keys[launch.key] = None
                return await self._settle(run_id, launch, flight)
        finally:
            flight.requests -= 1
            if not flight.requests:
                del self._flights[run_id]

    async def record(self, run_id: str) -> LaunchRecord | None:
        """The record of a run."""
        held = await self._records.read(run_id)
        return held.record if held else None

    async def record_of_job(self, job_name: str) -> LaunchRecord | None:
        """The record of the run that a Dataflow job of this name is an attempt of; None if it is not one of ours."""
        found = _JOB_NAME.fullmatch(job_name)
        return await self.record(found[1]) if found else None

    async def recent(self, limit: int = 100) -> list[LaunchRecord]:
        """The records that were changed last, newest first."""
        return await self._records.recent(limit)

    async def ended(self, job_name: str, job_id: str, state: str, error: str = "", *, is_told: bool = False) -> bool:
        """Record that a job has ended as `state`, one of ENDS; `is_told`: people know. Whether that is news."""
        assert state in ENDS
        found = _JOB_NAME.fullmatch(job_name)
        while held := await self._records.read(found[1]) if found else None:
            changed = held.record.with_end(job_id, state, _now(), error, is_told=is_told)
            if changed is held.record:
                return False
            if await self._records.replace(held, changed):
                self._known.pop(changed.run_id, None)
                return True
        return False

    async def _settle(self, run_id: str, launch: Launch, flight: _Flight) -> Launched:
        """Look at the record and do the next thing, until the run is launched."""
        # Most runs are new: asking first whether there is a record would be a request more.
        held = await self._records.read(run_id) if run_id in self._known else None
        if not held:
            held = await self._records.create(LaunchRecord.accepted(launch, flight.keys, self._owner, _now()))
            if held:
                return await self._begin(held, flight, is_fresh=True)
        began, pause = time.monotonic(), 0.02
        while True:
            held = held or await self._look(run_id)
            if launched := await self._step(held, launch, flight):
                return launched
            if time.monotonic() - began > self._patience:
                raise LaunchBusy(f"{run_id}: another launcher is at work; try again", max(1.0, self._left(held.record)))
            await asyncio.sleep(pause)
            pause, held = min(2 * pause, 0.5), None

    async def _step(self, held: Held, launch: Launch, flight: _Flight) -> Launched | None:
        """The run, if it is launched now; None: look at the record again."""
        record = held.record
        if record.state == ACCEPTED:
            if record.owner != self._owner and self._left(record) > 0:
                return None
            claimed = await self._records.replace(held, record.claimed(self._owner, _now()))
            return await self._begin(claimed, flight, is_fresh=False) if claimed else None
        if launch.key in record.keys:
            self._remember(record)
            return Launched.of(record)
        if record.state == LAUNCHED:
            job = await self.dataflow.job(record.job_id)
            if job and job.is_active:
                return await self._note(held, record, flight, is_active=True)
            if job:  # else it ended so long ago that Dataflow has forgotten it
                error = await self.dataflow.failure(job.id) if job.end == FAILED else ""
                record = record.ended(job.end, job.changed_at, error)
        is_done = record.state in {SUCCESS, LAUNCHED} and launch.is_once
        if is_done and not launch.force:
            return await self._note(held, record, flight)
        if self._fail_job and record.state != SUCCESS:
            await asyncio.to_thread(self._fail_job, record.job_id, record.error or f"job {record.job_id} is over")
        again = await self._records.replace(held, record.again(launch, self._owner, _now()).with_keys(flight.keys))
        return await self._begin(again, flight, is_fresh=True) if again else None

    async def _note(
        self, held: Held, record: LaunchRecord, flight: _Flight, *, is_active: bool = False
    ) -> Launched | None:
        """Answer with the run that there is, and remember who asked; None if the record was changed meanwhile."""
        record = record.with_keys(flight.keys)
        if record != held.record and not await self._records.replace(held, record):
            return None
        self._remember(record, is_active=is_active)
        return Launched.of(record)

    async def _begin(self, held: Held, flight: _Flight, *, is_fresh: bool) -> Launched:
        """Bring an ACCEPTED record, which is ours, to LAUNCHED. `is_fresh`: nobody can have made its job yet."""
        record = held.record
        try:
            job_id, is_new = await (self._jobs.make(record) if is_fresh else self._jobs.find_or_make(record))
        except (LaunchBusy, UsageError) as error:
            await self._give_up(held, str(error))
            raise
        while True:
            written = await self._records.replace(held, held.record.launched(job_id, _now()).with_keys(flight.keys))
            if written:
                self._remember(written.record, is_active=True)
                return Launched.of(written.record, is_new=is_new)
            held = await self._look(record.run_id)
            if held.record.attempt != record.attempt or held.record.state != ACCEPTED:
                break
            # Another launcher took the attempt over while we were at it; the job it looks for is this one.
        if is_new and held.record.job_id != job_id:
            await self._jobs.cancel_second(job_id)
        if held.record.state == ACCEPTED:
            raise LaunchBusy(f"{record.run_id}: another launcher begins the next attempt; try again", 1.0)
        return Launched.of(held.record)

    async def _give_up(self, held: Held, error: str) -> None:
        """Let another launcher try at once."""
        try:
            await self._records.replace(held, held.record.refused(error))
        except LaunchBusy:
            pass  # then it has to wait for the lease

    async def _look(self, run_id: str) -> Held:
        held = await self._records.read(run_id)
        if not held:
            raise LaunchBusy(f"{run_id}: its record was removed this moment; try again", 1.0)
        return held

    def _left(self, record: LaunchRecord) -> float:
        """Seconds for which somebody else may still be launching."""
        if record.error or any(machine.is_gone(word) for word in record.owner.split()):
            return 0.0
        left = self._lease - (_now() - record.claimed_at).total_seconds()
        return min(left, self._lease)  # his clock may be ahead of ours

    def _fresh(self, run_id: str, launch: Launch) -> LaunchRecord | None:
        """What is known of a run, if that answers a request: it asked before, or the run was active a moment ago."""
        known = self._known.get(run_id)
        if not known or time.monotonic() - known.at > _FRESH:
            return None
        has_asked = launch.key in known.record.keys if launch.key else known.is_active and not launch.force
        return known.record if has_asked else None

    def _remember(self, record: LaunchRecord, *, is_active: bool = False) -> None:
        self._known[record.run_id] = _Known(time.monotonic(), record, is_active)
        self._known.move_to_end(record.run_id)
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
