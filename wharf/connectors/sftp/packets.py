"""The requests and replies of SFTP version 3, as values; nothing here sends or receives.

https://datatracker.ietf.org/doc/html/draft-ietf-secsh-filexfer-02, and for posix-rename, limits and fsync
https://github.com/openssh/openssh-portable/blob/master/PROTOCOL (section 4). Paths are UTF-8, as nearly all servers
take them.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

VERSION = 3

# Status codes; those above 8 come from later versions of the protocol, and some servers send them in this one too.
OK, EOF, NO_SUCH_FILE, PERMISSION_DENIED, FAILURE = 0, 1, 2, 3, 4
UNSUPPORTED = 8
ALREADY_EXISTS = 11
_CODES = {
    EOF: "end of file",
    NO_SUCH_FILE: "no such file",
    PERMISSION_DENIED: "permission denied",
    FAILURE: "failure",
    UNSUPPORTED: "operation unsupported",
    ALREADY_EXISTS: "file already exists",
    14: "no space on the file system",
    15: "quota exceeded",
}

# Flags of `open_file`.
READ, WRITE, CREATE, TRUNCATE, EXCLUSIVE = 0x01, 0x02, 0x08, 0x10, 0x20

_INIT, _VERSION = 1, 2
_STATUS, _HANDLE, _DATA, _NAME, _ATTRS, _EXTENDED_REPLY = 101, 102, 103, 104, 105, 201
_FOLDER, _TYPE = 0o040000, 0o170000
_WORDS_SHOWN = 200
_LONGEST_PACKET = 4 << 20

_U32, _U64, _HEAD = struct.Struct(">I"), struct.Struct(">Q"), struct.Struct(">IBI")
_NO_ATTRIBUTES = bytes(4)


class Malformed(Exception):
    """A packet that the protocol does not allow."""


class Request(NamedTuple):
    """A request without its id. `data` is what a write carries, kept apart so that it is copied once."""

    kind: int
    body: bytes
    data: bytes | memoryview = b""

    def packet(self, number: int) -> bytes:
        """What is sent before `data`."""
        return _HEAD.pack(len(self.body) + len(self.data) + 5, self.kind, number) + self.body


class Reply(NamedTuple):
    """A reply without its id."""

    kind: int
    body: bytes

    @property
    def code(self) -> int:
        """The status; OK for a reply that is none, because only what succeeds is answered by another."""
        return int.from_bytes(self.body[:4], "big") if self.kind == _STATUS else OK

    @property
    def reason(self) -> str:
        """What the server says of its status, in one printable line."""
        words = ""
        if self.kind == _STATUS and len(self.body) >= 8:
            length = _U32.unpack_from(self.body, 4)[0]
            words = self.body[8 : 8 + length].decode(errors="replace")
        words = "".join(letter if letter.isprintable() else " " for letter in words)[:_WORDS_SHOWN].strip()
        name = _CODES.get(self.code, f"status {self.code}")
        return words if not words or name in words.lower() else f"{words} ({name})" if words else name

    @property
    def handle(self) -> bytes:
        """Of `open_file` and `open_folder`: the handle with its length, as requests carry it."""
        self._expect(_HANDLE)
        return self.body

    @property
    def data(self) -> bytes:
        """Of `read`."""
        self._expect(_DATA)
        return _string(self.body, 0)[0]

    @property
    def size(self) -> int:
        """Of `stat`: the file's bytes. A server that does not tell them is taken to refuse."""
        self._expect(_ATTRS)
        flags = _unpack(_U32, self.body, 0)
        return _unpack(_U64, self.body, 4) if flags & 1 else -1

    @property
    def files(self) -> dict[str, int]:
        """Of `read_folder`: bytes by name, without folders."""
        self._expect(_NAME)
        found: dict[str, int] = {}
        at = 4
        for _ in range(_unpack(_U32, self.body, 0)):
            name, at = _string(self.body, at)
            long_name, at = _string(self.body, at)
            size, mode, at = _attributes(self.body, at)
            if (mode & _TYPE == _FOLDER) if mode else long_name.startswith(b"d"):
                continue
            found[name.decode("utf-8", "surrogateescape")] = size
        return found

    @property
    def limits(self) -> tuple[int, int, int, int]:
        """Of `limits`: most bytes of a packet, a read and a write, most open handles; 0 where none is known."""
        self._expect(_EXTENDED_REPLY)
        if len(self.body) < 32:
            raise Malformed("a packet ends early")
        packet, read, write, handles = struct.unpack_from(">4Q", self.body)
        return packet, read, write, handles

    def _expect(self, kind: int) -> None:
        if self.kind != kind:
            raise Malformed(f"a packet of type {self.kind} came where one of type {kind} belongs")


