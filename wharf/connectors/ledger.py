"""The runs table as a lock and a record: who may write which window, and how each run ended."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from wharf.connectors import bigquery, machine
from wharf.connectors.lease import renewed
from wharf.model.errors import RunFailed, RunInProgress
from wharf.model.ledger import FAILED, RUNNING, RUNS, SUCCESS, LedgerTable
from wharf.model.schema import TableId

if TYPE_CHECKING:
    from google.cloud.bigquery import Client

# Which runs must not be at work together.
SAME_WINDOW = "destination_uri = @destination AND window_from < @window_to AND window_to > @window_from"
SAME_EXPORT = "export_name = @export_name"
_SCOPE = {
    "destination": "destination_uri",
    "export_name": "export_name",
    "window_from": "window_from",
    "window_to": "window_to",
}


@dataclass(frozen=True)
class RunLedger:
    """The runs in `table`; `client` is a BigQuery client, `rivalry` says which runs exclude each other."""

    client: Client
    table: TableId
    rivalry: str = SAME_WINDOW

    @cached_property
    def shape(self) -> LedgerTable:
        """What the table calls its columns."""
        return bigquery.shape_of(self.client, self.table, RUNS)

    def claim(self, run: dict[str, Any], lease: dt.timedelta, *, force: bool = False, again: bool = False) -> None:
        """Record `run` as RUNNING, unless a rival is alive.

        Insert first, look afterwards: of two that start together at least one sees the other and withdraws.
        Rows of rivals whose lease has ended, or of all with `force`, become FAILED, so that they cannot publish; so
        do those whose process was one of this machine and is gone.
        A run that is claimed `again` is not forgotten when it gives way: it is FAILED, as it was.

        Raises: RunInProgress.
        """
        scope = {name: run[column] for name, column in _SCOPE.items() if f"@{name}" in self.rivalry}
        scope["export_id"] = run["export_id"]
        rivals_are = f"{self.rivalry} AND {self._status} = 'RUNNING' AND export_id != @export_id"
        ended = "" if force else " AND lease_until <= CURRENT_TIMESTAMP()"
        bigquery.execute(
            self.client,
            f"UPDATE `{self.table}` SET {self._status} = 'FAILED', completed_at = CURRENT_TIMESTAMP(), "
            f"error_message = CONCAT('taken over by ', @export_id) WHERE {rivals_are}{ended}",
            scope,
        )
        self._write(run | {"status": RUNNING, "lease_until": dt.datetime.now(dt.UTC) + lease})
        rivals = bigquery.rows(
            self.client,
            f"SELECT export_id, started_at, lease_until, job_id FROM `{self.table}` WHERE {rivals_are} ORDER BY 2",
            scope,
        )
        for rival in rivals:
            if _is_dead(rival):
                self.fail(rival["export_id"], f"its process died; taken over by {run['export_id']}")
        if living := [rival for rival in rivals if not _is_dead(rival)]:
            first = living[0]
            if again:
                self.fail(run["export_id"], f"not completed: run {first['export_id']} was at work")
            else:
                self.withdraw(run["export_id"])
            raise RunInProgress(
                f"run {first['export_id']} ({first['job_id']}) is writing this window to {run['destination_uri']} "
                f"since {first['started_at']:%Y-%m-%d %H:%M:%S} UTC and holds it until "
                f"{first['lease_until']:%Y-%m-%d %H:%M:%S}: wait for it, or take over with --force"
            )

    def withdraw(self, export_id: str) -> None:
        """Forget a run that was claimed and has done nothing."""
        bigquery.execute(
            self.client, f"DELETE FROM `{self.table}` WHERE export_id = @export_id", {"export_id": export_id}
        )

    def living(self, export_ids: list[str]) -> set[str]:
        """Those of `export_ids` that are RUNNING within their lease, and whose process is not known to be gone."""
        found = bigquery.rows(
            self.client,
            f"SELECT export_id, job_id FROM `{self.table}` "
            f"WHERE {self._status} = 'RUNNING' AND lease_until > CURRENT_TIMESTAMP() "
            "AND export_id IN (SELECT item FROM UNNEST(SPLIT(@ids, ' ')) AS item)",
            {"ids": " ".join(export_ids)},
        )
        return {row["export_id"] for row in found if not _is_dead(row)}

    def check_mine(self, export_id: str) -> None:
        """Make sure that the run may still publish.

        Raises: RunFailed if another run took its window over.
        """
        found = bigquery.rows(
            self.client,
            f"SELECT {self._status} AS status, error_message FROM `{self.table}` WHERE export_id = @export_id",
            {"export_id": export_id},
        )
        if not found or found[0]["status"] != RUNNING:
            why = found[0]["error_message"] if found else "its row is gone"
            raise RunFailed(f"run {export_id} lost its window before it published anything: {why}")

    def row(self, export_id: str) -> dict[str, Any]:
        """Everything recorded of a run."""
        found = bigquery.rows(
            self.client, f"SELECT * FROM `{self.table}` WHERE export_id = @export_id", {"export_id": export_id}
        )
        if not found:
            raise RunFailed(f"run {export_id} is not in {self.table}")
        return found[0] | {"status": found[0][self._status]}

    def renew(self, export_id: str, lease: dt.timedelta) -> None:
        """Hold the window for another `lease` from now."""
        self._write({"export_id": export_id, "lease_until": dt.datetime.now(dt.UTC) + lease}, only_if_running=True)

    def assign_job(self, export_id: str, job_id: str) -> None:
        """Record the job that does the run's work."""
        self._write({"export_id": export_id, "job_id": job_id}, only_if_running=True)

    def end(self, outcome: dict[str, Any]) -> None:
        """Record the totals of a run that reached its end: FAILED if it has an `error_message`, else SUCCESS."""
        if outcome.get("error_message"):
            ended = {"status": FAILED, "completed_at": dt.datetime.now(dt.UTC)}
            self._write(outcome | ended, only_if_running=True)
        else:
            self.succeed(outcome)

    def succeed(self, outcome: dict[str, Any]) -> None:
        """Record SUCCESS with the run's totals; `outcome` holds `export_id`."""
        self._write(outcome | {"status": SUCCESS, "completed_at": dt.datetime.now(dt.UTC), "error_message": None})

    def refuse(self, run: dict[str, Any], message: str) -> None:
        """Record a run that could not begin as FAILED."""
        self._write(
            run | {"status": FAILED, "completed_at": dt.datetime.now(dt.UTC), "error_message": message[:10_000]}
        )

    def note(self, export_id: str, column: str, text: str) -> None:
        """Record something about a run, whatever its status."""
        self._write({"export_id": export_id, column: text[:10_000]})

    def fail(self, export_id: str, message: str) -> None:
        """Record FAILED, if the run has not ended already."""
        ended = {"status": FAILED, "completed_at": dt.datetime.now(dt.UTC), "error_message": message[:10_000]}
        self._write({"export_id": export_id} | ended, only_if_running=True)

    def kept_alive(self, export_ids: Sequence[str], lease: dt.timedelta) -> AbstractContextManager[None]:
        """Renew the leases in the background while a block runs."""

        def renew() -> None:
            for export_id in export_ids:
                self.renew(export_id, lease)

        return renewed(renew, lease, ", ".join(export_ids))

    def _write(self, row: dict[str, Any], *, only_if_running: bool = False) -> None:
        condition = f"old.{self._status} = 'RUNNING'" if only_if_running else ""
        bigquery.merge_rows(self.client, self.table, self.shape, [row], only_if=condition)

    @property
    def _status(self) -> str:
        return self.shape.name_of("status")


def _is_dead(row: Mapping[str, Any]) -> bool:
    return machine.is_gone(row["job_id"] or "")
