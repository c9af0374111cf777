"""What goes out on a channel: much of it at once."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from wharf.connectors.sftp.packetizer import send_data
from wharf.connectors.sftp.socket import GatheringSocket

if TYPE_CHECKING:
    import paramiko

_SSH_OVERHEAD = 64  # what paramiko keeps free of a packet
_SENT_BYTES = 512 << 10  # encrypted in one go
_LARGE_BYTES = 64 << 10


class Outlet:
    """Sends on a channel, in few packets and few calls. `began` is when the call under way did, or 0."""

    def __init__(self, channel: paramiko.Channel) -> None:
        self.began = 0.0
        self._channel = channel
        way: Any = channel.get_transport().sock
        self._gathering = way if isinstance(way, GatheringSocket) else None

    def send(self, parts: Iterable[bytes | memoryview]) -> None:
        """Send parts one after the other; a large one as it is, because to join it with others is to copy it.

        Raises: OSError, EOFError, TimeoutError.
        """
        small: list[bytes | memoryview] = []
        with self._gathering.gathered() if self._gathering else nullcontext():
            for data in parts:
                if len(data) < _LARGE_BYTES:
                    small.append(data)
                    continue
                self._send(b"".join(small))
                small = []
                self._send(data)
            self._send(b"".join(small))
        self.began = 0.0

    def _send(self, data: bytes | memoryview) -> None:
        view, channel = memoryview(data), self._channel
        most = channel.out_max_packet_size - _SSH_OVERHEAD
        while view:
            if self._gathering and not channel.out_window_size:
                self._gathering.flush()  # the server makes room when it has what was sent so far
            self.began = time.monotonic()
            way, part = channel.get_transport(), view[:_SENT_BYTES]
            sent = send_data(way, channel, part, most) if self._gathering else channel.send(view[:most])
            if not sent:
                raise EOFError
            view = view[sent:]
