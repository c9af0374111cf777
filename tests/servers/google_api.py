"""What the stand-ins for Google's APIs share: they note requests, may take their time, and can run alone."""

from __future__ import annotations

import argparse
import asyncio
from abc import abstractmethod
from collections.abc import Iterable
from typing import Any

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler

from wharf.local.server_thread import ServerThread


class GoogleApi(ServerThread):
    """Runs in a thread of its own inside a `with` block. `latency`: seconds that an answer takes."""

    def __init__(self, *, port: int = 0, latency: float = 0.0) -> None:
        self.port, self.latency = port, latency
        self.requests: list[str] = []  # "POST /v1b3/..."

    @property
    def url(self) -> str:
        """Where it listens; Beam's client speaks REST to `localhost` only."""
        return f"http://localhost:{self.port}"

    @abstractmethod
    def routes(self) -> Iterable[web.RouteDef]:
        """What there is to ask for."""

    def runner(self) -> web.AppRunner:
        app = web.Application(middlewares=[self._note], client_max_size=64 * 1024 * 1024)
        app.add_routes(self.routes())
        return web.AppRunner(app, access_log=None, shutdown_timeout=0.1)

    @web.middleware
    async def _note(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self.requests.append(f"{request.method} {request.path_qs}")
        if self.latency:
            await asyncio.sleep(self.latency)
        return await handler(request)

    @classmethod
    def main(cls, port: int) -> None:
        """Serve until interrupted, at `port` unless the command line says otherwise."""
        parser = argparse.ArgumentParser(description=cls.__doc__)
        parser.add_argument("--port", type=int, default=port)
        parser.add_argument("--latency-ms", type=float, default=0.0)
        arguments = parser.parse_args()
        with cls(port=arguments.port, latency=arguments.latency_ms / 1000) as api:
            print(api.url, flush=True)
            api.wait()


def json_answer(document: dict[str, Any], status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(document), status=status, content_type="application/json")
