"""Requests to BigQuery as a proxy sees them, what tells them apart, and what may be done at one.

Predicates `jobs`, `loads`, `queries`, `statements("MERGE")`; actions `drop`, `refuse(500, "internalError")`.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

_JOBS = re.compile(r"/bigquery/v2/projects/[^/]+/jobs")
_QUERIES = re.compile(r"/bigquery/v2/projects/[^/]+/queries")
_KINDS = ("load", "query", "copy", "extract")
_MODIFIES = (
    r"\b(?:INSERT(?:\s+INTO)?|MERGE(?:\s+INTO)?|DELETE(?:\s+FROM)?|UPDATE|TRUNCATE\s+TABLE|CREATE\s+OR\s+REPLACE\s+TABLE)"
    r"\s+(?:`?[\w-]+`?\.)?`?{dataset}`?\.`?{table}(?![\w-])"
)


class Dropped(ConnectionError):
    """Raised by an action: the connection breaks, without an answer."""


class Answer(NamedTuple):
    """What a request is answered with."""

    status: int
    body: bytes
    content_type: str = "application/json"

    @classmethod
    def of(cls, document: dict[str, Any], status: int = 200) -> Answer:
        return cls(status, json.dumps(document).encode())

    @classmethod
    def error(cls, status: int, reason: str, message: str) -> Answer:
        """A refusal as Google's APIs word it."""
        errors = [{"message": message, "domain": "global", "reason": reason}]
        return cls.of({"error": {"code": status, "message": message, "errors": errors}}, status)

    @property
    def document(self) -> dict[str, Any]:
        return json.loads(self.body)


@dataclass
class Call:
    """A request. What begins a job has a `kind`: load, query, copy or extract; times are of `time.monotonic()`."""

    method: str
    path: str  # without the query string
    arguments: dict[str, str]  # of the query string
    body: dict[str, Any]
    kind: str = ""
    job_id: str = ""
    sql: str = ""
    destination: str = ""  # `dataset.table` of a load or a copy
    arrived: float = field(default_factory=time.monotonic)
    done: float = 0.0  # when the emulator had answered
    failed: bool = False

    @classmethod
    def of(cls, method: str, target: str, data: bytes) -> Call:
        url = urlsplit(target)
        arguments = {name: values[-1] for name, values in parse_qs(url.query).items()}
        body = json.loads(data) if data.startswith(b"{") else {}
        call = cls(method, url.path, arguments, body)
        if method == "POST" and _QUERIES.fullmatch(url.path):
            call.kind, call.sql = "query", body["query"]
        elif method == "POST" and _JOBS.fullmatch(url.path) and not body["configuration"].get("dryRun"):
            call.kind = next(kind for kind in _KINDS if kind in body["configuration"])
            call.job_id = body.get("jobReference", {}).get("jobId", "")
            asked = body["configuration"][call.kind]
            call.sql = asked.get("query", "")
            if call.kind != "query" and "destinationTable" in asked:
                call.destination = f"{asked['destinationTable']['datasetId']}.{asked['destinationTable']['tableId']}"
        return call

    def modifies(self, table: str) -> bool:
        """Whether it is a job that writes to `dataset.table`."""
        dataset, _, name = table.rpartition(".")
        pattern = _MODIFIES.format(dataset=re.escape(dataset.rpartition(".")[2]), table=re.escape(name))
        return self.destination == ".".join(table.split(".")[-2:]) or bool(re.search(pattern, self.sql, re.IGNORECASE))


Predicate = Callable[[Call], bool]
Action = Callable[[Call], Answer | None]


def jobs(call: Call) -> bool:
    return bool(call.kind)


def loads(call: Call) -> bool:
    return call.kind == "load"


def queries(call: Call) -> bool:
    return call.kind == "query"


def statements(word: str) -> Predicate:
    """Query jobs whose SQL has `word` (INSERT, MERGE, ...)."""
    return lambda call: bool(re.search(rf"\b{word}\b", call.sql))


def drop(call: Call) -> Answer | None:
    """An action: the connection breaks."""
    raise Dropped


def refuse(status: int, reason: str) -> Action:
    """An action: the request is answered with an error."""
    return lambda call: Answer.error(status, reason, f"{reason}, as the test asked")
