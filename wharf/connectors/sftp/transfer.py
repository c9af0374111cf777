"""The bytes of one file: opened, written and read back over one session, as steps of `protocol`."""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from concurrent.futures import Future

import google_crc32c

from wharf.connectors.sftp import packets as sftp
from wharf.connectors.sftp.folders import Folders
from wharf.connectors.sftp.packets import Reply
from wharf.connectors.sftp.protocol import Session, Steps
from wharf.connectors.sftp.refusals import Refused
from wharf.connectors.sftp.source import Pieces, Reader, check
from wharf.connectors.sftp.upload import Upload
from wharf.connectors.storage import Range
from wharf.model.checksums import crc32c_text
from wharf.model.errors import FileRefused

WHOLE_BYTES = 4 << 20  # up to which a file is held whole, and written in one go
STRIPED_BYTES = 32 << 20  # from which a file is shared by connections
UNDER_WAY_BYTES = 8 << 20  # of a larger file, on one connection
_READ_BYTES = 4 << 20  # asked for at once when a file is read back


class Transfer:
    """Writes and reads files over one session."""

    def __init__(self, session: Session, reader: Callable[[str], Reader]) -> None:
        self._session = session
        self._reader = reader
        self._folders = Folders()

    def open(self, path: str, flags: int) -> Steps[bytes]:
        """Open for writing, in a folder that is made if need be -> the handle. Raises: Refused."""
        opened = yield sftp.open_file(path, sftp.WRITE | flags)
        if opened.code in {sftp.NO_SUCH_FILE, sftp.FAILURE}:
            said = yield from self._folders.make(posixpath.dirname(path))
            opened = yield sftp.open_file(path, sftp.WRITE | flags)
            if opened.code == sftp.NO_SUCH_FILE and said:
                raise Refused("open", path, opened, f"the folder is missing and cannot be made: {said}")
        if opened.code != sftp.OK:
            raise Refused("open", path, opened)
        handle: bytes = opened.handle
        return handle

    def content(self, upload: Upload) -> Steps[bytes | None]:
        """A small file's bytes, compared with their checksum; None of a large one.

        Raises: FileRefused.
        """
        file = upload.file
        if file.bytes > WHOLE_BYTES:
            if not upload.pieces:
                upload.pieces = Pieces(file, self._reader(file.uri), self._session.write_bytes)
            return None
        data = upload.whole
        if data is None:
            data = self._reader(file.uri).read(Range(file.uri, 0, file.bytes))
        if isinstance(data, Future):
            data = data.result() if data.done() else (yield data)
        check(file, google_crc32c.value(data))
        return data

    def write(self, upload: Upload, handle: bytes, data: bytes | None, *, look: bool) -> Steps[Reply | None]:
        """Write all that is missing, and close -> what `stat` says then, if it is to `look`.

        Raises: Refused, FileRefused.
        """
        path, most = upload.written_as, self._session.write_bytes
        parts: list[bytes | memoryview] = [data] if data and len(data) <= most else []
        if data is None:
            yield from self._write_pieces(upload, handle)
            upload.sealed = True
        elif len(data) > most:
            view = memoryview(data)
            parts = [view[at : at + most] for at in range(0, len(data), most)]
        else:
            upload.sealed = True  # its size tells whether it arrived: there is no half of one write
        asked = [sftp.write(handle, number * most, part) for number, part in enumerate(parts)]
        asked.append(sftp.close(handle))
        if look:
            asked.append(sftp.stat(path))
        replies = yield tuple(asked)
        for reply in replies[: len(parts)]:
            if reply.code != sftp.OK:
                raise Refused("write", path, reply)
        if replies[len(parts)].code != sftp.OK:
            raise Refused("close", path, replies[len(parts)])
        upload.sealed = True
        return replies[-1] if look else None

    def share(self, upload: Upload) -> Steps[None]:
        """Write pieces of a file that another connection begins, for as long as there are any."""
        if upload.begun:
            yield upload.begun
        pieces, path = upload.pieces, upload.written_as
        if not pieces or not path or not pieces.wanting:
            return
        opened = yield sftp.open_file(path, sftp.WRITE)
        if opened.code == sftp.OK:  # if not, who began it ends it alone
            try:
                yield self._lanes(pieces, opened.handle, path)
            except (Refused, FileRefused) as refused:
                pieces.fail(refused)
            yield sftp.close(opened.handle)

    def checksum(self, path: str, size: int) -> Steps[str]:
        """The CRC32C of a file there, in base64, of which `size` bytes are read. Raises: Refused."""
        opened = yield sftp.open_file(path, sftp.READ)
        if opened.code != sftp.OK:
            raise Refused("read", path, opened)
        handle, at, crc = opened.handle, 0, 0
        most = self._session.read_bytes
        while at < size:
            wanted = range(at, min(at + _READ_BYTES, size), most)
            replies = yield tuple(sftp.read(handle, begin, min(most, size - begin)) for begin in wanted)
            for begin, reply in zip(wanted, replies, strict=True):
                if begin != at:
                    break  # the one before was short: ask from there again
                if reply.code != sftp.OK or not reply.data:
                    yield sftp.close(handle)
                    raise Refused("read", path, reply)
                crc = google_crc32c.extend(crc, reply.data)
                at += len(reply.data)
        yield sftp.close(handle)
        return crc32c_text(crc)

    def _write_pieces(self, upload: Upload, handle: bytes) -> Steps[None]:
        pieces = upload.pieces
        assert pieces
        upload.share_out()
        while not pieces.complete:
            try:
                yield self._lanes(pieces, handle, upload.written_as)
            except (Refused, FileRefused) as refused:
                pieces.fail(refused)
            if pieces.failure:
                raise pieces.failure
            if (change := pieces.change()) is not None:
                yield change
        pieces.check()

    def _lanes(self, pieces: Pieces, handle: bytes, path: str) -> list[Steps[None]]:
        """Steps that each write one piece after the other: as many as keep the line busy."""
        number = max(2, UNDER_WAY_BYTES // self._session.write_bytes)
        return [_lane(pieces, handle, path) for _ in range(number)]


def _lane(pieces: Pieces, handle: bytes, path: str) -> Steps[None]:
    while (piece := pieces.take()) is not None:
        if isinstance(piece, Future):
            yield piece
            continue
        arrived = False
        try:
            reply = yield sftp.write(handle, piece.offset, piece.data)
            if reply.code != sftp.OK:
                refused = Refused("write", path, reply)
                pieces.fail(refused)
                raise refused
            arrived = True
        finally:
            if not arrived:  # also when the connection broke, and these steps are closed
                pieces.put_back(piece)
        pieces.arrived(piece)
