"""How servers limit requests: fixed windows, sliding windows, token buckets; and all the limits of Xero at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


class Counter(Protocol):
    """Counts what it accepts."""

    def accept(self, now: float) -> float:
        """0 and the request counts, or the seconds after which it would be accepted."""

    def remaining(self, now: float) -> int:
        """How many would be accepted at once."""


class SlidingWindow:
    """At most `limit` in any `seconds`, as Xero counts its minute."""

    def __init__(self, limit: int, seconds: float) -> None:
        self._limit, self._seconds = limit, seconds
        self._times: deque[float] = deque()

    def remaining(self, now: float) -> int:
        while self._times and self._times[0] <= now - self._seconds:
            self._times.popleft()
        return self._limit - len(self._times)

    def accept(self, now: float) -> float:
        if self.remaining(now) > 0:
            self._times.append(now)
            return 0.0
        return self._times[0] + self._seconds - now


class FixedWindow:
    """At most `limit` between two strokes of a clock."""

    def __init__(self, limit: int, seconds: float) -> None:
        self._limit, self._seconds = limit, seconds
        self._window, self._count = -1, 0

    def remaining(self, now: float) -> int:
        if int(now // self._seconds) != self._window:
            self._window, self._count = int(now // self._seconds), 0
        return self._limit - self._count

    def accept(self, now: float) -> float:
        if self.remaining(now) > 0:
            self._count += 1
            return 0.0
        return (self._window + 1) * self._seconds - now


class TokenBucket:
    """`limit` in `seconds` on average, at most `capacity` at once."""

    def __init__(self, limit: int, seconds: float, capacity: float | None = None) -> None:
        self._rate = limit / seconds
        self._capacity = self._tokens = float(limit if capacity is None else capacity)
        self._counted_at: float | None = None

    def remaining(self, now: float) -> int:
        if self._counted_at is not None:
            self._tokens = min(self._capacity, self._tokens + (now - self._counted_at) * self._rate)
        self._counted_at = now
        return int(self._tokens + 1e-9)

    def accept(self, now: float) -> float:
        if self.remaining(now) > 0:
            self._tokens -= 1
            return 0.0
        return (1 - self._tokens) / self._rate


_WAYS: dict[str, Callable[[int, float], Counter]] = {"sliding": SlidingWindow, "fixed": FixedWindow}


@dataclass(frozen=True, kw_only=True)
class ServerLimits:
    """What a tenant may ask, None: anything. `way`: sliding | fixed | bucket (which holds `capacity`, or a minute)."""

    per_minute: int | None = 60
    per_day: int | None = 5000
    concurrent: int | None = 5
    app_per_minute: int | None = 10_000
    way: str = "sliding"
    capacity: float | None = None
    minute_seconds: float = 60.0

    def counter(self, limit: int | None) -> Counter | None:
        """Counts to `limit` a minute, in the server's way."""
        if limit is None:
            return None
        if self.way == "bucket":
            return TokenBucket(limit, self.minute_seconds, self.capacity)
        return _WAYS[self.way](limit, self.minute_seconds)


class Gate:
    """One tenant's way in; `app` counts for all tenants. It says with Xero's headers what is left."""

    def __init__(self, limits: ServerLimits, app: Counter | None) -> None:
        self._limits = limits
        self._minute = limits.counter(limits.per_minute)
        self._app = app
        self.day_left = limits.per_day
        self.running = 0

    def refusal(self, now: float) -> dict[str, str] | None:
        """The headers of a 429; None if the request is let in, which counts it."""
        if self.day_left is not None and self.day_left <= 0:
            return self._too_many("day", 12 * 3600, now)
        if self._limits.concurrent is not None and self.running >= self._limits.concurrent:
            return self._too_many("concurrent", 0, now)
        for counter, problem in ((self._minute, "minute"), (self._app, "appminute")):
            wait = counter.accept(now) if counter else 0
            if wait:
                return self._too_many(problem, wait, now)
        if self.day_left is not None:
            self.day_left -= 1
        return None

    def headers(self, now: float) -> dict[str, str]:
        """What is left, as each answer says it."""
        left = {
            "X-MinLimit-Remaining": self._minute.remaining(now) if self._minute else None,
            "X-DayLimit-Remaining": self.day_left,
            "X-AppMinLimit-Remaining": self._app.remaining(now) if self._app else None,
        }
        return {name: str(number) for name, number in left.items() if number is not None}

    def _too_many(self, problem: str, wait: float, now: float) -> dict[str, str]:
        headers = {"X-Rate-Limit-Problem": problem, **self.headers(now)}
        if problem != "concurrent":
            # Whole seconds, as the standard has it, except where a minute is made shorter.
            whole = self._limits.minute_seconds >= 60 or problem == "day"
            headers["Retry-After"] = str(int(wait) + 1) if whole else f"{wait + 0.001:.3f}"
        return headers
