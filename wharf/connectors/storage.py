"""Files on Cloud Storage, or in a local folder, behind one small interface.

A file appears under its name only when it is complete: Cloud Storage works so, and the local folder is made to.
URIs are `gs://bucket/name` or paths; errors that a person must mend are UsageErrors.
"""

from __future__ import annotations

import base64
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import google_crc32c
from google.api_core import exceptions
from google.auth.exceptions import GoogleAuthError

from wharf.connectors.endpoints import Endpoints
from wharf.connectors.local_folder import LocalStorage
from wharf.connectors.retry import POLICY
from wharf.model.errors import RunFailed, UsageError

if TYPE_CHECKING:
    from google.cloud.storage import Blob, Client

PARALLEL = 16  # requests in flight; Cloud Storage answers each in tens of milliseconds
_UPLOAD_BYTES = 8 * 1024 * 1024


class Range(NamedTuple):
    """A part of a file."""

    uri: str
    offset: int
    length: int


class Writer(Protocol):
    """A file being written; it appears when it is closed, and not at all if it is discarded."""

    def write(self, data: bytes, /) -> int: ...
    def close(self) -> None: ...
    def discard(self) -> None: ...


class Storage(Protocol):
    """What Wharf asks of a place for files; `parallel` is how many requests it is good to have under way."""

    parallel: int

    def create(self, uri: str, aside: str = "") -> Writer:
        """Begin a file; until it is complete it may lie in the folder `aside`, or else beside its name."""

    def read(self, part: Range) -> bytes:
        """Exactly the bytes of `part`."""

    def read_all(self, uri: str) -> bytes | None:
        """A whole small file; None if there is none."""

    def describe(self, uri: str) -> tuple[int, str]:
        """Bytes and CRC32C (base64) of a file that is there."""

    def list(self, prefix: str) -> list[str]:
        """The URIs of all files whose URI begins with `prefix`, sorted."""

    def move(self, source: str, target: str) -> None:
        """Make `source` appear as `target`, replacing it at once; doing it twice is doing it once."""

    def delete(self, uris: Iterable[str]) -> None:
        """Remove files; one that is gone already is fine."""


def open_storage(uri: str, endpoints: Endpoints) -> Storage:
    """The storage that `uri` is in."""
    if not uri.startswith("gs://"):
        return LocalStorage()
    # The emulator lets five connections wait; a further one is dropped and tried again a second later.
    return CloudStorage(endpoints.storage_client(), parallel=2 if endpoints.storage else PARALLEL)


def read_parts(storage: Storage, parts: Iterable[Range], ahead_bytes: int = 8 << 20) -> Iterator[bytes]:
    """Read `parts` in their order, on Cloud Storage several at once, holding about `ahead_bytes` of them."""
    if not isinstance(storage, CloudStorage):  # a local read is faster than handing it to a thread
        yield from map(storage.read, parts)
        return
    waiting: deque[tuple[int, Future[bytes]]] = deque()
    held = 0
    for part in parts:
        waiting.append((part.length, storage.pool.submit(storage.read, part)))
        held += part.length
        while held > ahead_bytes or len(waiting) > PARALLEL:
            length, future = waiting.popleft()
            held -= length
            yield future.result()
    for _, future in waiting:
        yield future.result()


class CloudStorage:
    """Objects on Cloud Storage."""

    def __init__(self, client: Client, parallel: int = PARALLEL) -> None:
        self._client = client
        self.parallel = parallel
        self.pool = ThreadPoolExecutor(parallel, thread_name_prefix="storage")

    def create(self, uri: str, aside: str = "") -> _CloudFile:
        return _CloudFile(self._blob(uri), uri)

    def read(self, part: Range) -> bytes:
        end = part.offset + part.length - 1
        data = self._blob(part.uri).download_as_bytes(
            start=part.offset, end=end, raw_download=True, checksum=None, retry=POLICY
        )
        if len(data) != part.length:
            raise RunFailed(f"{part.uri} ends before byte {end + 1}")
        return data

    def read_all(self, uri: str) -> bytes | None:
        try:
            return self._blob(uri).download_as_bytes(retry=POLICY)
        except exceptions.NotFound:
            return None

    def describe(self, uri: str) -> tuple[int, str]:
        blob = self._blob(uri)
        with _mapped(uri):
            blob.reload(retry=POLICY)
        return blob.size, blob.crc32c

    def list(self, prefix: str) -> list[str]:
        bucket, name = split_uri(prefix)
        with _mapped(prefix):
            found = self._client.list_blobs(bucket, prefix=name, fields="items(name),nextPageToken", retry=POLICY)
            return sorted(f"gs://{bucket}/{blob.name}" for blob in found)

    def move(self, source: str, target: str) -> None:
        # The source stays until the run cleans up, so that a repeated move finds it.
        copy(self._blob(source), self._blob(target))

    def delete(self, uris: Iterable[str]) -> None:
        def remove(uri: str) -> None:
            try:
                self._blob(uri).delete(retry=POLICY)
            except exceptions.NotFound:
                pass  # an earlier attempt removed it

        list(self.pool.map(remove, uris))

    def _blob(self, uri: str) -> Blob:
        return blob_of(self._client, uri)


