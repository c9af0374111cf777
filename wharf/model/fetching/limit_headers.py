"""What an API says in its headers about the requests it still takes.

`Retry-After` (RFC 9110), `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers, in its present form
`"default";r=50;t=30` and its older ones `limit=100, remaining=50, reset=50` and `RateLimit-Remaining`), GitHub's
`X-RateLimit-*`, and the two headers whose names an API's configuration tells.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

_EPOCH = 1_000_000_000  # a reset as large as this is a time, not a number of seconds
_REMAINING = ("ratelimit-remaining", "x-ratelimit-remaining", "x-rate-limit-remaining")
_RESET = ("ratelimit-reset", "x-ratelimit-reset", "x-rate-limit-reset")
_KNOWN = frozenset(("retry-after", "ratelimit", "ratelimit-policy", *_REMAINING))


@dataclass(frozen=True)
class Policy:
    """At most `quota` requests in `seconds`."""

    quota: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Said:
    """What one response says; None where it says nothing. Times are seconds from now."""

    retry_after: float | None = None
    minute_remaining: int | None = None
    day_remaining: int | None = None
    exhausted_for: float | None = None  # no request is left, until then
    policies: tuple[Policy, ...] = ()


def read(headers: Mapping[str, str], *, minute_remaining: str, day_remaining: str, now: dt.datetime) -> Said:
    """The headers of a response -> what they say. `headers` finds names in lower case; what is no number is ignored."""
    own = minute_remaining.lower(), day_remaining.lower()
    if _KNOWN.isdisjoint(headers) and own[0] not in headers and own[1] not in headers:
        return Said()
    return Said(
        retry_after=_retry_after(headers.get("retry-after", ""), now),
        minute_remaining=_count(headers.get(own[0], "")),
        day_remaining=_count(headers.get(own[1], "")),
        exhausted_for=_exhausted_for(headers, now),
        policies=_policies(headers.get("ratelimit-policy", "")),
    )


def _retry_after(text: str, now: dt.datetime) -> float | None:
    if re.fullmatch(r"\d{1,9}(\.\d+)?", text.strip()):  # fractions are not in the standard, but servers send them
        return float(text)
    try:
        when = parsedate_to_datetime(text)
        return max(0.0, (when.replace(tzinfo=when.tzinfo or dt.UTC) - now).total_seconds())
    except (ValueError, OverflowError):  # an offset may be of any length
        return None


def _exhausted_for(headers: Mapping[str, str], now: dt.datetime) -> float | None:
    whole = headers.get("ratelimit", "")
    found = [(_parameter(item, "r"), _parameter(item, "t")) for item in whole.split(",")]
    found.append((_parameter(whole, "remaining"), _parameter(whole, "reset")))
    for remaining, reset in zip(_REMAINING, _RESET, strict=True):
        found.append((_count(headers.get(remaining, "")), _count(headers.get(reset, ""))))
    waits = [reset for remaining, reset in found if remaining == 0 and reset is not None]
    return max((max(0.0, wait - now.timestamp()) if wait >= _EPOCH else wait for wait in waits), default=None)


def _policies(text: str) -> tuple[Policy, ...]:
    found = []
    for item in text.split(","):
        quota, seconds = _parameter(item, "q"), _parameter(item, "w")
        if quota is None:  # the older form: 100;w=60
            quota = _count(item.split(";")[0])
        if quota and seconds:
            found.append(Policy(quota, float(seconds)))
    return tuple(found)


def _parameter(item: str, name: str) -> int | None:
    match = re.search(rf"(?:^|[;,\s]){name}\s*=\s*(\d{{1,12}})", item)
    return int(match[1]) if match else None


def _count(text: str) -> int | None:
    return int(text) if re.fullmatch(r"\s*\d{1,12}\s*", text) else None
