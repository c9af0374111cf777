"""A real SFTP server with the faults of servers that are out there, as named subclasses.

    Sound                    keeps to the protocol; writes files below `root`
    +- DropsConnection       hangs up once `after` bytes were written, `times` times (0: whenever as many more were)
    +- LosesLastWrite        acknowledges the last write of a file and forgets it, for the first `times` files (0: all)
    +- NoStat                refuses stat, lstat and fstat: `code` is "permission" or "unsupported"
    +- NoRenameOver          renames onto no file that exists, and has no posix-rename
    +- MovesOnClose          moves a file into `folder` once it is closed
    +- OneOpenFile           opens one file at a time in a session
    +- QuotaExceeded         takes `after` bytes in all: `code` is "quota", "space" or "failure"
    |  +- DiskFull           the same, as no space on the file system
    +- ReadOnly              opens nothing for writing
    +- NoMkdir               makes no folders
    +- Slow                  takes `delay` seconds for each request
    +- Silent                answers `after` requests of a session, and none after them
    +- ShortLimits           has no extensions; hangs up on more than 32 KiB of data in a packet, reads as little
    +- RefusesDotfiles       will not have names that begin with a dot

    with FaultyServer(DropsConnection, tmp_path / "files", after=1_000_000) as server:
        deliver(server.target(), ...)

`Greeter` is no SSH server at all: it says a few bytes and hangs up.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import asyncssh
from asyncssh.sftp import SFTPServerHandler
from asyncssh.stream import SSHReader, SSHServerStreamSession, SSHWriter

from wharf.model.delivery import SftpTarget
from wharf.model.secrets import SecretRef

USER = "wharf"
PASSWORD = "wrong-battery-staple"


class Sound(asyncssh.SFTPServer):
    """One session; what is counted over all sessions is at `server`."""

    without: tuple[str, ...] = ()  # extensions that are not there; "*" stands for all

    def __init__(self, chan: Any, server: FaultyServer) -> None:
        super().__init__(chan, chroot=os.fsencode(server.root))
        self.server = server
        self.requests = 0

    async def before_request(self) -> None:
        """Called before each request is looked at: the place for faults of time."""
        self.requests += 1
        self.server.requests += 1

    def write(self, file_obj: Any, offset: int, data: bytes) -> Any:
        self.server.written += len(data)
        return super().write(file_obj, offset, data)

    def hang_up(self) -> None:
        self.server.happened += 1
        self.connection.abort()

    def option(self, name: str, default: Any) -> Any:
        return self.server.options.get(name, default)

    def still(self) -> bool:
        """Whether a fault that happens `times` times is to happen again."""
        times = self.option("times", 1)
        return times == 0 or self.server.happened < times


class DropsConnection(Sound):
    def write(self, file_obj: Any, offset: int, data: bytes) -> Any:
        result = super().write(file_obj, offset, data)
        if self.server.written >= self.option("after", 1 << 20) and self.still():
            self.server.written = 0
            self.hang_up()
        return result


class LosesLastWrite(Sound):
    def __init__(self, chan: Any, server: FaultyServer) -> None:
        super().__init__(chan, server)
        self._held: dict[Any, tuple[int, bytes]] = {}

    def write(self, file_obj: Any, offset: int, data: bytes) -> Any:
        if file_obj in self._held:
            super().write(file_obj, *self._held.pop(file_obj))
        if not self.still():
            return super().write(file_obj, offset, data)
        self._held[file_obj] = (offset, data)
        return len(data)

    def close(self, file_obj: Any) -> Any:
        if self._held.pop(file_obj, None):
            self.server.happened += 1
        return super().close(file_obj)


class NoStat(Sound):
    def stat(self, path: Any) -> Any:
        self.server.happened += 1
        kinds = {"permission": asyncssh.SFTPPermissionDenied, "unsupported": asyncssh.SFTPOpUnsupported}
        raise kinds[self.option("code", "permission")]("no looking at files here")

    lstat = fstat = stat


class NoRenameOver(Sound):
    without = ("posix-rename@openssh.com", "hardlink@openssh.com")

    def rename(self, oldpath: bytes, newpath: bytes) -> Any:
        if os.path.lexists(self.map_path(newpath)):
            self.server.happened += 1
            raise asyncssh.SFTPFailure("a file of that name exists")
        return super().rename(oldpath, newpath)


class MovesOnClose(Sound):
    def close(self, file_obj: Any) -> Any:
        written = file_obj.writable()
        super().close(file_obj)
        if written:
            folder = self.server.root / self.option("folder", "taken")
            folder.mkdir(exist_ok=True)
            path = Path(os.fsdecode(file_obj.name))
            path.rename(folder / path.name)
            self.server.happened += 1


class OneOpenFile(Sound):
    def __init__(self, chan: Any, server: FaultyServer) -> None:
        super().__init__(chan, server)
        self._open = 0

    def open(self, path: bytes, pflags: int, attrs: Any) -> Any:
        if self._open:
            self.server.happened += 1
            raise asyncssh.SFTPFailure("too many open files")
        opened = super().open(path, pflags, attrs)
        self._open += 1
        return opened

    def close(self, file_obj: Any) -> Any:
        self._open -= 1
        return super().close(file_obj)


class QuotaExceeded(Sound):
    code = "quota"

    def write(self, file_obj: Any, offset: int, data: bytes) -> Any:
        if self.server.written + len(data) > self.option("after", 1 << 20):
            self.server.happened += 1
            kinds = {
                "quota": asyncssh.SFTPQuotaExceeded,
                "space": asyncssh.SFTPNoSpaceOnFilesystem,
                "failure": asyncssh.SFTPFailure,
            }
            raise kinds[self.option("code", self.code)]("no more can be written")
        return super().write(file_obj, offset, data)


class DiskFull(QuotaExceeded):
    code = "space"


class ReadOnly(Sound):
    def open(self, path: bytes, pflags: int, attrs: Any) -> Any:
        if pflags & asyncssh.FXF_WRITE:
            self.server.happened += 1
            raise asyncssh.SFTPPermissionDenied("for reading only")
        return super().open(path, pflags, attrs)


class NoMkdir(Sound):
    def mkdir(self, path: bytes, attrs: Any) -> Any:
        self.server.happened += 1
        raise asyncssh.SFTPPermissionDenied("no new folders")


class Slow(Sound):
    async def before_request(self) -> None:
        await super().before_request()
        await asyncio.sleep(self.option("delay", 0.05))


class Silent(Sound):
    async def before_request(self) -> None:
        await super().before_request()
        if self.requests > self.option("after", 0):
            self.server.happened += 1
            await asyncio.Event().wait()


class ShortLimits(Sound):
    without = ("*",)
    _limit = 32 << 10

    def read(self, file_obj: Any, offset: int, size: int) -> Any:
        return super().read(file_obj, offset, min(size, self._limit))

    def write(self, file_obj: Any, offset: int, data: bytes) -> Any:
        if len(data) > self._limit:
            self.hang_up()
            raise asyncssh.SFTPBadMessage("the packet is too long")
        return super().write(file_obj, offset, data)


class RefusesDotfiles(Sound):
    def open(self, path: bytes, pflags: int, attrs: Any) -> Any:
        self._check(path)
        return super().open(path, pflags, attrs)

    def rename(self, oldpath: bytes, newpath: bytes) -> Any:
        self._check(newpath)
        return super().rename(oldpath, newpath)

    def posix_rename(self, oldpath: bytes, newpath: bytes) -> Any:
        self._check(newpath)
        return super().posix_rename(oldpath, newpath)

    def _check(self, path: bytes) -> None:
        if os.path.basename(path).startswith(b"."):
            self.server.happened += 1
            raise asyncssh.SFTPPermissionDenied("no hidden files")


class FaultyServer:
    """A server of one class of faults on a port of this machine, inside a `with` block, in a thread of its own.

    `login` is "password" or "keyboard-interactive", for `USER` and `PASSWORD`. `max_connections` and `max_sessions`
    (of one connection) bound what it takes at once; 0: no bound. Other options are those of the class.
    """

    def __init__(
        self,
        fault: type[Sound],
        root: Path,
        *,
        login: str = "password",
        max_connections: int = 0,
        max_sessions: int = 0,
        **options: Any,
    ) -> None:
        self.root = root
        self.fault = fault
        self.options = options
        self.login = login
        self.max_connections = max_connections
        self.max_sessions = max_sessions
        self.requests = 0  # of all sessions
        self.written = 0  # bytes
        self.happened = 0  # how often the fault showed
        self.passwords: list[str] = []  # that were tried
        self.connections: set[Any] = set()  # open now
        self._key = asyncssh.generate_private_key("ssh-ed25519")
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._ready = threading.Event()

    def target(self, **changes: Any) -> SftpTarget:
        """This server as a target, with changes."""
        secret = self.root.with_name(f"{self.root.name}.password")
        secret.write_text(PASSWORD)
        whole = SftpTarget(
            host="127.0.0.1",
            port=self.port,
            username=USER,
            password=SecretRef(f"file:{secret}"),
            host_key=self._key.get_fingerprint(),
            directory="/",
        )
        return replace(whole, **changes)

    def __enter__(self) -> Self:
        self.root.mkdir(parents=True, exist_ok=True)
        self._thread.start()
        assert self._ready.wait(10), "the SFTP server does not start"
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()

    async def _serve(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        async with await asyncssh.listen(
            "127.0.0.1", 0, server_host_keys=[self._key], server_factory=lambda: _Login(self), encoding=None
        ) as acceptor:
            self.port = acceptor.get_port()
            self._ready.set()
            await self._end.wait()
            for connection in list(self.connections):
                connection.abort()


class _Login(asyncssh.SSHServer):
    def __init__(self, server: FaultyServer) -> None:
        self._server = server
        self._connection: Any = None
        self.sessions = 0  # open now

    def connection_made(self, conn: Any) -> None:
        self._connection = conn
        if self._server.max_connections and len(self._server.connections) >= self._server.max_connections:
            conn.disconnect(asyncssh.DISC_TOO_MANY_CONNECTIONS, "too many connections")
            return
        self._server.connections.add(conn)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.discard(self._connection)

    def begin_auth(self, username: str) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return self._server.login == "password"

    def validate_password(self, username: str, password: str) -> bool:
        self._server.passwords.append(password)
        return (username, password) == (USER, PASSWORD)

    def kbdint_auth_supported(self) -> bool:
        return self._server.login == "keyboard-interactive"

    def get_kbdint_challenge(self, username: str, lang: str, submethods: str) -> Any:
        return "", "", "", [("Password: ", False)]

    def validate_kbdint_response(self, username: str, responses: Sequence[str]) -> bool:
        return len(responses) == 1 and self.validate_password(username, responses[0])

    def session_requested(self) -> Any:
        if self._server.max_sessions and self.sessions >= self._server.max_sessions:
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_RESOURCE_SHORTAGE, "too many sessions")
        return _Session(self._server, self)


class _Session(SSHServerStreamSession):
    def __init__(self, server: FaultyServer, login: _Login) -> None:
        super().__init__(None, lambda chan: server.fault(chan, server), 3)
        self._login = login

    def connection_lost(self, exc: Exception | None) -> None:
        self._login.sessions -= 1
        super().connection_lost(exc)

    def session_started(self) -> None:
        self._login.sessions += 1
        sftp = self._init_sftp_server()
        reader, writer = SSHReader(self, self._chan), SSHWriter(self, self._chan)
        self._conn.create_task(_Handler(sftp, reader, writer, 3).run(), reader.logger)


class _Handler(SFTPServerHandler):
    def __init__(self, server: Sound, *others: Any) -> None:
        super().__init__(server, *others)
        absent = {name.encode() for name in server.without}
        self._extensions = [row for row in self._extensions if not absent & {row[0], b"*"}]
        present = {name for name, _ in self._extensions}
        self._packet_handlers = {
            name: handler for name, handler in self._packet_handlers.items() if isinstance(name, int) or name in present
        }

    async def _process_packet(self, *packet: Any) -> None:
        await self._server.before_request()
        await super()._process_packet(*packet)


class Greeter:
    """Says `greeting` to whoever connects, and then nothing: it hangs up, or with `stays` goes on listening."""

    def __init__(self, greeting: bytes, *, stays: bool = False) -> None:
        self._greeting = greeting
        self._stays = stays
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._run)

    def target(self, **changes: Any) -> SftpTarget:
        whole = SftpTarget(host="127.0.0.1", port=self._socket.getsockname()[1], username=USER)
        return replace(whole, **changes)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        for opened in [self._socket, *self._open]:
            opened.close()

    def _run(self) -> None:
        while True:
            try:
                opened, _ = self._socket.accept()
            except OSError:
                return  # It was shut down.
            self._open.append(opened)
            try:
                opened.sendall(self._greeting)
                if not self._stays:
                    opened.shutdown(socket.SHUT_WR)  # Closed with bytes unread, the socket would send a reset.
                    while opened.recv(4096):
                        pass
            except OSError:
                pass  # The other side was quicker to hang up.
