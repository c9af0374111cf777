"""The statements that bring JSON lines into a raw table: lines lie in a staging table, one to a row, as they came.

Text rather than JSON values in staging: BigQuery's JSON keeps numbers as 64-bit integers and doubles only, while
JSON_QUERY takes an integer's digits out of text as they are. A value is cast only if it is of the column's kind in
JSON too: "12" is no INT64, though the cast would take it.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Sequence

from wharf.model.errors import UsageError
from wharf.model.fetching.layout import RawRun
from wharf.model.fetching.shapes import META, MICROSOFT, RECORD, SHORT_DIGITS, Column, column_of
from wharf.model.loading.sql_text import literal, quoted, string
from wharf.model.schema import Field, TableId

LINE = Field(name="line", type="STRING")
_EDGE = dt.timedelta(days=1)  # clocks of workers and launchers differ
_HARD_KEY = re.compile(r"""'|\\(?=$|\")""")
_STEP = re.compile(r"""\.([^.\[\]'"]+)|\[(?:'([^']*)'|"([^"]*)")\]""")
_CASTS = {"NUMERIC": "NUMERIC(38, 9)"}  # which is all that NUMERIC holds; the emulator's plain one holds less
_GROUPS = {"INT64", "NUMERIC", "BIGNUMERIC", "BOOL", "STRING", "TIMESTAMP", "DATE", "DATETIME"}


def replace_run(table: TableId, run: RawRun, staging: TableId | None, columns: Sequence[Column] | None) -> str:
    """The staged lines instead of the rows that the table has of `run`, at once; without `staging`, no rows instead.

    `columns` are those of the records' fields; None: one column takes the whole record.
    """
    # The time is for the partitions: without it BigQuery would read them all.
    since = dt.datetime.combine(run.date, dt.time(), dt.UTC) - _EDGE
    delete = (
        f"DELETE FROM `{table}` WHERE _fetched_at >= {literal(since, 'TIMESTAMP')} "
        f"AND _run_id = {string(run.run_id)} AND IFNULL(_tenant, '') = {string(run.tenant)}"
    )
    if staging is None:
        return delete
    return f"BEGIN TRANSACTION;\n{delete};\n{_insert(table, staging, columns)};\nCOMMIT TRANSACTION;"


def latest(view: TableId, table: TableId, fields: Sequence[Field], primary_key: Sequence[str]) -> tuple[str, str]:
    """The query of a view with the newest row of each `primary_key` (JSONPaths in a record), and what makes the view.

    The query is empty while the table lacks a column of the key. Columns are named, as BigQuery keeps those that a
    view had when it was made.
    """
    keys = [key for path in primary_key for key in _key_expressions(fields, path)]
    if not keys or "" in keys:
        return "", ""
    query = (
        f"SELECT {', '.join(quoted(field.name) for field in fields)}\nFROM `{table}`\nWHERE TRUE\n"
        f"QUALIFY ROW_NUMBER() OVER (PARTITION BY {', '.join(['_tenant', *keys])} "
        "ORDER BY _fetched_at DESC, _run_id DESC, _page DESC) = 1"
    )
    return query, f"CREATE OR REPLACE VIEW `{view}` AS\n{query}"


def are_short(table: TableId, columns: Sequence[str]) -> str:
    """The query that says of each of `columns`, integers, whether a FLOAT64 holds all its values as they are."""
    most = 10**SHORT_DIGITS - 1
    found = (f"LOGICAL_AND(IFNULL({quoted(name)} BETWEEN -{most} AND {most}, TRUE))" for name in columns)
    named = (f"IFNULL({each}, TRUE) AS {quoted(name)}" for each, name in zip(found, columns, strict=True))
    return f"SELECT {', '.join(named)} FROM `{table}`"


def widen(table: TableId, column: str, type_: str, *, emulated: bool = False) -> str:
    """The statement that gives an INT64 column a type that holds all of its values and others too."""
    type_ = _CASTS.get(type_, type_) if emulated else type_
    return f"ALTER TABLE `{table}` ALTER COLUMN {quoted(column)} SET DATA TYPE {type_}"


def _insert(table: TableId, staging: TableId, columns: Sequence[Column] | None) -> str:
    given = [(field, f"CAST(JSON_VALUE(line, {_path(field.name)}) AS {field.type})") for field in META]
    if columns is None:
        given.append((RECORD, _json("line")))
        texts = []
    else:
        given += [each for number, column in enumerate(columns) for each in _values(column, f"text_{number}")]
        texts = [f"{_text(column.key)} AS text_{number}" for number, column in enumerate(columns)]
    names = ", ".join(quoted(field.name) for field, _ in given)
    values = ",\n".join(f"{value} AS {quoted(field.name)}" for field, value in given)
    inner = ",\n".join(["line", *texts])
    return f"INSERT INTO `{table}` ({names})\nSELECT {values}\nFROM (\nSELECT {inner}\nFROM `{staging}`\n)"


