"""A long way to a server on this machine: a TCP proxy that holds every byte back for half a round trip each way.

    with DelayProxy(server_port, round_trip=0.05) as proxy:
        connect("127.0.0.1", proxy.port)

Data is delayed, never serialised: whatever was sent at one moment arrives at one moment, however much it is, and
what follows does not wait for it. There is no slow start and no loss. Opening a connection costs its round trip.

The proxy is a process of its own, which ends when its standard input does: it does not outlive who started it.
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from pathlib import Path
from statistics import median
from typing import Self

_READ_BYTES = 1 << 20
# What is due and not taken by the receiver: beyond it the sender has to wait, as it would for a full receive window.
# What is still on its way does not count.
_UNTAKEN_BYTES = 4 << 20


class DelayProxy:
    """A running proxy to a port of this machine, inside a `with` block; `round_trip` is in seconds."""

    def __init__(self, port: int, round_trip: float) -> None:
        self.port = 0
        self._command = [sys.executable, "-m", "benchmarks.delay_proxy", str(port), str(round_trip)]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command,
            cwd=Path(__file__).resolve().parents[1],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is for who started it
        )
        assert self._process.stdout is not None
        told = self._process.stdout.readline()
        if not told:
            self.__exit__()
            raise RuntimeError("the delay proxy does not start; its error is above")
        self.port = int(told)
        return self

    def __exit__(self, *_: object) -> None:
        with self._process:
            assert self._process.stdin is not None
            self._process.stdin.close()


class Way:
    """One direction of a connection: bytes in, the same bytes out `delay` seconds later."""

    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._loop = asyncio.get_running_loop()
        self._queue: deque[tuple[float, bytes]] = deque()  # when it is due, and the bytes; none at the end
        self._timer: asyncio.TimerHandle | None = None
        self._source: asyncio.Transport | None = None
        self._sink: asyncio.Transport | None = None
        self._choked = False

    def starts_at(self, source: asyncio.Transport) -> None:
        self._source = source

    def ends_at(self, sink: asyncio.Transport) -> None:
        self._sink = sink
        self._arrive()

    def put(self, data: bytes) -> None:
        """Bytes that were sent now; none for the end of them."""
        self._queue.append((self._loop.time() + self._delay, data))
        if self._timer is None and self._sink and not self._choked:
            self._arrive()

    def choke(self) -> None:
        """The receiver takes no more at present."""
        self._choked = True
        if self._source:
            self._source.pause_reading()

    def clear(self) -> None:
        self._choked = False
        if self._source and not self._source.is_closing():
            self._source.resume_reading()
        self._arrive()

    def _arrive(self) -> None:
        """Hand over what is due, and come back when more is."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        while self._queue and self._sink and not self._choked:
            due, data = self._queue[0]
            if due > self._loop.time():
                self._timer = self._loop.call_at(due, self._arrive)
                return
            self._queue.popleft()
            if self._sink.is_closing():
                continue
            if data:
                self._sink.write(data)
            else:
                self._sink.close()


class End(asyncio.BufferedProtocol):
    """One end of a connection: what comes in goes `out`, what the other end sent comes by `back`."""

    _buffer = bytearray(_READ_BYTES)  # emptied before anybody else reads: one for all

    def __init__(self, out: Way, back: Way) -> None:
        self._out, self._back = out, back

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.set_write_buffer_limits(high=_UNTAKEN_BYTES)
        self._out.starts_at(transport)
        self._back.ends_at(transport)

    def get_buffer(self, sizehint: int) -> bytearray:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._out.put(bytes(memoryview(self._buffer)[:nbytes]))

    # SSH connections are never half closed: one end that is done is the end of both.
    def connection_lost(self, exc: Exception | None) -> None:
        self._out.put(b"")

    def pause_writing(self) -> None:
        self._back.choke()

    def resume_writing(self) -> None:
        self._back.clear()


async def serve(port: int, round_trip: float) -> None:
    """Relay connections until standard input ends. The port listened at is printed first."""
    loop = asyncio.get_running_loop()
    delay = round_trip / 2
    opening: set[asyncio.Task[None]] = set()

    async def open_way(accepted: socket.socket) -> None:
        # The handshake that this machine's own network did in no time: the client may speak after a whole round
        # trip, and the server hears of the connection with the third of the three messages.
        there, back = Way(delay), Way(delay)
        await asyncio.sleep(2 * delay)
        client, _ = await loop.connect_accepted_socket(lambda: End(there, back), accepted)
        await asyncio.sleep(delay)
        try:
            await loop.create_connection(lambda: End(back, there), "127.0.0.1", port)
        except OSError:
            client.abort()

    with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:
        listening.setblocking(False)
        print(listening.getsockname()[1], flush=True)
        ended = asyncio.ensure_future(asyncio.to_thread(sys.stdin.read))
        accepting = asyncio.ensure_future(loop.sock_accept(listening))
        while not ended.done():
            await asyncio.wait((ended, accepting), return_when=asyncio.FIRST_COMPLETED)
            if accepting.done():
                task = asyncio.create_task(open_way(accepting.result()[0]))
                opening.add(task)
                task.add_done_callback(opening.discard)
                accepting = asyncio.ensure_future(loop.sock_accept(listening))
        accepting.cancel()


def measure(round_trip: float, megabytes: int = 1_000, echoes: int = 20) -> tuple[float, float]:
    """What a proxy does -> seconds for a byte there and back (median), bytes a second one way without delay."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with DelayProxy(port, round_trip) as proxy, socket.create_connection(("127.0.0.1", proxy.port)) as near:
            far, _ = server.accept()
            with far:
                for end in (near, far):
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                taken = [_echo(near, far) for _ in range(echoes)]
        with DelayProxy(port, 0) as proxy, socket.create_connection(("127.0.0.1", proxy.port)) as near:
            far, _ = server.accept()
            with far:
                started = time.perf_counter()
                sending = threading.Thread(target=_send, args=(near, megabytes))
                sending.start()
                buffer, left = bytearray(_READ_BYTES), megabytes * 1_000_000
                while left:
                    received = far.recv_into(buffer)
                    if not received:
                        raise RuntimeError("the delay proxy has lost data")
                    left -= received
                seconds = time.perf_counter() - started
                sending.join()
    return median(taken), megabytes * 1e6 / seconds


def _send(near: socket.socket, megabytes: int) -> None:
    block = bytes(1_000_000)
    for _ in range(megabytes):
        near.sendall(block)


def _echo(near: socket.socket, far: socket.socket) -> float:
    started = time.perf_counter()
    near.sendall(b"?")
    far.sendall(far.recv(1))
    near.recv(1)
    return time.perf_counter() - started


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), float(sys.argv[2])))
