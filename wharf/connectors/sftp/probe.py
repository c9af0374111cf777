"""What an SFTP server can do: tried out in a scratch folder, cleaned up, and put into a delivery profile."""

from __future__ import annotations

import posixpath
import secrets
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace

from wharf.connectors.endpoints import Endpoints
from wharf.connectors.secrets import resolve
from wharf.connectors.sftp import packets as sftp
from wharf.connectors.sftp.connection import connect
from wharf.connectors.sftp.packets import Reply
from wharf.connectors.sftp.protocol import Session, Steps
from wharf.connectors.sftp.refusals import Refused
from wharf.model.delivery import DeliveryProfile, SftpTarget
from wharf.model.errors import ConnectionLost, ServerRefused

_CONTENT = b"written by wharf sftp probe; it may be removed\n"
_MORE = b"and gone on with\n"
_SPEED_BYTES = 8 << 20
_SPEED_SECONDS = 5.0
_CONNECTIONS = 8  # tried at most


@dataclass(frozen=True)
class Finding:
    """One ability that was tried. `detail` is a number or the server's words, for people."""

    ability: str
    works: bool
    detail: str = ""


@dataclass(frozen=True)
class Probe:
    """What was found, and the profile that follows from it. `left` are files that the server did not let us remove."""

    findings: tuple[Finding, ...]
    profile: DeliveryProfile
    left: tuple[str, ...] = ()

    def works(self, ability: str) -> bool:
        return any(finding.works for finding in self.findings if finding.ability == ability)


def probe(target: SftpTarget, endpoints: Endpoints) -> Probe:
    """Try a server's abilities below `target.directory`.

    Raises: FileRefused if no file can be written there, ServerRefused, ConnectionLost.
    """
    with connect(target, lambda ref: resolve(ref, endpoints)) as connection:
        session = Session(connection.open_sftp(), target)
        scratch = _Scratch(session, target)
        try:
            session.call(scratch.try_all())
        finally:
            session.call(scratch.clean_up())
    number = _simultaneous_connections(target, endpoints)
    scratch.found.append(Finding("several connections", number > 1, f"{number} at once"))
    findings = tuple(scratch.found)
    return Probe(findings, _profile(target.delivery, findings, scratch.open_files, number), tuple(scratch.left))


