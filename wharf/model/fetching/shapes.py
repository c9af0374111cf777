"""Which columns a raw table has for the records that came, and how it grows with them.

A record's top-level fields become columns, of the narrowest of these types that holds all values seen of a new field:

    INT64, NUMERIC    integers of up to 29 digits; the emulator makes no BIGNUMERIC columns, so none is made
    FLOAT64           numbers, of which the integers have 15 digits at most, so that they stay what they are
    BOOL, STRING
    TIMESTAMP         what is declared to be a time: ISO 8601, or Microsoft's /Date(milliseconds)/
    JSON              objects, arrays, longer integers (as text, if need be), and values of several types

Objects stay JSON, and do not become STRUCTs: a STRUCT cannot be added to while rows are inserted, and within one there
is no place for a value whose type has changed. JSON takes what comes, and is queried by dots as a STRUCT is.

A column keeps its type, but for integers that get room for other numbers (see `wider`). What does not fit it any more
goes to a JSON column beside it, `<name>_json`. A column's description says which field it is for, since names are made
to suit BigQuery and may be those of other fields.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wharf.model.errors import RunFailed
from wharf.model.schema import Field

META = (
    Field(name="_fetched_at", type="TIMESTAMP", description="When the page was fetched"),
    Field(name="_page", type="INT64", description="Number of the page, from 1"),
    Field(name="_request_id", type="STRING", description="Identifies the request that the page answers"),
    Field(name="_run_id", type="STRING", description="The run that fetched it"),
    Field(name="_tenant", type="STRING", description="The tenant; empty where the API has none"),
)
RECORD = Field(name="_record", type="JSON", description="The record as it came")

SHORT, LONG, LARGE, HUGE, WIDE = "integer", "long integer", "large integer", "huge integer", "endless integer"
NUMBER, SWITCH, TEXT, TIME, NESTED = "number", "true or false", "text", "time", "object or array"
Kinds = set[str]
Seen = Mapping[str, Kinds]  # by field, in the order in which they came first

_FITS: dict[str, Kinds] = {
    "INT64": {SHORT, LONG},
    "NUMERIC": {SHORT, LONG, LARGE},
    "BIGNUMERIC": {SHORT, LONG, LARGE, HUGE},
    "FLOAT64": {SHORT, NUMBER},
    "BOOL": {SWITCH},
    "TIMESTAMP": {TIME},
    "STRING": {TEXT, TIME},
    "JSON": {SHORT, LONG, LARGE, HUGE, WIDE, NUMBER, SWITCH, TEXT, TIME, NESTED},
}
_NUMBERS = {SHORT, LONG, LARGE, HUGE, WIDE, NUMBER}
SHORT_DIGITS = 15  # of integers that a FLOAT64 holds as they are, whatever the digits
_KINDS = {bool: SWITCH, float: NUMBER, str: TEXT, dict: NESTED, list: NESTED}
_MOST_COLUMNS = 2_000  # a table may have 10,000, and a statement a million characters
_LONGEST_NAME = 280
_RESERVED = ("_TABLE_", "_FILE_", "_PARTITION", "_ROW_TIMESTAMP", "__ROOT__", "_COLIDENTIFIER", "_CHANGE_")
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}:\d{2}(\.\d{1,6})?(Z|[+-]\d{2}:\d{2})?)?", re.ASCII)
MICROSOFT = r"^/Date\((-?[0-9]{1,15})(?:[+-][0-9]{4})?\)/$"  # the offset is for display
_DESCRIBED = re.compile(r'^The field ("(?:[^"\\]|\\.)*")(, where it is no )?')


@dataclass(frozen=True)
class Column:
    """A field of the records, its column, and the JSON column for values that do not fit that one."""

    key: str
    field: Field
    rest: Field | None = None


@dataclass(frozen=True)
class Shape:
    """A table's columns for `key`s of the records, those that it lacks yet, and what a person should know."""

    columns: tuple[Column, ...]
    added: tuple[Field, ...]
    warnings: tuple[str, ...]


def look(records: Iterable[Mapping[str, Any]], seen: dict[str, Kinds], times: Collection[str] = ()) -> None:
    """Note in `seen` which kinds of values the fields of `records` have; nulls are none.

    In `times`, fields whose text may be a time.
    """
    skipped = _META_NAMES
    for record in records:
        for key, value in record.items():
            if value is None:
                if key not in seen and key not in skipped:
                    seen[key] = set()
                continue
            kind = _KINDS.get(type(value)) or _integer_kind(value)
            kinds = seen.get(key)
            if kinds is None:
                if key in skipped:
                    continue
                kinds = seen[key] = set()
            if kind is TEXT and key in times and is_time(value):
                kind = TIME
            kinds.add(kind)


def times(table: Sequence[Field], declared: Collection[str] = ()) -> frozenset[str]:
    """The fields whose text may be a time: those declared, and those that the table has TIMESTAMP columns for."""
    return frozenset(declared) | {_key_of(field) for field in table if field.type == "TIMESTAMP"}


