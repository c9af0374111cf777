"""The bytes of a staged file on their way to a server: read ahead, checksummed, and handed out in pieces.

Local files are read at once, in the thread that asks: it takes less time than handing the work to another. From Cloud
Storage they are read ahead in threads, and whoever needs them gets a Future.
"""

from __future__ import annotations

import heapq
import threading
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import google_crc32c
from google.api_core.exceptions import GoogleAPIError
from google.auth.exceptions import GoogleAuthError

from wharf.connectors.storage import Range, Storage
from wharf.model.checksums import crc32c_text
from wharf.model.delivery import OutboundFile
from wharf.model.errors import FileRefused, RunFailed

_BLOCK_BYTES = 4 << 20  # of one request to Cloud Storage
_AHEAD_BYTES = 8 << 20


class Reader:
    """Reads staged files from one storage; a storage without threads of its own answers at once."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._pool = ThreadPoolExecutor(storage.parallel, "staged") if storage.parallel else None

    @property
    def reads_ahead(self) -> bool:
        return self._pool is not None

    def read(self, part: Range) -> bytes | Future[bytes]:
        """Exactly the bytes of `part`. Raises (or its Future does): FileRefused."""
        if not part.length:
            return b""
        return self._pool.submit(self._read, part) if self._pool else self._read(part)

    def close(self) -> None:
        if self._pool:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def _read(self, part: Range) -> bytes:
        try:
            return self._storage.read(part)
        except (RunFailed, OSError, GoogleAPIError, GoogleAuthError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise FileRefused(
                f"{part.uri}: the staged file cannot be read ({reason}); if it has expired, run the export again"
            ) from error


def check(file: OutboundFile, crc: int) -> None:
    """Raises: FileRefused if what was read is not what was staged."""
    found = crc32c_text(crc)
    if found != file.crc32c:
        raise FileRefused(
            f"{file.uri}: the staged file is damaged, its CRC32C is {found} and not {file.crc32c}; run the export again"
        )


class Piece(NamedTuple):
    """Some bytes of a file, as much as one request may carry."""

    offset: int
    data: bytes | memoryview


class Pieces:
    """A large file in pieces, for all who write it at the same time; each piece goes to one of them.

    They are read in order. A piece that did not arrive is put back, and read again for whoever asks next. Safe for
    threads.
    """

    def __init__(self, file: OutboundFile, reader: Reader, piece_bytes: int) -> None:
        self._file = file
        self._reader = reader
        self._piece_bytes = piece_bytes
        self._block_bytes = max(1, _BLOCK_BYTES // piece_bytes) * piece_bytes if reader.reads_ahead else piece_bytes
        self._lock = threading.Lock()
        self._blocks: deque[tuple[int, bytes | Future[bytes]]] = deque()  # (offset, block), asked for
        self._blocks_end = 0
        self._cut = deque[Piece]()  # the block that is being handed out
        self._crc = 0
        self._crcs: dict[int, int] = {}  # of pieces, by offset
        self._again: list[int] = []  # a heap of offsets
        self._rereading: dict[int, bytes | Future[bytes]] = {}
        self._arrived: set[int] = set()
        self._changed: list[Future[None]] = []
        self._held = 0  # pieces that are with somebody
        self._stopped = False
        self.failure: Exception | None = None

    @property
    def complete(self) -> bool:
        """Whether every piece has arrived."""
        return len(self._arrived) * self._piece_bytes >= self._file.bytes

    @property
    def wanting(self) -> bool:
        """Whether there are pieces to hand out, now or soon."""
        return not self._stopped and bool(
            self._again or self._cut or self._blocks or self._blocks_end < self._file.bytes
        )

    @property
    def contiguous(self) -> int:
        """Up to where, from the beginning, all pieces have arrived."""
        with self._lock:
            whole = min(len(self._crcs) * self._piece_bytes, self._file.bytes)
            return min((at for at in self._crcs if at not in self._arrived), default=whole)

    @property
    def arrived_bytes(self) -> int:
        return len(self._arrived) * self._piece_bytes

    def take(self) -> Piece | Future[bytes] | None:
        """The next piece; a Future after which to ask again; or None if there is none to hand out at present.

        Raises: FileRefused.
        """
        with self._lock:
            if self._stopped:
                return None
            if self._again:
                again = self._take_again()
                self._held += isinstance(again, Piece)
                return again
            if not self._cut:
                self._read_ahead()
                if not self._blocks:
                    return None
                offset, block = self._blocks[0]
                if isinstance(block, Future):
                    if not block.done():
                        return block
                    block = block.result()
                self._blocks.popleft()
                self._cut_up(offset, block)
            self._held += 1
            return self._cut.popleft()

    def arrived(self, piece: Piece) -> None:
        with self._lock:
            self._held -= 1
            self._arrived.add(piece.offset)
            self._tell(only_if=self.complete)

    def put_back(self, piece: Piece) -> None:
        """A piece whose arrival nobody has confirmed."""
        with self._lock:
            self._held -= 1
            heapq.heappush(self._again, piece.offset)
            self._tell()

    def rewind(self, offset: int) -> None:
        """Take nothing as arrived from `offset` on, unless others are at work on the file at this moment."""
        with self._lock:
            if self._held:
                return
            for at in [at for at in self._arrived if at >= offset]:
                self._arrived.discard(at)
                heapq.heappush(self._again, at)

    def fail(self, error: Exception) -> None:
        """Hand out nothing more: the file has failed, and `failure` is why."""
        self.failure = self.failure or error
        self.stop()

    def stop(self) -> None:
        """Hand out nothing more."""
        with self._lock:
            self._stopped = True
            self._tell()

    def change(self) -> Future[None] | None:
        """Done when all pieces have arrived or some were put back; None if that is so now."""
        with self._lock:
            if self.complete or self._again or self._stopped:
                return None
            self._changed.append(Future())
            return self._changed[-1]

    def check(self) -> None:
        """Raises: FileRefused if what was read, all of it, is not what was staged."""
        check(self._file, self._crc)

    def _tell(self, only_if: bool = True) -> None:
        if only_if:
            for waiting in self._changed:
                waiting.set_result(None)
            self._changed.clear()

    def _read_ahead(self) -> None:
        most = _AHEAD_BYTES if self._reader.reads_ahead else 1
        while self._blocks_end < self._file.bytes and len(self._blocks) * self._block_bytes < most:
            length = min(self._block_bytes, self._file.bytes - self._blocks_end)
            self._blocks.append((self._blocks_end, self._reader.read(Range(self._file.uri, self._blocks_end, length))))
            self._blocks_end += length

    def _cut_up(self, offset: int, block: bytes) -> None:
        self._crc = google_crc32c.extend(self._crc, block)
        if len(block) <= self._piece_bytes:
            self._crcs[offset] = google_crc32c.value(block)
            self._cut.append(Piece(offset, block))
            return
        view = memoryview(block)
        for at in range(0, len(block), self._piece_bytes):
            piece = view[at : at + self._piece_bytes]
            self._crcs[offset + at] = google_crc32c.value(bytes(piece))
            self._cut.append(Piece(offset + at, piece))
        self._read_ahead()

    def _take_again(self) -> Piece | Future[bytes]:
        offset = self._again[0]
        length = min(self._piece_bytes, self._file.bytes - offset)
        data = self._rereading.get(offset) or self._reader.read(Range(self._file.uri, offset, length))
        if isinstance(data, Future):
            self._rereading[offset] = data
            if not data.done():
                return data
            data = data.result()
        self._rereading.pop(offset, None)
        if google_crc32c.value(data) != self._crcs[offset]:
            raise FileRefused(f"{self._file.uri}: the staged file has changed while it was sent; run the export again")
        heapq.heappop(self._again)
        return Piece(offset, data)
