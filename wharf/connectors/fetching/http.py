"""One GET of an API, tried until it is answered whole: budget, credentials, retries, and what counts as an answer."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
import uuid
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self
from urllib.parse import urljoin

import httpx

from wharf import __version__
from wharf.connectors.endpoints import is_loopback
from wharf.connectors.fetching.answers import Damaged, Unusable, check_json, excerpt, read_body
from wharf.connectors.fetching.budget import Budget
from wharf.connectors.fetching.tokens import Credentials, TokenSource
from wharf.connectors.retry import pause
from wharf.model.errors import RunFailed, ServerRefused
from wharf.model.fetching.api import Api
from wharf.model.fetching.paging import Request
from wharf.model.fetching.urls import masked, origin

LARGEST_BODY = 100_000_000
_LONGEST_PAUSE = 30.0
_MOST_REDIRECTS = 5
_CONNECT_SECONDS = 10.0
_REQUEST_ID = ("xero-correlation-id", "x-github-request-id", "x-request-id", "request-id", "x-correlation-id")


@dataclass
class Counts:
    """What requests cost; the caller keeps one for each endpoint. `bytes`: of bodies, decompressed."""

    requests: int = 0
    retries: int = 0
    throttled_seconds: float = 0.0
    bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class Response:
    """A whole answer: status 2xx with a body that is JSON by its type, or without one, or 304.

    `headers` have lower-case names. `request_id` is the server's name for the request, or one made up here.
    """

    status: int
    headers: dict[str, str]
    body: bytes = field(repr=False)
    request_id: str
    attempts: int


class ApiClient:
    """Asks one API on behalf of one tenant, inside an `async with` block.

    Requests may run side by side: the budget says how many.
    """

    def __init__(self, api: Api, budget: Budget, tokens: TokenSource, *, largest_body: int = LARGEST_BODY) -> None:
        self._api = api
        self._budget = budget
        self._tokens = tokens
        self._largest_body = largest_body
        self._origin = origin(api.base_url)
        self._trusted = httpx.create_ssl_context()
        self._clients: list[httpx.AsyncClient] = []
        self._free: list[httpx.AsyncClient] = []
        # They log each request's URL, in which an API key may stand, and the headers of answers.
        for name in ("httpx", "httpcore"):
            logging.getLogger(name).setLevel(logging.WARNING)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for client in self._clients:
            await client.aclose()

    async def get(self, request: Request, counts: Counts | None = None) -> Response:
        """Send `request` until it is answered, and add what that took to `counts`.

        Raises: DayBudgetSpent. RunFailed with status, URL without secrets and the body's first part, if the answer is
        none that can be used or there is none in time. ServerRefused if the credentials are refused. UsageError.
        """
        counts = counts or Counts()
        retries = self._api.retries
        url, redirects, attempt, deadline = request.full_url, 0, 1, 0.0
        renewed = False
        while True:
            self._check_origin(url, request)
            credentials = await self._tokens.credentials()
            async with self._budget.turn() as turn:
                deadline = deadline or time.monotonic() + retries.total_seconds
                counts.requests += 1
                counts.throttled_seconds += turn.waited
                answer = await self._try(url, request, credentials)
            if isinstance(answer, _Answer) and answer.status < 400:
                if answer.status in {301, 302, 303, 307, 308}:
                    redirects += 1
                    if redirects > _MOST_REDIRECTS:
                        raise RunFailed(f"{masked(url, credentials.params)}: leads from one place to the next for ever")
                    url = urljoin(url, answer.headers.get("location", ""))
                    continue
                counts.bytes += len(answer.body)
                return self._response(url, answer, credentials, attempt)
            if isinstance(answer, _Answer) and answer.status == 401 and not renewed:
                renewed = True
                if await self._tokens.refused(credentials):
                    counts.retries += 1
                    continue
            shown = masked(url, credentials.params)
            if isinstance(answer, _Answer) and answer.status not in {408, 425, 429} and answer.status < 500:
                raise _refusal(shown, answer, credentials)
            self._budget.check()
            wait = max(pause(attempt, _LONGEST_PAUSE), self._budget.held_seconds())
            if attempt >= retries.attempts or time.monotonic() + wait > deadline:
                raise RunFailed(
                    f"{shown}: no usable answer in {attempt} attempts; the last: {credentials.mask(str(answer))}; "
                    "try again later"
                )
            await asyncio.sleep(pause(attempt, _LONGEST_PAUSE))
            attempt += 1
            counts.retries += 1

    def _client(self) -> httpx.AsyncClient:
        """A client with one connection, which nobody uses now.

        A pool of connections looks at all of them several times for each request, and hands one to two at once.
        """
        if self._free:
            return self._free.pop()
        seconds = self._api.retries.timeout_seconds
        client = httpx.AsyncClient(
            headers={"user-agent": f"wharf/{__version__}", "accept": "application/json", "accept-encoding": "gzip"},
            timeout=httpx.Timeout(seconds, connect=min(_CONNECT_SECONDS, seconds)),
            limits=httpx.Limits(max_connections=1, keepalive_expiry=60.0),
            verify=self._trusted,
            trust_env=not is_loopback(self._api.base_url),  # a proxy does not lead to this machine
        )
        self._clients.append(client)
        return client

    async def _try(self, url: str, request: Request, credentials: Credentials) -> _Answer | _Failure:
        """One attempt; its whole answer, or why there is none."""
        client = self._client()
        sent = client.build_request("GET", url, headers=list(request.headers))
        sent.headers.update(credentials.headers)
        if credentials.params:
            sent.url = sent.url.copy_merge_params(credentials.params)
        try:
            async with asyncio.timeout(self._api.retries.timeout_seconds):
                response = await client.send(sent, stream=True)
                try:
                    headers = dict(response.headers)
                    self._budget.heard(headers, response.status_code)
                    body = await read_body(response, self._largest_body)
                finally:
                    await response.aclose()
            # Only now: one whose request was cancelled never gets its connection back, and stays until the end.
            self._free.append(client)
        except TimeoutError:
            return _Failure(f"it took more than {self._api.retries.timeout_seconds:g} s")
        except httpx.LocalProtocolError:
            # The error's text shows the header.
            raise ServerRefused(
                f"{masked(url, credentials.params)}: a header cannot be sent; is there a line break in the secret?"
            ) from None
        except Unusable as error:
            raise RunFailed(f"{masked(url, credentials.params)}: {error}") from None
        except (httpx.TransportError, Damaged) as error:
            if isinstance(_root(error), ssl.SSLCertVerificationError):
                raise ServerRefused(f"{self._origin}: its certificate is not trusted: {error}") from error
            return _Failure(f"{type(error).__name__}: {error}")
        return _Answer(response.status_code, headers, body)

    def _response(self, url: str, answer: _Answer, credentials: Credentials, attempts: int) -> Response:
        if answer.body or answer.status not in {204, 205, 304}:
            problem = check_json(answer.headers.get("content-type", ""), answer.body)
            if problem:
                raise RunFailed(
                    f"{masked(url, credentials.params)}: answers {answer.status} with {problem}: "
                    f"{excerpt(answer.body, credentials)}"
                )
        named = (answer.headers[name] for name in _REQUEST_ID if answer.headers.get(name))
        return Response(
            status=answer.status,
            headers=answer.headers,
            body=answer.body,
            request_id=next(named, "") or uuid.uuid4().hex,
            attempts=attempts,
        )

    def _check_origin(self, url: str, request: Request) -> None:
        if origin(url) != self._origin:
            raise RunFailed(
                f"{masked(request.full_url, {})}: leads to {origin(url)}, which would be given the credentials of "
                f"{self._origin}; if that is right, name it as base_url"
            )


@dataclass(frozen=True)
class _Answer:
    status: int
    headers: dict[str, str]
    body: bytes = field(repr=False)

    def __str__(self) -> str:
        return f"status {self.status}"


@dataclass(frozen=True)
class _Failure:
    text: str

    def __str__(self) -> str:
        return self.text


def _refusal(shown: str, answer: _Answer, credentials: Credentials) -> RunFailed:
    text = f"{shown}: status {answer.status}: {excerpt(answer.body, credentials)}"
    if answer.status == 401:
        return ServerRefused(f"{text}; the credentials are refused, also after they were renewed")
    return RunFailed(text)


def _root(error: BaseException) -> BaseException:
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
    return error
