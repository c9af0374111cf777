"""Records of launches: one small JSON object for each run, `<folder>/<run id>.json`, made and changed atomically.

On Cloud Storage a change names the generation it is a change of (`ifGenerationMatch`), so that of two that come at once
one is refused; in a local folder a lock does that. Cloud Storage asks for no more than a write a second to one object:
one that comes too early is tried again.

https://cloud.google.com/storage/docs/json_api/v1/objects/insert
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote

from wharf.connectors.endpoints import Endpoints, proxy_for
from wharf.connectors.google_http import Answer, GoogleHttp
from wharf.connectors.retry import pause
from wharf.model.errors import UsageError
from wharf.model.launching.errors import LaunchBusy
from wharf.model.launching.record import LaunchRecord

_PUBLIC = "https://storage.googleapis.com"
_ATTEMPTS = 4
_REMEDIES = {
    403: "grant roles/storage.objectUser on the bucket to the account that launches",
    404: "is the bucket's name right?",
}
_CONTENT_TYPE = "text/plain; charset=utf-8"  # JSON; the emulator breaks off an upload that says so


class Held(NamedTuple):
    """A record as it was read or written, and which version of it."""

    record: LaunchRecord
    version: str


class LaunchRecords(Protocol):
    """What a launcher asks of the place for its records. Cloud Storage raises LaunchBusy where it gives no answer."""

    async def create(self, record: LaunchRecord) -> Held | None:
        """Write the first version; None if there is one."""

    async def read(self, run_id: str) -> Held | None:
        """The newest version; None if there is none."""

    async def replace(self, held: Held, record: LaunchRecord) -> Held | None:
        """Write `record` in place of `held`; None if that is not the newest version any more."""

    async def recent(self, limit: int) -> list[LaunchRecord]:
        """The records that were changed last, newest first.

        Takes a listing of all there are, a request for each 1,000: a record's name must follow from what is launched
        alone, else the same request a day later would not find it, so no name can tell the day.
        """


def open_records(folder: str, http: GoogleHttp, endpoints: Endpoints) -> LaunchRecords:
    """The records in `folder`, gs://... or a local one."""
    return CloudRecords(folder, http, endpoints) if folder.startswith("gs://") else LocalRecords(Path(folder))


class CloudRecords:
    """Records on Cloud Storage."""

    def __init__(self, folder: str, http: GoogleHttp, endpoints: Endpoints) -> None:
        self._folder = folder
        self._bucket, _, prefix = folder.removeprefix("gs://").partition("/")
        self._prefix = f"{prefix.rstrip('/')}/" if prefix else ""
        self._http = http
        base = endpoints.storage or _PUBLIC
        self._objects = f"{base}/storage/v1/b/{self._bucket}/o"
        self._upload = f"{base}/upload/storage/v1/b/{self._bucket}/o"
        self._options: dict[str, Any] = {"anonymous": bool(endpoints.storage), "proxy": proxy_for(base)}

    async def create(self, record: LaunchRecord) -> Held | None:
        return await self._write(record, "0")

    async def replace(self, held: Held, record: LaunchRecord) -> Held | None:
        return await self._write(record, held.version)

    async def read(self, run_id: str) -> Held | None:
        url = f"{self._objects}/{quote(self._name(run_id), safe='')}"
        answer = await self._send("GET", url, params={"alt": "media"})
        if answer.status == 404:
            return None
        record = self._parsed(run_id, self._sound(answer).body)
        version = answer.headers.get("x-goog-generation")
        if not version:  # the emulator tells it in the metadata only
            version = self._sound(await self._send("GET", url)).document["generation"]
        return Held(record, version)

    async def recent(self, limit: int) -> list[LaunchRecord]:
        found: list[tuple[str, str]] = []
        params = {"prefix": self._prefix, "fields": "items(name,updated),nextPageToken"}
        while True:
            page = self._sound(await self._send("GET", self._objects, params=params)).document
            found += [(each["updated"], each["name"]) for each in page.get("items", [])]
            if not page.get("nextPageToken"):
                break
            params["pageToken"] = page["nextPageToken"]
        names = [name for _, name in sorted(found, reverse=True)[:limit]]
        read = [self.read(name.removeprefix(self._prefix).removesuffix(".json")) for name in names]
        return [held.record for held in await asyncio.gather(*read) if held]

    async def _write(self, record: LaunchRecord, generation: str) -> Held | None:
        params = {"uploadType": "media", "name": self._name(record.run_id), "ifGenerationMatch": generation}
        answer, tries = await self._sent(
            "POST", self._upload, params=params, data=record.as_json(), content_type=_CONTENT_TYPE
        )
        if answer.status == 412:
            # An earlier try may have been carried out although nobody heard of it.
            held = await self.read(record.run_id) if tries > 1 else None
            return held if held and held.record == record else None
        return Held(record, str(self._sound(answer).document["generation"]))

    async def _send(self, method: str, url: str, **options: Any) -> Answer:
        return (await self._sent(method, url, **options))[0]

    async def _sent(self, method: str, url: str, **options: Any) -> tuple[Answer, int]:
        """An answer, and how often it was asked for; a busy service is asked again for a second or two."""
        for tries in range(1, _ATTEMPTS + 1):
            is_last = tries == _ATTEMPTS
            try:
                answer = await self._http.send(method, url, **options, **self._options)
            except LaunchBusy:
                if is_last:
                    raise
            else:
                if is_last or not answer.is_busy:
                    break
            await asyncio.sleep(0.1 + pause(tries, 2.0))
        return answer, tries

    def _sound(self, answer: Answer) -> Answer:
        return answer.sound(f"{self._folder}: Cloud Storage", _REMEDIES)

    def _name(self, run_id: str) -> str:
        return f"{self._prefix}{run_id}.json"

    def _parsed(self, run_id: str, data: bytes) -> LaunchRecord:
        return _parsed(f"gs://{self._bucket}/{self._name(run_id)}", data)


class LocalRecords:
    """Records in a folder of this machine, which processes share."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.expanduser()

    async def create(self, record: LaunchRecord) -> Held | None:
        return self._write(record, "")

    async def replace(self, held: Held, record: LaunchRecord) -> Held | None:
        return self._write(record, held.version)

    async def read(self, run_id: str) -> Held | None:
        return self._read(self._path(run_id))

    async def recent(self, limit: int) -> list[LaunchRecord]:
        newest = sorted(self._folder.glob("*.json"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
        return [held.record for path in newest[:limit] if (held := self._read(path))]

    def _write(self, record: LaunchRecord, version: str) -> Held | None:
        path = self._path(record.run_id)
        with self._locked():
            former = self._read(path)
            if (former.version if former else "") != version:
                return None
            data = record.as_json()
            aside = path.with_name(f".{path.name}.{os.getpid()}")
            aside.write_bytes(data)
            os.replace(aside, path)
        return Held(record, _version(data))

    def _read(self, path: Path) -> Held | None:
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        return Held(_parsed(str(path), data), _version(data))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with open(self._folder / ".lock", "a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)  # ends with the file, whatever happens
                yield
        except OSError as error:
            raise UsageError(f"{self._folder}: launches cannot be recorded there: {error.strerror}") from error

    def _path(self, run_id: str) -> Path:
        return self._folder / f"{run_id}.json"


def _parsed(uri: str, data: bytes) -> LaunchRecord:
    try:
        return LaunchRecord.from_json(data)
    except ValueError as error:
        raise UsageError(f"{uri}: is no record of a launch; remove it, or name another folder") from error


def _version(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