def _values(column: Column, text: str) -> list[tuple[Field, str]]:
    """A field's columns with their values, from the JSON `text` of its value, which is never 'null'."""
    value = _value(column, text)
    if column.rest:
        return [(column.field, value), (column.rest, f"IF({value} IS NULL, {_json(text)}, NULL)")]
    if column.field.type == "JSON":
        return [(column.field, value)]
    # Nothing is dropped: what the records' look has not seen coming stops the statement.
    lost = string(f"a value of {column.key[:100]} does not fit its column")
    return [(column.field, f"IF({text} IS NOT NULL AND {value} IS NULL, ERROR({lost}), {value})")]


def _value(column: Column, text: str) -> str:
    type_ = column.field.type
    if type_ == "JSON":
        return _json(text)
    if type_ == "STRING":
        return f"IF(STARTS_WITH({text}, '\"'), {_unquoted(text)}, NULL)"
    if type_ == "BOOL":
        return f"CASE {text} WHEN 'true' THEN TRUE WHEN 'false' THEN FALSE END"
    if type_ == "TIMESTAMP":
        said = _unquoted(text)
        since = f"SAFE.TIMESTAMP_MILLIS(SAFE_CAST(REGEXP_EXTRACT({said}, r'{MICROSOFT}') AS INT64))"
        return f"IF(STARTS_WITH({text}, '\"'), IFNULL(SAFE_CAST({said} AS TIMESTAMP), {since}), NULL)"
    if type_ == "FLOAT64":
        longer = f"REGEXP_CONTAINS({text}, r'^-?[0-9]{{{SHORT_DIGITS + 1},}}$')"
        return f"IF(REGEXP_CONTAINS({text}, r'^-?[0-9]') AND NOT {longer}, SAFE_CAST({text} AS FLOAT64), NULL)"
    if type_ in {"INT64", "NUMERIC", "BIGNUMERIC"}:
        return f"IF(REGEXP_CONTAINS({text}, r'^-?[0-9]+$'), SAFE_CAST({text} AS {_CASTS.get(type_, type_)}), NULL)"
    return f"CAST(NULL AS {type_})"  # a type that only people make; everything goes to the column beside it


def _json(text: str) -> str:
    """As JSON; a value with a number that JSON columns do not hold as it is stays text."""
    return f"COALESCE(SAFE.PARSE_JSON({text}), TO_JSON({text}))"


def _unquoted(text: str) -> str:
    return f"JSON_VALUE({text}, '$')"


def _text(key: str) -> str:
    """The JSON text of a field's value; NULL for null and where there is none."""
    if _HARD_KEY.search(key):
        # BigQuery's JSONPath has no way to write such a backslash, and the emulator none for an apostrophe.
        return f"NULLIF(TO_JSON_STRING(PARSE_JSON(line, wide_number_mode=>'round')[{string(key)}]), 'null')"
    return f"NULLIF(JSON_QUERY(line, {_path(key)}), 'null')"


def _path(*keys: str) -> str:
    steps = (key.replace('"', '\\"') for key in keys)
    return string("$" + "".join(f'."{step}"' for step in steps))


def _key_expressions(fields: Sequence[Field], path: str) -> list[str]:
    """What tells apart the values at `path`, as expressions that rows can be grouped by; [""] without a column yet."""
    steps = _steps(path)
    if any(field.name == RECORD.name for field in fields) and not column_of(fields, steps[0]):
        return [f"TO_JSON_STRING(JSON_QUERY({RECORD.name}, {_path(*steps)}))"]
    column = column_of(fields, steps[0])
    if column is None:
        return [""]
    name = quoted(column.field.name)
    if len(steps) > 1:
        return [f"TO_JSON_STRING(JSON_QUERY({name}, {_path(*steps[1:])}))"]
    found = [name if column.field.type in _GROUPS else f"TO_JSON_STRING({name})"]
    return [*found, f"TO_JSON_STRING({quoted(column.rest.name)})"] if column.rest else found


def _steps(path: str) -> list[str]:
    """The keys that lead to a part of the primary key.

    Raises: UsageError for what is no path of keys.
    """
    rest = path[1:] if path.startswith("$") else f".{path}"
    steps = ["".join(found) for found in _STEP.findall(rest)]
    if not steps or _STEP.sub("", rest):
        raise UsageError(f"primary key {json.dumps(path)} is no path of keys in a record: write $.InvoiceID or $.a.b")
    return steps
