"""What a run fetches: anew, or where an earlier run has stopped."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import Any

from wharf.connectors.fetching import raw_files
from wharf.connectors.fetching.state import FetchState, Key
from wharf.connectors.storage import Storage
from wharf.model.fetching.api import Api, Endpoint
from wharf.model.fetching.layout import RawRun
from wharf.model.fetching.unit import Fetch
from wharf.model.ledger import SUCCESS


def fetches(
    api: Api, root: str, state: FetchState, storage: Storage, run_id: str, now: dt.datetime, *, full: bool, force: bool
) -> Iterator[Fetch]:
    """The fetches of a run that begins at `now`: each endpoint for each tenant.

    What an earlier run left unfinished goes on in its own files, with the endpoints that it is fetched for, unless
    `force` begins anew. `full` asks for everything, without the cursors that were committed; of what was left
    unfinished, only what asked for everything too goes on.
    """
    newest = {} if force else state.newest(api.client_name, api.name)
    if full:
        newest = {key: row for key, row in newest.items() if not row["cursor_before"]}
    committed = {} if full else state.last_cursors(api.client_name, api.name)
    for tenant in api.tenants:
        for family in _families(api):
            former = _unfinished(api, root, storage, family, tenant, newest)
            for endpoint in family:
                sent_today = 0
                if former:
                    row = newest[endpoint.name, tenant]
                    if (row["completed_at"] or row["started_at"]).date() == now.date():
                        sent_today = row["requests"] or 0
                    run, started_at, cursor = _run_of(api, root, row), row["started_at"], row["cursor_before"] or ""
                else:
                    run = _run(api, root, endpoint.name, tenant, run_id, now.date())
                    started_at, cursor = now, committed.get((endpoint.name, tenant), "")
                yield Fetch(endpoint=endpoint, run=run, started_at=started_at, cursor=cursor, sent_today=sent_today)


def _families(api: Api) -> list[list[Endpoint]]:
    """Endpoints with those that are fetched for their records, parents first."""
    families: dict[str, list[Endpoint]] = {}
    by_name = {endpoint.name: endpoint for endpoint in api.endpoints}
    for endpoint in api.endpoints:
        above = endpoint
        while above.parent in by_name:
            above = by_name[above.parent]
        families.setdefault(above.name, []).append(endpoint)
    return list(families.values())


def _unfinished(
    api: Api, root: str, storage: Storage, family: list[Endpoint], tenant: str, newest: Mapping[Key, dict[str, Any]]
) -> bool:
    """Whether a run has left something of the family that can be gone on with, and all of it was the same run's."""
    rows = [newest.get((endpoint.name, tenant)) for endpoint in family]
    if not all(rows) or len({row["run_id"] for row in rows if row}) > 1:
        return False
    return any(row["status"] != SUCCESS and _is_staged(storage, _run_of(api, root, row)) for row in rows if row)


def _is_staged(storage: Storage, run: RawRun) -> bool:
    """Whether a run is whole, and only to be loaded, or has left a place to go on from."""
    return raw_files.sealed(storage, run) is not None or raw_files.resume(storage, run) is not None


def _run_of(api: Api, root: str, row: Mapping[str, Any]) -> RawRun:
    return _run(api, root, row["endpoint"], row["tenant"], row["run_id"], row["started_at"].date())


def _run(api: Api, root: str, endpoint: str, tenant: str, run_id: str, date: dt.date) -> RawRun:
    return RawRun(
        root=root,
        client_name=api.client_name,
        api=api.name,
        endpoint=endpoint,
        tenant=tenant,
        run_id=run_id,
        date=date,
    )
