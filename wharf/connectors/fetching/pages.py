"""The pages of one fetch, in their order: one leads to the next, or all are asked for side by side."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from wharf.connectors.fetching.http import ApiClient, Counts
from wharf.model.fetching import cursors, paging, records, requests
from wharf.model.fetching.api import Api
from wharf.model.fetching.guards import Guard
from wharf.model.fetching.paging import Page, Request
from wharf.model.fetching.unit import Fetch

BEGINNING: Mapping[str, Any] = {"opening": 0, "next": None}  # a position, as JSON can hold it
_AHEAD = 2  # requests under way or answered for each that may run at once
_LARGE = 1 << 20  # bytes of a body that is parsed in a thread, so that others are answered meanwhile


@dataclass(frozen=True)
class FetchedPage:
    """A page that has come, as lines; `cursor` is its highest, `behind` the position that the fetch has then."""

    lines: bytes
    records: int
    cursor: str
    behind: Mapping[str, Any] = field(default_factory=dict)


class Pages:
    """The pages of `fetch`; what its requests cost is added to `counts`.

    They come in openings: one, or for an endpoint with a parent one for each of the parent's records.
    """

    def __init__(self, api: Api, fetch: Fetch, client: ApiClient, counts: Counts) -> None:
        self._api, self._fetch, self._client, self._counts = api, fetch, client, counts
        self._ahead = _AHEAD * api.limits.concurrent

    async def behind(
        self, position: Mapping[str, Any], parents: Sequence[dict[str, str]] | None
    ) -> AsyncIterator[FetchedPage]:
        """All pages behind `position`. `parents` fill the placeholders of each opening; None: there is no parent.

        Raises: WharfError.
        """
        first: int = position["opening"]
        fillings = [None] if parents is None else parents
        openings = (
            self._opening(number, self._request(fillings[number], position["next"] if number == first else None))
            for number in range(first, len(fillings))
        )
        if parents is None:
            for pages in openings:
                async for page in pages:
                    yield page
            return
        ahead: deque[asyncio.Task[list[FetchedPage]]] = deque()
        try:
            for pages in openings:
                ahead.append(asyncio.create_task(_collected(pages)))
                if len(ahead) == self._ahead:
                    for page in await ahead.popleft():
                        yield page
            while ahead:
                for page in await ahead.popleft():
                    yield page
        finally:
            await _cancelled(ahead)

    def _request(self, parent: dict[str, str] | None, taken_up: Mapping[str, Any] | None) -> Request:
        if taken_up:
            return Request.from_dict(taken_up)
        fetch = self._fetch
        return requests.first_request(
            self._api, fetch.endpoint, tenant=fetch.tenant, cursor=fetch.cursor, parent=parent
        )

    async def _opening(self, number: int, request: Request) -> AsyncIterator[FetchedPage]:
        async for page, following in self._pages(request):
            behind = {"opening": number, "next": following} if following else {"opening": number + 1, "next": None}
            yield replace(page, behind=behind)

    async def _pages(self, request: Request) -> AsyncIterator[tuple[FetchedPage, Request | None]]:
        """The pages from `request` on, and what is asked for behind each."""
        endpoint = self._fetch.endpoint
        guard = Guard(endpoint, records=request.seen, pages=request.number - 1)
        following: Request | None = request
        while following:
            request = following
            page, fetched = await self._page(request, guard)
            if rest := paging.rest(endpoint, request, page):
                yield fetched, rest[0]
                async for each in self._side_by_side(rest, guard):
                    yield each
                return
            following = paging.next_request(endpoint, request, page)
            if not following:
                guard.finish()
            yield fetched, following

    async def _side_by_side(
        self, rest: tuple[Request, ...], guard: Guard
    ) -> AsyncIterator[tuple[FetchedPage, Request | None]]:
        async def lines_of(request: Request) -> FetchedPage:
            # The page itself goes at once: a garbage collector that finds forty of them takes longer than their parser.
            return (await self._page(request, guard))[1]

        ahead: deque[asyncio.Task[FetchedPage]] = deque()
        try:
            for number, following in enumerate((*rest[1:], None)):
                begun = number + len(ahead)
                for request in rest[begun : number + self._ahead]:
                    ahead.append(asyncio.create_task(lines_of(request)))
                fetched = await ahead.popleft()
                if not following:
                    guard.finish()
                yield fetched, following
        finally:
            await _cancelled(ahead)

    async def _page(self, request: Request, guard: Guard) -> tuple[Page, FetchedPage]:
        fetch, endpoint = self._fetch, self._fetch.endpoint
        response = await self._client.get(request, self._counts)
        body = response.body
        extras = {
            "_fetched_at": dt.datetime.now(dt.UTC).isoformat(timespec="microseconds"),
            "_page": request.number,
            "_request_id": response.request_id,
            "_run_id": fetch.run.run_id,
            "_tenant": fetch.tenant,
        }

        def read() -> tuple[Page, FetchedPage]:
            page = records.read_page(endpoint, request, response.status, response.headers, body)
            incremental = endpoint.incremental
            cursor = cursors.highest(incremental, page.records, "") if incremental and incremental.cursor else ""
            return page, FetchedPage(records.lines(page.records, extras), len(page.records), cursor)

        page, fetched = await asyncio.to_thread(read) if len(body) > _LARGE else read()
        guard.see(request, page, body)
        return page, fetched


async def _collected(pages: AsyncIterator[FetchedPage]) -> list[FetchedPage]:
    return [page async for page in pages]


async def _cancelled(tasks: Iterable[asyncio.Task[Any]]) -> None:
    left = list(tasks)
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
