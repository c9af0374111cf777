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
    one worker's, which holds its budget; more workers help with more units. With a `state`, two runs never fetch one
    unit at once, and all fetches are recorded but the ends of complete ones: these have yet to be loaded.
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
    job_id: str = ""  # Dataflow's, if it is known beforehand
    settings: str | None = None  # the run's flags, as JSON

    def open(self) -> FetchState:
        return FetchState(self.endpoints.bigquery_client(self.project), self.table)


@dataclass
class _Fetch(beam.DoFn):
    endpoints: Endpoints
    state: StateSpec | None

    def process(self, unit: Unit) -> Iterator[Any]:
        for fetched in self._alone(unit, self.state) if self.state else self._fetched(unit):
            count(f"endpoints_{fetched.status.lower()}")
            yield fetched if fetched.is_complete else beam.pvalue.TaggedOutput("incomplete", fetched)

    def _fetched(self, unit: Unit) -> list[Fetched]:
        return UnitFetcher(unit, self.endpoints, count).run()

    def _alone(self, unit: Unit, spec: StateSpec) -> list[Fetched]:
        """The same while no other run does; what another one must know of it is recorded before that may begin.

        Complete fetches stay RUNNING. A run that begins before they are loaded finds their files, asks the API for
        nothing, and loads them too, which changes nothing.
        """
        state, process = spec.open(), machine.process()
        with state.held(unit.name, spec.run_id, spec.lease, job_id=process, force=spec.force):
            began = {"job_id": spec.job_id or process, "settings": spec.settings}
            state.write(
                [ledger.running(f.run, f.started_at, cursor_before=f.cursor or None, **began) for f in unit.fetches]
            )
            ended = self._fetched(unit)
            state.write([concluded(fetched).row for fetched in ended if not fetched.is_complete])
        return ended


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
                loaded = tables.load(fetched.manifest, endpoint.primary_key, endpoint.times)
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
    for name in ("job_id", "settings"):  # which were recorded when it began
        del row[name]
    return row | {"requests": fetched.requests + fetch.sent_today}


def failure(ended: Concluded) -> str:
    """Why a run that ended so did not do all of its work; empty if it did."""
    return "" if ended.row["status"] == SUCCESS else str(ended.row["error_message"])
