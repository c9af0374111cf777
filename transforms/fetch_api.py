"""APIs over HTTP -> raw files, tenant by tenant inside their limits -> raw tables."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import apache_beam as beam
from google.api_core.exceptions import GoogleAPIError

from transforms.metrics import count
from wharf.connectors import machine
from wharf.connectors.endpoints import Endpoints
from wharf.connectors.fetching.fetcher import UnitFetcher
from wharf.connectors.fetching.raw_tables import RawTables
from wharf.connectors.fetching.state import FetchState
from wharf.connectors.storage import open_storage
from wharf.model.errors import WharfError
from wharf.model.fetching import ledger
from wharf.model.fetching.layout import table_name
from wharf.model.fetching.unit import Fetched, Unit
from wharf.model.ledger import SUCCESS
from wharf.model.schema import TableId


class FetchedApi(NamedTuple):
    """What came of the endpoints."""

    complete: Any  # PCollection of Fetched: everything is in its raw files
    incomplete: Any  # PCollection of Fetched: FAILED, or STOPPED as the day's budget is spent


@dataclass
class FetchApi(beam.PTransform):
    """Fetch all endpoints of the units.

    PCollection of Unit -> FetchedApi. The pages are in the manifests' files, of which only the names travel. A unit is
    one worker's, which holds its budget; more workers help with more units. Two runs never fetch one unit at once, if
    there is a `state` to say so.
    """

    endpoints: Endpoints
    state: StateSpec | None = None

    def expand(self, units: Any) -> FetchedApi:
        fetched = (
            units
            | "Spread" >> beam.Reshuffle()
            | "Fetch" >> beam.ParDo(_Fetch(self.endpoints, self.state)).with_outputs("incomplete", main="complete")
        )
        return FetchedApi(fetched.complete, fetched.incomplete)


@dataclass(frozen=True)
class StateSpec:
    """Where fetches are recorded, and how long a silent run keeps others away; a plain value."""

    project: str
    table: TableId
    run_id: str
    lease: dt.timedelta
    force: bool
    endpoints: Endpoints

    def open(self) -> FetchState:
        return FetchState(self.endpoints.bigquery_client(self.project), self.table)


@dataclass
class _Fetch(beam.DoFn):
    endpoints: Endpoints
    state: StateSpec | None

    def process(self, unit: Unit) -> Iterator[Any]:
        if not self.state:
            yield from self._fetched(unit)
            return
        spec, state = self.state, self.state.open()
        job = machine.process()
        with state.held(unit.name, spec.run_id, spec.lease, job_id=job, force=spec.force):
            rows = [
                ledger.running(f.run, f.started_at, cursor_before=f.cursor or None, job_id=job) for f in unit.fetches
            ]
            state.write(rows)  # so that a run after this one's death knows what to go on with
            yield from self._fetched(unit)

    def _fetched(self, unit: Unit) -> Iterator[Any]:
        for fetched in UnitFetcher(unit, self.endpoints, count).run():
            count(f"endpoints_{fetched.status.lower()}")
            yield fetched if fetched.is_complete else beam.pvalue.TaggedOutput("incomplete", fetched)


class Concluded(NamedTuple):
    """How a fetch ended, and its row of the metadata table."""

    fetched: Fetched
    row: dict[str, Any]


@dataclass
class LoadRaw(beam.PTransform):
    """Load complete fetches into their raw tables, those of one table one after the other.

    PCollection of Fetched -> PCollection of Concluded.
    """

    project: str
    dataset: str
    typed: bool
    endpoints: Endpoints

    def expand(self, fetched: Any) -> Any:
        return (
            fetched
            | "ByTable" >> beam.Map(_by_table).with_output_types(tuple[str, Any])
            | "Group" >> beam.GroupByKey()
            | "Load" >> beam.ParDo(_Load(self))
        )


def _by_table(fetched: Fetched) -> tuple[str, Fetched]:
    return table_name(fetched.fetch.endpoint.name), fetched


@dataclass
class _Load(beam.DoFn):
    spec: LoadRaw

    def setup(self) -> None:
        self._tables: dict[str, RawTables] = {}  # by where the raw files are: one place, unless units differ in it

    def process(self, table: tuple[str, Iterable[Fetched]]) -> Iterator[Concluded]:
        for fetched in table[1]:
            assert fetched.manifest
            tables = self._tables_from(fetched.fetch.run.root)
            endpoint = fetched.fetch.endpoint
            row = counted(fetched)
            try:
                loaded = tables.load(fetched.manifest, endpoint.primary_key)
            except (WharfError, GoogleAPIError) as error:
                text = f"endpoint {endpoint.name}: {error}"
                yield Concluded(fetched.failed(text), ledger.failed(row, dt.datetime.now(dt.UTC), text))
                continue
            count("records_loaded", loaded.rows)
            ended = ledger.succeeded(
                row,
                dt.datetime.now(dt.UTC),
                cursor_after=fetched.cursor or None,
                table=str(loaded.table),
                warnings=loaded.warnings,
            )
            yield Concluded(fetched, ended)

    def _tables_from(self, root: str) -> RawTables:
        spec = self.spec
        if root not in self._tables:
            self._tables[root] = RawTables(
                spec.endpoints.bigquery_client(spec.project),
                open_storage(root, spec.endpoints),
                spec.project,
                spec.dataset,
                typed=spec.typed,
                emulated=spec.endpoints.bigquery_emulated,
            )
        return self._tables[root]


def concluded(fetched: Fetched) -> Concluded:
    """The end of a fetch that is not complete."""
    end = ledger.stopped if fetched.status == ledger.STOPPED else ledger.failed
    return Concluded(fetched, end(counted(fetched), dt.datetime.now(dt.UTC), fetched.error))


def counted(fetched: Fetched) -> dict[str, Any]:
    """The row of a fetch with what it cost."""
    fetch = fetched.fetch
    row = ledger.running(fetch.run, fetch.started_at, cursor_before=fetch.cursor or None)
    names = ("pages", "records", "bytes", "requests", "retries", "throttled_seconds")
    row |= {name: getattr(fetched, name) for name in names}
    return row | {"requests": fetched.requests + fetch.sent_today}


def failure(ended: Concluded) -> str:
    """Why a run that ended so did not do all of its work; empty if it did."""
    return "" if ended.row["status"] == SUCCESS else str(ended.row["error_message"])
