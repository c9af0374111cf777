"""Files in a local folder, with the promise of Cloud Storage: a file appears only when it is complete."""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeVar

import google_crc32c

from wharf.model.checksums import crc32c_text
from wharf.model.errors import RunFailed

if TYPE_CHECKING:
    from wharf.connectors.storage import Range

T = TypeVar("T")


class LocalStorage:
    """A folder of this machine, or one that all workers share."""

    parallel = 0  # it answers at once

    def __init__(self) -> None:
        self._reading = threading.local()  # a thread's parts come file by file, thousands of them

    def create(self, uri: str, aside: str = "") -> _LocalFile:
        return _LocalFile(Path(uri), Path(aside or os.path.dirname(uri)))

    def read(self, part: Range) -> bytes:
        file: BinaryIO | None = getattr(self._reading, "file", None)
        if file is None or file.name != part.uri:
            if file:
                file.close()
            file = self._reading.file = open(part.uri, "rb", buffering=0)  # noqa: SIM115 - kept for the next part
        data = os.pread(file.fileno(), part.length, part.offset)
        if len(data) != part.length:
            raise RunFailed(f"{part.uri} ends before byte {part.offset + part.length}")
        return data

    def read_all(self, uri: str) -> bytes | None:
        path = Path(uri)
        return path.read_bytes() if path.exists() else None

    def describe(self, uri: str) -> tuple[int, str]:
        crc, size = 0, 0
        with open(uri, "rb") as file:
            while data := file.read(1 << 20):
                crc, size = google_crc32c.extend(crc, data), size + len(data)
        return size, crc32c_text(crc)

    def list(self, prefix: str) -> list[str]:
        folder = prefix if prefix.endswith("/") else os.path.dirname(prefix)
        found = [os.path.join(at, name) for at, _, names in os.walk(folder or ".") for name in names]
        return sorted(uri for uri in found if uri.startswith(prefix))

    def move(self, source: str, target: str) -> None:
        try:
            _in_folder(Path(target).parent, lambda: os.replace(source, target))
        except FileNotFoundError:
            if not os.path.exists(target):
                raise

    def delete(self, uris: Iterable[str]) -> None:
        folders = set()
        for uri in uris:
            Path(uri).unlink(missing_ok=True)
            folders.add(os.path.dirname(uri))
        # Cloud Storage has no folders that outlive their files; an empty one here would look like a partition.
        for folder in sorted(folders, key=len, reverse=True):
            _remove_empty(Path(folder))


class _LocalFile:
    """A file written in the folder `aside` as `.<name>.<random>`, and renamed when it is closed."""

    def __init__(self, path: Path, aside: Path) -> None:
        self._path = path
        self._aside = aside / f".{path.name[:100]}.{uuid.uuid4().hex[:8]}"
        self._file = _in_folder(aside, lambda: open(self._aside, "wb", buffering=1 << 17))  # noqa: SIM115
        self.write = self._file.write

    def close(self) -> None:
        self._file.close()
        _in_folder(self._path.parent, lambda: os.replace(self._aside, self._path))

    def discard(self) -> None:
        self._file.close()
        self._aside.unlink(missing_ok=True)


def _in_folder(folder: Path, act: Callable[[], T]) -> T:
    """Do what needs `folder`, which is there more often than not."""
    try:
        return act()
    except FileNotFoundError:
        folder.mkdir(parents=True, exist_ok=True)
        return act()


def _remove_empty(folder: Path) -> None:
    while folder != folder.parent:
        try:
            folder.rmdir()
        except OSError:
            return
        folder = folder.parent
