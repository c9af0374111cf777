"""A socket that is asked rarely: it receives much at once, and gathers what is sent into few calls.

paramiko asks for the sixteen bytes of a header, then for the rest of a packet, and hands each packet of 32 KiB to the
system by itself. Every one of these calls gives up the interpreter lock, and costs more than what is done between
them.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_RECEIVE_BYTES = 256 << 10
_GATHERED_BYTES = 256 << 10
_SHORTEST_PACKET = 4 + 16 + 16
_MOST_PARTS = 512  # that the system takes in one call: IOV_MAX is 1024
_TCP = {socket.AF_INET, socket.AF_INET6}


class GatheringSocket:
    """Stands before a socket, or what behaves like one, for `paramiko.Transport`.

    One thread receives. Any thread may send; inside `gathered` what this thread sends is held back until there is
    much of it, and what another one sends goes after it.
    """

    def __init__(self, way: Any) -> None:
        self._way = way
        self._received = b""
        self._taken = 0
        # Some servers hold back a short answer until the one before is acknowledged, which the system does only after
        # 40 ms unless it is told not to wait; it forgets that again and again.
        self._may_hurry = hasattr(socket, "TCP_QUICKACK") and getattr(way, "family", None) in _TCP
        self._sends_parts = hasattr(way, "sendmsg")
        self._lock = threading.RLock()
        self._gatherer: int | None = None  # a thread
        self._gathered: list[bytes] = []
        self._gathered_bytes = 0

    def recv(self, most: int) -> bytes:
        """Like a socket's."""
        if self._taken == len(self._received):
            if self._may_hurry:
                self._way.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            self._received, self._taken = self._way.recv(_RECEIVE_BYTES), 0
        part = self._received[self._taken : self._taken + most]
        self._taken += len(part)
        return part

    def whole_packet(self, beyond: int) -> bytes:
        """A packet that is here in whole: its length in four bytes, so many bytes, and `beyond` more; else nothing."""
        at = self._taken
        end = at + 4 + int.from_bytes(self._received[at : at + 4], "big") + beyond
        if end > len(self._received) or end < at + _SHORTEST_PACKET:
            return b""
        self._taken = end
        return self._received[at:end]

    def send(self, data: bytes) -> int:
        """Like a socket's, but for what is gathered: that is taken whole.

        Raises: OSError, and TimeoutError like a socket's, after which it can be called again.
        """
        with self._lock:
            if self._gatherer == threading.get_ident():
                self.gather([data])
                return len(data)
            self.flush()
            sent: int = self._way.send(data)
            return sent

    def gather(self, parts: list[bytes]) -> None:
        """Send parts one after the other; inside `gathered`, when there is much to send.

        Raises: OSError.
        """
        with self._lock:
            self._gathered += parts
            self._gathered_bytes += sum(map(len, parts))
            if self._gathered_bytes >= _GATHERED_BYTES or self._gatherer != threading.get_ident():
                self.flush()

    @contextmanager
    def gathered(self) -> Iterator[None]:
        """Gather what this thread sends; all of it is sent when the block ends."""
        self._gatherer = threading.get_ident()
        try:
            yield
        finally:
            self._gatherer = None
            self.flush()

    def flush(self) -> None:
        """Send what was gathered."""
        with self._lock:
            parts, size = self._gathered, self._gathered_bytes
            self._gathered, self._gathered_bytes = [], 0
            sent = 0
            if 1 < len(parts) <= _MOST_PARTS and self._sends_parts:
                try:
                    sent = self._way.sendmsg(parts)  # without a copy of them all, which mostly goes in one call
                except TimeoutError:
                    pass
            data = memoryview(b"".join(parts))[sent:] if sent < size else memoryview(b"")
            while data:
                try:
                    data = data[self._way.send(data) :]
                except TimeoutError:
                    pass  # paramiko's sockets time out ten times a second; a closed one raises another error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._way, name)
