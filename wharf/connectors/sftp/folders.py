"""The folders that files go to: making them, and removing what earlier attempts left there.

Once each on a connection, whoever else does it at the same time.
"""

from __future__ import annotations

import posixpath
import re
from concurrent.futures import Future

from wharf.connectors.sftp import packets as sftp
from wharf.connectors.sftp.protocol import Steps


class Folders:
    """The folders that one connection has tried to make."""

    def __init__(self) -> None:
        self._tried: dict[str, Future[str]] = {}

    def make(self, path: str) -> Steps[str]:
        """Make `path` and what is missing above it -> what the server says of that, empty if it made it.

        That it cannot be made says little: it may have been there all along.
        """
        if not path or path == "/":
            return ""
        if path in self._tried:
            said: str = yield self._tried[path]
            return said
        tried = self._tried[path] = Future()
        made = yield sftp.make_folder(path)
        if made.code in {sftp.NO_SUCH_FILE, sftp.FAILURE}:  # the second is also how servers say that it is there
            above = yield from self.make(posixpath.dirname(path))
            made = yield sftp.make_folder(path)
            reason = "" if made.code == sftp.OK else above or made.reason
        else:
            reason = "" if made.code == sftp.OK else made.reason
        tried.set_result(reason)
        return reason


class Leftovers:
    """The temporary files in the folders that one connection has looked into."""

    def __init__(self) -> None:
        self._found: dict[str, Future[list[str]]] = {}

    def remove(self, path: str) -> Steps[None]:
        """Remove what attempts at `path` that are over have left beside it, as far as the server lets us."""
        folder, name = posixpath.split(path)
        if folder not in self._found:
            self._found[folder] = Future()
            listed = yield from _temporary_files(folder)
            self._found[folder].set_result(listed)
        names: list[str] = yield self._found[folder]
        own = re.compile(rf"\.?{re.escape(name)}\.[0-9a-f]{{8}}\.part")
        for other in filter(own.fullmatch, names):
            yield sftp.remove(posixpath.join(folder, other))


def _temporary_files(folder: str) -> Steps[list[str]]:
    """Their names; none of a folder that cannot be listed."""
    opened = yield sftp.open_folder(folder)
    if opened.code != sftp.OK:
        return []
    names: list[str] = []
    while (read := (yield sftp.read_folder(opened.handle))).code == sftp.OK:
        names += [name for name in read.files if name.endswith(".part")]
    yield sftp.close(opened.handle)
    return names
