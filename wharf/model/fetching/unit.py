"""What one worker fetches: tenants that share a budget or a token, and what became of each endpoint."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, replace

from wharf.model.fetching.api import Api, Endpoint
from wharf.model.fetching.checkpoint import RawManifest
from wharf.model.fetching.layout import RawRun
from wharf.model.fetching.ledger import STOPPED
from wharf.model.ledger import FAILED, SUCCESS


@dataclass(frozen=True, kw_only=True)
class Fetch:
    """One endpoint for one tenant, in a run: new, or one that an earlier run has left unfinished."""

    endpoint: Endpoint
    run: RawRun
    started_at: dt.datetime  # what the records are as of, where their own values do not say
    cursor: str  # the last one that was committed; empty: none
    sent_today: int = 0  # requests that earlier attempts at the run have used on this day

    @property
    def tenant(self) -> str:
        return self.run.tenant


@dataclass(frozen=True, kw_only=True)
class Unit:
    """Fetches that must be one process's, as their tenants share the app's limits or its token."""

    api: Api
    fetches: tuple[Fetch, ...]
    spent_today: tuple[tuple[str, int], ...] = ()  # (tenant, requests that earlier runs of the day have used)

    @property
    def name(self) -> str:
        """What two runs must not be at work on together."""
        tenants = sorted({fetch.tenant for fetch in self.fetches})
        return "/".join([self.api.client_name, self.api.name, *(tenants if len(tenants) == 1 else [])])


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """How a fetch ended: SUCCESS with its files, STOPPED as the day's budget is spent, or FAILED."""

    fetch: Fetch
    status: str
    manifest: RawManifest | None = None
    cursor: str = ""  # that the next run begins at, once the records are loaded
    error: str = ""
    pages: int = 0
    records: int = 0
    bytes: int = 0
    requests: int = 0
    retries: int = 0
    throttled_seconds: float = 0.0

    @property
    def is_complete(self) -> bool:
        return self.status == SUCCESS

    def stopped(self, why: str) -> Fetched:
        return replace(self, status=STOPPED, error=why)

    def failed(self, why: str) -> Fetched:
        return replace(self, status=FAILED, error=why)


def units(api: Api, fetches: tuple[Fetch, ...], spent_today: dict[str, int]) -> Iterator[Unit]:
    """Fetches -> what different workers may do."""
    tenants = list(dict.fromkeys(fetch.tenant for fetch in fetches))
    together = api.limits.app_per_minute is not None or api.auth.kind == "refresh_token"
    for group in [tenants] if together else [[tenant] for tenant in tenants]:
        yield Unit(
            api=api,
            fetches=tuple(fetch for fetch in fetches if fetch.tenant in group),
            spent_today=tuple((tenant, spent_today.get(tenant, 0)) for tenant in group),
        )
