"""The periods of a backfill: half-open, in months, weeks or days."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass

from wharf.model.errors import UsageError
from wharf.model.windows import Window

MONTH, WEEK, DAY = "month", "week", "day"
LENGTHS = (MONTH, WEEK, DAY)
_MOST = 10_000  # more are a mistyped year


@dataclass(frozen=True)
class Period:
    """`start` <= day < `end`."""

    start: dt.date
    end: dt.date

    def __str__(self) -> str:
        """`2024-01` for a month, `2024-01-31` for a day, else `2024-01-01 to 2024-01-08`."""
        if self.is_month:
            return f"{self.start:%Y-%m}"
        if self.end - self.start == dt.timedelta(days=1):
            return self.start.isoformat()
        return f"{self.start} to {self.end}"

    @property
    def is_month(self) -> bool:
        """Whether this is a whole calendar month."""
        return self.start.day == self.end.day == 1 and 0 < (self.end - self.start).days <= 31

    def window(self, time_zone: str) -> Window:
        """From the midnight that begins `start` to the one that begins `end`."""
        midnight = dt.time()
        return Window(dt.datetime.combine(self.start, midnight), dt.datetime.combine(self.end, midnight), time_zone)


def window_text(start: dt.datetime, end: dt.datetime, time_zone: str) -> str:
    """A window of naive times as people read it: its days, or times where they are not whole; its zone unless UTC."""
    is_whole = start.time() == end.time() == dt.time()
    text = str(Period(start.date(), end.date())) if is_whole else f"{start.isoformat()} to {end.isoformat()}"
    return text if time_zone == "UTC" else f"{text} ({time_zone})"


def periods(start: str, end: str, every: str) -> list[Period]:
    """All periods from `start` up to, and without, `end`, both `YYYY-MM` or `YYYY-MM-DD`; the last week may be shorter.

    Raises: UsageError.
    """
    first, last = _day(start, "--from"), _day(end, "--to")
    if first >= last:
        raise UsageError(f"--from {start} is not before --to {end}, which is the first day that is not wanted any more")
    for flag, day in (("--from", first), ("--to", last)):
        if every == MONTH and day.day != 1:
            raise UsageError(
                f"{flag}: {day} is not the first of a month: write one like {day:%Y-%m}, or give --every day"
            )
    found = []
    while first < last:
        following = _after(first, every)
        found.append(Period(first, min(following, last)))
        first = following
        if len(found) > _MOST:
            raise UsageError(f"--from {start} --to {end} are more than {_MOST:,} periods: is a year mistyped?")
    return found


def _after(day: dt.date, every: str) -> dt.date:
    if every == MONTH:
        return (day.replace(day=1) + dt.timedelta(days=32)).replace(day=1)
    return day + dt.timedelta(days=7 if every == WEEK else 1)


def _day(text: str, flag: str) -> dt.date:
    month = re.fullmatch(r"\d{4}-\d{2}", text)
    try:
        return dt.date.fromisoformat(f"{text}-01" if month else text)
    except ValueError as error:
        raise UsageError(f"{flag}: {text!r} is neither a month nor a day: write 2024-01 or 2024-01-31") from error
