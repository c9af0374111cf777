"""Google's JSON APIs without a client library: an HTTP client of asyncio's, and access tokens.

The service launches hundreds of jobs a second on one core; aiohttp takes 0.12 ms of it for a request where httpx takes
1 ms, and Google's own clients would need threads.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

import aiohttp
import orjson
from google.auth.exceptions import GoogleAuthError, TransportError

from wharf.model.errors import RunFailed, UsageError
from wharf.model.launching.errors import LaunchBusy

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_TIMEOUT = aiohttp.ClientTimeout(total=20, sock_connect=5)
_CONNECTIONS = 100
_LONGEST_PAUSE = 600.0
_LONGEST_TEXT = 1_000
_REMEDIES = {401: "run gcloud auth application-default login, or give the service an account"}
_QUOTA = re.compile(r"quota(?! project)|rate ?limit", re.IGNORECASE)  # a missing quota project stays missing


class Answer(NamedTuple):
    """What a request was answered with."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def document(self) -> dict[str, Any]:
        """The body's JSON object; empty if it is none."""
        try:
            document = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return {}
        return document if isinstance(document, dict) else {}

    @property
    def message(self) -> str:
        """What the API says is wrong, on one line."""
        error = self.document.get("error")
        text = error.get("message", "") if isinstance(error, dict) else ""
        return " ".join(str(text).split())[:_LONGEST_TEXT] or f"HTTP status {self.status}"

    @property
    def is_busy(self) -> bool:
        """Whether the same request may be answered otherwise in a while. Quotas come as 403 or 400 too."""
        return (
            self.status in {408, 429} or self.status >= 500 or (self._is_refusal and bool(_QUOTA.search(self.message)))
        )

    @property
    def retry_after(self) -> float:
        """Seconds until it is worth asking again."""
        text = self.headers.get("Retry-After", "")
        return min(float(text), _LONGEST_PAUSE) if re.fullmatch(r"\d{1,9}(\.\d+)?", text) else 5.0

    def sound(self, who: str, remedies: Mapping[int, str]) -> Self:
        """Itself if the request was done; `who` answers is named in errors, `remedies` are for other statuses.

        Raises: LaunchBusy where asking again may help, UsageError where there is a remedy, RunFailed otherwise.
        """
        if self.status < 300:
            return self
        told = f"{who} says {self.message.rstrip('.')}"
        if self.is_busy:
            raise LaunchBusy(f"{told}; try again", self.retry_after)
        if remedy := {**_REMEDIES, **remedies}.get(self.status):
            raise UsageError(f"{told}; {remedy}")
        raise RunFailed(f"{told} (HTTP status {self.status})")

    @property
    def _is_refusal(self) -> bool:
        return self.status in {400, 403}


class GoogleHttp:
    """One pool of connections and one token for all APIs, inside an `async with` block."""

    def __init__(self) -> None:
        self._credentials: Any = None
        self._refreshing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(limit=_CONNECTIONS)
        self._session = aiohttp.ClientSession(
            connector=connector, timeout=_TIMEOUT, cookie_jar=aiohttp.DummyCookieJar()
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._refreshing:
            self._refreshing.cancel()
        await self._session.close()

    async def send(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        data: bytes | None = None,
        content_type: str = "application/json",
        anonymous: bool = False,
        proxy: str | None = None,
    ) -> Answer:
        """Ask, and wait for the whole answer; `anonymous` requests have no token.

        Raises: LaunchBusy without an answer; nobody knows then whether the request was carried out. UsageError
        without credentials.
        """
        headers = {} if anonymous else {"Authorization": f"Bearer {await self._token()}"}
        if data is not None:
            headers["Content-Type"] = content_type
        try:
            async with self._session.request(
                method, url, params=params, data=data, headers=headers, proxy=proxy, allow_redirects=False
            ) as response:
                return Answer(response.status, response.headers, await response.read())
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise LaunchBusy(f"{urlsplit(url).hostname} gives no answer ({type(error).__name__}); try again") from error

    async def _token(self) -> str:
        from google.auth.credentials import TokenState

        if self._credentials is None or self._credentials.token_state is TokenState.INVALID:
            await asyncio.shield(self._refresh())
        elif self._credentials.token_state is TokenState.STALE:
            self._refresh()  # good for some minutes yet: nobody has to wait
        return str(self._credentials.token)

    def _refresh(self) -> asyncio.Task[None]:
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(self._make_token())
            self._refreshing.add_done_callback(_seen)
        return self._refreshing

    async def _make_token(self) -> None:
        from google.auth import default
        from google.auth.transport.requests import Request

        try:
            if self._credentials is None:
                credentials, _ = await asyncio.to_thread(default, scopes=[_SCOPE])
                await asyncio.to_thread(credentials.refresh, Request())
                self._credentials = credentials
            else:
                await asyncio.to_thread(self._credentials.refresh, Request())
        except GoogleAuthError as error:
            # How the metadata server's silence arrives here differs by the kind of credentials.
            if error.retryable or isinstance(error, TransportError) or isinstance(error.__cause__, TransportError):
                raise LaunchBusy(f"no access token can be had ({type(error).__name__}); try again") from error
            raise UsageError(
                "credentials are missing or refused; run gcloud auth application-default login, or give the service "
                "an account"
            ) from error


def _seen(task: asyncio.Task[None]) -> None:
    """Nobody may wait for a token that is fetched ahead; whoever needs it next is told what went wrong."""
    if not task.cancelled():
        task.exception()
