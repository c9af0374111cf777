"""`_config/bq_transform.sql`: what it names, and how it is run.

    {dest_dataset}.{dest_table}    the table that the batch goes to
    temp_ext                       the staging table that holds the batch

A query's rows are the batch; anything else is run as it is, several statements as one transaction.
"""

from __future__ import annotations

import itertools
import re

from wharf.model.errors import UsageError
from wharf.model.flags import nearest
from wharf.model.schema import TableId

# https://cloud.google.com/bigquery/docs/reference/standard-sql/lexical
_TOKEN = re.compile(
    r"""
      (?P<comment> \#[^\n]* | --[^\n]* | /\*.*?\*/ )
    | (?P<string> (?:[rR][bB]?|[bB][rR]?)?
          (?: '''(?:\\.|[^\\])*?''' | \"\"\"(?:\\.|[^\\])*?\"\"\" | '(?:\\.|[^'\\\n])*' | "(?:\\.|[^"\\\n])*" ) )
    | (?P<quoted> `(?:\\.|[^`\\])*` )
    | (?P<target> \{dest_dataset\}\s*\.\s*\{dest_table\} )
    | (?P<place> \{[^{}\n]*\} )
    | (?P<word> [A-Za-z_]\w* )
    | (?P<blank> \s+ )
    | (?P<mark> . )
    """,
    re.VERBOSE | re.DOTALL,
)
_PLACES = ("dest_dataset", "dest_table")
_STAGING = "temp_ext"


def render(text: str, uri: str, target: TableId, staging: TableId) -> str:
    """The SQL of a file, read from `uri`, with the names of this batch's tables.

    Raises: UsageError if it has no statement, names something unknown in braces, or does not read the batch.
    """
    written, is_read = [], False
    tokens = _tokens(text)
    for number, (kind, token) in enumerate(tokens):
        before = tokens[number - 1][1] if number else ""
        after = tokens[number + 1][1] if number + 1 < len(tokens) else ""
        if kind == "string":
            token = token.replace("{dest_dataset}", target.dataset).replace("{dest_table}", target.table)
        elif kind == "target":
            # Behind a project that the file names itself, only the rest of the name is ours.
            token = f"`{target.dataset}`.`{target.table}`" if before == "." else f"`{target}`"
        elif (kind, token) in {("word", _STAGING), ("quoted", f"`{_STAGING}`")}:
            if before != ".":
                is_read = True
                # A table goes by its last name where its columns are named.
                token = f"`{staging.table}`" if after == "." else f"`{staging}`"
        elif kind == "quoted":
            dataset = f"{target.project}.{target.dataset}" if token.startswith("`{dest_dataset}") else target.dataset
            token = token.replace("{dest_dataset}", dataset).replace("{dest_table}", target.table)
        elif kind == "place":
            token = _place(token, uri, target, is_behind=before == ".")
        written.append(token)
    if not _statements(text):
        raise UsageError(f"{uri}: holds no SQL: write a query of {_STAGING}, or delete the file")
    if not is_read:
        raise UsageError(f"{uri}: does not name {_STAGING}, the table that holds the batch: nothing would be loaded")
    return "".join(written)


def is_query(sql: str) -> bool:
    """Whether the SQL is one query, whose rows are the batch."""
    statements = _statements(sql)
    return len(statements) == 1 and bool(re.match(r"[(\s]*(SELECT|WITH|FROM)\b", statements[0], re.IGNORECASE))


def query(sql: str) -> str:
    """A query such that it can stand in brackets."""
    (statement,) = _statements(sql)
    return statement


def script(sql: str) -> str:
    """Statements as one transaction, unless they are a single one or say themselves where theirs begins."""
    statements = _statements(sql)
    words = [token.upper() for kind, token in _tokens(sql) if kind == "word"]
    if len(statements) == 1 or ("BEGIN", "TRANSACTION") in itertools.pairwise(words):
        return sql
    # Variables must be declared before anything else is done.
    first = next(
        (number for number, each in enumerate(statements) if not re.match(r"DECLARE\b", each, re.IGNORECASE)),
        len(statements),
    )
    inside = ["BEGIN TRANSACTION", *statements[first:], "COMMIT TRANSACTION"]
    return ";\n".join([*statements[:first], *inside]) + ";"


def _tokens(sql: str) -> list[tuple[str, str]]:
    return [(match.lastgroup or "", match.group()) for match in _TOKEN.finditer(sql)]


def _statements(sql: str) -> list[str]:
    """What stands between semicolons, without comments.

    Statements of a BEGIN ... END block come apart as well; put together again they are the same.
    """
    parts = [""]
    for kind, text in _tokens(sql):
        if text == ";":
            parts.append("")
        else:
            parts[-1] += " " if kind == "comment" else text
    return [part.strip() for part in parts if part.strip()]


def _place(token: str, uri: str, target: TableId, *, is_behind: bool) -> str:
    name = token[1:-1].strip()
    if name == "dest_dataset":
        return f"`{target.dataset}`" if is_behind else f"`{target.project}.{target.dataset}`"
    if name == "dest_table":
        return f"`{target.table}`"
    raise UsageError(f"{uri}: {token} is not known{nearest(name, _PLACES)}: write {{dest_dataset}}.{{dest_table}}")
