"""Many files over a few connections, each of which takes the next file from one queue.

A thread holds a connection. The first connects alone: a wrong password is shown once, not four times. A thread whose
connection breaks puts its files back, and connects again; one that cannot connect leaves its files to the others, and
the last to go gives those that are left its error.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice

from wharf.connectors.endpoints import Endpoints
from wharf.connectors.retry import pause
from wharf.connectors.secrets import resolve
from wharf.connectors.sftp.connection import Connection, connect
from wharf.connectors.sftp.files import FileWriter
from wharf.connectors.sftp.protocol import Session, Steps
from wharf.connectors.sftp.source import Reader
from wharf.connectors.sftp.transfer import STRIPED_BYTES, UNDER_WAY_BYTES, WHOLE_BYTES
from wharf.connectors.sftp.upload import Upload
from wharf.connectors.storage import Range, open_storage
from wharf.model.delivery import DeliveryResult, SftpTarget
from wharf.model.errors import ConnectionLost, FileRefused, WharfError

_CONNECTION_BYTES = 16 << 20  # under way on one connection
_AHEAD_BYTES, _AHEAD_FILES = 16 << 20, 64  # read ahead, of small files
LONGEST_PAUSE = 30.0  # seconds, before another connection


class Delivery:
    """The state that the threads of one call share."""

    def __init__(
        self,
        uploads: Iterable[Upload],
        target: SftpTarget,
        endpoints: Endpoints,
        on_result: Callable[[DeliveryResult], None] | None,
    ) -> None:
        self.target = target
        self._endpoints = endpoints
        self._on_result = on_result
        self._lock = threading.RLock()
        self._queue = deque(sorted(uploads, key=lambda upload: -upload.file.bytes))
        self._invitations = deque[Upload]()
        self._readers: dict[bool, Reader] = {}
        self._results: list[DeliveryResult] = []
        self._threads = 1  # that have not left
        self._settled = threading.Event()  # set when the first is connected, or has left
        self._held: list[Connection] = []
        self._stopped = threading.Event()

    def run(self, connections: int) -> list[DeliveryResult]:
        """Deliver everything over at most so many connections."""
        with ThreadPoolExecutor(connections, "sftp") as pool:
            try:
                working = [pool.submit(self._work)]
                self._settled.wait()
                with self._lock:
                    further = connections - 1 if self._threads else 0
                    self._threads += further
                working += [pool.submit(self._work) for _ in range(further)]
                for thread in working:
                    thread.result()
            finally:
                self._stop()
        return self._results

    def take(self, known: Collection[Upload]) -> tuple[Upload | None, Upload | None]:
        """(the next file, or a large one to share in, which goes first and is none of `known`)."""
        with self._lock:
            if self._stopped.is_set():
                return None, None
            for upload in self._invitations:
                if upload not in known:
                    self._invitations.remove(upload)
                    return None, upload
            if not self._queue:
                return None, None
            upload = self._queue.popleft()
            if upload.file.bytes >= STRIPED_BYTES:  # at once: connections for it are made while it is being opened
                upload.begun = Future()
                self._invitations.extend([upload] * (self.target.delivery.stripes - 1))
            self._read_ahead()
            return upload, None

    def withdraw(self, upload: Upload) -> None:
        """Invite nobody any more to share in a file: it has ended, or is queued again."""
        with self._lock:
            if not self._invitations:
                return
            self._invitations = deque(other for other in self._invitations if other is not upload)

    def reader(self, uri: str) -> Reader:
        """What reads a staged file."""
        in_cloud = uri.startswith("gs://")
        if found := self._readers.get(in_cloud):
            return found
        with self._lock:
            if in_cloud not in self._readers:
                self._readers[in_cloud] = Reader(open_storage(uri, self._endpoints))
            return self._readers[in_cloud]

    def finish(self, result: DeliveryResult) -> None:
        with self._lock:
            self._results.append(result)
            if self._on_result:
                self._on_result(result)

    def _work(self) -> None:
        """One thread: connect, deliver, connect again where that broke."""
        losses = 0  # one after the other, without progress
        blamed = False  # whether a file has been given up in that time
        try:
            while not self._leave():
                line: Line | None = None
                try:
                    with self._session() as session:
                        self._settled.set()
                        line = Line(self, session, losses)
                        session.run(line.more)
                        losses, blamed = 0, False
                        continue
                except WharfError as error:
                    losses += 1
                    if line and line.progress:
                        losses, blamed = 1, False
                    if line and self._put_back(line.under_way, error) and not blamed:
                        losses, blamed = 0, True  # without that file it may go better
                    if not isinstance(error, ConnectionLost) or losses >= self.target.delivery.attempts:
                        self._leave(error)
                        return
                self._stopped.wait(pause(losses, LONGEST_PAUSE))
        finally:
            self._settled.set()

    @contextmanager
    def _session(self) -> Iterator[Session]:
        with connect(self.target, lambda ref: resolve(ref, self._endpoints)) as connection:
            with self._lock:
                self._held.append(connection)
            try:
                yield Session(connection.open_sftp(), self.target)
            finally:
                with self._lock:
                    self._held.remove(connection)

    def _leave(self, error: WharfError | None = None) -> bool:
        """End a thread for which nothing is left, or that has no connection: the last one's `error` is every file's."""
        with self._lock:
            if not error and (self._queue or self._invitations) and not self._stopped.is_set():
                return False
            self._threads -= 1
            while error and not self._threads and self._queue:
                self.finish(self._queue.popleft().result(error=str(error)))
            return True

    def _put_back(self, uploads: Iterable[Upload], error: WharfError) -> bool:
        """Queue files whose connection broke -> whether one was given up, which may be the reason of it."""
        attempts = self.target.delivery.attempts
        given_up = False
        with self._lock:
            for upload in uploads:
                self.withdraw(upload)
                upload.release()
                if upload.lost() < attempts:
                    self._queue.appendleft(upload)
                else:
                    why = f"{error}; {upload.wanted} was given up after {attempts} connections without progress"
                    self.finish(upload.result(error=why))
                    given_up = True
        return given_up

    def _read_ahead(self) -> None:
        """Let the next small files be read, where that takes time."""
        held = 0
        for upload in islice(self._queue, _AHEAD_FILES):
            reader = self.reader(upload.file.uri)
            held += upload.file.bytes
            if not reader.reads_ahead or held > _AHEAD_BYTES:
                return
            if upload.whole is None and upload.file.bytes <= WHOLE_BYTES:
                upload.whole = reader.read(Range(upload.file.uri, 0, upload.file.bytes))

    def _stop(self) -> None:
        """Nothing more is begun; what is under way when an error or Ctrl-C comes in is broken off."""
        self._stopped.set()
        with self._lock:
            held = list(self._held)
        for connection in held:
            connection.close()
        for reader in self._readers.values():
            reader.close()


class Line:
    """One connection at work. `under_way` are its files, `progress` is whether it has brought anything about."""

    def __init__(self, delivery: Delivery, session: Session, losses: int) -> None:
        self.under_way: set[Upload] = set()
        self._known: set[Upload] = set()  # large files that it writes or shares in, once each
        self._finished = 0
        self._delivery = delivery
        self._session = session
        self._writer = FileWriter(session, delivery.target, delivery.reader)
        self._limit = min(
            delivery.target.delivery.open_files, session.open_files or delivery.target.delivery.open_files
        )
        # One of the files may be what broke the last connection: it shall not take others with it each time.
        self._most = 1 if losses else self._limit
        self._bytes = 0

    @property
    def progress(self) -> bool:
        return bool(self._finished) or any(upload.has_progressed for upload in self.under_way)

    def more(self, running: int) -> Steps[None] | None:
        """The steps of one more file, while there is room for it."""
        if running >= self._most or (running and self._bytes >= _CONNECTION_BYTES):
            return None
        upload, shared = self._delivery.take(self._known)
        if shared:
            self._known.add(shared)
            return self._weighed(shared, self._writer.share(shared))
        if not upload:
            return None
        if upload.begun:
            self._known.add(upload)
        return self._weighed(upload, self._deliver(upload))

    def _weighed(self, upload: Upload, steps: Steps[None]) -> Steps[None]:
        weight = min(upload.file.bytes, UNDER_WAY_BYTES)
        self._bytes += weight
        yield from steps
        self._bytes -= weight

    def _deliver(self, upload: Upload) -> Steps[None]:
        self.under_way.add(upload)
        try:
            skipped = yield from self._writer.deliver(upload)
        except FileRefused as refused:
            result = upload.result(error=str(refused))
        else:
            result = upload.result(skipped=skipped)
        self.under_way.discard(upload)
        self._delivery.withdraw(upload)
        self._finished += 1
        self._most = min(self._limit, 2 * self._most)
        self._delivery.finish(result)
