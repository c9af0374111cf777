"""Cursors of incremental endpoints: the highest value seen -> text that is committed -> what the next run sends.

A time is kept as ISO 8601 in UTC, whatever the API writes; where `Incremental.format` is empty, a cursor is no time and
is kept as it is.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any

from wharf.model.errors import RunFailed
from wharf.model.fetching.api import Incremental
from wharf.model.fetching.json_path import json_path

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSOFT = re.compile(r"/Date\((-?\d+)(?:[+-]\d{4})?\)/")  # milliseconds in UTC; the offset is for display


def highest(incremental: Incremental, records: Sequence[Mapping[str, Any]], so_far: str) -> str:
    """The highest of `so_far` and the records' cursors; records without one do not count. Empty: none yet.

    Raises: RunFailed if a value is neither a time nor, where the format is empty, text or a number.
    """
    found = json_path(incremental.cursor).firsts(records)
    values = {value for value in found if isinstance(value, str | int | float)}
    try:
        if incremental.format:
            known = {moment(value) for value in _last_of(values)} | ({moment(so_far)} if so_far else set())
            return max(known).isoformat(timespec="microseconds") if known else ""
        return max([*map(str, values), *([so_far] if so_far else [])], key=_rank, default="")
    except ValueError:
        raise RunFailed(
            f"a value at {incremental.cursor} is not a time, as incremental cursors are; where they are numbers or "
            'names that grow, give incremental the format ""'
        ) from None


def _last_of(values: set[Any]) -> set[Any]:
    """Those of `values` that may be the latest: of ISO times that are all written alike, the last one by its text."""
    if not all(isinstance(value, str) for value in values):
        return values
    # What stands behind the minutes, and is no digit, is the zone.
    ways = {(len(value), value[4:5], value[16:].lstrip("0123456789:.")) for value in values}
    return {max(values)} if len(ways) == 1 and next(iter(ways))[1] == "-" else values


def sent(incremental: Incremental, cursor: str) -> str:
    """What is asked for from a committed `cursor`, or from `start` where there is none: less the lookback, formatted.

    Empty: ask without the condition. Raises: RunFailed if the cursor is not a time and should be one.
    """
    text = cursor or incremental.start
    if not text or not incremental.format:
        return text
    try:
        since = moment(text)
    except ValueError:
        raise RunFailed(f"the last cursor, {text[:60]!r}, is not a time; set another one or begin anew") from None
    # What follows must not lie before 1970, which some APIs refuse and none has anything from.
    lookback = dt.timedelta(seconds=incremental.lookback_seconds)
    return _formatted(max(since, _EPOCH + lookback) - lookback, incremental.format)


def moment(value: str | float) -> dt.datetime:
    """A time as APIs write them, in UTC: ISO 8601 (UTC unless it says otherwise), RFC 9110, `/Date(ms)/`, or a number
    of seconds, of milliseconds where it is too large for these.

    Raises: ValueError
    """
    if isinstance(value, bool):
        raise ValueError("not a time")
    if isinstance(value, int | float):
        return _from_number(value)
    text = value.strip()
    if match := _MICROSOFT.fullmatch(text):
        return _since_epoch(milliseconds=int(match[1]))
    if re.fullmatch(r"-?\d{9,}(\.\d+)?", text):
        return _from_number(float(text))
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError:
        try:
            found = parsedate_to_datetime(text)
        except (TypeError, IndexError):
            raise ValueError("not a time") from None
    try:
        return (found if found.tzinfo else found.replace(tzinfo=dt.UTC)).astimezone(dt.UTC)
    except OverflowError:
        raise ValueError("not a time") from None


def _from_number(value: float) -> dt.datetime:
    return _since_epoch(milliseconds=value) if abs(value) >= 1e11 else _since_epoch(seconds=value)


def _since_epoch(**length: float) -> dt.datetime:
    try:
        return _EPOCH + dt.timedelta(**length)
    except OverflowError:
        raise ValueError("not a time") from None


def _formatted(since: dt.datetime, form: str) -> str:
    if form == "http":
        return format_datetime(since.replace(microsecond=0), usegmt=True)
    if form == "epoch":
        return str(int(since.timestamp()))
    if form == "epoch_ms":
        return str(int(since.timestamp() * 1000))
    return since.strftime(form)


def _rank(text: str) -> tuple[int, float | str]:
    """Numbers by their value, behind them everything else by its text."""
    if re.fullmatch(r"-?\d+", text):
        return 0, int(text)
    return (0, float(text)) if re.fullmatch(r"-?\d+\.\d+", text) else (1, text)


def later(incremental: Incremental, one: str, other: str) -> str:
    """The higher of two cursors that `highest` gave; an empty one is lower than any."""
    if not one or not other:
        return one or other
    return max(one, other, key=moment) if incremental.format else max(one, other, key=_rank)


def not_ahead(incremental: Incremental, cursor: str, began: dt.datetime, now: dt.datetime) -> str:
    """`cursor`, or if it lies ahead of `now` when the fetch `began`.

    One record with a wrong date would else hide all that changes until then.
    """
    return began.isoformat() if incremental.format and cursor and moment(cursor) > now else cursor
