"""Bytes of an answer -> page of records -> JSON lines.

This is the hot path: records are the very objects that the parser made, and each is written once, by the parser's own
library. What that library cannot hold, such as integers above 64 bits, goes the slow way, a page at a time.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import numpy as np
import orjson

from wharf.model.errors import RunFailed
from wharf.model.fetching.api import Endpoint
from wharf.model.fetching.json_path import json_path
from wharf.model.fetching.paging import Page, Request
from wharf.model.json_document import kind

_NOTHING = {204, 205, 304}  # answers without a body: there is nothing, or nothing new
# Integers from -2**63 to 2**64 - 1 fit the parser's 64 bits; it would make doubles of others, which look so.
_TOO_LARGE = b"d" * 20, b"-" + b"d" * 19
_MARKS = bytes(ord("d") if chr(byte) in "0123456789" else ord("-") if byte == ord("-") else 0 for byte in range(256))
_MISSING = object()


def read_page(endpoint: Endpoint, request: Request, status: int, headers: Mapping[str, str], body: bytes) -> Page:
    """The page that an answer to `request` is.

    Raises: RunFailed if it is not JSON, or has no records where the endpoint says they are.
    """
    if status in _NOTHING:
        return Page(status=status, headers=headers, body=None, records=[], number=request.number)
    try:
        parsed = parse(body)
        records = find(endpoint, parsed)
    except ValueError as error:
        raise RunFailed(f"endpoint {endpoint.name}, page {request.number}: {error}") from None
    return Page(status=status, headers=headers, body=parsed, records=records, number=request.number)


def parse(body: bytes) -> Any:
    """The JSON value that `body` is; integers keep all their digits, other numbers are doubles.

    Raises: ValueError that holds nothing of the body.
    """
    if not _may_hold_large_integers(body):
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError:
            pass  # the other parser takes half a surrogate pair and a byte order mark, and says where it stopped
    try:
        return json.loads(body, parse_float=_finite, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        where = f" at character {error.pos}" if isinstance(error, json.JSONDecodeError) else ""
        raise ValueError(f"the answer of {len(body)} bytes is not JSON{where}; was it cut off?") from None


def find(endpoint: Endpoint, body: Any) -> list[dict[str, Any]]:
    """The records in a parsed body: the parser's own objects. What is no object becomes `{"value": ...}`.

    A path to a list means what is in it; null means that there are none.

    Raises: ValueError if nothing is there, as in an error that is sent as an answer.
    """
    path = json_path(endpoint.records)
    found = path.all(body)
    if found is None:
        before = json_path(endpoint.records.removesuffix("[*]"))
        if endpoint.records_optional or before.first(body, _MISSING) is None:
            return []
        raise ValueError(
            f"nothing is at {endpoint.records}, where the records should be, the answer is {_shape(body)}; "
            "if such an answer means that there are none, set records_optional"
        )
    if path.is_single and len(found) == 1:
        found = found[0] if isinstance(found[0], list) else [] if found[0] is None else found
    if set(map(type, found)) <= {dict}:
        return found
    return [each if isinstance(each, dict) else {"value": each} for each in found]


def lines(records: Sequence[dict[str, Any]], extras: Mapping[str, Any]) -> bytes:
    """Records, which are not changed, as JSON lines that begin with `extras`.

    A record's own field of such a name gets underscores behind it. Halves of surrogate pairs become question marks.
    """
    if not all(records) or not extras.keys().isdisjoint(set().union(*records)):
        return b"".join([_dump(_under(extras, record)) for record in records])
    try:
        # What follows the opening brace. The copy is small, and lets the parser's own large buffer be used again.
        rests = [orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)[1:] for record in records]
    except TypeError:
        rests = [_dump(record)[1:] for record in records]
    prefix = orjson.dumps(extras)[:-1] + b","
    return prefix.join([b"", *rests])


def _dump(record: Mapping[str, Any]) -> bytes:
    try:
        return orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:
        text = json.dumps(record, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        return text.encode("utf-8", "replace") + b"\n"


def _under(extras: Mapping[str, Any], record: Mapping[str, Any]) -> dict[str, Any]:
    joined = dict(extras)
    for name, value in record.items():
        free = name
        while free in extras or (free != name and free in record):
            free += "_"
        joined[free] = value
    return joined


def _may_hold_large_integers(body: bytes) -> bool:
    """Whether a run of 19 or 20 digits is in `body`: looked for first by aligned words of four, a tenth of the cost."""
    words = np.frombuffer(body, np.uint32, len(body) // 4)
    digits = (words & np.uint32(0xF0F0F0F0)) == np.uint32(0x30303030)  # and a few other characters
    if not (digits[:-3] & digits[1:-2] & digits[2:-1] & digits[3:]).any():
        return False
    marks = body.translate(_MARKS)
    return any(run in marks for run in _TOO_LARGE)


def _finite(text: str) -> float:
    if math.isinf(value := float(text)):
        raise ValueError("a number beyond a double")
    return value


def _refuse(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


def _shape(body: Any) -> str:
    """What a body is, for people: names at most, never a value."""
    if not isinstance(body, dict):
        return kind(body)
    names = ", ".join(name if len(name) <= 40 else f"{name[:37]}..." for name in list(body)[:8])
    return f"an object with {names}{', ...' if len(body) > 8 else ''}" if body else "an empty object"
