"""Half-open windows of wall-clock time, and what they mean for each type of date column."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from wharf.model.errors import UsageError

_EPOCH = dt.datetime(1970, 1, 1)
_EPOCH_UTC = _EPOCH.replace(tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)
_DAY = dt.timedelta(days=1)
# A day from the ends of the calendar, so that a time zone's offset does not lead out of it.
_FIRST, _LAST = dt.datetime(1, 1, 2), dt.datetime(9999, 12, 31)
_LONGEST_DAYS = 366 * 200

DATE_TYPES = ("TIMESTAMP", "DATETIME", "DATE")


class Span(NamedTuple):
    """The part of one day that a window covers."""

    day: dt.date
    start: dt.datetime
    end: dt.datetime

    @property
    def whole(self) -> bool:
        return self.end - self.start == _DAY

    @property
    def clock(self) -> str:
        """`HHMMSS-HHMMSS`, the second one `240000` for midnight; empty for a whole day."""
        if self.whole:
            return ""
        end = "240000" if self.end.date() > self.day else f"{self.end:%H%M%S}"
        return f"{self.start:%H%M%S}-{end}"


@dataclass(frozen=True)
class Window:
    """`start` <= wall clock in `time_zone` < `end`; both naive datetimes."""

    start: dt.datetime
    end: dt.datetime
    time_zone: str = "UTC"

    def __post_init__(self) -> None:
        if not self.start < self.end:
            raise UsageError(
                f"--when_read_from {self.start.isoformat()} is not before --when_read_to {self.end.isoformat()}"
            )
        if self.start < _FIRST or self.end > _LAST:
            raise UsageError(f"the window {self} must lie between {_FIRST.date()} and {_LAST.date()}")
        if (self.end - self.start).days > _LONGEST_DAYS:
            raise UsageError(f"the window {self} is longer than 200 years: is one of its years mistyped?")

    def __str__(self) -> str:
        return f"{self.start.isoformat()} to {self.end.isoformat()} ({self.time_zone})"

    @property
    def first_instant(self) -> dt.datetime:
        """`start` in UTC."""
        return _instant(self.start, self.time_zone)

    @property
    def last_instant(self) -> dt.datetime:
        """`end` in UTC, itself outside the window."""
        return _instant(self.end, self.time_zone)

    @property
    def spans(self) -> list[Span]:
        """The window day by day."""
        midnight = dt.datetime.combine(self.start.date(), dt.time())
        spans = []
        while midnight < self.end:
            following = midnight + _DAY
            spans.append(Span(midnight.date(), max(midnight, self.start), min(following, self.end)))
            midnight = following
        return spans

    def borders(self, date_type: str) -> list[int]:
        """Where each span begins, and the end of the last, in the units of the column's Arrow values.

        Microseconds since 1970 for TIMESTAMP (UTC) and DATETIME (wall clock), days for DATE.
        """
        edges = [span.start for span in self.spans] + [self.end]
        if date_type == "TIMESTAMP":
            return [(_instant(edge, self.time_zone) - _EPOCH_UTC) // _MICROSECOND for edge in edges]
        unit = _DAY if date_type == "DATE" else _MICROSECOND
        return [(edge - _EPOCH) // unit for edge in edges]

    def restriction(self, column: str, date_type: str) -> str:
        """The window as a SQL condition on `column`, in the form the Storage Read API pushes down.

        Raises: UsageError if the column holds dates and the window does not begin and end at midnight.
        """
        if date_type == "TIMESTAMP":
            edges = (self.first_instant, self.last_instant)
            start, end = (f"{edge.replace(tzinfo=None).isoformat(sep=' ')}+00" for edge in edges)
        elif date_type == "DATETIME":
            start, end = (edge.isoformat(sep=" ") for edge in (self.start, self.end))
        elif self.start.time() == self.end.time() == dt.time():
            start, end = self.start.date().isoformat(), self.end.date().isoformat()
        else:
            raise UsageError(f"column {column!r} is a DATE, so the window must begin and end at midnight: {self}")
        return f"`{column}` >= {date_type} '{start}' AND `{column}` < {date_type} '{end}'"


def zone(name: str) -> str:
    """`name` if it is an IANA time zone.

    Raises: UsageError.
    """
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise UsageError(f"--time_zone: {name!r} is not a time zone: write UTC or one like Europe/Berlin") from error
    return name


def parse_instant(text: str, *, flag: str) -> dt.datetime:
    """`YYYY-MM-DDTHH:MM:SS`.

    Raises: UsageError naming the flag.
    """
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}", text):
        try:
            return dt.datetime.fromisoformat(text)
        except ValueError:
            pass  # the right form, an impossible date: the same error
    raise UsageError(f"--{flag}: {text!r} is not a time: write YYYY-MM-DDTHH:MM:SS, such as 2025-03-01T00:00:00")


def month_window(period: str, time_zone: str = "UTC") -> Window:
    """The calendar month `yyyyMM`.

    Raises: UsageError.
    """
    if not re.fullmatch(r"\d{6}", period) or not (1 <= int(period[4:]) <= 12 and "0001" <= period[:4] < "9999"):
        raise UsageError(f"--period: {period!r} is not a month: write yyyyMM, such as 202503")
    first = dt.datetime(int(period[:4]), int(period[4:]), 1)
    return Window(first, _next_month(first), time_zone)


def previous_month(now: dt.datetime, time_zone: str = "UTC") -> Window:
    """The calendar month before the one that `now`, an aware datetime, is in."""
    local = now.astimezone(ZoneInfo(time_zone))
    first = dt.datetime(local.year, local.month, 1)
    last = first - _DAY
    return Window(dt.datetime(last.year, last.month, 1), first, time_zone)


def _next_month(first: dt.datetime) -> dt.datetime:
    return dt.datetime(first.year + first.month // 12, first.month % 12 + 1, 1)


def _instant(wall: dt.datetime, time_zone: str) -> dt.datetime:
    # Fold 0: where the clock is put forward at midnight, the skipped midnight is the moment of the change; an hour
    # that comes twice begins with its first. So a day begins where DATE(t, zone) first answers it.
    return wall.replace(tzinfo=ZoneInfo(time_zone)).astimezone(dt.UTC)
