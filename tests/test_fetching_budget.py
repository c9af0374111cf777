"""Budgets against every way in which servers count, in time that passes at once."""

from __future__ import annotations

import asyncio
import datetime as dt
import random
import selectors
from collections.abc import Callable, Coroutine
from email.utils import format_datetime
from typing import Any

import pytest

from wharf.connectors.fetching.budget import Budget, DayBudgetSpent, app_pace
from wharf.local.api_limits import Counter, FixedWindow, SlidingWindow, TokenBucket
from wharf.model.fetching.api import Limits
from wharf.model.fetching.limit_headers import Policy, read


class _Jumps(selectors.DefaultSelector):
    """Does not wait for a timer: it is then at once."""

    now = 1000.0

    def select(self, timeout: float | None = None) -> list[Any]:
        events = super().select(0)
        if not events and timeout:
            self.now += timeout
        return events


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumps = _Jumps()
        super().__init__(self._jumps)

    def time(self) -> float:
        return self._jumps.now


def run(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(main())


def now() -> float:
    return asyncio.get_running_loop().time()


class _Server:
    """Lets requests in as `counter` counts, somewhere between their start and their end."""

    def __init__(self, counter: Counter, limit_header: bool = False, slowest: float = 0.2) -> None:
        self.counter, self.limit_header, self.slowest = counter, limit_header, slowest
        self.let_in: list[float] = []
        self.refused = 0
        self.waited = 0.0
        self._random = random.Random(7)

    async def ask(self, budget: Budget) -> None:
        async with budget.turn() as waited:
            self.waited += waited
            await asyncio.sleep(self._random.uniform(0.001, self.slowest))
            at = now()
            wait = self.counter.accept(at)
            headers = {"x-minlimit-remaining": str(self.counter.remaining(at))} if self.limit_header else {}
            await asyncio.sleep(self._random.uniform(0.001, self.slowest / 4))
            if wait:
                self.refused += 1
                budget.heard({"retry-after": str(int(wait) + 1), **headers}, 429)
            else:
                self.let_in.append(at)
                budget.heard(headers, 200)


async def fetch(server: _Server, budget: Budget, minutes: float, workers: int = 40) -> float:
    """Ask as fast as the budget allows for some minutes -> requests let in per minute."""
    ends = now() + minutes * 60

    async def work() -> None:
        while now() < ends:
            await server.ask(budget)

    await asyncio.gather(*(work() for _ in range(workers)))
    return sum(at < ends for at in server.let_in) / minutes


@pytest.mark.parametrize("limit", [60, 600])
@pytest.mark.parametrize("way", [SlidingWindow, FixedWindow, TokenBucket])
@pytest.mark.parametrize("tells", [False, True], ids=["silent", "tells what remains"])
def test_a_budget_reaches_its_rate_without_a_refusal_however_the_server_counts(
    way: Any, limit: int, tells: bool
) -> None:
    async def main() -> None:
        server = _Server(way(limit, 60), tells)
        budget = Budget(Limits(concurrent=5, per_minute=limit), now, minute_remaining="X-MinLimit-Remaining")
        rate = await fetch(server, budget, 10)
        assert server.refused == 0
        assert rate >= 0.97 * limit
        assert server.waited > 60

    run(main)


@pytest.mark.parametrize("tells", [False, True], ids=["silent", "tells what remains"])
def test_a_small_bucket_is_kept_to_by_a_small_burst(tells: bool) -> None:
    async def main() -> None:
        server = _Server(TokenBucket(3600, 60, 60), tells, slowest=0.04)
        budget = Budget(Limits(concurrent=20, per_minute=3600, burst=60), now, minute_remaining="X-MinLimit-Remaining")
        rate = await fetch(server, budget, 3)
        assert server.refused == 0
        assert rate >= 0.97 * 3600

    run(main)


def test_a_short_run_is_not_slowed_down() -> None:
    async def main() -> None:
        server, began = _Server(SlidingWindow(60, 60)), now()
        budget = Budget(Limits(concurrent=5, per_minute=60), now)
        await asyncio.gather(*(server.ask(budget) for _ in range(60)))
        assert now() - began < 4
        await asyncio.gather(*(server.ask(budget) for _ in range(30)))
        gaps = [later - earlier for earlier, later in zip(server.let_in[61:], server.let_in[62:], strict=False)]
        assert server.refused == 0
        assert min(gaps) > 0.5  # evenly, after the first minute

    run(main)


def test_a_smaller_limit_than_declared_is_found_out() -> None:
    async def main() -> None:
        server = _Server(SlidingWindow(60, 60), limit_header=True)
        budget = Budget(Limits(concurrent=5, per_minute=100), now, minute_remaining="X-MinLimit-Remaining")
        rate = await fetch(server, budget, 10)
        assert rate >= 0.8 * 60
        assert server.refused <= 10

    run(main)


def test_what_others_use_of_the_same_limit_is_left_to_them() -> None:
    async def main() -> None:
        counter = SlidingWindow(60, 60)
        for _ in range(30):
            counter.accept(now())
        server = _Server(counter, limit_header=True)
        budget = Budget(Limits(concurrent=1, per_minute=60), now, minute_remaining="X-MinLimit-Remaining")
        rate = await fetch(server, budget, 0.9, workers=5)
        assert (round(rate * 0.9), server.refused) == (30, 0)

    run(main)


def test_no_more_requests_run_at_once_than_allowed() -> None:
    async def main() -> None:
        running, most = 0, 0
        budget = Budget(Limits(concurrent=3), now)

        async def ask() -> None:
            nonlocal running, most
            async with budget.turn():
                running += 1
                most = max(most, running)
                await asyncio.sleep(1)
                running -= 1

        await asyncio.gather(*(ask() for _ in range(12)))
        assert most == 3

    run(main)


def test_tenants_share_the_limit_of_their_app() -> None:
    async def main() -> None:
        limits = Limits(concurrent=5, per_minute=60, app_per_minute=90)
        server, app = _Server(SlidingWindow(90, 60)), app_pace(limits)
        rates = await asyncio.gather(*(fetch(server, Budget(limits, now, app=app), 5) for _ in range(3)))
        assert server.refused == 0
        assert max(rates) >= 0.97 * 90

    run(main)


def test_all_requests_wait_as_long_as_a_refusal_says() -> None:
    async def main() -> None:
        budget, began = Budget(Limits(), now), now()
        async with budget.turn():
            budget.heard({"retry-after": "7"}, 429)

        async def ask() -> float:
            async with budget.turn() as waited:
                assert now() - began >= 7
                return waited

        waited = await asyncio.gather(*(ask() for _ in range(4)))
        assert sum(waited) == pytest.approx(7)

    run(main)


def test_a_spent_day_ends_the_run_and_begins_anew_a_day_later() -> None:
    async def main() -> None:
        budget = Budget(Limits(per_day=5), now, spent_today=2, day_seconds=100)
        for _ in range(3):
            async with budget.turn():
                pass
        with pytest.raises(DayBudgetSpent, match="tomorrow"):
            async with budget.turn():
                pass
        await asyncio.sleep(101)
        async with budget.turn():
            pass

    run(main)


@pytest.mark.parametrize(("headers", "status"), [({"x-daylimit-remaining": "0"}, 200), ({"retry-after": "43200"}, 429)])
def test_the_server_can_say_that_the_day_is_spent(headers: dict[str, str], status: int) -> None:
    async def main() -> None:
        budget = Budget(Limits(), now, day_remaining="X-DayLimit-Remaining")
        async with budget.turn():
            budget.heard(headers, status)
        with pytest.raises(DayBudgetSpent):
            async with budget.turn():
                pass

    run(main)


def test_an_announced_policy_is_kept_to_from_then_on() -> None:
    async def main() -> None:
        budget, began = Budget(Limits(), now), now()
        async with budget.turn():
            budget.heard({"ratelimit-policy": '"burst";q=10;w=20'}, 200)
        for _ in range(20):
            async with budget.turn():
                pass
        assert now() - began >= 20

    run(main)


def test_a_cancelled_wait_leaves_the_budget_as_it_was() -> None:
    async def main() -> None:
        budget = Budget(Limits(concurrent=1, per_minute=1), now)

        async def ask() -> float:
            async with budget.turn():
                return now()

        first = await ask()
        waiting = asyncio.create_task(ask())
        await asyncio.sleep(1)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert (await ask()) - first == pytest.approx(60, abs=1)

    run(main)


def _read(**headers: str) -> Any:
    at = dt.datetime(2025, 3, 1, 12, tzinfo=dt.UTC)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return read(named, minute_remaining="X-Min", day_remaining="X-Day", now=at)


def test_headers_are_read_in_all_their_forms() -> None:
    later = dt.datetime(2025, 3, 1, 12, 1, tzinfo=dt.UTC)
    assert _read(retry_after="12").retry_after == 12
    assert _read(retry_after=format_datetime(later, usegmt=True)).retry_after == 60
    assert _read(retry_after="soon").retry_after is None
    assert _read(retry_after=f"Mon, 01 Jan 2029 00:00:00 +{10**15}").retry_after is None
    assert _read(x_min="3", x_day="100").minute_remaining == 3
    assert _read(ratelimit='"default";r=0;t=30').exhausted_for == 30
    assert _read(ratelimit='"default";r=5;t=30').exhausted_for is None
    assert _read(ratelimit='"a";r=5;t=30, "b";r=0;t=9').exhausted_for == 9
    assert _read(ratelimit="limit=100, remaining=0, reset=50").exhausted_for == 50
    assert _read(ratelimit_remaining="0", ratelimit_reset="20").exhausted_for == 20
    assert _read(x_ratelimit_remaining="0", x_ratelimit_reset=str(int(later.timestamp()))).exhausted_for == 60
    assert _read(ratelimit_policy='"burst";q=100;w=60,"day";q=1000;w=86400').policies == (
        Policy(100, 60),
        Policy(1000, 86400),
    )
    assert _read(ratelimit_policy="100;w=60").policies == (Policy(100, 60),)
