"""Making the folders that files go to: once each on a connection, whoever else makes them at the same time."""

from __future__ import annotations

import posixpath
from concurrent.futures import Future

from wharf.connectors import sftp_packets as sftp
from wharf.connectors.sftp_protocol import Steps


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