class _Scratch:
    """A folder of the probe's own, and what was tried in it."""

    def __init__(self, session: Session, target: SftpTarget) -> None:
        self.found: list[Finding] = []
        self.left: list[str] = []
        self.open_files = 1
        self._session = session
        self._target = target
        self._folder = posixpath.join(target.directory, f"wharf-probe-{secrets.token_hex(4)}")
        self._made_folder = False
        self._files: set[str] = set()

    def try_all(self) -> Steps[None]:
        yield from self._make_folder()
        written = yield from self._write("first", _CONTENT)
        if written.code != sftp.OK:
            raise Refused("open", self._path("first"), written).explained(self._target)
        self._note("write a file", written, f"{self._session.write_bytes >> 10} KiB in a request")
        seen = yield sftp.stat(self._path("first"))
        self._note("the file stays when it is closed", seen, gone=True)
        if seen.code == sftp.NO_SUCH_FILE:
            self.open_files = self._target.delivery.open_files
            return  # whoever takes the files shall not get more of them
        self._note("look at a file", seen)
        yield from self._rename()
        yield from self._resume()
        yield from self._read_back()
        self._note("hidden files", (yield from self._write(".hidden", _CONTENT)))
        yield from self._open_many()
        yield from self._speed()

    def clean_up(self) -> Steps[None]:
        """Remove everything; `left` is what the server keeps."""
        for path in sorted(self._files):
            removed = yield sftp.remove(path)
            if removed.code not in {sftp.OK, sftp.NO_SUCH_FILE}:
                self.left.append(path)
        if self._made_folder:
            removed = yield sftp.remove_folder(self._folder)
            if removed.code != sftp.OK:
                self.left.append(self._folder)

    def _make_folder(self) -> Steps[None]:
        made = yield sftp.make_folder(self._folder)
        self._note("make a folder", made)
        self._made_folder = made.code == sftp.OK

    def _path(self, name: str) -> str:
        """A file in the scratch folder, or beside it where folders cannot be made."""
        folder = self._folder if self._made_folder else posixpath.dirname(self._folder)
        if self._made_folder:
            return posixpath.join(folder, name)
        own = posixpath.basename(self._folder)
        return posixpath.join(folder, f".{own}{name}" if name.startswith(".") else f"{own}-{name}")

    def _write(self, name: str, content: bytes, flags: int = sftp.CREATE | sftp.TRUNCATE) -> Steps[Reply]:
        """-> the reply that says whether it worked: the first that is not OK."""
        path = self._path(name)
        opened: Reply = yield sftp.open_file(path, sftp.WRITE | flags)
        if opened.code != sftp.OK:
            return opened
        self._files.add(path)
        offset = 0 if flags & sftp.TRUNCATE else len(_CONTENT)
        written, closed = yield sftp.write(opened.handle, offset, content), sftp.close(opened.handle)
        return written if written.code != sftp.OK else closed

    def _rename(self) -> Steps[None]:
        first, second = self._path("first"), self._path("second")
        self._files.add(second)
        renamed = yield sftp.rename(first, second)
        self._note("rename a file", renamed)
        if renamed.code != sftp.OK:
            return
        yield from self._write("first", _CONTENT)
        self._note("rename over a file", (yield sftp.rename(first, second)))
        if sftp.POSIX_RENAME in self._session.extensions:
            yield from self._write("first", _CONTENT)
            self._note("posix-rename over a file", (yield sftp.posix_rename(first, second)))
        yield from self._write("first", _CONTENT)

    def _resume(self) -> Steps[None]:
        written = yield from self._write("first", _MORE, flags=0)
        seen = yield sftp.stat(self._path("first"))
        grown = seen.code == sftp.OK and seen.size == len(_CONTENT + _MORE)
        self.found.append(Finding("go on with a file", written.code == sftp.OK and grown, _words(written)))

    def _read_back(self) -> Steps[None]:
        opened = yield sftp.open_file(self._path("first"), sftp.READ)
        if opened.code != sftp.OK:
            self._note("read a file", opened)
            return
        data, _ = yield sftp.read(opened.handle, 0, len(_CONTENT)), sftp.close(opened.handle)
        same = data.code == sftp.OK and data.data == _CONTENT
        self.found.append(Finding("read a file", same, _words(data)))

    def _open_many(self) -> Steps[None]:
        most = max(2, self._target.delivery.open_files)
        paths = [self._path(f"open-{number}") for number in range(most)]
        self._files.update(paths)
        opened = yield tuple(sftp.open_file(path, sftp.WRITE | sftp.CREATE) for path in paths)
        handles = [reply.handle for reply in opened if reply.code == sftp.OK]
        if handles:
            yield tuple(map(sftp.close, handles))
        self.open_files = max(1, len(handles))
        self.found.append(Finding("several open files", len(handles) > 1, f"{len(handles)} at once"))

    def _speed(self) -> Steps[None]:
        path = self._path("speed")
        opened = yield sftp.open_file(path, sftp.WRITE | sftp.CREATE | sftp.TRUNCATE)
        if opened.code != sftp.OK:
            return
        self._files.add(path)
        began, sent = time.monotonic(), 0
        chunk = bytes(self._session.write_bytes)
        for some in _growing():
            replies = yield tuple(sftp.write(opened.handle, sent + n * len(chunk), chunk) for n in range(some))
            if any(reply.code != sftp.OK for reply in replies):
                break
            sent += some * len(chunk)
            if sent >= _SPEED_BYTES or time.monotonic() - began > _SPEED_SECONDS:
                break
        seconds = time.monotonic() - began
        yield sftp.close(opened.handle)
        self.found.append(Finding("speed", sent > 0, f"{sent / seconds / 1e6:.1f} MB/s on one connection"))

    def _note(self, ability: str, reply: Reply, detail: str = "", *, gone: bool = False) -> None:
        """`gone`: only a file that is not there any more counts against it."""
        works = reply.code != sftp.NO_SUCH_FILE if gone else reply.code == sftp.OK
        self.found.append(Finding(ability, works, detail if works else reply.reason))


def _growing() -> Iterator[int]:
    number = 1
    while True:
        yield number
        number = min(32, 2 * number)


def _words(reply: Reply) -> str:
    return "" if reply.code == sftp.OK else reply.reason


def _simultaneous_connections(target: SftpTarget, endpoints: Endpoints) -> int:
    """How many connections the server takes at the same time, of those that are worth trying."""
    most = max(2, min(_CONNECTIONS, target.delivery.max_connections))
    with ExitStack() as held:
        for number in range(most):
            try:
                connection = held.enter_context(connect(target, lambda ref: resolve(ref, endpoints)))
                Session(connection.open_sftp(), target)
            except (ConnectionLost, ServerRefused):
                return max(1, number)
    return most


def _profile(wanted: DeliveryProfile, findings: tuple[Finding, ...], open_files: int, number: int) -> DeliveryProfile:
    """The profile that is `wanted`, as far as the server can follow it."""
    able = {finding.ability for finding in findings if finding.works}
    looks = {"the file stays when it is closed", "look at a file"} <= able
    write, verify, overwrite = wanted.write, wanted.verify, wanted.overwrite
    if write == "dotfile" and "hidden files" not in able:
        write = "rename"
    if "rename a file" not in able:
        write = "direct"
    if verify == "readback" and "read a file" not in able:
        verify = "size"
    if not looks:
        verify, overwrite = "none", "replace"
    return replace(
        wanted,
        write=write,
        verify=verify,
        overwrite=overwrite,
        max_connections=min(wanted.max_connections, number),
        stripes=min(wanted.stripes, number),
        open_files=min(wanted.open_files, open_files),
        resume=wanted.resume and "go on with a file" in able,
    )
