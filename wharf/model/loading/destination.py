"""What an object's path says of its rows: their table, their partition, their time and columns of their own.

    sales/orders/incremental/$2017041101/part-0.csv        rows of sales.orders, of that hour
    sales/orders/2017/04/11/01/batch7/part-0.csv           the same
    sales/orders/dt=2017-04-11/hour=01/shop=eu/part-0.csv  the same, with 'eu' in the column shop

Without `--destination_regex`, that is; with one, its groups say all but what `key=value` folders do.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from wharf.model.errors import UsageError
from wharf.model.flags import nearest
from wharf.model.partitions import unescape

_TIMES = ("yyyy", "mm", "dd", "hh")
_GROUPS = ("dataset", "table", "partition", *_TIMES, "batch")
_KEYS = r"(?:[^/=]+=[^/]*/)*"
# An hour has two digits; a single one in its place is the number of a batch.
_DATED = r"(?P<yyyy>{year})/(?:(?P<mm>\d\d?)/(?:(?P<dd>\d\d?)/(?:(?P<hh>\d\d)/)?)?){month}"
DEFAULT_REGEX = (
    rf"(?P<dataset>[^/=$]+)/(?P<table>[^/=$]+)/{_KEYS}(?:(?:historical|incremental)/)?{_KEYS}"
    rf"(?:(?P<partition>\$[^/]+)/)?{_KEYS}(?:{_DATED.format(year=r'[0-9]{4}', month='?')})?{_KEYS}"
    r"(?:(?P<batch>[^/]+)/)?"
)
# Where the table is known, dated folders are sought in the whole path; a year alone could be anything there.
_ANYWHERE = (
    r"(?:(?=(?:.*/)?(?P<partition>\$\d+)/))?"
    rf"(?:(?:.*/)?{_DATED.format(year=r'(?:19|20)[0-9]{2}', month='')})?"
)
_KEY = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
_LEVELS = {"year": 0, "yyyy": 0, "month": 1, "mm": 1, "day": 2, "dd": 2, "hour": 3, "hh": 3}
_DATE = re.compile(r"(\d{4})-?(\d\d)-?(\d\d)(?:[-T_ ]?(\d\d))?", re.ASCII)


class Destination(NamedTuple):
    """What a path says besides the table.

    `partition` is text such as `$20170411`, or empty; `times` year, month, day and hour, as many as are said;
    `constants` are (column, text) of `key=value` folders that are no date.
    """

    partition: str
    times: tuple[int, ...]
    constants: tuple[tuple[str, str], ...]


def table_name(path: str, prefix: str, regex: str) -> tuple[str, str]:
    """The dataset, perhaps with its project, and the table that an object's path below its bucket names.

    `regex`, `--destination_regex` or nothing for the default, is matched below `prefix`, with which the path begins.

    Raises: UsageError for a path that does not match.
    """
    groups = _matched(path, prefix, regex, has_table=False)
    for name in ("dataset", "table"):
        if name not in groups:
            raise UsageError(
                f"--destination_regex finds no {name} in {path[len(prefix) :]!r}: mend the path or the flag"
            )
    return groups["dataset"], groups["table"]


def destination(path: str, prefix: str, regex: str, *, has_table: bool) -> Destination:
    """Read the rest of an object's path below its bucket.

    `has_table`: the table is given otherwise; then an empty `regex` looks for dates in the whole path. `key=value`
    folders always count in the whole path, so that it says the same however far down a pattern begins.

    Raises: UsageError for a path that does not match, or contradicts itself.
    """
    groups = _matched(path, prefix, regex, has_table=has_table)
    times: dict[int, int] = {}
    for level, name in enumerate(_TIMES):
        if name in groups:
            _note(times, level, groups[name], groups[name])
    constants = _constants(path.split("/")[:-1], times)
    if any(level not in times for level in range(len(times))):
        raise UsageError(f"{path!r} names a part of a date without what it is a part of: complete it")
    return Destination(groups.get("partition", ""), tuple(times[level] for level in range(len(times))), constants)


@lru_cache
def compiled(regex: str, *, has_table: bool) -> re.Pattern[str]:
    """`--destination_regex`, checked; empty for the default.

    Raises: UsageError naming the flag.
    """
    try:
        pattern = re.compile(regex or (_ANYWHERE if has_table else DEFAULT_REGEX))
    except re.error as error:
        raise UsageError(f"--destination_regex: {regex!r} is no regular expression: {error}") from error
    names = pattern.groupindex
    for name in names:
        if name not in _GROUPS:
            raise UsageError(
                f"--destination_regex: there is no group {name!r}{nearest(name, _GROUPS)}; there are "
                f"{', '.join(_GROUPS)}"
            )
    needed = [] if has_table else ["dataset", "table"]
    for part, whole in zip(_TIMES[1:], _TIMES, strict=False):
        needed += [whole] if part in names else []
    if missing := [name for name in needed if name not in names]:
        raise UsageError(f"--destination_regex: {regex!r} has no group {missing[0]}: write (?P<{missing[0]}>...)")
    return pattern


def _matched(path: str, prefix: str, regex: str, *, has_table: bool) -> dict[str, str]:
    """The groups that have a text."""
    below = path[len(prefix) :]
    match = compiled(regex, has_table=has_table).match(path if has_table and not regex else below)
    if not match:
        raise UsageError(
            f"{below!r}, below {prefix or 'the bucket'}, does not match --destination_regex: mend the path or the "
            "flag, or say with --prefix below which folder paths name tables"
        )
    return {name: text for name, text in match.groupdict().items() if text}


def _constants(folders: Iterable[str], times: dict[int, int]) -> tuple[tuple[str, str], ...]:
    """Columns from `key=value` folders; parts of dates go into `times` by their level."""
    columns: dict[str, tuple[str, str | None]] = {}
    for folder in folders:
        match = _KEY.fullmatch(folder)
        if not match:
            continue
        key, value = match[1].lower(), _unescaped(match[2], folder)
        if key in _LEVELS:
            _note(times, _LEVELS[key], value or "", folder)
        elif key in {"dt", "date"}:
            date = _DATE.fullmatch(value or "")
            if not date:
                raise UsageError(f"the folder {folder} is no date: write one like {key}=2025-03-01")
            for level, text in enumerate(date.groups()):
                if text:
                    _note(times, level, text, folder)
        elif columns.setdefault(key, (match[1], value))[1] != value:
            raise UsageError(f"the folder {folder} contradicts another one of the same key: rename one of them")
    return tuple((name, value) for name, value in columns.values() if value is not None)


def _unescaped(text: str, folder: str) -> str | None:
    """A folder's value as Hive and Wharf write it; None for their null."""
    try:
        value = unescape(text)
        (value or "").encode()
    except ValueError as error:
        raise UsageError(f"the folder {folder} holds no value that can be read back: rename it") from error
    return value


def _note(times: dict[int, int], level: int, text: str, folder: str) -> None:
    if not (text.isascii() and text.isdecimal()):
        raise UsageError(f"the folder {folder} is no part of a date: it must be a number")
    if times.setdefault(level, int(text)) != int(text):
        raise UsageError(f"the folder {folder} contradicts another date in the path: rename one of them")