class Incoming:
    """What a server sends, as it comes in: packets begin and end anywhere in it."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def add(self, data: bytes) -> list[tuple[int, bytes]]:
        """-> (type, what follows it) of each packet that is whole now."""
        self._bytes += data
        whole: list[tuple[int, bytes]] = []
        at = 0
        with memoryview(self._bytes) as received:
            while len(received) - at >= 5:
                length, kind = struct.unpack_from(">IB", received, at)
                if not 1 <= length <= _LONGEST_PACKET:
                    raise Malformed(f"a packet says that it is {length} bytes long")
                if len(received) - at - 4 < length:
                    break
                whole.append((kind, bytes(received[at + 5 : at + 4 + length])))
                at += 4 + length
        del self._bytes[:at]
        return whole


def hello() -> bytes:
    """The packet that begins a session."""
    return struct.pack(">IBI", 5, _INIT, VERSION)


def extensions(kind: int, body: bytes) -> dict[str, bytes]:
    """What the server's answer to `hello` offers beyond the protocol: value by name."""
    if kind != _VERSION or len(body) < 4:
        raise Malformed(f"the session begins with a packet of type {kind}")
    found = {}
    at = 4
    while at < len(body):
        name, at = _string(body, at)
        value, at = _string(body, at)
        found[name.decode(errors="replace")] = value
    return found


def open_file(path: str, flags: int) -> Request:
    """-> `handle`."""
    return Request(3, _text(path) + _U32.pack(flags) + _NO_ATTRIBUTES)


def close(handle: bytes) -> Request:
    return Request(4, handle)


def read(handle: bytes, offset: int, length: int) -> Request:
    """-> `data`, which may be shorter; status EOF at the end."""
    return Request(5, handle + _U64.pack(offset) + _U32.pack(length))


def write(handle: bytes, offset: int, data: bytes | memoryview) -> Request:
    return Request(6, handle + _U64.pack(offset) + _U32.pack(len(data)), data)


def open_folder(path: str) -> Request:
    """-> `handle`."""
    return Request(11, _text(path or "."))


def read_folder(handle: bytes) -> Request:
    """-> `files`, some of them; status EOF when all were told."""
    return Request(12, handle)


def remove(path: str) -> Request:
    return Request(13, _text(path))


def make_folder(path: str) -> Request:
    return Request(14, _text(path) + _NO_ATTRIBUTES)


def remove_folder(path: str) -> Request:
    return Request(15, _text(path))


def stat(path: str) -> Request:
    """-> `size`."""
    return Request(17, _text(path))


def rename(old: str, new: str) -> Request:
    """Fails where `new` exists, says the protocol; some servers replace it."""
    return Request(18, _text(old) + _text(new))


def posix_rename(old: str, new: str) -> Request:
    """Replaces `new` at once; only where the extension is offered."""
    return Request(200, _text(POSIX_RENAME) + _text(old) + _text(new))


def limits() -> Request:
    """-> `limits`; only where the extension is offered."""
    return Request(200, _text(LIMITS))


POSIX_RENAME = "posix-rename@openssh.com"
LIMITS = "limits@openssh.com"


def _text(text: str) -> bytes:
    data = text.encode("utf-8", "surrogateescape")
    return _U32.pack(len(data)) + data


def _unpack(form: struct.Struct, body: bytes, at: int) -> int:
    try:
        number: int = form.unpack_from(body, at)[0]
    except struct.error as error:
        raise Malformed("a packet ends early") from error
    return number


def _string(body: bytes, at: int) -> tuple[bytes, int]:
    """The string at `at`, and where it ends."""
    end = at + 4 + _unpack(_U32, body, at)
    if end > len(body):
        raise Malformed("a packet ends early")
    return body[at + 4 : end], end


def _attributes(body: bytes, at: int) -> tuple[int, int, int]:
    """Size (-1 if it is not told), mode (0) and where they end (section 5 of the draft)."""
    flags = _unpack(_U32, body, at)
    at += 4
    size, mode = -1, 0
    if flags & 0x1:
        size, at = _unpack(_U64, body, at), at + 8
    at += 8 if flags & 0x2 else 0  # user and group
    if flags & 0x4:
        mode, at = _unpack(_U32, body, at), at + 4
    at += 8 if flags & 0x8 else 0  # times
    if flags & 0x80000000:
        count, at = _unpack(_U32, body, at), at + 4
        for _ in range(2 * count):
            _, at = _string(body, at)
    return size, mode, at
