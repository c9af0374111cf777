"""An aiohttp server in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from concurrent.futures import Future
from contextlib import suppress
from typing import Self

from aiohttp import web


class ServerThread(ABC):
    """Listens inside a `with` block at `port` of this machine; 0 becomes that of a free one.

    Entering raises whatever keeps it from listening, such as OSError if the port is in use.
    """

    port: int

    @abstractmethod
    def runner(self) -> web.BaseRunner:
        """What answers; called in the server's loop."""

    def __enter__(self) -> Self:
        self._listens: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, name=type(self).__name__, daemon=True)
        self._thread.start()
        self._listens.result()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._ends.set)
        self._thread.join()

    def wait(self) -> None:
        """Go on until the program is interrupted."""
        with suppress(KeyboardInterrupt):
            threading.Event().wait()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:  # noqa: BLE001 - whoever enters raises it
            self._listens.set_exception(error)

    async def _serve(self) -> None:
        self._loop, self._ends = asyncio.get_running_loop(), asyncio.Event()
        runner = self.runner()
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", self.port, reuse_address=True).start()
            self.port = runner.addresses[0][1]
            self._listens.set_result(None)
            await self._ends.wait()
        finally:
            await runner.cleanup()
