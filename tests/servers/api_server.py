"""The local API server with named faults, each for the first `times` answers, or where said, for all.

    ApiServer           well behaved, see wharf.local.api_server
    +- Refuses          429 with `retry_after`, whatever the limits are
    +- Fails            `status`, 500 for instance
    +- Truncates        half a body, then the connection is closed
    +- TruncatesGzip    half a gzip stream, told to be whole
    +- Drips            a body in drops, for ever slow
    +- Hangs            no answer at all
    +- Drops            the connection is closed without an answer
    +- SendsPage        `kind` and `text` instead of JSON: a login page, a wrong content type
    +- Redirects        to `place`
    +- EndsTokens       all access tokens end behind the answer number `after`, once
    +- RepeatsFirst     always: whichever page is asked for, the first one
    +- Compresses       always: gzip
    +- Replies          always: `body`, such as a huge page

`odd_records` are records with unicode, huge integers, nulls, deep nesting, and a field that changes its type.
"""

from __future__ import annotations

import asyncio
import gzip
import json
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from multidict import MultiDict

from wharf.local import api_pages
from wharf.local.api_limits import ServerLimits
from wharf.local.api_server import ApiServer as WellBehaved

UNLIMITED = ServerLimits(per_minute=None, per_day=None, concurrent=None, app_per_minute=None)


@dataclass
class ApiServer(WellBehaved):
    times: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.answers = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.answers += 1
        if self.answers <= self.times:
            return await self.fault(request)
        return api_pages.answer(request, self)

    async def fault(self, request: web.Request) -> web.StreamResponse:
        raise NotImplementedError


@dataclass
class Refuses(ApiServer):
    retry_after: str | None = "0.2"

    async def fault(self, request: web.Request) -> web.StreamResponse:
        return web.Response(status=429, headers={"Retry-After": self.retry_after} if self.retry_after else {})


@dataclass
class Fails(ApiServer):
    status: int = 500
    text: str = '{"Title": "An error occurred"}'
    coding: str = "identity"  # what it says of its body

    async def fault(self, request: web.Request) -> web.StreamResponse:
        headers = {"Content-Encoding": self.coding}
        return web.Response(status=self.status, text=self.text, content_type="application/json", headers=headers)


@dataclass
class Truncates(ApiServer):
    tells_length: bool = True  # else the end of the connection is the end of the body, as in HTTP/1.0

    async def fault(self, request: web.Request) -> web.StreamResponse:
        body = api_pages.answer(request, self).body
        assert isinstance(body, bytes)
        length = f"Content-Length: {len(body)}\r\n" if self.tells_length else ""
        transport = request.transport
        assert transport is not None
        transport.write(f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{length}\r\n".encode())
        transport.write(body[: len(body) // 2])
        transport.close()
        await asyncio.sleep(1)
        return web.Response()


@dataclass
class TruncatesGzip(ApiServer):
    async def fault(self, request: web.Request) -> web.StreamResponse:
        body = gzip.compress(api_pages.answer(request, self).body)  # type: ignore[arg-type]
        half = body[: len(body) // 2]
        return web.Response(body=half, content_type="application/json", headers={"Content-Encoding": "gzip"})


@dataclass
class Drips(ApiServer):
    async def fault(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        for _ in range(1000):
            await response.write(b" ")
            await asyncio.sleep(0.05)
        return response


@dataclass
class Hangs(ApiServer):
    async def fault(self, request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(30)
        return web.Response()


@dataclass
class Drops(ApiServer):
    async def fault(self, request: web.Request) -> web.StreamResponse:
        assert request.transport
        request.transport.close()
        return web.Response()


@dataclass
class SendsPage(ApiServer):
    kind: str = "text/html"
    text: str = "<!DOCTYPE html><title>Log in</title>"

    async def fault(self, request: web.Request) -> web.StreamResponse:
        return web.Response(text=self.text, content_type=self.kind)


@dataclass
class Redirects(ApiServer):
    place: str = "/"

    async def fault(self, request: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": self.place})


@dataclass
class EndsTokens(ApiServer):
    after: int = 3

    async def answer(self, request: web.Request) -> web.StreamResponse:
        answer = await super().answer(request)
        if self.answers == self.after:
            self.login.revoke()
        return answer


@dataclass
class RepeatsFirst(ApiServer):
    async def answer(self, request: web.Request) -> web.StreamResponse:
        query: MultiDict[str] = MultiDict(request.query)
        query.popall("page", None)
        query["page"] = "1"
        return await super().answer(request.clone(rel_url=request.rel_url.with_query(query)))


@dataclass
class Compresses(ApiServer):
    async def answer(self, request: web.Request) -> web.StreamResponse:
        answer = await super().answer(request)
        answer.enable_compression(web.ContentCoding.gzip)
        return answer


@dataclass
class Replies(ApiServer):
    body: bytes = b"[]"

    async def answer(self, request: web.Request) -> web.StreamResponse:
        return web.Response(body=self.body, content_type="application/json")


def odd_records(count: int) -> list[dict[str, Any]]:
    """Records that parsers and loaders stumble over."""
    deep: Any = "bottom"
    for _ in range(15):
        deep = {"deeper": deep}
    return [
        {
            "id": number,
            "huge": 123_456_789_012_345_678_901_234_567_890 + number,
            "name": "Ærøskøbing 株式会社 \U0001f6a2 \u2028 \x00"[:-1],
            "nothing": None,
            "empty": {},
            "deep": deep,
            "changing": number if number < count // 2 else f"number {number}",
        }
        for number in range(count)
    ]


def odd_body(count: int) -> bytes:
    """`odd_records` as a body."""
    return json.dumps(odd_records(count), ensure_ascii=False).encode()
