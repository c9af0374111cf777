"""Hive-style partitions: (day, vendor) <-> `year=2025/month=03/day=23/vendor=acme`.

A vendor is any string, and becomes one path component that nothing can break out of. Bytes that Hive escapes, and
everything outside printable ASCII, become `%XX` (UTF-8). What plain escaping cannot tell apart is spelled so:

    null            __HIVE_DEFAULT_PARTITION__, as Hive does
    empty           %
    too long        the first bytes, `%~` and a digest; the manifest holds the whole value
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

NULL = "__HIVE_DEFAULT_PARTITION__"
EMPTY = "%"
_LONGEST = 200  # bytes of an escaped value; file systems end at 255 for a whole component
_CUT = "%~"

# Hive's FileUtils.escapePathName, and space, which breaks shells and listings.
_ESCAPED = re.compile(rb"[^!$&()+,\-.0-9;<>@A-Z_`a-z|~]")
_PATH = re.compile(r"^year=(\d{4})/month=(\d{2})/day=(\d{2})/vendor=([^/]+)$")


class Partition(NamedTuple):
    """A parsed partition path; `vendor` is the escaped path component."""

    day: dt.date
    vendor: str


def escape(value: str | None) -> str:
    """A vendor as one safe path component."""
    if value is None:
        return NULL
    if not value:
        return EMPTY
    escaped = _ESCAPED.sub(_percent, value.encode("utf-8", "surrogatepass")).decode()
    escaped = re.sub(r"\.{2,}|^\.$", lambda dots: "%2E" * len(dots[0]), escaped)
    if escaped == NULL:
        escaped = "%5F" + escaped[1:]
    if len(escaped) > _LONGEST:
        head = re.sub(r"%[0-9A-F]?$", "", escaped[: _LONGEST - 20])
        escaped = head + _CUT + hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return escaped


def _percent(found: re.Match[bytes]) -> bytes:
    return b"%%%02X" % found[0][0]


def unescape(component: str) -> str | None:
    """The vendor that `escape` was given.

    Raises: ValueError for a value that was too long to be kept whole.
    """
    if component == NULL:
        return None
    if component == EMPTY:
        return ""
    if _CUT in component:
        raise ValueError(f"{component!r} was cut: the run's manifest holds the whole value")
    return unquote_to_bytes(component).decode("utf-8", "surrogatepass")


def partition_path(day: dt.date, vendor: str | None) -> str:
    """The partition's folder below the output."""
    return f"{day_path(day)}/vendor={escape(vendor)}"


def day_path(day: dt.date) -> str:
    """The folder of all of a day's partitions."""
    return f"year={day.year:04d}/month={day.month:02d}/day={day.day:02d}"


def parse_path(path: str) -> Partition | None:
    """A partition folder's day and vendor component; None for any other folder."""
    match = _PATH.match(path)
    if not match:
        return None
    try:
        day = dt.date(int(match[1]), int(match[2]), int(match[3]))
    except ValueError:
        return None
    return Partition(day, match[4])
