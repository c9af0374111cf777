"""A file on its way to a server: what is known of it from one connection to the next, and the names it gets."""

from __future__ import annotations

import posixpath
import secrets
import time
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass

from wharf.connectors.sftp.source import Pieces
from wharf.model.delivery import DeliveryResult, OutboundFile, SftpTarget
from wharf.model.errors import UsageError

_NO_NAMES = {"", ".", ".."}
_LONGEST_NAME = 255  # bytes, on nearly every file system


@dataclass(eq=False)
class Upload:
    """One file, and how far it has come."""

    file: OutboundFile
    wanted: str  # its path on the server
    path: str = ""  # the one it is to get in fact, once that is known
    written_as: str = ""  # where its bytes are being written; empty if nowhere
    claimed: bool = False  # whether a file was begun at `path` itself
    sealed: bool = False  # whether all its bytes were written, and closing was asked for
    renaming: bool = False  # whether renaming was asked for
    renamed: bool = False  # whether it was done
    aside: str = ""  # where the file that it replaces was moved to
    whole: bytes | Future[bytes] | None = None  # a small file's content, read ahead
    pieces: Pieces | None = None  # a large file's
    attempts: int = 0
    began: float = 0.0  # on the monotonic clock, when it was first tried
    losses: int = 0  # connections that broke, one after the other, while it made no progress
    arrived_before: int = 0  # bytes, when the last one broke
    begun: Future[None] | None = None  # of one that others are invited to: done when they need not wait any more

    def forget(self) -> None:
        """Begin anew: nothing of it is on the server."""
        if self.pieces:
            self.pieces.stop()
        self.release()
        self.written_as, self.pieces, self.whole = "", None, None
        self.sealed = self.renaming = self.renamed = False

    def share_out(self) -> None:
        """Let those go on who wait to share in it."""
        if self.begun and not self.begun.done():
            self.begun.set_result(None)

    def release(self) -> None:
        """The same, when it is not known whether there will be anything to share; who comes later waits anew."""
        self.share_out()
        self.begun = None

    @property
    def has_progressed(self) -> bool:
        """Whether some of it has arrived over the connection that it is on."""
        return self.pieces is not None and self.pieces.arrived_bytes > self.arrived_before

    def lost(self) -> int:
        """Book that its connection broke -> how many did so without progress."""
        self.losses = 1 if self.has_progressed else self.losses + 1
        self.arrived_before = self.pieces.arrived_bytes if self.pieces else 0
        return self.losses

    def result(self, *, skipped: bool = False, error: str = "") -> DeliveryResult:
        self.share_out()
        seconds = time.monotonic() - self.began if self.attempts else 0.0
        path = self.wanted if error else self.path or self.wanted
        return DeliveryResult(self.file, path, self.attempts, seconds, skipped, error)


def path_on_server(target: SftpTarget, path: str) -> str:
    """`path` below the target's directory, unless it is absolute.

    Raises: UsageError for a path that leads elsewhere or to no file.
    """
    parts = path.removeprefix("/").split("/")
    if not _NO_NAMES.isdisjoint(parts) or "\0" in path:
        raise UsageError(f"{target}: {path!r} is no path for a file: it has an empty part, . or ..")
    return path if path.startswith("/") or not target.directory else posixpath.join(target.directory, path)


def temporary_name(path: str, *, hidden: bool) -> str:
    """A name beside `path` that no attempt has had: `report.csv.1f2e3d4c.part`, or the same with a leading dot."""
    folder, name = posixpath.split(path)
    dot = "." if hidden else ""
    end = f".{secrets.token_hex(4)}.part"
    room = _LONGEST_NAME - len(dot) - len(end)
    return posixpath.join(folder, f"{dot}{name.encode()[:room].decode(errors='ignore')}{end}")


def versions(path: str) -> Iterator[str]:
    """`report.csv`, `report.1.csv`, `report.2.csv` and so on; of `a.csv.gz` the number comes before `.csv.gz`."""
    yield path
    folder, name = posixpath.split(path)
    stem, end = posixpath.splitext(name)
    if end in {".gz", ".bz2", ".xz", ".zst", ".zip", ".gpg", ".pgp"}:
        stem, inner = posixpath.splitext(stem)
        end = inner + end
    number = 0
    while True:
        number += 1
        yield posixpath.join(folder, f"{stem}.{number}{end}")
