"""What every request passes first and every answer last: its id, who calls, how large and slow it may be, and faults.

A request that is refused here has not been read.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wharf.launch.service.identity_tokens import IdentityTokens, KeysMissing, TokenRefused
from wharf.launch.service.logs import REQUEST, Request
from wharf.launch.service.problems import Refusal, answer

LARGEST_BODY = 1 << 20  # bytes; a Pub/Sub push is far below
LONGEST_BODY = 30.0  # seconds until all of it has come
OPEN = {"/health", "/openapi.json"}  # they tell nothing
_log = logging.getLogger(__name__)


class Edge:
    """ASGI middleware around the whole service; without `tokens` everybody may call."""

    def __init__(self, app: ASGIApp, tokens: IdentityTokens | None) -> None:
        self._app, self._tokens = app, tokens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand on one request, and answer in place of the service where it cannot."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        trace = re.match(r"[0-9a-f]{32}", headers.get("x-cloud-trace-context", ""))
        request = Request(secrets.token_hex(8), f"{scope['method']} {scope['path']}", trace[0] if trace else "")
        former = REQUEST.set(request)
        has_begun, size = False, 0
        deadline: float | None = asyncio.get_running_loop().time() + LONGEST_BODY

        async def receive_some() -> Message:
            nonlocal size, deadline
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                text = f"the body has not come within {LONGEST_BODY:.0f} s"
                raise Refusal(408, text, headers={"Connection": "close"}) from None
            size += len(message.get("body", b""))
            if size > LARGEST_BODY:
                raise _too_large(f"more than {LARGEST_BODY:,}")
            if not message.get("more_body"):
                deadline = None  # what is received from now on is that the caller has left
            return message

        async def send_on(message: Message) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                answered = MutableHeaders(scope=message)
                answered["X-Request-Id"] = request.id
                answered["X-Content-Type-Options"] = "nosniff"
            await send(message)

        try:
            await self._admit(scope, headers)
            await self._app(scope, receive_some, send_on)
        except Refusal as refusal:
            await answer(refusal)(scope, receive, send_on)
        except ClientDisconnect:
            _log.info("the caller left")
        except Exception:  # noqa: BLE001 - whatever it is, it ends in the logs
            _log.exception("%s failed", request.what)
            if not has_begun:
                await answer(Refusal(500, "something went wrong; the logs tell what"))(scope, receive, send_on)
        finally:
            REQUEST.reset(former)

    async def _admit(self, scope: Scope, headers: Headers) -> None:
        """Raises: Refusal."""
        length = headers.get("content-length", "0")
        if int(length) > LARGEST_BODY:  # a chunked body has none, and is measured while it is read
            raise _too_large(length)
        if self._tokens and scope["path"] not in OPEN:
            try:
                await self._tokens.caller(headers.get("authorization", ""))
            except TokenRefused as error:
                challenge = {"WWW-Authenticate": "Bearer"} if error.status == 401 else {}
                raise Refusal(error.status, str(error), headers=challenge) from error
            except KeysMissing as error:
                text = "the keys that tokens are signed with cannot be had; try again"
                raise Refusal(503, text, headers={"Retry-After": "5"}) from error
        # Browsers send Origin along: no page of another site makes the browser of somebody who may call launch runs.
        origin = headers.get("origin")
        if scope["method"] == "POST" and origin and origin.partition("://")[2] != headers.get("host"):
            raise Refusal(403, "a page of another site may not call this service")


def _too_large(size: str) -> Refusal:
    # What follows is not read.
    text = f"the body has {size} bytes; {LARGEST_BODY:,} are the most"
    return Refusal(413, text, headers={"Connection": "close"})
