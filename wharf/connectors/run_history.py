"""The history of all runs, as the ledgers of the four pipelines tell it.

One query reads all ledgers, which are in one location. BigQuery bills the days that are asked for of each table, and at
least 10 MB a table: some 50 MB or 0.03 cents a query, until there are tens of thousands of runs in those days. Which
tables there are, and which columns they have, is asked of the tables API, which costs nothing.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

from google.api_core.exceptions import NotFound

from wharf.connectors import bigquery
from wharf.connectors.ledger import RunLedger
from wharf.connectors.retry import POLICY
from wharf.model.history import ledger_files_sql, ledger_rows, ledger_sql
from wharf.model.history.ledger_sql import DELIVERIES, EXPORTS, FETCHING, LOADING, Ledger
from wharf.model.history.runs import FAILED, RUNNING, SILENT, DayTotal, Run, RunFile, Trouble
from wharf.model.schema import TableId

if TYPE_CHECKING:
    from google.cloud.bigquery import Client

    from wharf.model.launching.config import Tables

_FRESH = 60.0  # seconds for which a table is taken to have the columns that it had
_TIMEOUT = 60.0  # seconds for one answer of the tables API
_BEGINNING = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
_LONGEST_JOB = dt.timedelta(days=60)
_MOST_TROUBLES = 500  # runs


class Position(NamedTuple):
    """A place in the history: behind this run."""

    started_at: dt.datetime
    run_id: str


class RunHistory:
    """The runs recorded in `tables`, of which those that do not exist are passed over. Threads may share it.

    Every method raises UsageError for a ledger that may not be read, and RunFailed if BigQuery gives no answer.
    """

    def __init__(self, client: Client, tables: Tables) -> None:
        self._client, self._tables = client, tables
        self._columns: dict[TableId, tuple[float, frozenset[str]]] = {}  # (when asked, columns; none: no such table)

    def runs(
        self,
        *,
        pipeline: str = "",
        name: str = "",
        status: str = "",
        since: dt.date | None = None,
        until: dt.date | None = None,
        after: Position | None = None,
        limit: int = 100,
    ) -> list[Run]:
        """Runs that began (UTC) on the days from `since` to `until`, both included; the newest first.

        `after` goes on behind the last run of an earlier answer.
        """
        conditions, values = _narrowed(pipeline=pipeline, name=name, status=status)
        values |= _between(since, until)
        if after:
            conditions.append("(started_at < @moment OR (started_at = @moment AND run_id < @after))")
            values |= {"moment": after.started_at, "after": after.run_id}
            values["until"] = min(values["until"], after.started_at + dt.timedelta(microseconds=1))
        return self._page(conditions, values, limit, pipeline)

    def run(self, run_id: str) -> Run | None:
        """The run with this id; it is looked for in all days."""
        found = self._page(["run_id = @run"], {"run": run_id} | _between(None, None), 1)
        return found[0] if found else None

    def of_job(self, job_id: str, since: dt.date | None = None) -> list[Run]:
        """The runs that a job does the work of, if they began in the last 60 days, or after `since`."""
        values = {"job": job_id} | _between(min(_recently(), since or dt.date.max), None)
        return self._page(["job_id = @job"], values, 1_000)

    def known_jobs(self, job_ids: Collection[str]) -> set[str]:
        """Those jobs that have recorded a run in the last 60 days."""
        values = {"jobs": " ".join(job_ids)} | _between(_recently(), None)
        found = self._page(["job_id IN UNNEST(SPLIT(@jobs, ' '))"], values, 10_000) if job_ids else []
        return {run.job_id for run in found}

    def days(self, since: dt.date, *, pipeline: str = "", name: str = "") -> list[DayTotal]:
        """The runs that began on `since` or later, by day, pipeline and status; the oldest day first."""
        conditions, values = _narrowed(pipeline=pipeline, name=name)
        values |= _between(since, None)
        rows = self._ask(lambda ledgers: ledger_sql.days(ledgers, conditions), values, pipeline)
        return [ledger_rows.day_of(row) for row in rows]

    def troubles(self, since: dt.date, *, pipeline: str = "", name: str = "") -> list[Trouble]:
        """What began on `since` or later, is broken, and nothing has made up for; the newest first."""
        conditions, values = _narrowed(pipeline=pipeline, name=name)
        values |= _between(since, None)
        rows = self._ask(lambda found: ledger_sql.troubles(found, conditions, _MOST_TROUBLES), values, pipeline)
        return ledger_rows.troubles_of(map(ledger_rows.run_of, rows))

    def files(self, run: Run, limit: int = 100, offset: int = 0) -> list[RunFile]:
        """The files of a run, or its endpoints; those with an error first."""
        tables = ledger_files_sql.tables_of(run.pipeline, _ledger_of(run))
        sql = ledger_files_sql.files(run.pipeline, tables, self._columns_of(tables), limit, offset)
        if not sql:
            return []
        values = {"run": run.run_id, "since": run.started_at - dt.timedelta(days=2)}
        with bigquery.translated(f"the files of run {run.run_id}"):
            rows = bigquery.rows(self._client, sql, values)
        return [ledger_rows.file_of(run.pipeline, row) for row in rows]

    def recorded(self, run: Run) -> dict[str, Any]:
        """Everything in the run's own row; nothing for a fetch, whose rows are its endpoints."""
        if run.pipeline == FETCHING:
            return {}
        key = ledger_sql.SHAPES[run.pipeline].key[0]
        partition = "discovered_at <=" if run.pipeline == LOADING else "started_at ="
        sql = f"SELECT * FROM `{run.ledger}` WHERE `{key}` = @run AND {partition} @began"
        with bigquery.translated(f"run {run.run_id}"):
            rows = bigquery.rows(self._client, sql, {"run": run.run_id, "began": run.started_at})
        return rows[0] if rows else {}

    def fail_job(self, job_id: str, message: str, since: dt.date | None = None) -> list[Run]:
        """Record the runs `of_job`, which died, as FAILED, but for those that have ended. -> those that had not.

        Batches of files are left to their lease of some minutes. Their `job_id` is BigQuery's, whose job may still
        succeed; and the next run takes up what a dead loader left, but leaves what is FAILED to `wharf retry`.
        """
        failed = [run for run in self.of_job(job_id, since) if _is_open(run)]
        with bigquery.translated(f"the runs of job {job_id}"):
            for run in failed:
                if run.pipeline == FETCHING:
                    self._fail_fetch(run, message)
                else:
                    RunLedger(self._client, _ledger_of(run)).fail(run.run_id, message)
        now = [self.run(run.run_id) for run in failed]
        return [run for run in now if run and run.status == FAILED]

    def _fail_fetch(self, run: Run, message: str) -> None:
        """Fail the endpoints that are not done, and let others have the API."""
        bigquery.execute(
            self._client,
            f"UPDATE `{run.ledger}` SET status = 'FAILED', completed_at = CURRENT_TIMESTAMP(), "
            "error_message = @message WHERE run_id = @run AND status = 'RUNNING'",
            {"run": run.run_id, "message": message[:10_000]},
        )
        leases = ledger_sql.leases_of(_ledger_of(run))
        if not any(self._columns_of([leases])):
            return
        held = bigquery.rows(
            self._client,
            f"SELECT export_id FROM `{leases}` WHERE STARTS_WITH(export_id, @run) AND status = 'RUNNING'",
            {"run": f"{run.run_id}/"},
        )
        for lease in held:
            RunLedger(self._client, leases).fail(lease["export_id"], message)

    def _page(self, conditions: Sequence[str], values: dict[str, Any], limit: int, pipeline: str = "") -> list[Run]:
        rows = self._ask(lambda ledgers: ledger_sql.page(ledgers, conditions, limit), values, pipeline)
        return [ledger_rows.run_of(row) for row in rows]

    def _ask(
        self, sql: Callable[[Sequence[Ledger]], str], values: dict[str, Any], pipeline: str
    ) -> list[dict[str, Any]]:
        """The rows of a query over the ledgers that may hold runs of `pipeline`."""
        values = values | {"now": dt.datetime.now(dt.UTC)}
        with bigquery.translated("the history of runs"):
            ledgers = self._ledgers(pipeline)
            try:
                return bigquery.rows(self._client, sql(ledgers), values) if ledgers else []
            except NotFound:  # a table that has just been dropped
                self._columns = {}
                ledgers = self._ledgers(pipeline)
                return bigquery.rows(self._client, sql(ledgers), values) if ledgers else []

    def _ledgers(self, pipeline: str) -> list[Ledger]:
        """The ledgers there are, each table once."""
        tables = self._tables
        kinds = {
            EXPORTS: tables.exports,
            DELIVERIES: tables.deliveries,
            LOADING: tables.loads,
            FETCHING: tables.fetches,
        }
        shared = {EXPORTS, DELIVERIES}
        wanted = {
            table: kind
            for kind, table in kinds.items()
            if table and (not pipeline or pipeline == kind or {pipeline, kind} <= shared)
        }
        asked = [*wanted, *(ledger_sql.leases_of(table) for table, kind in wanted.items() if kind == FETCHING)]
        columns = dict(zip(asked, self._columns_of(asked), strict=True))
        return [
            Ledger(kind, table, columns[table], has_leases=bool(columns.get(ledger_sql.leases_of(table))))
            for table, kind in wanted.items()
            if ledger_sql.SHAPES[kind].partition_by in columns[table]
        ]

    def _columns_of(self, tables: Sequence[TableId]) -> list[frozenset[str]]:
        """The columns of each table; none of one that does not exist, which is asked for again each time."""
        now, known = time.monotonic(), self._columns
        unknown = [table for table in tables if not known.get(table, (0, ()))[1] or known[table][0] < now - _FRESH]
        if unknown:
            with ThreadPoolExecutor(len(unknown)) as pool:
                found = list(pool.map(self._read_columns, unknown))
            known = self._columns = known | {table: (now, names) for table, names in zip(unknown, found, strict=True)}
        return [known[table][1] for table in tables]

    def _read_columns(self, table: TableId) -> frozenset[str]:
        try:
            found = self._client.get_table(str(table), retry=POLICY, timeout=_TIMEOUT)
        except NotFound:
            return frozenset()
        return frozenset(field.name for field in found.schema)


def _ledger_of(run: Run) -> TableId:
    return TableId.parse(run.ledger, flag="ledger")


def _is_open(run: Run) -> bool:
    """Whether something of it is still recorded as RUNNING. Of a fetch one endpoint may have FAILED already."""
    if run.pipeline == FETCHING:
        return run.completed_at is None
    return run.pipeline != LOADING and run.status in {RUNNING, SILENT}


def _narrowed(**given: str) -> tuple[list[str], dict[str, Any]]:
    """Conditions on columns, and their parameters."""
    wanted = {column: value for column, value in given.items() if value}
    return [f"{column} = @{column}" for column in wanted], dict(wanted)


def _recently() -> dt.date:
    """The first day on which a job that is at work may have begun."""
    return (dt.datetime.now(dt.UTC) - _LONGEST_JOB).date()


def _between(since: dt.date | None, until: dt.date | None) -> dict[str, Any]:
    tomorrow = dt.datetime.now(dt.UTC).date() + dt.timedelta(days=1)
    midnight = dt.datetime.combine(until or tomorrow, dt.time(), dt.UTC)
    first = dt.datetime.combine(since, dt.time(), dt.UTC) if since else _BEGINNING
    return {"since": first, "until": midnight + dt.timedelta(days=1)}
