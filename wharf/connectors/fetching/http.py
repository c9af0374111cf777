"""One GET of an API, tried until it is answered whole: budget, credentials, retries, and what counts as an answer."""

from __future__ import annotations

import asyncio
import time
import uuid
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self
from urllib.parse import urljoin

import aiohttp
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from wharf import __version__
from wharf.connectors.endpoints import proxy_for
from wharf.connectors.fetching.answers import Damaged, Unusable, check_json, excerpt, read_body
from wharf.connectors.fetching.budget import Budget
from wharf.connectors.fetching.tokens import Credentials, TokenSource
from wharf.connectors.retry import pause
from wharf.model.errors import ConnectionLost, RunFailed, ServerRefused
from wharf.model.fetching.api import Api
from wharf.model.fetching.paging import Request
from wharf.model.fetching.urls import masked, origin, sendable

LARGEST_BODY = 100_000_000
_LONGEST_PAUSE = 30.0
_REDIRECTS = {301, 302, 303, 307, 308}
_MOST_REDIRECTS = 5
_PASSING = {408, 425, 429}  # besides 5xx: what may be otherwise the next time
_CONNECT_SECONDS = 10.0
_LONGEST_HEADER = 1 << 16  # a Link header with cursors in it is long
_REQUEST_ID = ("xero-correlation-id", "x-github-request-id", "x-request-id", "request-id", "x-correlation-id")


@dataclass
class Counts:
    """What requests cost; the caller keeps one for each endpoint. `bytes`: of bodies, decompressed."""

    requests: int = 0
    retries: int = 0
    throttled_seconds: float = 0.0
    bytes: int = 0