def evolve(table: Sequence[Field], seen: Seen, declared: Collection[str] = ()) -> Shape:
    """How a table with the columns `table` takes records with the fields `seen`; `declared`: new ones that are times.

    A field that was only null so far gets no column yet.

    Raises: RunFailed for more fields than a table should have.
    """
    taken = {field.name.lower() for field in (*table, *META, RECORD)}
    mains, rests = _described(table)
    added = [field for field in META if field.name not in {each.name for each in table}]
    columns, warnings = [], []

    def add(name: str, type_: str, description: str) -> Field:
        field = Field(name=_free(name, taken), type=type_, description=description)
        taken.add(field.name.lower())
        added.append(field)
        return field

    for key, kinds in seen.items():
        field = mains.get(key)
        if field is None:
            if not kinds:
                continue
            field = add(column_name(key), "TIMESTAMP" if key in declared else _type_for(kinds), _named(key))
        odd = kinds - _FITS.get(field.type if field.mode != "REPEATED" else "", set())
        rest = rests.get(key)
        if odd:
            if rest is None:
                rest = add(f"{field.name}_json", "JSON", f"{_named(key)}, where it is no {field.type}")
            warnings.append(f"{key} is {field.type} and came as {', '.join(sorted(odd))} too: see column {rest.name}")
        columns.append(Column(key, field, rest))
    if len(table) + len(added) > _MOST_COLUMNS:
        raise RunFailed(
            f"the records have {len(seen):,} fields, and a table should not have more than {_MOST_COLUMNS:,} columns: "
            "load them with --raw_mode json"
        )
    return Shape(tuple(columns), tuple(added), tuple(warnings))


def wider(table: Sequence[Field], seen: Seen) -> dict[str, str]:
    """Names of INT64 columns, and the types in which they would have room for the numbers that came.

    NUMERIC holds all integers that they may have, FLOAT64 those of 15 digits. What has its JSON column keeps its type.
    """
    mains, rests = _described(table)
    found = {}
    for key, kinds in seen.items():
        field, numbers = mains.get(key), kinds & _NUMBERS
        if field and key not in rests and (field.type, field.mode) == ("INT64", "NULLABLE"):
            fit = [type_ for type_ in ("INT64", "NUMERIC", "FLOAT64") if numbers <= _FITS[type_]]
            if fit and fit[0] != "INT64":
                found[field.name] = fit[0]
    return found


def column_of(table: Sequence[Field], key: str) -> Column | None:
    """The column that a table has for a field; None if it has none."""
    mains, rests = _described(table)
    return Column(key, mains[key], rests.get(key)) if key in mains else None


def column_name(key: str) -> str:
    """A field's name with what BigQuery takes: https://cloud.google.com/bigquery/docs/schemas#column_names"""
    letters = unicodedata.normalize("NFKD", key.replace("ß", "ss"))
    plain = "".join(char for char in letters if not unicodedata.combining(char))
    name = re.sub(r"[^A-Za-z0-9_]+", "_", plain)[:_LONGEST_NAME]
    if not name or name[0].isdigit():
        name = f"_{name}"
    return f"field{name}" if name.upper().startswith(_RESERVED) else name


def is_time(text: str) -> bool:
    """Whether the statement of `raw_sql` makes the TIMESTAMP of `text` that it means."""
    try:
        if match := re.fullmatch(MICROSOFT, text, re.ASCII):
            return bool(_EPOCH + dt.timedelta(milliseconds=int(match[1])))
        if not _TIME.fullmatch(text):
            return False
        when = dt.datetime.fromisoformat(text)
        return bool(when - (when.utcoffset() or dt.timedelta()))  # in UTC, which must lie within its years
    except (ValueError, OverflowError):
        return False


def _type_for(kinds: Kinds) -> str:
    """The first type that has room for all of `kinds`."""
    return next(type_ for type_, fit in _FITS.items() if kinds <= fit and type_ not in {"BIGNUMERIC", "TIMESTAMP"})


def _integer_kind(value: Any) -> str:
    size = abs(value)
    if size < 10**SHORT_DIGITS:
        return SHORT
    if -(2**63) <= value < 2**63:
        return LONG
    return LARGE if size < 10**29 else HUGE if size < 10**38 else WIDE


def _described(table: Sequence[Field]) -> tuple[dict[str, Field], dict[str, Field]]:
    """Columns by field: its own, and those for values that do not fit it."""
    mains: dict[str, Field] = {}
    rests: dict[str, Field] = {}
    for field in table:
        if field.name not in _OWN_NAMES:
            match = _DESCRIBED.match(field.description)
            is_rest = bool(match and match[2])
            (rests if is_rest else mains).setdefault(_key_of(field), field)
    return mains, rests


def _key_of(field: Field) -> str:
    """The field that a column is for: the one in its description, or, in a table of somebody else's, of its name."""
    match = _DESCRIBED.match(field.description)
    return json.loads(match[1]) if match else field.name


def _named(key: str) -> str:
    return f"The field {json.dumps(key, ensure_ascii=False)}"


def _free(name: str, taken: Collection[str]) -> str:
    """`name`, or with the first number behind it that makes it nobody else's; BigQuery's names have no case."""
    number, free = 1, name
    while free.lower() in taken:
        number += 1
        free = f"{name}_{number}"
    return free


_META_NAMES = frozenset(field.name for field in META)
_OWN_NAMES = _META_NAMES | {RECORD.name}
