"""Connections, with limits to what comes before a body: how large it may be, and how long it may take to come.

Uvicorn's parser of choice has neither. Cloud Run's front end has both, but not every service is behind it.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

LARGEST_HEAD = 1 << 16  # bytes, give or take what was read at once
LONGEST_HEAD = 20.0  # seconds, from the connection or from the head's first byte on


class Connection(HttpToolsProtocol):
    """Uvicorn's, but closed where a request's line and headers are too large or too late."""

    def __init__(self, *options: Any, **named: Any) -> None:
        super().__init__(*options, **named)
        self._is_in_head, self._head = False, 0
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._set_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._is_in_head:
            self._head += len(data)
            if self._head > LARGEST_HEAD:
                self._end_deadline()
                self.send_400_response("The request's headers are too large.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._is_in_head, self._head = True, 0
        self._set_deadline()

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        self._end_deadline()
        super().on_headers_complete()

    def _set_deadline(self) -> None:
        self._end_deadline()
        self._deadline = self.loop.call_later(LONGEST_HEAD, self.transport.close)

    def _end_deadline(self) -> None:
        if self._deadline:
            self._deadline.cancel()
            self._deadline = None
