"""A plain HTTP server in a thread of its own, for servers that only say what each request is answered with."""

from __future__ import annotations

import sys
import threading
from abc import ABC, abstractmethod
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Self

Reply = tuple[int, dict[str, str], bytes]  # status, headers and body


class Request(NamedTuple):
    method: str
    path: str  # with the query string
    headers: Message
    body: bytes


class HttpThread(ABC):
    """Listens on a free port from the start, and answers inside a `with` block."""

    keeps_alive = False  # connections, for further requests

    def __init__(self) -> None:
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self.address = f"127.0.0.1:{self._server.server_port}"
        self.url = f"http://{self.address}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @abstractmethod
    def reply(self, request: Request) -> Reply:
        """The answer to a request, in its connection's thread. Raises: ConnectionError to break that."""


class _Server(ThreadingHTTPServer):
    request_queue_size = 256

    def __init__(self, owner: HttpThread) -> None:
        self.owner = owner
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # callers that are killed leave in the middle
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self.protocol_version = "HTTP/1.1" if self.server.owner.keeps_alive else "HTTP/1.0"

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        data = self.rfile.read(length)
        if len(data) < length:
            raise ConnectionResetError
        status, headers, body = self.server.owner.reply(Request(self.command, self.path, self.headers, data))
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass
