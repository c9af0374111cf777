"""Log lines as Cloud Logging reads them: a JSON object each, which names the request that it belongs to.

https://cloud.google.com/logging/docs/structured-logging
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import sys
from contextvars import ContextVar
from typing import NamedTuple, TextIO


class Request(NamedTuple):
    """What a request's lines have in common; `trace` is Cloud Trace's id, empty where nobody traces."""

    id: str
    what: str  # POST /export
    trace: str


# The request that this task, or a thread that it waits for, is at work on.
REQUEST: ContextVar[Request | None] = ContextVar("request", default=None)


class JsonLines(logging.Formatter):
    """Formats records for Cloud Logging; traces are those of `project`."""

    def __init__(self, project: str) -> None:
        super().__init__()
        self._project = project

    def format(self, record: logging.LogRecord) -> str:
        """One line; what `extra={"fields": {...}}` holds is part of the object."""
        line = {
            "severity": record.levelname,
            "message": record.getMessage(),
            "time": dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(),
            "logger": record.name,
        }
        if request := REQUEST.get():
            line |= {"request_id": request.id, "request": request.what}
            if request.trace:
                line["logging.googleapis.com/trace"] = f"projects/{self._project}/traces/{request.trace}"
        if record.exc_info:
            line["stack_trace"] = self.formatException(record.exc_info)
        return json.dumps(line | getattr(record, "fields", {}), default=str)


def configure(project: str, stream: TextIO = sys.stdout) -> None:
    """Send every log line of this process to `stream` as JSON."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines(project))
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)
