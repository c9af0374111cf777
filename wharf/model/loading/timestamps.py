"""When rows are of, by their file's name and folders; and the span of time that its re-delivery replaces.

Times are in UTC, spans half-open. What a person must mend about a path is a UsageError that quotes it.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from wharf.model.errors import UsageError

Span = tuple[dt.datetime, dt.datetime]
_UNITS = ("year", "month", "day", "hour")
_PARTITION = re.compile(r"\$(\d{4})(\d\d)?(\d\d)?(\d\d)?", re.ASCII)
_PROBE = dt.datetime(2024, 11, 22, 13, 14, 15, 161718, dt.UTC)


class FileTime(NamedTuple):
    """The time of a file's rows, and the span that they replace when they are delivered again."""

    moment: dt.datetime
    replaces: Span


@lru_cache
def file_time(named: dt.datetime | None, partition: str, folders: tuple[int, ...], granularity: str) -> FileTime | None:
    """Bring together what a path says; None if it says nothing.

    `named`: the time in the file's name, which goes before all else. `partition`: a folder such as `$2017041101`, the
    span to replace. `folders`: year, month, day and hour, as many as there are; they are replaced if they are finer
    than the table's `granularity`, else the table's partition is.

    Raises: UsageError for a date that does not exist, or a name and folders that contradict each other.
    """
    spans = []
    if partition:
        spans.append((f"the folder {partition}", partition_span(partition)))
    if folders:
        spans.append((f"the folder of {_shown(folders)}", span(folders)))
    if not spans and named is None:
        return None
    moment = spans[0][1][0] if named is None else named
    if len(spans) == 2 and not _nested(spans[0][1], spans[1][1]):
        raise UsageError(f"{spans[0][0]} contradicts {spans[1][0]}: rename one of them")
    for what, (start, end) in spans:
        if named is not None and not start <= named < end:
            raise UsageError(
                f"the file's name says {named:%Y-%m-%dT%H:%M:%S}, and {what} contradicts it: move the file, or mend "
                "--timestamp_regex and --timestamp_format"
            )
    if partition:
        return FileTime(moment, spans[0][1])
    if len(folders) > _UNITS.index(granularity) + 1:
        return FileTime(moment, span(folders))
    return FileTime(moment, holding(moment, granularity))


def named_time(path: str, regex: str, format_: str) -> dt.datetime:
    """The time that an object's path below its bucket holds; of UTC where it has no zone.

    Raises: UsageError if there is none.
    """
    match = compiled(regex, format_).search(path)
    found = match and match["timestamp" if "timestamp" in match.re.groupindex else 1]
    if not found:
        raise UsageError(f"--timestamp_regex finds no time in {path!r}: rename the file, or mend the flag")
    try:
        return _read(found, format_)
    except (ValueError, OverflowError) as error:
        raise UsageError(
            f"{found!r} in {path!r} is no time of the form {format_!r}: rename the file, or mend --timestamp_format"
        ) from error


@lru_cache
def compiled(regex: str, format_: str) -> re.Pattern[str]:
    """The two flags, checked.

    Raises: UsageError naming the flag.
    """
    try:
        pattern = re.compile(regex)
    except re.error as error:
        raise UsageError(f"--timestamp_regex: {regex!r} is no regular expression: {error}") from error
    if pattern.groups != 1 and "timestamp" not in pattern.groupindex:
        raise UsageError(
            f"--timestamp_regex: {regex!r} has {pattern.groups} groups: put the time in the only one, or in "
            "one named (?P<timestamp>...)"
        )
    if not format_:
        raise UsageError("--timestamp_format is missing: say how the text that --timestamp_regex finds is read")
    try:
        year = _read(_PROBE.strftime(format_), format_).year
    except (ValueError, OverflowError, re.error) as error:  # the last: of a code that comes twice
        raise UsageError(f"--timestamp_format: {format_!r} is not understood: write one like %Y%m%d%H") from error
    if year != _PROBE.year:
        raise UsageError(f"--timestamp_format: {format_!r} has no year: write one like %Y%m%d%H")
    return pattern


def span(parts: Sequence[int]) -> Span:
    """The year, month, day or hour that its parts, the year first, name.

    Raises: UsageError if there is no such one.
    """
    try:
        year, month, day, hour = (*parts, *(1, 1, 1, 0)[len(parts) :])
        start = dt.datetime(year, month, day, hour, tzinfo=dt.UTC)
        return start, _following(start, _UNITS[len(parts) - 1])
    except (ValueError, OverflowError) as error:
        raise UsageError(f"{_shown(parts)} is no date: mend the folder's name") from error


def partition_span(text: str) -> Span:
    """The span of `$2017`, `$201704`, `$20170411` or `$2017041101`.

    Raises: UsageError.
    """
    match = _PARTITION.fullmatch(text)
    if not match:
        raise UsageError(f"the folder {text} is no partition: write one like $20170411, or $2017041101 for an hour")
    return span([int(part) for part in match.groups() if part])


def holding(moment: dt.datetime, granularity: str) -> Span:
    """The hour, day, month or year that `moment` is in."""
    parts = (moment.year, moment.month, moment.day, moment.hour)
    return span(parts[: _UNITS.index(granularity) + 1])


def _following(start: dt.datetime, granularity: str) -> dt.datetime:
    if granularity == "year":
        return start.replace(year=start.year + 1)
    if granularity == "month":
        return start.replace(year=start.year + start.month // 12, month=start.month % 12 + 1)
    return start + (dt.timedelta(days=1) if granularity == "day" else dt.timedelta(hours=1))


def _nested(one: Span, other: Span) -> bool:
    return (one[0] <= other[0] and other[1] <= one[1]) or (other[0] <= one[0] and one[1] <= other[1])


@lru_cache
def _read(text: str, format_: str) -> dt.datetime:
    moment = dt.datetime.strptime(text, format_)  # noqa: DTZ007 - a zone is added where the text has none
    return moment.astimezone(dt.UTC) if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


def _shown(parts: Sequence[int]) -> str:
    return "/".join(f"{part:0{4 if not index else 2}d}" for index, part in enumerate(parts))
