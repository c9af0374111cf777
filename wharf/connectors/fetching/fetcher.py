"""Fetches a unit on one event loop: all endpoints of its tenants at once, inside one budget each."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, replace

from wharf.connectors.endpoints import Endpoints
from wharf.connectors.fetching import raw_files
from wharf.connectors.fetching.budget import Budget, DayBudgetSpent, app_pace
from wharf.connectors.fetching.http import ApiClient, Counts
from wharf.connectors.fetching.pace import Pace
from wharf.connectors.fetching.pages import BEGINNING, Pages
from wharf.connectors.fetching.raw_files import RawWriter
from wharf.connectors.fetching.tokens import TokenSource
from wharf.connectors.storage import Storage, open_storage
from wharf.model.errors import ConnectionLost, RunFailed, ServerRefused, WharfError
from wharf.model.fetching import cursors, paging, records, requests
from wharf.model.fetching.checkpoint import Checkpoint, RawManifest
from wharf.model.fetching.layout import RawRun
from wharf.model.fetching.unit import Fetch, Fetched, Unit
from wharf.model.ledger import SUCCESS

_LOG = logging.getLogger(__name__)


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
        return replace(ended, **asdict(counts))

    async def _staged(self, fetch: Fetch, client: ApiClient, counts: Counts, parent: Fetched | None) -> RawManifest:
        """The files of a fetch, taken up where an earlier attempt has left it."""
        storage = self._storage(fetch)
        if done := await asyncio.to_thread(raw_files.sealed, storage, fetch.run):
            return done
        resumed = await asyncio.to_thread(raw_files.resume, storage, fetch.run)
        writer = RawWriter(storage, fetch.run, resumed)
        at = self._reached[fetch.run] = resumed or Checkpoint(position=BEGINNING, pages=0, records=0)
        try:
            parents = await asyncio.to_thread(_of_parent, fetch, parent, storage) if parent else None
            async for page in Pages(self._api, fetch, client, counts).behind(at.position, parents):
                at = Checkpoint(
                    position=page.behind,
                    pages=at.pages + 1,
                    records=at.records + page.records,
                    cursor=_later(fetch, at.cursor, page.cursor),
                )
                await writer.append(page.lines, at)
                self._reached[fetch.run] = at
                self._count("pages", 1)
                self._count("records", page.records)
        except (Exception, asyncio.CancelledError) as error:
            await (writer.flush() if _can_go_on(fetch, error) else writer.give_up())
            raise
        return await writer.seal()

    def _storage(self, fetch: Fetch) -> Storage:
        root = fetch.run.root
        if root not in self._storages:
            self._storages[root] = open_storage(root, self._endpoints)
        return self._storages[root]

    def _cursor_after(self, fetch: Fetch, manifest: RawManifest) -> str:
        incremental = fetch.endpoint.incremental
        if not incremental:
            return ""
        if not incremental.cursor:
            return fetch.started_at.isoformat()
        seen = manifest.cursor or fetch.cursor
        cursor = cursors.not_ahead(incremental, seen, fetch.started_at, dt.datetime.now(dt.UTC))
        if cursor != seen:
            text = "endpoint %s: a record at %s lies in the future, at %s; the next run asks for what is new since %s"
            _LOG.warning(text, fetch.endpoint.name, incremental.cursor, seen, cursor)
        return cursor


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


def _can_go_on(fetch: Fetch, why: BaseException) -> bool:
    """Whether the next run goes on where a fetch has ended; else it begins anew.

    Where the day was spent or the run was ended, nothing was wrong. Where the API gave no answer, hours may pass before
    somebody runs it again: it goes on only if the place is still the same then. Pages that were wrong and requests that
    were refused, as for a cursor that has expired, would be so again.
    """
    if isinstance(why, DayBudgetSpent | asyncio.CancelledError):
        return True
    return isinstance(why, ConnectionLost | ServerRefused) and paging.is_lasting(fetch.endpoint.paging)


def _named(fetch: Fetch, text: str) -> str:
    name = fetch.endpoint.name
    return text if f"endpoint {name}" in text else f"endpoint {name}: {text}"
