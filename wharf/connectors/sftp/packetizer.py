"""Packets of SSH, where paramiko makes one at a time: the data of a channel, encrypted by AES-GCM, many at once.

Message by message, paramiko spends more time on a packet of 32 KiB than the cipher does. Layout: RFC 4253, 6 (packet),
RFC 4254, 5.2 (channel data), RFC 5647, 7 (AES-GCM: the length is authenticated, not encrypted).
"""

from __future__ import annotations

import struct
import time
from typing import Any

from paramiko import packet as paramiko_packet
from paramiko.message import Message

_CHANNEL_DATA = 94
_BLOCK = 16  # bytes that what is encrypted is a multiple of
_LENGTH = struct.Struct(">I")
_HEAD = struct.Struct(">BBII")  # bytes of padding, kind of message, channel, bytes of data
_ZEROS = bytes(_BLOCK + 4)
_ONES = 0xFFFFFFFF
_LONGEST = 1 << 20  # more than a packet has


class Packetizer(paramiko_packet.Packetizer):  # type: ignore[misc]
    """paramiko's on a GatheringSocket, with a way to send much data of one channel, and a short one for answers.

    It has the name of its base, so that `__names` here are the base's own: the cipher's state must be one.
    """

    __iv_in: bytes
    __iv_out: bytes
    __received_bytes: int
    __received_packets: int
    __sequence_number_in: int
    __sequence_number_out: int

    def complete_handshake(self) -> None:
        """Once; the transport calls it for every message."""
        if not self.__handshake_complete:
            super().complete_handshake()

    def read_message(self) -> tuple[int, Message]:
        """The next message; by a shorter way if it is here in whole, AES-GCM protects it and no new keys are due."""
        due = self.__need_rekey or self.__received_bytes > self.REKEY_BYTES - _LONGEST
        if not self.__aead_in or self.__compress_engine_in is not None or due:
            return super().read_message()  # type: ignore[no-any-return]
        packet = self.__socket.whole_packet(self.__mac_size_in)
        if not packet:
            return super().read_message()  # type: ignore[no-any-return]
        plain = self.__block_engine_in.decrypt(self.__iv_in, packet[4:], packet[:4])
        self.__iv_in = self.__iv_in[:4] + (int.from_bytes(self.__iv_in[4:], "big") + 1).to_bytes(8, "big")
        message = Message(plain[2 : len(plain) - plain[0]])
        message.seqno = self.__sequence_number_in
        self.__sequence_number_in = (self.__sequence_number_in + 1) & _ONES
        self.__received_bytes += len(packet)
        self.__received_packets += 1
        return plain[1], message

    def send_data(self, channel: int, data: memoryview, most: int) -> bool:
        """Send `data` as packets of at most `most` bytes -> False, and nothing was sent, with another cipher."""
        if not self.__aead_out or self.__compress_engine_out is not None:
            return False
        with self.__write_lock:
            encrypt, fixed = self.__block_engine_out.encrypt, self.__iv_out[:4]
            counter = int.from_bytes(self.__iv_out[4:], "big")
            packets: list[bytes] = []
            for at in range(0, len(data), most):
                piece = data[at : at + most]
                size = len(piece) + _HEAD.size
                # At least four bytes. They need not be random: the cipher's counter never comes twice.
                padding = _BLOCK + 3 - (size + 3) % _BLOCK
                plain = b"".join((_HEAD.pack(padding, _CHANNEL_DATA, channel, len(piece)), piece, _ZEROS[:padding]))
                length = _LENGTH.pack(len(plain))
                packets += (length, encrypt(fixed + counter.to_bytes(8, "big"), plain, length))
                counter += 1
            self.__iv_out = fixed + counter.to_bytes(8, "big")
            self.__sequence_number_out = (self.__sequence_number_out + len(packets) // 2) & _ONES
            self.__socket.gather(packets)
            self.__sent_bytes += sum(map(len, packets))
            self.__sent_packets += len(packets) // 2
            much = self.__sent_packets >= self.REKEY_PACKETS or self.__sent_bytes >= self.REKEY_BYTES
            if much and not self.__need_rekey:
                self.__received_bytes_overflow = self.__received_packets_overflow = 0
                self._trigger_rekey()
        return True


def send_data(transport: Any, channel: Any, data: memoryview, most: int) -> int:
    """Send data over a channel, as far as the server has room for it -> bytes; 0 if the channel is closed.

    Like `Channel.send`, but for many packets at once where the cipher is AES-GCM.

    Raises: OSError, EOFError, TimeoutError.
    """
    with channel.lock:
        size = 0 if channel.closed or channel.eof_sent else min(len(data), channel.out_window_size)
        channel.out_window_size -= size
    if size and _send(transport, channel.remote_chanid, data[:size], most):
        return size
    with channel.lock:
        channel.out_window_size += size
    sent: int = channel.send(data[:most])
    return sent


def _send(transport: Any, channel: int, data: memoryview, most: int) -> bool:
    """Not while keys are being exchanged: RFC 4253, 7.1."""
    deadline = time.monotonic() + transport.clear_to_send_timeout
    while time.monotonic() < deadline:
        transport.clear_to_send.wait(0.1)
        if not transport.active:
            raise EOFError
        with transport.clear_to_send_lock:
            if transport.clear_to_send.is_set():
                sent: bool = transport.packetizer.send_data(channel, data, most)
                return sent
    raise TimeoutError
