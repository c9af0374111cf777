"""The rows of all ledgers as rows of one shape: the SQL behind the history of runs.

Parameters: @now, and @since and @until, between which a run began (@until is outside). Each SELECT restricts the column
that its table is partitioned by, so that only the days asked for are read, and billed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from wharf.model.fetching.ledger import FETCHES
from wharf.model.history.runs import BROKEN, SILENT
from wharf.model.ledger import RUNS, LedgerTable
from wharf.model.loading.state import LOADS
from wharf.model.schema import TableId

EXPORTS, DELIVERIES, LOADING, FETCHING = "bigquery_to_avro", "bigquery_to_sftp", "files_to_bigquery", "api_to_bigquery"
SHAPES = {EXPORTS: RUNS, DELIVERIES: RUNS, LOADING: LOADS, FETCHING: FETCHES}
SETTINGS = "settings"  # the flags of a run, as JSON
NO_TABLE = "no table"  # the name of batches that could not even name one

_COLUMNS = (
    "run_id, pipeline, name, started_at, completed_at, lease_until, `rows`, bytes, files, window_from, window_to, "
    "time_zone, source, destination, job_id, error, settings, ledger"
)
# A batch may be discovered long before it is claimed for the last time, which is when its run began.
_LONGEST_WAIT = "INTERVAL 90 DAY"
# An API's run that goes on with what another one left has endpoints that began on two days.
_LONGEST_FETCH = "INTERVAL 2 DAY"
_BROKEN = ", ".join(f"'{status}'" for status in BROKEN)


@dataclass(frozen=True)
class Ledger:
    """A table that runs of `pipeline` are recorded in, and the columns that it has.

    Exports and deliveries may share one: what a row is of, its destination says. `has_leases`: there is a table that
    tells who holds an API.
    """

    pipeline: str
    table: TableId
    columns: frozenset[str]
    has_leases: bool = False

    @property
    def shape(self) -> LedgerTable:
        return SHAPES[self.pipeline].adapted_to(self.columns)

    def column(self, name: str, type_: str = "STRING") -> str:
        """The column, or a NULL of its type where the table does not have it."""
        shape = self.shape
        types = {column.name: column.type for column in shape.columns}
        return present(shape.name_of(name), types.get(name, type_), self.columns)


def leases_of(fetches: TableId) -> TableId:
    """Where it is recorded which run is at work on an API."""
    return fetches._replace(table=f"{fetches.table}_leases")


def present(name: str, type_: str, columns: frozenset[str]) -> str:
    """A column by its name in the table, or a NULL."""
    return f"`{name}`" if name in columns else f"CAST(NULL AS {type_})"


def runs(ledgers: Sequence[Ledger]) -> str:
    """`WITH runs AS (...)`: one row for each run in the ledgers, of which there is at least one."""
    recorded = "\nUNION ALL\n".join(_SELECTS[ledger.pipeline](ledger) for ledger in ledgers)
    status = f"IF(recorded = 'RUNNING' AND lease_until <= @now, '{SILENT}', recorded) AS status"
    return f"WITH every AS (\n{recorded}\n), runs AS (SELECT {_COLUMNS}, {status} FROM every)\n"


def page(ledgers: Sequence[Ledger], conditions: Sequence[str], limit: int) -> str:
    """Runs that fulfil all conditions, the newest first."""
    where = " AND ".join(conditions) or "TRUE"
    return f"{runs(ledgers)}SELECT * FROM runs WHERE {where} ORDER BY started_at DESC, run_id DESC LIMIT {limit}"


def days(ledgers: Sequence[Ledger], conditions: Sequence[str]) -> str:
    """Runs by day, pipeline and status: how many, their rows, how long the longest took, what they are called."""
    return (
        f"{runs(ledgers)}SELECT DATE(started_at) AS day, pipeline, status, COUNT(*) AS runs, "
        "SUM(IFNULL(`rows`, 0)) AS `rows`, MAX(TIMESTAMP_DIFF(completed_at, started_at, MILLISECOND)) AS took, "
        "STRING_AGG(DISTINCT name, '\\n' ORDER BY name LIMIT 100) AS names "
        f"FROM runs WHERE {' AND '.join(conditions) or 'TRUE'} GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
    )


def troubles(ledgers: Sequence[Ledger], conditions: Sequence[str], limit: int) -> str:
    """Runs that are broken or at work, and nothing that makes up for them has succeeded since; the broken ones first.

    What makes up for a batch is a batch of its directory; for a fetch one of as many endpoints; for an export one that
    covers its window, or any where there is no window.
    """
    covers = (
        "bad.window_from IS NULL OR (good.window_from <= bad.window_from AND good.window_to >= bad.window_to "
        f"AND (bad.pipeline != '{EXPORTS}' OR good.destination = bad.destination))"
    )
    makes_up = (
        f"CASE bad.pipeline WHEN '{LOADING}' THEN good.source = bad.source "
        f"WHEN '{FETCHING}' THEN good.files >= bad.files ELSE {covers} END"
    )
    where = "".join(f" AND bad.{condition}" for condition in conditions)
    return (
        f"{runs(ledgers)}SELECT bad.* FROM runs AS bad LEFT JOIN runs AS good "
        "ON good.pipeline = bad.pipeline AND good.name = bad.name AND good.status = 'SUCCESS' "
        f"AND good.started_at > bad.started_at AND {makes_up} "
        f"WHERE good.run_id IS NULL AND bad.status IN ({_BROKEN}, 'RUNNING'){where} "
        f"ORDER BY IF(bad.status = 'RUNNING', 1, 0), bad.started_at DESC LIMIT {limit}"
    )


def _of_exports(ledger: Ledger) -> str:
    of = ledger.column
    # Rows that other tools wrote have no id.
    run_id = f"COALESCE({of('export_id')}, CONCAT({of('export_name')}, FORMAT_TIMESTAMP('-%Y%m%dT%H%M%S', started_at)))"
    pipeline = (
        f"CASE WHEN STARTS_WITH({of('destination_uri')}, 'sftp://') THEN '{DELIVERIES}' "
        f"WHEN {of('destination_uri')} IS NOT NULL THEN '{EXPORTS}' ELSE '{ledger.pipeline}' END"
    )
    return (
        f"SELECT {run_id} AS run_id, {pipeline} AS pipeline, {of('export_name')} AS name, started_at, "
        f"{of('completed_at')} AS completed_at, {of('lease_until')} AS lease_until, {of('rows_exported')} AS `rows`, "
        f"{of('bytes_exported')} AS bytes, {of('files')} AS files, {of('window_from')} AS window_from, "
        f"{of('window_to')} AS window_to, {of('time_zone')} AS time_zone, {of('source_table')} AS source, "
        f"{of('destination_uri')} AS destination, {of('job_id')} AS job_id, {of('error_message')} AS error, "
        f"{of(SETTINGS)} AS settings, '{ledger.table}' AS ledger, {of('status')} AS recorded "
        f"FROM `{ledger.table}` WHERE started_at >= @since AND started_at < @until"
    )


def _of_loads(ledger: Ledger) -> str:
    of = ledger.column
    began = f"IFNULL({of('claimed_at')}, discovered_at)"
    status = (
        f"CASE {of('status')} WHEN 'DISCOVERED' THEN 'WAITING' WHEN 'CLAIMED' THEN 'RUNNING' "
        f"WHEN 'SUBMITTED' THEN 'RUNNING' WHEN 'DONE' THEN 'SUCCESS' ELSE {of('status')} END"
    )
    # A batch is claimed again with the end of its last run still in its row.
    completed = f"IF({of('status')} IN ('DONE', 'FAILED'), {of('completed_at')}, NULL)"
    return (
        f"SELECT {of('batch_id')} AS run_id, '{LOADING}' AS pipeline, "
        rf"IFNULL(REGEXP_EXTRACT({of('destination_table')}, r'[^.]+\.[^.]+$'), '{NO_TABLE}') AS name, "
        f"{began} AS started_at, {completed} AS completed_at, {of('lease_until')} AS lease_until, "
        f"{of('rows')} AS `rows`, {of('bytes')} AS bytes, {of('files')} AS files, "
        "CAST(NULL AS TIMESTAMP) AS window_from, CAST(NULL AS TIMESTAMP) AS window_to, "
        f"CAST(NULL AS STRING) AS time_zone, {of('directory')} AS source, "
        f"{of('destination_table')} AS destination, {of('job_id')} AS job_id, {of('error_message')} AS error, "
        f"{of('settings')} AS settings, '{ledger.table}' AS ledger, {status} AS recorded FROM `{ledger.table}` "
        f"WHERE discovered_at >= TIMESTAMP_SUB(@since, {_LONGEST_WAIT}) AND discovered_at < @until "
        f"AND {began} >= @since AND {began} < @until"
    )


def _of_fetches(ledger: Ledger) -> str:
    """All endpoints of a run are one row, which ended as the worst of them did."""
    of = ledger.column
    status, error = of("status"), of("error_message")
    worst = " ".join(
        f"WHEN COUNTIF({status} = '{one}') > 0 THEN '{one}'" for one in ("FAILED", "RUNNING", "STOPPED", "SUCCESS")
    )
    fetched = (
        "SELECT run_id, MIN(started_at) AS started_at, "
        f"CONCAT(MIN({of('client_name')}), '/', MIN({of('api')})) AS name, "
        f"IF(COUNTIF({status} = 'RUNNING') > 0, NULL, MAX({of('completed_at')})) AS completed_at, "
        f"SUM({of('records')}) AS `rows`, SUM({of('bytes')}) AS bytes, COUNT(*) AS files, "
        f"STRING_AGG(DISTINCT {of('endpoint')}, ',' ORDER BY {of('endpoint')}) AS source, "
        rf"REGEXP_REPLACE(MAX({of('table_name')}), r'\.[^.]+$', '') AS destination, MAX({of('job_id')}) AS job_id, "
        f"STRING_AGG(DISTINCT {error}, '\\n' ORDER BY {error} LIMIT 20) AS error, MAX({of(SETTINGS)}) AS settings, "
        f"CASE {worst} END AS recorded FROM `{ledger.table}` "
        f"WHERE started_at >= TIMESTAMP_SUB(@since, {_LONGEST_FETCH}) AND started_at < @until GROUP BY run_id"
    )
    leases = _leases(leases_of(ledger.table))
    held = f"LEFT JOIN ({leases}) AS held ON held.holder = fetched.run_id " if ledger.has_leases else ""
    return (
        f"SELECT run_id, '{FETCHING}' AS pipeline, name, started_at, completed_at, "
        f"{'held.alive_until' if held else 'CAST(NULL AS TIMESTAMP)'} AS lease_until, `rows`, bytes, files, "
        "CAST(NULL AS TIMESTAMP) AS window_from, CAST(NULL AS TIMESTAMP) AS window_to, "
        "CAST(NULL AS STRING) AS time_zone, source, destination, job_id, error, settings, "
        f"'{ledger.table}' AS ledger, recorded FROM ({fetched}) AS fetched {held}WHERE started_at >= @since"
    )


def _leases(table: TableId) -> str:
    """Until when each run may be at work. A lease that was given back is of fetching; loading may go on for a day."""
    return (
        "SELECT REGEXP_EXTRACT(export_id, r'^[^/]+') AS holder, MAX(CASE status WHEN 'RUNNING' THEN lease_until "
        "WHEN 'FAILED' THEN completed_at ELSE TIMESTAMP_ADD(completed_at, INTERVAL 1 DAY) END) AS alive_until "
        f"FROM `{table}` WHERE started_at >= TIMESTAMP_SUB(@since, {_LONGEST_FETCH}) AND started_at < @until GROUP BY 1"
    )


_SELECTS: dict[str, Callable[[Ledger], str]] = {
    EXPORTS: _of_exports,
    DELIVERIES: _of_exports,
    LOADING: _of_loads,
    FETCHING: _of_fetches,
}