class _CloudFile:
    """One request for a small file, a resumable upload for a large one; either is checked against its checksum."""

    def __init__(self, blob: Blob, uri: str) -> None:
        self._blob, self._uri = blob, uri
        self._crc = google_crc32c.Checksum()
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._upload: Any = None

    def write(self, data: bytes) -> int:
        self._crc.update(data)
        self._waiting.append(data)
        self._waiting_bytes += len(data)
        if self._waiting_bytes >= _UPLOAD_BYTES:
            if not self._upload:
                self._upload = self._blob.open("wb", chunk_size=_UPLOAD_BYTES, ignore_flush=True, retry=POLICY)
            self._upload.write(self._take())
        return len(data)

    def close(self) -> None:
        if self._upload:
            self._upload.write(self._take())
            self._upload.close()
            self._blob.reload(retry=POLICY)
        else:
            self._blob.upload_from_string(self._take(), checksum=None, retry=POLICY)
        wanted = base64.b64encode(self._crc.digest()).decode()
        if self._blob.crc32c != wanted:
            self._blob.delete(retry=POLICY)
            raise RunFailed(f"{self._uri} arrived with CRC32C {self._blob.crc32c}, not {wanted}; it was removed")

    def discard(self) -> None:
        """Leave the upload unfinished: it makes no object, and Cloud Storage forgets it after a week."""

    def _take(self) -> bytes:
        data = b"".join(self._waiting)
        self._waiting, self._waiting_bytes = [], 0
        return data


def split_uri(uri: str) -> tuple[str, str]:
    """`gs://bucket/name` -> bucket, name."""
    bucket, _, name = uri.removeprefix("gs://").partition("/")
    return bucket, name


def blob_of(client: Client, uri: str) -> Blob:
    """The object called `uri`, whether there is one or not."""
    bucket, name = split_uri(uri)
    return client.bucket(bucket).blob(name)


def copy(source: Blob, target: Blob) -> None:
    """Copy an object of any size, on Cloud Storage's side."""
    token, _, _ = target.rewrite(source, retry=POLICY)
    while token:
        token, _, _ = target.rewrite(source, token=token, retry=POLICY)


def put(storage: Storage, uri: str, data: bytes, aside: str = "") -> None:
    """Write a whole small file."""
    file = storage.create(uri, aside)
    file.write(data)
    file.close()


def check_writable(uri: str, endpoints: Endpoints, note: str, data: bytes) -> None:
    """Write the file `note`, below `uri`, and so learn whether files can be written there.

    Raises: UsageError.
    """
    with _mapped(uri):
        put(open_storage(uri, endpoints), note, data)


@contextmanager
def translated(uri: str, *, flag: str, role: str) -> Iterator[None]:
    """Turn Cloud Storage's refusals into one line that names the place, and the `flag` or the `role` to mend.

    Raises: UsageError.
    """
    try:
        yield
    except exceptions.NotFound as error:
        raise UsageError(f"{uri}: the bucket does not exist; make it, or mend {flag}") from error
    except exceptions.Forbidden as error:
        raise UsageError(f"{uri}: no permission; grant {role} on the bucket") from error
    except (exceptions.Unauthorized, GoogleAuthError) as error:
        raise UsageError(
            f"{uri}: credentials are missing or refused; run gcloud auth application-default login"
        ) from error
    except (exceptions.BadRequest, ValueError) as error:
        raise UsageError(f"{uri}: Cloud Storage refuses this name ({error}): mend {flag}") from error


@contextmanager
def _mapped(uri: str) -> Iterator[None]:
    """The same for files that are written, in folders too."""
    try:
        with translated(uri, flag="--output", role="roles/storage.objectUser"):
            yield
    except OSError as error:
        raise UsageError(f"{uri}: cannot be written: {error.strerror or error}") from error
