"""What happens to one file: written aside, compared, given its name, compared again. As steps of `protocol`.

    what is there already is looked at, where the profile asks for it
    written under a temporary name and closed; its size, or its content, is compared
    renamed; its size is compared once more

With `write=direct` there is no temporary name. Where a connection broke, the next one finds out what is there before
it goes on: a file that was renamed is not sent twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import islice

from wharf.connectors.sftp import packets as sftp
from wharf.connectors.sftp.folders import Leftovers
from wharf.connectors.sftp.packets import Reply, Request
from wharf.connectors.sftp.protocol import Session, Steps
from wharf.connectors.sftp.refusals import Refused
from wharf.connectors.sftp.source import Reader
from wharf.connectors.sftp.transfer import Transfer
from wharf.connectors.sftp.upload import Upload, temporary_name, versions
from wharf.model.delivery import SftpTarget
from wharf.model.errors import FileRefused

_VERSIONS_AT_ONCE = 16


class FileWriter:
    """Delivers files over one session."""

    def __init__(self, session: Session, target: SftpTarget, reader: Callable[[str], Reader]) -> None:
        self._target = target
        self._profile = target.delivery
        self._transfer = Transfer(session, reader)
        self.share = self._transfer.share
        self._leftovers = Leftovers()
        self._direct = self._profile.write == "direct"
        self._looks = self._profile.verify != "none"
        self._keeps = self._profile.overwrite in {"version", "fail"}  # what is there already
        self._ways = [sftp.rename]
        if sftp.POSIX_RENAME in session.extensions:
            self._ways.insert(0, sftp.posix_rename)

    def deliver(self, upload: Upload) -> Steps[bool]:
        """Deliver a file -> True if it was there already.

        Raises: FileRefused; what was written of it is removed then, as far as the server lets us.
        """
        if upload.file.again and not upload.attempts:
            yield from self._leftovers.remove(upload.wanted)
        last = False
        upload.began = upload.began or time.monotonic()
        while True:
            upload.attempts += 1
            try:
                return (yield from self._deliver(upload))
            except Refused as refused:
                yield from self._tidy(upload)
                if last or not refused.may_pass:
                    raise refused.explained(self._target) from None
                last = True
            except FileRefused:
                yield from self._tidy(upload)
                raise

    def _deliver(self, upload: Upload) -> Steps[bool]:
        if upload.written_as and (yield from self._arrived_unnoticed(upload)):
            return False
        while not upload.sealed:
            if not upload.path and (yield from self._is_there(upload)):
                return True
            yield from self._write(upload)
        if self._direct:
            return False
        return (yield from self._publish(upload))

    def _arrived_unnoticed(self, upload: Upload) -> Steps[bool]:
        """After a connection broke: find out how far the file had come -> whether it has its final name."""
        written, final = yield (sftp.stat(upload.written_as), sftp.stat(upload.path))
        moved = upload.renaming and written.code == sftp.NO_SUCH_FILE
        if (moved or (self._direct and upload.sealed)) and _is_whole(upload, final):
            if self._profile.verify != "readback" or (yield from self._has_content(upload, upload.path)):
                yield from self._drop_aside(upload)
                return True
        elif upload.sealed and not self._direct and _is_whole(upload, written):
            yield from self._confirm_written(upload, written)
            return False
        elif upload.pieces and self._profile.resume and not upload.sealed and written.code == sftp.OK:
            arrived = upload.pieces.contiguous
            if written.size >= arrived:
                upload.pieces.rewind(arrived)
                return False
        if not self._direct:
            yield sftp.remove(upload.written_as)
        upload.forget()
        return False

    def _is_there(self, upload: Upload) -> Steps[bool]:
        """Choose the path, as `overwrite` says -> whether the same file is there, and stays as it is."""
        file, overwrite = upload.file, self._profile.overwrite
        if overwrite == "replace" and not file.again:
            upload.path = upload.wanted
            return False
        names = versions(upload.wanted)
        while True:
            some = list(islice(names, _VERSIONS_AT_ONCE if overwrite == "version" else 1))
            for path, found in zip(some, (yield tuple(map(sftp.stat, some))), strict=True):
                upload.path = path
                if found.code == sftp.NO_SUCH_FILE:
                    return False
                if found.code != sftp.OK:
                    upload.path = ""
                    raise Refused("look", path, found)
                may_stay = file.again or overwrite == "skip-if-same"
                if may_stay and _is_whole(upload, found) and (yield from self._is_same(upload, path)):
                    return True
                if overwrite == "fail":
                    raise Refused("exists", path)
                if overwrite != "version":
                    return False

    def _is_same(self, upload: Upload, path: str) -> Steps[bool]:
        """Whether a file of the same size is the same. An earlier attempt may have left a former file in its place,
        so that its content is looked at; who may not read it must not make a second copy for that."""
        again, profile = upload.file.again, self._profile
        if not again and profile.verify != "readback":
            return True
        try:
            return (yield from self._has_content(upload, path))
        except Refused:
            return again and self._keeps and profile.verify != "readback"

    def _write(self, upload: Upload) -> Steps[None]:
        """Write the file, or what is missing of it, and compare. Its path is empty again if that was taken."""
        data = yield from self._transfer.content(upload)
        if upload.written_as:
            handle = yield from self._transfer.open(upload.written_as, 0)
        elif self._direct:
            flags = sftp.EXCLUSIVE if self._keeps and not upload.claimed else sftp.TRUNCATE
            upload.written_as, upload.claimed = upload.path, True
            try:
                handle = yield from self._transfer.open(upload.path, sftp.CREATE | flags)
            except Refused:
                upload.written_as, upload.claimed = "", False
                if flags == sftp.EXCLUSIVE and (yield sftp.stat(upload.path)).code == sftp.OK:
                    upload.path = ""
                    return
                raise
        else:
            upload.written_as = temporary_name(upload.path, hidden=self._profile.write == "dotfile")
            handle = yield from self._transfer.open(upload.written_as, sftp.CREATE | sftp.TRUNCATE)
        seen = yield from self._transfer.write(upload, handle, data, look=self._looks)
        yield from self._confirm_written(upload, seen)

    def _publish(self, upload: Upload) -> Steps[bool]:
        """Give a complete file its name -> whether another attempt's copy of it is there already."""
        upload.renaming = True
        if not self._keeps:
            seen = yield from self._replace(upload)
        while self._keeps:
            renamed, seen = yield from self._rename(sftp.rename, upload.written_as, upload.path)
            if renamed.code == sftp.OK:
                break
            if (yield sftp.stat(upload.path)).code != sftp.OK:
                raise Refused("rename", upload.path, renamed)
            if (yield from self._is_there(upload)):  # the name was taken meanwhile: another version's, or none
                yield sftp.remove(upload.written_as)
                return True
        upload.renamed = True
        yield from self._confirm(upload, upload.path, seen)
        yield from self._drop_aside(upload)
        return False

    def _replace(self, upload: Upload) -> Steps[Reply | None]:
        """Rename over whatever is there -> what `stat` says then, if it is asked."""
        written, path = upload.written_as, upload.path
        for way in self._ways:
            renamed, seen = yield from self._rename(way, written, path)
            if renamed.code == sftp.OK:
                return seen
        if renamed.code in {sftp.FAILURE, sftp.ALREADY_EXISTS}:
            # The server may rename onto no file. The old one is not removed first: should the new one be refused its
            # name for another reason, neither would be there.
            upload.aside = upload.aside or temporary_name(path, hidden=self._profile.write == "dotfile")
            moved = yield sftp.rename(path, upload.aside)
            if moved.code == sftp.OK:
                renamed, seen = yield from self._rename(sftp.rename, written, path)
                if renamed.code == sftp.OK:
                    return seen
        raise Refused("rename", path, renamed)

    def _rename(self, way: Callable[[str, str], Request], old: str, new: str) -> Steps[tuple[Reply, Reply | None]]:
        if not self._looks:
            return (yield way(old, new)), None
        renamed, seen = yield way(old, new), sftp.stat(new)
        return renamed, seen

    def _confirm_written(self, upload: Upload, seen: Reply | None) -> Steps[None]:
        """Compare what was written, as the profile asks. Raises: Refused."""
        yield from self._confirm(upload, upload.written_as, seen)
        if self._profile.verify == "readback" and not (yield from self._has_content(upload, upload.written_as)):
            raise Refused("content", upload.path)

    def _confirm(self, upload: Upload, path: str, seen: Reply | None) -> Steps[None]:
        """Compare the size. Raises: Refused."""
        if not self._looks or (seen and _is_whole(upload, seen)):
            return
        # Servers that take requests of one session side by side may have looked too early.
        now = yield sftp.stat(path)
        if _is_whole(upload, now):
            return
        if now.code == sftp.NO_SUCH_FILE:
            raise Refused("taken", upload.path, now)
        if now.code != sftp.OK or now.size < 0:
            raise Refused("stat", upload.path, now)
        raise Refused("lost", upload.path, detail=f"{now.size} of {upload.file.bytes} bytes are there")

    def _has_content(self, upload: Upload, path: str) -> Steps[bool]:
        found = yield from self._transfer.checksum(path, upload.file.bytes)
        return found == upload.file.crc32c

    def _drop_aside(self, upload: Upload) -> Steps[None]:
        if upload.aside:
            yield sftp.remove(upload.aside)
            upload.aside = ""

    def _tidy(self, upload: Upload) -> Steps[None]:
        """Remove what was written of a file that failed, and put back what it was to replace."""
        if upload.written_as:
            yield sftp.remove(upload.path if upload.renamed else upload.written_as)
        if upload.aside:
            back = yield sftp.rename(upload.aside, upload.path)
            if back.code == sftp.OK:
                upload.aside = ""
            yield from self._drop_aside(upload)
        upload.forget()


def _is_whole(upload: Upload, found: Reply) -> bool:
    return found.code == sftp.OK and found.size == upload.file.bytes
