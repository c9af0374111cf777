"""An SFTP server: files delivered to it, and a look at what is there.

    results = deliver(files, target, endpoints)

Nothing is reported as delivered that is not on the server as `target.delivery` asks for it to be verified.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TypeVar

from wharf.connectors.endpoints import Endpoints
from wharf.connectors.retry import pause
from wharf.connectors.secrets import resolve
from wharf.connectors.sftp import packets as sftp
from wharf.connectors.sftp.connection import connect
from wharf.connectors.sftp.delivery import LONGEST_PAUSE, Delivery
from wharf.connectors.sftp.packets import Reply
from wharf.connectors.sftp.protocol import Session, Steps
from wharf.connectors.sftp.refusals import Refused
from wharf.connectors.sftp.transfer import STRIPED_BYTES
from wharf.connectors.sftp.upload import Upload, path_on_server
from wharf.model.delivery import DeliveryResult, OutboundFile, SftpTarget
from wharf.model.errors import ConnectionLost, UsageError

T = TypeVar("T")

_LOOKS_AT_ONCE = 256
_FOLDER_READS_AT_ONCE = 8
_WORTH_BYTES, _WORTH_FILES = 4 << 20, 64  # so much for one connection, and the next is worth its making


def deliver(
    files: Sequence[OutboundFile],
    target: SftpTarget,
    endpoints: Endpoints,
    *,
    connections: int | None = None,
    on_result: Callable[[DeliveryResult], None] | None = None,
) -> list[DeliveryResult]:
    """Deliver files as `target.delivery` says -> one result for each, in the order in which they ended.

    `endpoints` lead to the staged files and the secrets. At most `connections` are made (None: as many as the profile
    allows), and fewer where a few are enough. `on_result` is called with each result as it comes, in any thread, one
    at a time. What goes wrong is in the results: a file the server refuses has its own
    error; where nothing more can be sent, every file that is left has the reason.

    Raises: UsageError for a path that is none, or that two files share; nothing was sent then.
    """
    if wrong := mistakes(files, target):
        raise UsageError("; ".join(dict.fromkeys(wrong.values())))
    if not files:
        return []
    uploads = [Upload(file, path_on_server(target, file.remote_path)) for file in files]
    most = target.delivery.max_connections if connections is None else connections
    return Delivery(uploads, target, endpoints, on_result).run(_worth_making(uploads, target, most))


def mistakes(files: Sequence[OutboundFile], target: SftpTarget) -> dict[OutboundFile, str]:
    """The files that cannot be delivered together, and why: a path that is none, or that others have too."""
    found: dict[OutboundFile, str] = {}
    by_path = defaultdict[str, list[OutboundFile]](list)
    for file in files:
        try:
            by_path[path_on_server(target, file.remote_path)].append(file)
        except UsageError as error:
            found[file] = str(error)
    for path, sharing in by_path.items():
        if len(sharing) > 1:
            found |= dict.fromkeys(sharing, f"{target}: {len(sharing)} files are to become {path}: name them apart")
    return found


def look(target: SftpTarget, paths: Sequence[str], *, endpoints: Endpoints) -> dict[str, int | None]:
    """Which of `paths` (as in OutboundFile) are on the server -> bytes by path; None of one that is not there.

    Raises: UsageError for a path that is none, FileRefused if the server does not tell, ServerRefused,
    ConnectionLost.
    """
    places = [path_on_server(target, path) for path in paths]

    def steps() -> Steps[list[Reply]]:
        replies: list[Reply] = []
        for at in range(0, len(places), _LOOKS_AT_ONCE):
            replies += yield tuple(map(sftp.stat, places[at : at + _LOOKS_AT_ONCE]))
        return replies

    found: dict[str, int | None] = {}
    for path, place, reply in zip(paths, places, _ask(target, endpoints, steps), strict=True):
        if reply.code not in {sftp.OK, sftp.NO_SUCH_FILE}:
            raise Refused("ask", place, reply).explained(target)
        found[path] = reply.size if reply.code == sftp.OK else None
    return found


def listing(target: SftpTarget, directory: str = "", *, endpoints: Endpoints) -> dict[str, int]:
    """The files of a folder, which is below the target's directory unless it is absolute -> bytes by name.

    A folder that does not exist has none. Raises: like `look`.
    """
    folder = path_on_server(target, directory) if directory else target.directory

    def steps() -> Steps[dict[str, int]]:
        opened = yield sftp.open_folder(folder)
        if opened.code == sftp.NO_SUCH_FILE:
            return {}
        if opened.code != sftp.OK:
            raise Refused("list", folder or "the account's folder", opened).explained(target)
        found: dict[str, int] = {}
        told_all = False
        while not told_all:
            for reply in (yield (sftp.read_folder(opened.handle),) * _FOLDER_READS_AT_ONCE):
                if reply.code not in {sftp.OK, sftp.EOF}:
                    raise Refused("list", folder or "the account's folder", reply).explained(target)
                told_all = told_all or reply.code == sftp.EOF
                found |= reply.files if reply.code == sftp.OK else {}
        yield sftp.close(opened.handle)
        return found

    return _ask(target, endpoints, steps)


def _ask(target: SftpTarget, endpoints: Endpoints, steps: Callable[[], Steps[T]]) -> T:
    """Carry out steps that change nothing; again if the connection breaks."""
    for attempt in range(1, target.delivery.attempts):
        try:
            return _ask_once(target, endpoints, steps)
        except ConnectionLost:
            time.sleep(pause(attempt, LONGEST_PAUSE))
    return _ask_once(target, endpoints, steps)


def _ask_once(target: SftpTarget, endpoints: Endpoints, steps: Callable[[], Steps[T]]) -> T:
    with connect(target, lambda ref: resolve(ref, endpoints)) as connection:
        return Session(connection.open_sftp(), target).call(steps())


def _worth_making(uploads: Sequence[Upload], target: SftpTarget, most: int) -> int:
    """How many connections, of the `most` there may be, are worth their making: each takes some ten round trips."""
    by_bytes = sum(upload.file.bytes for upload in uploads) // _WORTH_BYTES
    wanted = max(len(uploads) // _WORTH_FILES, min(by_bytes, len(uploads)))
    if any(upload.file.bytes >= STRIPED_BYTES for upload in uploads):
        wanted = max(wanted, target.delivery.stripes)
    return max(1, min(most, wanted))
