"""One limit of an API, so many requests in so many seconds, kept to without counting on the server's way of counting.

Two rules hold at once:
- The window: of the requests that run or have ended within the last `seconds`, there are never more than `limit`.
  A request is counted by a server at some moment between its start and its end, so that any window of that length has
  at most `limit` there too, whatever the way took, and whether the server counts by fixed windows, sliding ones or a
  token bucket that holds `limit`.
- Evenness: from rest, `burst` may start at once; whoever asks on is served evenly, at 99.5 % of the rate. A server
  whose token bucket holds less than a whole window's requests is kept to by a smaller `burst`.
"""

from __future__ import annotations

import threading
from collections import deque

_SHARE = 0.995  # of the permitted rate: clocks differ, and timers on servers are coarse
_LEAST_WAIT = 0.005
_EARLY = 1e-9  # seconds that rounding may take from a wait


class Pace:
    """At most `limit` requests in any `seconds`. Safe to share among threads: the tenants of an app share its limit."""

    def __init__(self, limit: int, seconds: float, burst: int | None = None) -> None:
        self._limit = limit
        self._bucket = burst is not None
        self._seconds = seconds / _SHARE
        self._rate = limit / self._seconds
        # Requests that were sent evenly arrive in clusters at times; a fifth of the server's bucket is left for that.
        self._burst = float(limit if burst is None else max(1, min(burst * 4 // 5, limit)))
        self._credit = self._burst
        self._credited_at: float | None = None
        self._full = False
        self._running = 0
        self._ended: deque[float] = deque()
        self._lock = threading.Lock()

    def start(self, now: float) -> float:
        """Count a request as started and return 0, or return the seconds after which to ask again."""
        with self._lock:
            self._pass_time(now)
            if self._running + len(self._ended) >= self._limit:
                # What is not allowed meanwhile is not saved up for a second burst, which would come with each window.
                self._full = True
                return max(self._ended[0] + self._seconds - now if self._ended else 0, _LEAST_WAIT)
            if self._credit < 1 - _EARLY:
                return max((1 - self._credit) / self._rate, _EARLY)
            self._credit -= 1
            self._running += 1
            return 0.0

    def take_back(self) -> None:
        """The request counted last was not sent after all."""
        with self._lock:
            self._running -= 1
            self._credit += 1

    def end(self, now: float) -> None:
        """A request has got its answer, or will get none."""
        with self._lock:
            self._running -= 1
            self._ended.append(now)

    def heard_remaining(self, remaining: int, now: float) -> None:
        """The server has so many requests left: what it counts beyond ours are requests of others with the same key."""
        with self._lock:
            self._pass_time(now)
            if self._bucket:
                self._credit = min(self._credit, float(remaining))
                return
            others = self._limit - remaining - self._running - len(self._ended)
            self._ended.extend([now] * others)

    def refused(self) -> None:
        """The server found it too fast: start fewer at once from now on."""
        with self._lock:
            self._burst = max(self._burst / 2, min(2.0, self._burst))
            self._credit = min(self._credit, 0.0)

    def _pass_time(self, now: float) -> None:
        while self._ended and self._ended[0] <= now - self._seconds + _EARLY:
            self._ended.popleft()
        if self._credited_at is not None:
            gained = max(0.0, now - self._credited_at) * self._rate
            self._credit = min(self._credit + gained, 1.0 if self._full else self._burst)
        self._full = False
        self._credited_at = now
