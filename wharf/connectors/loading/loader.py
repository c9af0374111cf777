"""Loads batches: claims them, brings those of each table in, and goes on until each is DONE or FAILED."""

from __future__ import annotations

import datetime as dt
import json
import logging
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass

from wharf.connectors import machine
from wharf.connectors.endpoints import Endpoints
from wharf.connectors.loading.jobs import Jobs
from wharf.connectors.loading.landings import ConfigFiles, landing_of
from wharf.connectors.loading.loaded_files import LoadedFiles
from wharf.connectors.loading.rejects import Rejects
from wharf.connectors.loading.resolve import resolve
from wharf.connectors.loading.state import Claimed, LoadState
from wharf.connectors.loading.table_loader import Row, TableLoader
from wharf.connectors.loading.tables import Tables
from wharf.connectors.loading.tools import Tools
from wharf.model.loading.batch import Batch, Refused
from wharf.model.loading.plan import MOST_FILES
from wharf.model.loading.settings import LoadSettings
from wharf.model.loading.state import DISCOVERED, DONE, FAILED, LIVING
from wharf.model.schema import TableId

_LOG = logging.getLogger(__name__)
_TABLES_AT_ONCE = 32
_LOOK_AGAIN = 2.0  # seconds between looks at batches that somebody else is loading


@dataclass(frozen=True)
class LoaderSpec:
    """What a worker makes a Loader of; a plain value. `most_jobs` is this worker's share of all that may run."""

    settings: LoadSettings
    endpoints: Endpoints
    run_id: str
    lease: dt.timedelta
    most_jobs: int
    retry_failed: bool
    most_files: int = MOST_FILES  # of one load job


class Loader:
    """Clients and threads of one worker; not for several threads at once."""

    def __init__(self, spec: LoaderSpec, count: Callable[[str, int], None]) -> None:
        settings, endpoints = spec.settings, spec.endpoints
        self._spec, self._count = spec, count
        client = endpoints.bigquery_client(settings.project)
        self._storage = storage = endpoints.storage_client()
        self._state = LoadState(client, settings.state_table)
        self._pool = ThreadPoolExecutor(spec.most_jobs, thread_name_prefix="load jobs")
        self._tools = Tools(
            settings=settings,
            emulated=endpoints.bigquery_emulated,
            client=client,
            storage=storage,
            state=self._state,
            jobs=Jobs(client, spec.most_jobs),
            most_files=spec.most_files,
            tables=Tables(client, settings.staging_dataset, emulated=endpoints.bigquery_emulated),
            files=LoadedFiles(client, settings.files_table),
            rejects=Rejects(client, storage, settings.rejects_table, settings.dead_letter_prefix),
            pool=self._pool,
            count=count,
        )

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()

    def load(self, batches: Iterable[Batch | Refused]) -> Iterator[tuple[Batch | Refused, Row]]:
        """Bring batches into their tables. -> each that ended here, with its row.

        One that somebody else is loading is waited for: it is DONE then, or ours when his lease has ended.
        """
        pending = list(batches)
        told: dt.datetime | None = None
        while pending:
            claims = self._claim(pending)
            mine = [claim for claim in claims if claim.is_mine]
            others = [claim for claim in claims if not claim.is_mine and claim.row["status"] in LIVING]
            self._count("batches_found_done", sum(claim.row["status"] == DONE for claim in claims if not claim.is_mine))
            pending = [claim.batch for claim in others]
            if mine:
                left = {claim.batch.landing.batch_id: claim.batch for claim in mine}
                try:
                    for batch, row in self._load(mine):
                        left.pop(batch.landing.batch_id, None)
                        yield batch, row
                finally:
                    if left:  # whoever is next need not wait for the lease
                        self._state.renew(self._claimer, dt.timedelta(0))
                if left:
                    pending += left.values()
                    time.sleep(_LOOK_AGAIN)
            elif others:
                until = min(claim.row["lease_until"] for claim in others)
                if until != told:
                    _LOG.warning(
                        "%d batches are being loaded by somebody else, who holds them until %s: waiting",
                        *(len(pending), f"{until:%H:%M:%S} UTC"),
                    )
                    told = until
                time.sleep(_LOOK_AGAIN)

    def _claim(self, batches: Sequence[Batch | Refused]) -> list[Claimed]:
        """Claim what can be; what a process of this machine left when it died is not waited for."""
        self._claimer = f"{self._spec.run_id} {machine.process()} {uuid.uuid4().hex[:8]}"
        claims = self._claim_now(batches)
        living = {c.row["claimed_by"] for c in claims if not c.is_mine and c.row["status"] in LIVING}
        if dead := {claimer for claimer in living if _is_dead(claimer)}:
            for claimer in dead:
                self._state.renew(claimer, dt.timedelta(0))
            left = [c.batch for c in claims if not c.is_mine and c.row["claimed_by"] in dead]
            claims = [c for c in claims if c.is_mine or c.row["claimed_by"] not in dead] + self._claim_now(left)
        return claims

    def _claim_now(self, batches: Sequence[Batch | Refused]) -> list[Claimed]:
        spec = self._spec
        flags = json.dumps(spec.settings.as_flags())
        return self._state.claim(batches, self._claimer, spec.lease, flags, retry_failed=spec.retry_failed)

    def _load(self, claims: Sequence[Claimed]) -> Iterator[tuple[Batch | Refused, Row]]:
        by_table: dict[TableId | None, list[Claimed]] = {}
        for claim in claims:
            by_table.setdefault(claim.batch.table, []).append(claim)
        with (
            self._state.kept_alive(self._claimer, self._spec.lease),
            ThreadPoolExecutor(min(_TABLES_AT_ONCE, len(by_table)), thread_name_prefix="tables") as threads,
        ):
            running = [threads.submit(self._load_table, table, mine) for table, mine in by_table.items()]
            for ended in as_completed(running):
                for batch, row in ended.result():
                    self._count("batches_done" if row["status"] == DONE else "batches_not_done", 1)
                    self._count("rows", row["rows"] or 0)
                    yield batch, row

    def _load_table(self, table: TableId | None, claims: Sequence[Claimed]) -> list[tuple[Batch | Refused, Row]]:
        ended: dict[str, tuple[Batch | Refused, Row]] = {}
        while claims:
            loaded = TableLoader(table, self._tools).run(claims)
            ended |= {batch.landing.batch_id: (batch, row) for batch, row in loaded}
            claims = []
            if table and any(isinstance(b, Batch) and b.ordered and row["status"] != FAILED for b, row in loaded):
                claims = self._released(table)
        return list(ended.values())

    def _released(self, table: TableId) -> list[Claimed]:
        """Batches of an ordered table that waited and that nothing is in the way of any more, claimed."""
        settings, configs = self._spec.settings, ConfigFiles(self._storage)
        batches = []
        for row in self._state.unfinished(table=table):
            landing = landing_of(self._storage, row["success_uri"], settings.marker, configs)
            if landing is None and row["status"] not in LIVING:
                continue  # its directory has been deleted
            if row["status"] != DISCOVERED or not landing or landing.batch_id != row["batch_id"]:
                break
            batches.append(resolve(landing, settings, configs))
        return [claim for claim in self._claim_now(batches) if claim.is_mine] if batches else []


def _is_dead(claimer: str) -> bool:
    """Whether a claimer was a process of this machine that is gone; of other machines only the lease tells."""
    return any(machine.is_gone(word) for word in claimer.split())
