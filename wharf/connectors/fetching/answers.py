"""Bodies of answers: read whole, or known to be damaged; bounded; JSON, or not."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from wharf.connectors.fetching.tokens import Credentials

if TYPE_CHECKING:
    from aiohttp import ClientResponse

_SHOWN = 200
_LARGE = 1_000_000  # compressed bytes that are decompressed in a thread
_ENDS = {b"{": b"}", b"[": b"]"}


class Damaged(Exception):
    """A body that did not arrive as it was sent; another attempt may."""


class Unusable(Exception):
    """A body that is not taken, whatever it holds."""


async def read_body(response: ClientResponse, largest: int) -> bytes:
    """The body of a streamed response, decompressed, not longer than `largest`.

    Raises: Damaged, Unusable if it is too long or compressed in another way; aiohttp's own errors.
    """
    chunks, received = [], 0
    async for chunk in response.content.iter_any():
        received += len(chunk)
        if received > largest:
            raise _too_long(largest)
        chunks.append(chunk)
    body = b"".join(chunks)
    coding = response.headers.get("content-encoding", "identity").lower()
    if coding in {"gzip", "x-gzip"} and body:
        large = len(body) > _LARGE
        body = await asyncio.to_thread(_gunzip, body, largest) if large else _gunzip(body, largest)
    elif coding not in {"gzip", "x-gzip", "identity", ""}:
        raise Unusable(f"the API compresses its answers with {coding}, though it was asked for gzip only")
    # HTTP/1.0 ends a body by closing the connection, as does a crash.
    if "content-length" not in response.headers and "transfer-encoding" not in response.headers:
        end = _ENDS.get(body.lstrip()[:1])
        if end and not body.rstrip().endswith(end):
            raise Damaged("the answer ends in its middle")
    return body


def check_json(content_type: str, body: bytes) -> str:
    """What is wrong with a body that should be JSON; empty if nothing is. Only its type and its beginning are seen."""
    kind = content_type.split(";")[0].strip().lower()
    if "html" in kind or body[:64].lstrip().lower().startswith((b"<!doctype", b"<html")):
        return f"a web page ({kind or 'no content type'}) instead of JSON; is it a login page, or a proxy's?"
    if not body.strip():
        return "an empty body instead of JSON"
    # Some send JSON as text/plain.
    if "json" in kind or body.lstrip()[:1] in _ENDS:
        return ""
    return f"{kind or 'no content type'} instead of JSON; is the path right?"


def excerpt(body: bytes, credentials: Credentials) -> str:
    """The first part of a body as a line of text, without our secrets."""
    text = " ".join(credentials.mask(body[: 4 * _SHOWN].decode(errors="replace")).split())
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _gunzip(data: bytes, largest: int) -> bytes:
    from isal import igzip_lib, isal_zlib

    parts, room = [], largest
    while data:  # a gzip stream may have several members
        member = isal_zlib.decompressobj(wbits=31)
        try:
            part = member.decompress(data, room + 1)
        except igzip_lib.IsalError as error:  # type: ignore[misc]  # its stub does not say what it is
            raise Damaged("its gzip stream is broken") from error
        room -= len(part)
        if room < 0:
            raise _too_long(largest)
        if not member.eof:
            raise Damaged("its gzip stream ends in its middle")
        parts.append(part)
        data = member.unused_data
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _too_long(largest: int) -> Unusable:
    return Unusable(f"the answer is longer than {largest:,} bytes; ask for smaller pages")
