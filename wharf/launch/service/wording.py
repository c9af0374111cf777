"""Values as people read them: times, durations, numbers, what a status is called."""

from __future__ import annotations

import datetime as dt

from wharf.model.history.runs import FAILED, RUNNING, SILENT, STOPPED, SUCCESS, WAITING
from wharf.model.report import counted, size

NOTHING = "\N{EN DASH}"
STATUS_WORDS = {
    FAILED: "Failed",
    SILENT: "Silent",
    RUNNING: "Running",
    SUCCESS: "Succeeded",
    STOPPED: "Stopped",
    WAITING: "Waiting",
}
STATUS_MEANINGS = {
    FAILED: "It was tried and did not complete.",
    SILENT: "Recorded as running, but its lease has ended: most likely its process is gone.",
    RUNNING: "It is at work.",
    SUCCESS: "Everything is published, delivered or loaded.",
    STOPPED: "The API's budget of the day is spent; the next run goes on where this one was.",
    WAITING: "It is complete, and waits for another batch or a file; the next run loads it.",
}
FILES_ARE = {"api_to_bigquery": "endpoint"}  # of other pipelines they are files


def moment(when: dt.datetime, *, seconds: bool = False) -> str:
    """`2025-03-20 12:00 UTC`."""
    return f"{when.astimezone(dt.UTC):%Y-%m-%d %H:%M{':%S' if seconds else ''}} UTC"


def machine_moment(when: dt.datetime) -> str:
    """The same for the attribute `datetime`."""
    return f"{when.astimezone(dt.UTC):%Y-%m-%dT%H:%M:%SZ}"


def duration(seconds: float | None) -> str:
    """In the two units that tell most: `0.4 s`, `45 s`, `12 min 3 s`, `2 h 12 min`, `3 d 4 h`."""
    if seconds is None:
        return NOTHING
    if seconds < 10:
        return f"{max(seconds, 0):.1f} s"
    whole = round(seconds)
    for unit, length, smaller, part in (("d", 86_400, "h", 3_600), ("h", 3_600, "min", 60), ("min", 60, "s", 1)):
        if whole >= length:
            rest = whole % length // part
            return f"{whole // length} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{whole} s"


def number(value: int | None) -> str:
    """`1,204,000`."""
    return NOTHING if value is None else f"{value:,}"


def rounded(value: float) -> str:
    """`950`, `1.2 thousand`, `3.4 million`."""
    for name, unit in (("billion", 1e9), ("million", 1e6), ("thousand", 1e3)):
        if value >= unit:
            return f"{value / unit:.3g} {name}"
    return f"{value:.0f}"


def volume(value: int | None) -> str:
    """Bytes."""
    return NOTHING if value is None else size(value)


FILTERS = {
    "moment": moment,
    "machine_moment": machine_moment,
    "duration": duration,
    "number": number,
    "rounded": rounded,
    "volume": volume,
    "counted": counted,
}