@dataclass(frozen=True)
class Response:
    """A whole answer: status 2xx with a body that is JSON by its type, or without one, or 304.

    `headers` have lower-case names. `request_id` is the server's name for the request, or one made up here.
    """

    status: int
    headers: dict[str, str]
    body: bytes = field(repr=False)
    request_id: str


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

    async def __aenter__(self) -> Self:
        seconds = self._api.retries.timeout_seconds
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60.0),  # how many there are, the budget says
            headers={"user-agent": f"wharf/{__version__}", "accept": "application/json", "accept-encoding": "gzip"},
            timeout=aiohttp.ClientTimeout(total=seconds, sock_connect=min(_CONNECT_SECONDS, seconds)),
            proxy=proxy_for(self._api.base_url),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            max_line_size=_LONGEST_HEADER,
            max_field_size=_LONGEST_HEADER,
            middlewares=(_send_once,),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._session.close()

    async def get(self, request: Request, counts: Counts | None = None) -> Response:
        """Send `request` until it is answered, and add what that took to `counts`.

        Raises: DayBudgetSpent. RunFailed with status, URL without secrets and the body's first part, if the answer is
        none that can be used; ConnectionLost if there is none in time. ServerRefused if the credentials are refused.
        UsageError.
        """
        counts = counts or Counts()
        retries = self._api.retries
        url, redirects, attempt, deadline = request.full_url, 0, 1, 0.0
        renewed = False
        while True:
            self._check_origin(url, request)
            credentials = await self._tokens.credentials()
            async with self._budget.turn() as waited:
                deadline = deadline or time.monotonic() + retries.total_seconds
                counts.requests += 1
                counts.throttled_seconds += waited
                answer = await self._try(url, request, credentials)
            if isinstance(answer, Response):
                if answer.status in _REDIRECTS:
                    redirects += 1
                    if redirects > _MOST_REDIRECTS:
                        raise RunFailed(f"{masked(url, credentials.params)}: leads from one place to the next for ever")
                    url = urljoin(url, answer.headers.get("location", ""))
                    continue
                if answer.status < 400:
                    counts.bytes += len(answer.body)
                    _check(answer, url, credentials)
                    return answer
                if answer.status == 401 and not renewed:
                    renewed = True
                    if await self._tokens.refused(credentials):
                        counts.retries += 1
                        continue
                if answer.status < 500 and answer.status not in _PASSING:
                    raise _refusal(answer, url, credentials)
                answer = f"status {answer.status}"
            self._budget.check()
            seconds = pause(attempt, _LONGEST_PAUSE)
            wait = max(seconds, self._budget.held_seconds())
            if attempt >= retries.attempts or time.monotonic() + wait > deadline:
                raise ConnectionLost(
                    f"{masked(url, credentials.params)}: no usable answer in {attempt} attempts; "
                    f"the last: {credentials.mask(answer)}; try again later"
                )
            await asyncio.sleep(seconds)
            attempt += 1
            counts.retries += 1

    async def _try(self, url: str, request: Request, credentials: Credentials) -> Response | str:
        """One attempt; its whole answer, or why there is none."""
        headers = CIMultiDict(request.headers)
        headers.update(credentials.headers)
        address = URL(sendable(url, credentials.params), encoded=True)
        try:
            async with self._session.get(address, headers=headers, allow_redirects=False) as response:
                answered = _headers(response.headers)
                self._budget.heard(answered, response.status)
                body = await read_body(response, self._largest_body)
        except aiohttp.ClientConnectorCertificateError as error:
            raise ServerRefused(f"{self._origin}: its certificate is not trusted: {error}") from error
        except aiohttp.ClientResponseError as error:
            return f"{type(error).__name__}: {error.message}"  # its whole text has the URL
        except (aiohttp.ClientError, Damaged) as error:
            return f"{type(error).__name__}: {error}"
        except TimeoutError:
            return f"it took more than {self._api.retries.timeout_seconds:g} s"
        except ValueError:
            # The error's text may show the header.
            raise ServerRefused(
                f"{masked(url, credentials.params)}: a header cannot be sent; is there a line break in the secret?"
            ) from None
        except Unusable as error:
            if response.status >= 500:  # of some proxy before the API, whose bodies nobody needs
                return f"status {response.status}: {error}"
            raise RunFailed(f"{masked(url, credentials.params)}: {error}") from None
        named = next(filter(None, map(answered.get, _REQUEST_ID)), "")
        return Response(response.status, answered, body, named or uuid.uuid4().hex)

    def _check_origin(self, url: str, request: Request) -> None:
        if origin(url) != self._origin:
            raise RunFailed(
                f"{masked(request.full_url, {})}: leads to {origin(url)}, which would be given the credentials of "
                f"{self._origin}; if that is right, name it as base_url"
            )


def _check(answer: Response, url: str, credentials: Credentials) -> None:
    """Raises: RunFailed if a successful answer is not JSON."""
    if not answer.body and answer.status in {204, 205, 304}:
        return
    if problem := check_json(answer.headers.get("content-type", ""), answer.body):
        raise RunFailed(
            f"{masked(url, credentials.params)}: answers {answer.status} with {problem}: "
            f"{excerpt(answer.body, credentials)}"
        )


def _refusal(answer: Response, url: str, credentials: Credentials) -> RunFailed:
    text = f"{masked(url, credentials.params)}: status {answer.status}: {excerpt(answer.body, credentials)}"
    if answer.status == 401:
        return ServerRefused(f"{text}; the credentials are refused, also after they were renewed")
    return RunFailed(text)


async def _send_once(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Keep aiohttp from sending a request again by itself when its connection breaks: no budget would count that."""
    try:
        return await send(request)
    except aiohttp.ClientConnectorError:
        raise  # which it does not repeat
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise aiohttp.ClientConnectionError(str(error)) from error


def _headers(received: CIMultiDictProxy[str]) -> dict[str, str]:
    """By their names in lower case; what came several times is one list, as RFC 9110 has it (5.3)."""
    headers: dict[str, str] = {}
    for name, value in received.items():
        name = name.lower()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers
