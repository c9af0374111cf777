"""Raw tables: a run's files -> a staging table of lines, by a load job -> rows in place of those the run has there."""

from __future__ import annotations

import hashlib
import threading
import uuid
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from google.api_core import exceptions

from wharf.connectors import bigquery
from wharf.connectors.fetching.raw_files import read_parts
from wharf.connectors.fetching.widen import widen
from wharf.connectors.loading.jobs import Jobs
from wharf.connectors.loading.tables import Tables
from wharf.connectors.retry import POLICY
from wharf.connectors.storage import Storage
from wharf.model.errors import RunFailed
from wharf.model.fetching import raw_sql, shapes
from wharf.model.fetching.checkpoint import RawManifest
from wharf.model.fetching.layout import table_name, view_name
from wharf.model.fetching.records import parse
from wharf.model.fetching.shapes import RECORD, Shape
from wharf.model.loading.changes import Changes
from wharf.model.loading.options import LoadOptions
from wharf.model.loading.settings import TableSpec
from wharf.model.schema import Field, TableId

if TYPE_CHECKING:
    from google.cloud.bigquery import Client

_TIMEOUT = 60.0  # seconds for one answer
_TRIES = 5
_PARSED_BYTES = 4 << 20  # of lines that are parsed together
_INSERTED_BYTES = 4 << 20
_SPEC = TableSpec(
    timestamp_column="_fetched_at",
    granularity="day",
    clustering=(),
    expiration_days=None,
    require_filter=False,
    labels=(),
)
_OPTIONS = LoadOptions(clustering=("_tenant", "_run_id"))
# Each line is one cell: JSON escapes the delimiter's character, so that no line holds it, and nothing is quoted.
_LINES = {
    "sourceFormat": "CSV",
    "fieldDelimiter": "\x01",
    "quote": "",
    "encoding": "UTF-8",
    "maxBadRecords": 0,
    "writeDisposition": "WRITE_TRUNCATE",
    "schema": {"fields": [raw_sql.LINE.to_api()]},
}


@dataclass(frozen=True)
class RawLoad:
    """What a load did: rows that the run has in the table now, columns that were added, what people should know."""

    table: TableId
    rows: int
    added: tuple[str, ...]
    warnings: tuple[str, ...]


class RawTables:
    """The raw tables of `dataset` in `project`; for any number of threads.

    `typed`: a column for each field of the records; else one JSON column. `location`: where the dataset is made if
    there is none.
    """

    def __init__(
        self,
        client: Client,
        storage: Storage,
        project: str,
        dataset: str,
        *,
        typed: bool = True,
        emulated: bool = False,
        location: str | None = None,
        most_jobs: int = 10,
    ) -> None:
        self._client, self._storage = client, storage
        self._project, self._dataset, self._location = project, dataset, location
        self._typed, self._emulated = typed, emulated
        self._jobs = Jobs(client, most_jobs)
        self._tables = Tables(client, "", emulated=emulated)
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def table(self, endpoint: str) -> TableId:
        """The raw table of an endpoint."""
        return TableId(self._project, self._dataset, table_name(endpoint))

    def load(self, manifest: RawManifest, primary_key: Sequence[str] = (), times: Collection[str] = ()) -> RawLoad:
        """Load a run's records in place of those that its table may have of it; any number of times.

        `times`: fields that are TIMESTAMPs where the column is new.

        Raises: WharfError, GoogleAPIError.
        """
        table = self.table(manifest.run.endpoint)
        self._ensure_dataset()
        location = self._tables.location(table)
        # Its own each time: a load that is done again must not find a statement of before, and replacing is repeatable.
        digest = hashlib.sha256(manifest.run.folder.encode()).hexdigest()[:12]
        identity = f"wharf_raw_{digest}_{uuid.uuid4().hex[:8]}"
        staging = self._tables.staging(table, identity) if manifest.records else None
        try:
            with ThreadPoolExecutor(1, thread_name_prefix="raw load") as pool:
                loading = pool.submit(self._stage, manifest, staging, identity, location) if staging else None
                seen = self._look(manifest, table, times) if self._typed else {}
                widened, shape = self._fit(table, seen, times)
                if loading:
                    loading.result()
            columns = shape.columns if self._typed else None
            statement = raw_sql.replace_run(table, manifest.run, staging, columns)
            self._jobs.statement(f"{identity}_replace", statement, location)
        finally:
            self._tables.drop([staging] if staging else [])
        self._show_latest(manifest.run.endpoint, table, primary_key, anew=bool(widened))
        told = (*(f"{name} was INT64 and is {type_} from now on" for name, type_ in widened.items()), *shape.warnings)
        return RawLoad(table, manifest.records, tuple(field.name for field in shape.added), told)

    def _ensure_dataset(self) -> None:
        from google.cloud.bigquery import Dataset

        made = Dataset(f"{self._project}.{self._dataset}")
        if self._location:
            made.location = self._location
        with bigquery.translated(f"dataset {self._project}.{self._dataset}"):
            try:
                self._client.get_dataset(made.reference, retry=POLICY, timeout=_TIMEOUT)
            except exceptions.NotFound:
                self._client.create_dataset(made, exists_ok=True, retry=POLICY, timeout=_TIMEOUT)

    def _stage(self, manifest: RawManifest, staging: TableId, identity: str, location: str) -> None:
        """Load the files' lines as they are.

        Raises: JobFailed; RunFailed if there are more or fewer of them than the manifest says.
        """
        if self._emulated:
            rows = self._stage_emulated(manifest, staging)
        else:
            rows = self._jobs.load(f"{identity}_load", manifest.uris, staging, _LINES, location).rows
        if rows != manifest.records:
            raise RunFailed(f"{manifest.run.folder}: {manifest.records:,} records were written and {rows:,} arrived")

    def _stage_emulated(self, manifest: RawManifest, staging: TableId) -> int:
        """The same by statements: the emulator takes a CSV file's first line for a header, whatever it is told."""
        bigquery.execute(self._client, f"CREATE OR REPLACE TABLE `{staging}` (line STRING)")
        insert = f"INSERT INTO `{staging}` (line) SELECT item FROM UNNEST(SPLIT(@lines, '\\n')) AS item"
        for text in read_parts(self._storage, manifest.run, manifest.parts):
            for lines in _pieces(text, _INSERTED_BYTES):
                bigquery.execute(self._client, insert, {"lines": lines.decode().rstrip("\n")})
        (found,) = bigquery.rows(self._client, f"SELECT COUNT(*) AS staged FROM `{staging}`")
        return int(found["staged"])

    def _look(self, manifest: RawManifest, table: TableId, times: Collection[str]) -> dict[str, shapes.Kinds]:
        """Which fields the records have, and of which kinds."""
        found = self._tables.find(table)
        may_be_time = shapes.times(found.fields if found else (), times)
        seen: dict[str, shapes.Kinds] = {}
        for text in read_parts(self._storage, manifest.run, manifest.parts):
            for lines in _pieces(text, _PARSED_BYTES):
                shapes.look(parse(b"[" + lines.strip().replace(b"\n", b",") + b"]"), seen, may_be_time)
        return seen

    def _fit(self, table: TableId, seen: shapes.Seen, times: Collection[str]) -> tuple[dict[str, str], Shape]:
        """Make the table, or add what it lacks. -> columns that have other types now, and its shape.

        Others may be doing the same for other tenants.
        """
        with self._locks[str(table)]:
            added: dict[str, Field] = {}
            widened: dict[str, str] = {}
            for _ in range(_TRIES):
                target = self._tables.find(table)
                if target and not widened and (wider := shapes.wider(target.fields, seen)):
                    widened = widen(self._client, table, wider, emulated=self._emulated)
                    target = self._tables.find(table)
                shape = self._shape(target.fields if target else (), seen, times)
                if target and not shape.added:
                    return widened, replace(shape, added=tuple(added.values()))
                added |= {field.name: field for field in shape.added}
                try:
                    if target:
                        self._tables.change(table, Changes(added=shape.added))
                    else:
                        self._tables.create(table, shape.added, _SPEC, _OPTIONS)
                except exceptions.PreconditionFailed:
                    continue  # somebody else has changed it in between
        raise RunFailed(f"{table} changes all the time: columns for its new fields cannot be added")

    def _shape(self, table: Sequence[Field], seen: shapes.Seen, times: Collection[str]) -> Shape:
        if self._typed:
            return shapes.evolve(table, seen, times)
        shape = shapes.evolve(table, {})
        has_record = any(field.name == RECORD.name for field in table)
        return shape if has_record else replace(shape, added=(*shape.added, RECORD))

    def _show_latest(self, endpoint: str, table: TableId, primary_key: Sequence[str], *, anew: bool) -> None:
        """Make the view of the latest rows, or make it again where its columns, or with `anew` their types, changed."""
        target = self._tables.find(table)
        view = table._replace(table=view_name(endpoint))
        query, statement = raw_sql.latest(view, table, target.fields if target else (), primary_key)
        if not query:
            return
        with bigquery.translated(f"view {view}"):
            try:
                found = self._client.get_table(str(view), retry=POLICY, timeout=_TIMEOUT)
            except exceptions.NotFound:
                found = None
            if anew or found is None or (found.view_query or "").strip() != query:
                bigquery.execute(self._client, statement)


def _pieces(text: bytes, size: int) -> Iterator[bytes]:
    """Whole lines, about `size` bytes at a time."""
    start = 0
    while start < len(text):
        end = text.find(b"\n", start + size) + 1 or len(text)
        yield text[start:end]
        start = end
