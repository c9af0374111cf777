"""One tenant's budget of requests: how many at once, in a minute and in a day, corrected by what the server says."""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from wharf.connectors.fetching.pace import Pace
from wharf.model.errors import RunFailed
from wharf.model.fetching.api import Api, Limits
from wharf.model.fetching.limit_headers import Policy, read

_MOST_POLICIES = 4  # that a server may announce in one run
_LONGEST_PAUSE_MINUTES = 15


class DayBudgetSpent(RunFailed):
    """The API takes no more requests for a long while; what is fetched is kept, and the next run continues there."""


def app_pace(limits: Limits, *, minute_seconds: float = 60.0) -> Pace | None:
    """The limit that the tenants of one app share; one value for all budgets of the app. None if there is none."""
    return Pace(limits.app_per_minute, minute_seconds) if limits.app_per_minute else None


class Budget:
    """All requests of one tenant of an app go through this, on one event loop.

    `app`: see `app_pace`. `spent_today`: requests that earlier runs of this day have used.
    `minute_seconds`, `day_seconds`: how long the server's minute and day are.

    How requests are paced is told in wharf.connectors.fetching.pace: a minute's worth from rest (or `limits.burst`),
    evenly after that, never more than a minute's worth in any minute.
    """

    def __init__(
        self,
        limits: Limits,
        clock: Callable[[], float] = time.monotonic,
        *,
        app: Pace | None = None,
        minute_remaining: str = "",
        day_remaining: str = "",
        spent_today: int = 0,
        minute_seconds: float = 60.0,
        day_seconds: float = 86_400.0,
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._names = (minute_remaining, day_remaining)
        self._minute = Pace(limits.per_minute, minute_seconds, limits.burst) if limits.per_minute else None
        self._app = app
        self._policies: dict[Policy, Pace] = {}
        self._minute_seconds, self._day_seconds = minute_seconds, day_seconds
        self._day_left = None if limits.per_day is None else limits.per_day - spent_today
        self._day_ends = clock() + day_seconds
        self._held_until = 0.0
        self._concurrent = asyncio.Semaphore(limits.concurrent)
        self._first = asyncio.Lock()

    @classmethod
    def of(cls, api: Api, app: Pace | None = None, *, spent_today: int = 0) -> Budget:
        """The budget that `api` declares for each tenant."""
        return cls(
            api.limits,
            app=app,
            minute_remaining=api.minute_remaining,
            day_remaining=api.day_remaining,
            spent_today=spent_today,
        )

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[float]:
        """Wait until a request may be sent; hold it until its answer is read. First come, first served.

        -> the seconds in which it was first in the queue and the limits forbade it. Over all requests of a budget these
        do not overlap: their sum is the time that the limits cost.

        Raises: DayBudgetSpent.
        """
        async with self._concurrent:
            async with self._first:
                waited, paces = await self._wait()
            try:
                yield waited
            finally:
                now = self._clock()
                for pace in paces:
                    pace.end(now)

    def heard(self, headers: Mapping[str, str], status: int) -> None:
        """Correct the budget by a response's headers (names in lower case); to be called inside the request's turn."""
        now = self._clock()
        said = read(headers, minute_remaining=self._names[0], day_remaining=self._names[1], now=dt.datetime.now(dt.UTC))
        if status == 429:
            for pace in self._paces():
                pace.refused()
        if said.minute_remaining is not None and self._minute:
            self._minute.heard_remaining(said.minute_remaining, now)
        for policy in said.policies:
            self._announced(policy)
        if said.day_remaining is not None:
            self._day_left = said.day_remaining if self._day_left is None else min(self._day_left, said.day_remaining)
        pause = said.retry_after if status in {429, 503} else None
        self._hold(max(pause or 0.0, said.exhausted_for or 0.0), now)

    def _hold(self, seconds: float, now: float) -> None:
        self._held_until = max(self._held_until, now + seconds)

    def _announced(self, policy: Policy) -> None:
        if policy.seconds >= self._day_seconds / 2 or len(self._policies) >= _MOST_POLICIES:
            return
        self._policies.setdefault(policy, Pace(policy.quota, policy.seconds))

    def _paces(self) -> list[Pace]:
        return [pace for pace in (self._minute, self._app, *self._policies.values()) if pace]

    async def _wait(self) -> tuple[float, list[Pace]]:
        began = self._clock()
        while True:
            now = self._clock()
            self.check()
            paces = self._paces()
            wait = self.held_seconds() or _start_all(paces, now)
            if not wait:
                if self._day_left is not None:
                    self._day_left -= 1
                return now - began, paces
            await asyncio.sleep(wait)

    def held_seconds(self) -> float:
        """For how long no request may be sent, as the server has said."""
        return max(self._held_until - self._clock(), 0.0)

    def check(self) -> None:
        """Raises: DayBudgetSpent if there is nothing left to wait for."""
        now = self._clock()
        if now >= self._day_ends:
            self._day_left, self._day_ends = self._limits.per_day, now + self._day_seconds
        if self._day_left is not None and self._day_left <= 0:
            raise DayBudgetSpent(
                "the API's requests for today are spent; what is fetched is kept, and the next run continues there: "
                "run again tomorrow"
            )
        pause = self.held_seconds()
        if pause > _LONGEST_PAUSE_MINUTES * self._minute_seconds:
            raise DayBudgetSpent(
                f"the API takes no requests for {pause:.0f} s; what is fetched is kept, and the next run continues "
                "there: run again then"
            )


def _start_all(paces: list[Pace], now: float) -> float:
    """0 if the request is counted by all of them, else the seconds to wait; then none counts it."""
    for number, pace in enumerate(paces):
        wait = pace.start(now)
        if wait:
            for started in paces[:number]:
                started.take_back()
            return wait
    return 0.0
