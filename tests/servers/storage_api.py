"""A stand-in for Cloud Storage's JSON API that honours `ifGenerationMatch`, which gcp-storage-emulator does not.

    with StorageApi() as storage:               # STORAGE_EMULATOR_HOST=storage.url
        storage.objects["bucket", "a.json"]     # -> (data, generation)

    POST /upload/storage/v1/b/B/o?uploadType=media&name=&ifGenerationMatch=
    GET  /storage/v1/b/B/o?prefix=              GET /storage/v1/b/B/o/NAME, with alt=media the data

Buckets are there as soon as they are named, those in `missing` apart. Faults are of uploads: `fail(status)`,
`fail_once_made(status)`, 0 breaks the connection.

`python -m tests.servers.storage_api --port 9071 --latency-ms 5` serves until interrupted.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections import deque
from typing import Any, NamedTuple

from aiohttp import web

from tests.servers.google_api import GoogleApi, json_answer


class Object(NamedTuple):
    """A stored object."""

    data: bytes
    generation: int
    updated: str


class StorageApi(GoogleApi):
    """A stand-in for Cloud Storage's JSON API."""

    def __init__(self, *, port: int = 0, latency: float = 0.0) -> None:
        super().__init__(port=port, latency=latency)
        self.objects: dict[tuple[str, str], Object] = {}
        self.missing: set[str] = set()
        self._faults: deque[tuple[int, bool]] = deque()  # (status, whether the object is written all the same)
        self._generations = itertools.count(1_700_000_000_000_001)

    def fail(self, status: int, *, times: int = 1) -> None:
        """Answer the next `times` uploads with `status`, and write nothing."""
        self._faults.extend([(status, False)] * times)

    def fail_once_made(self, status: int, *, times: int = 1) -> None:
        """Write what the next `times` uploads bring, and answer `status` all the same."""
        self._faults.extend([(status, True)] * times)

    def put(self, bucket: str, name: str, data: bytes) -> None:
        """Write an object, whatever is there."""
        self.objects[bucket, name] = Object(data, next(self._generations), dt.datetime.now(dt.UTC).isoformat())

    async def _upload(self, request: web.Request) -> web.StreamResponse:
        status, is_made = self._faults.popleft() if self._faults else (200, True)
        data = await request.read()
        key = (request.match_info["bucket"], request.query["name"])
        if key[0] in self.missing:
            return _error(404, "The specified bucket does not exist.")
        if is_made:
            former = self.objects.get(key)
            wanted = request.query.get("ifGenerationMatch")
            if wanted is not None and int(wanted) != (former.generation if former else 0):
                return _error(412, "At least one of the pre-conditions you specified did not hold.")
            self.put(*key, data)
        if status == 200:
            return json_answer(self._described(key))
        if not status:
            assert request.transport is not None
            request.transport.abort()
        return _error(status or 500, "as the test asked")

    async def _get(self, request: web.Request) -> web.StreamResponse:
        key = (request.match_info["bucket"], request.match_info["name"])
        found = self.objects.get(key)
        if key[0] in self.missing:
            return _error(404, "The specified bucket does not exist.")
        if not found:
            return _error(404, f"No such object: {'/'.join(key)}")
        if request.query.get("alt") != "media":
            return json_answer(self._described(key))
        return web.Response(body=found.data, headers={"x-goog-generation": str(found.generation)})

    async def _list(self, request: web.Request) -> web.StreamResponse:
        bucket, prefix = request.match_info["bucket"], request.query.get("prefix", "")
        start, size = request.query.get("pageToken", ""), int(request.query.get("maxResults", 1000))
        keys = sorted(key for key in self.objects if key[0] == bucket and key[1].startswith(prefix) and key[1] > start)
        page: dict[str, Any] = {"kind": "storage#objects"}
        if keys:
            page["items"] = [self._described(key) for key in keys[:size]]
        if len(keys) > size:
            page["nextPageToken"] = keys[size - 1][1]
        return json_answer(page)

    def _described(self, key: tuple[str, str]) -> dict[str, str]:
        found = self.objects[key]
        size, generation = str(len(found.data)), str(found.generation)
        return {"bucket": key[0], "name": key[1], "generation": generation, "size": size, "updated": found.updated}

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/upload/storage/v1/b/{bucket}/o", self._upload),
            web.get("/storage/v1/b/{bucket}/o", self._list),
            web.get("/storage/v1/b/{bucket}/o/{name:.+}", self._get),
        ]


def _error(code: int, message: str) -> web.Response:
    return json_answer({"error": {"code": code, "message": message}}, code)


if __name__ == "__main__":
    StorageApi.main(9071)
