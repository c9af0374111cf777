"""Fetches a unit on one event loop: all endpoints of its tenants at once, inside one budget each."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from wharf.connectors.endpoints import Endpoints
from wharf.connectors.fetching import raw_files
from wharf.connectors.fetching.budget import Budget, DayBudgetSpent, app_pace
from wharf.connectors.fetching.http import ApiClient, Counts
from wharf.connectors.fetching.pace import Pace
from wharf.connectors.fetching.raw_files import RawWriter
from wharf.connectors.fetching.tokens import TokenSource
from wharf.connectors.storage import Storage, open_storage
from wharf.model.errors import RunFailed, WharfError
from wharf.model.fetching import cursors, paging, records, requests
from wharf.model.fetching.checkpoint import Checkpoint, RawManifest
from wharf.model.fetching.guards import Guard
from wharf.model.fetching.layout import RawRun
from wharf.model.fetching.paging import Page, Request
from wharf.model.fetching.unit import Fetch, Fetched, Unit
from wharf.model.ledger import SUCCESS

_LOG = logging.getLogger(__name__)
_AHEAD = 2  # requests under way or answered for each that may run at once
_LARGE = 1 << 20  # bytes of a body that is parsed in a thread, so that others are answered meanwhile


@dataclass(frozen=True)
class _Fetched:
    """A page that has come, as lines, and where the fetch stands behind it."""

    lines: bytes
    records: int
    cursor: str
    behind: Request | None  # the next page's request; None after the last page of an opening


class UnitFetcher:
    """Fetches what a unit says; `count` is told of pages and records as they come."""

    def __init__(self, unit: Unit, endpoints: Endpoints, count: Callable[[str, int], None]) -> None:
        self._unit, self._endpoints, self._count = unit, endpoints, count
        self._api = unit.api
        self._storages: dict[str, Storage] = {}  # by the place that it is: one, unless runs differ in it
        self._reached: dict[RawRun, Checkpoint] = {}

    def run(self) -> list[Fetched]:
        """Fetch everything. -> how each fetch ended; what one of them fails of does not end the others."""
        return asyncio.run(self._run())

    async def _run(self) -> list[Fetched]:
        app = app_pace(self._api.limits)
        tokens = TokenSource(self._api.auth, self._endpoints)
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._tenant(tenant, spent, tokens, app)) for tenant, spent in self._unit.spent_today
            ]
            ended = [await task for task in tasks]
        return [fetched for of_tenant in ended for fetched in of_tenant]

    async def _tenant(self, tenant: str, spent: int, tokens: TokenSource, app: Pace | None) -> list[Fetched]:
        budget = Budget.of(self._api, app, spent_today=spent)
        fetches = [fetch for fetch in self._unit.fetches if fetch.tenant == tenant]
        tasks: dict[str, asyncio.Task[Fetched]] = {}
        async with ApiClient(self._api, budget, tokens) as client, asyncio.TaskGroup() as group:
            for fetch in _parents_first(fetches):
                parent = tasks.get(fetch.endpoint.parent)
                tasks[fetch.endpoint.name] = group.create_task(self._fetch(fetch, client, parent))
        return [task.result() for task in tasks.values()]

    async def _fetch(self, fetch: Fetch, client: ApiClient, parent: asyncio.Task[Fetched] | None) -> Fetched:
        """Fetch one endpoint. It ends in one way or another, and raises nothing but cancellation."""
        counts = Counts()
        ended = Fetched(fetch=fetch, status=SUCCESS)
        try:
            of_parent = await parent if parent else None
            if of_parent and not of_parent.manifest:
                text = f"endpoint {fetch.endpoint.name}: its parent {fetch.endpoint.parent} is not complete"
                ended = replace(ended, status=of_parent.status, error=text)
            else:
                manifest = await self._staged(fetch, client, counts, of_parent)
                cursor = self._cursor_after(fetch, manifest)
                ended = replace(ended, manifest=manifest, cursor=cursor, pages=manifest.pages, records=manifest.records)
        except DayBudgetSpent as error:
            ended = ended.stopped(f"endpoint {fetch.endpoint.name}: {error}")
        except WharfError as error:
            ended = ended.failed(_named(fetch, str(error)))
        except Exception as error:  # noqa: BLE001 - one endpoint's accident must not cost the others' data
            _LOG.exception("endpoint %s", fetch.endpoint.name)
            ended = ended.failed(_named(fetch, f"{type(error).__name__}: {error}"))
        reached = self._reached.get(fetch.run)
        if reached and not ended.manifest:
            ended = replace(ended, pages=reached.pages, records=reached.records)
        return replace(
            ended,
            bytes=counts.bytes,
            requests=counts.requests,
            retries=counts.retries,
            throttled_seconds=counts.throttled_seconds,
        )

    async def _staged(self, fetch: Fetch, client: ApiClient, counts: Counts, parent: Fetched | None) -> RawManifest:
        """The files of a fetch, taken up where an earlier attempt has left it."""
        storage = self._storage(fetch)
        if done := await asyncio.to_thread(raw_files.sealed, storage, fetch.run):
            return done
        resumed = await asyncio.to_thread(raw_files.resume, storage, fetch.run)
        writer = RawWriter(storage, fetch.run, resumed)
        at = resumed or Checkpoint(position={"opening": 0, "next": None}, pages=0, records=0)
        self._reached[fetch.run] = at
        number, again = int(at.position["opening"]), at.position["next"]
        try:
            async for opening, pages in self._openings(fetch, client, counts, parent, number, again):
                async for page in pages:
                    position = {"opening": opening, "next": page.behind.to_json() if page.behind else None}
                    if not page.behind:
                        position["opening"] = opening + 1
                    at = Checkpoint(
                        position=position,
                        pages=at.pages + 1,
                        records=at.records + page.records,
                        cursor=_later(fetch, at.cursor, page.cursor),
                    )
                    await writer.append(page.lines, at)
                    self._reached[fetch.run] = at
                    self._count("pages", 1)
                    self._count("records", page.records)
        except (WharfError, asyncio.CancelledError):
            await writer.flush()  # what is here need not be fetched again
            raise
        return await writer.seal()

    async def _openings(
        self,
        fetch: Fetch,
        client: ApiClient,
        counts: Counts,
        parent: Fetched | None,
        first: int,
        again: str | None,
    ) -> AsyncIterator[tuple[int, AsyncIterator[_Fetched]]]:
        """The pages of each opening: there is one, or one for each record of the parent, in their order."""
        if not parent:
            request = Request.from_json(again) if again else self._first(fetch, None)
            if first == 0:
                yield 0, self._pages(fetch, client, counts, request)
            return
        values = await asyncio.to_thread(_of_parent, fetch, parent, self._storage(fetch))
        ahead: deque[tuple[int, asyncio.Task[list[_Fetched]]]] = deque()
        try:
            for number in range(first, len(values)):
                taken_up = again if number == first else None
                request = Request.from_json(taken_up) if taken_up else self._first(fetch, values[number])
                ahead.append((number, asyncio.create_task(_collected(self._pages(fetch, client, counts, request)))))
                if len(ahead) >= _AHEAD * self._api.limits.concurrent:
                    opening, task = ahead.popleft()
                    yield opening, _each(await task)
            while ahead:
                opening, task = ahead.popleft()
                yield opening, _each(await task)
        finally:
            await _cancelled(task for _, task in ahead)

    async def _pages(
        self, fetch: Fetch, client: ApiClient, counts: Counts, request: Request
    ) -> AsyncIterator[_Fetched]:
        """The pages from `request` on, in their order; side by side where the API says how many there are."""
        endpoint = fetch.endpoint
        guard = Guard(endpoint, records=request.seen, pages=request.number - 1)
        following: Request | None = request
        while following:
            request, (page, body, fetched) = following, await self._page(fetch, client, counts, following)
            guard.see(request, page, body)
            if rest := paging.rest(endpoint, request, page):
                yield replace(fetched, behind=rest[0])
                async for fetched in self._side_by_side(fetch, client, counts, rest, guard):
                    yield fetched
                break
            following = paging.next_request(endpoint, request, page)
            if not following:
                guard.finish()
            yield replace(fetched, behind=following)

    async def _side_by_side(
        self, fetch: Fetch, client: ApiClient, counts: Counts, rest: tuple[Request, ...], guard: Guard
    ) -> AsyncIterator[_Fetched]:
        ahead: deque[tuple[Request, asyncio.Task[tuple[Page, bytes, _Fetched]]]] = deque()
        waiting = deque(rest)
        try:
            while waiting or ahead:
                while waiting and len(ahead) < _AHEAD * self._api.limits.concurrent:
                    request = waiting.popleft()
                    ahead.append((request, asyncio.create_task(self._page(fetch, client, counts, request))))
                request, task = ahead.popleft()
                page, body, fetched = await task
                guard.see(request, page, body)
                behind = ahead[0][0] if ahead else waiting[0] if waiting else None
                if not behind:
                    guard.finish()
                yield replace(fetched, behind=behind)
        finally:
            await _cancelled(task for _, task in ahead)

    async def _page(
        self, fetch: Fetch, client: ApiClient, counts: Counts, request: Request
    ) -> tuple[Page, bytes, _Fetched]:
        response = await client.get(request, counts)
        extras = {
            "_fetched_at": dt.datetime.now(dt.UTC).isoformat(timespec="microseconds"),
            "_page": request.number,
            "_request_id": response.request_id,
            "_run_id": fetch.run.run_id,
            "_tenant": fetch.tenant,
        }

        def read() -> tuple[Page, bytes, _Fetched]:
            page = records.read_page(fetch.endpoint, request, response.status, response.headers, response.body)
            incremental = fetch.endpoint.incremental
            cursor = cursors.highest(incremental, page.records, "") if incremental and incremental.cursor else ""
            fetched = _Fetched(records.lines(page.records, extras), len(page.records), cursor, None)
            return page, response.body, fetched

        return await asyncio.to_thread(read) if len(response.body) > _LARGE else read()

    def _storage(self, fetch: Fetch) -> Storage:
        root = fetch.run.root
        if root not in self._storages:
            self._storages[root] = open_storage(root, self._endpoints)
        return self._storages[root]

    def _first(self, fetch: Fetch, parent: dict[str, str] | None) -> Request:
        return requests.first_request(
            self._api, fetch.endpoint, tenant=fetch.tenant, cursor=fetch.cursor, parent=parent
        )

    def _cursor_after(self, fetch: Fetch, manifest: RawManifest) -> str:
        incremental = fetch.endpoint.incremental
        if not incremental:
            return ""
        if incremental.cursor:
            return manifest.cursor or fetch.cursor
        return fetch.started_at.isoformat()


def _parents_first(fetches: Iterable[Fetch]) -> Iterator[Fetch]:
    by_name = {fetch.endpoint.name: fetch for fetch in fetches}
    done: set[str] = set()
    while left := [fetch for name, fetch in by_name.items() if name not in done]:
        ready = [fetch for fetch in left if fetch.endpoint.parent in done or fetch.endpoint.parent not in by_name]
        if not ready:
            raise RunFailed(f"endpoints {', '.join(f.endpoint.name for f in left)} are each other's parents")
        yield from ready
        done |= {fetch.endpoint.name for fetch in ready}


def _of_parent(fetch: Fetch, parent: Fetched, storage: Storage) -> list[dict[str, str]]:
    """What a child is fetched for, in the order of its parent's files; each once."""
    assert parent.manifest
    found: dict[tuple[tuple[str, str], ...], dict[str, str]] = {}
    for text in raw_files.read_parts(storage, parent.manifest.run, parent.manifest.parts):
        parsed = [records.parse(line) for line in text.splitlines()]
        for values in requests.parents(fetch.endpoint, parsed):
            found.setdefault(tuple(values.items()), values)
    return list(found.values())


def _later(fetch: Fetch, one: str | None, other: str) -> str | None:
    incremental = fetch.endpoint.incremental
    return cursors.later(incremental, one or "", other) or None if incremental else None


async def _collected(pages: AsyncIterator[_Fetched]) -> list[_Fetched]:
    return [page async for page in pages]


async def _each(pages: list[_Fetched]) -> AsyncIterator[_Fetched]:
    for page in pages:
        yield page


async def _cancelled(tasks: Iterable[asyncio.Task[object]]) -> None:
    left = list(tasks)
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


def _named(fetch: Fetch, text: str) -> str:
    name = fetch.endpoint.name
    return text if f"endpoint {name}" in text else f"endpoint {name}: {text}"
