"""The load-state table: which batch is whose, and how each ended. Who claims a batch may load it while his lease lasts.

    state.claim(batches) -> load into staging -> state.write(SUBMITTED) -> the job that changes the table -> write(DONE)

Two workers may both believe that a new batch is theirs; `write` of SUBMITTED lets one of them through.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wharf.connectors import bigquery
from wharf.connectors.lease import renewed
from wharf.connectors.loading.group_commit import GroupCommit
from wharf.model.errors import RunFailed
from wharf.model.loading import state, state_sql
from wharf.model.loading.batch import Batch, Refused
from wharf.model.loading.state import CLAIMED, LOADS, OUTCOME
from wharf.model.schema import TableId

if TYPE_CHECKING:
    from google.cloud.bigquery import Client

_WRITTEN = ("batch_id", "claimed_by", *OUTCOME)

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Claimed:
    """A batch as it is after a claim, and whether it is ours to load.

    If it is, `row["job_id"]` is the job that an earlier claimer may have brought it into the table with.
    """

    batch: Batch | Refused
    row: Row
    is_mine: bool


class TakenOver(RunFailed):
    """Batches that were claimed, and are somebody else's by now; what is to be done with them is his."""

    def __init__(self, directories: Mapping[str, str]) -> None:
        """`directories` by batch id."""
        more = f", and {len(directories) - 1:,} more" if len(directories) > 1 else ""
        super().__init__(f"{next(iter(directories.values()))}: another worker has taken this batch over{more}")
        self.batch_ids = frozenset(directories)


class LoadState:
    """The rows of `table`, by a BigQuery client. Threads may share it.

    A claimer is one attempt at loading: give each a new name, or an attempt that is repeated in the same process
    finds its own claims in its way.
    """

    def __init__(self, client: Client, table: TableId) -> None:
        self.client, self.table = client, table
        self._claims = GroupCommit(self._commit_claims)
        self._writes = GroupCommit(self._commit_writes)

    def ensure(self, location: str | None = None) -> None:
        """Make the table where it is missing.

        Raises: UsageError.
        """
        bigquery.ensure_table(self.client, self.table, LOADS, location)

    def rows(self, batch_ids: Iterable[str]) -> dict[str, Row]:
        """What is recorded of those of `batch_ids` that are known."""
        return {row["batch_id"]: row for row in self._of_ids(batch_ids)}

    def discover(self, batches: Iterable[Batch | Refused], settings: str) -> None:
        """Record batches that are not known as DISCOVERED; `settings` are the flags to load them with, as JSON."""
        now = dt.datetime.now(dt.UTC)
        rows = {batch.landing.batch_id: state.discovered(batch, settings, now) for batch in batches}
        self._run(state_sql.discover(self.table), list(rows.values()))

    def claim(
        self,
        batches: Iterable[Batch | Refused],
        claimer: str,
        lease: dt.timedelta,
        settings: str,
        *,
        retry_failed: bool = False,
    ) -> list[Claimed]:
        """Claim batches for `lease` from now. -> each of `batches` once, as it is then.

        Ours become those that nobody knew, that were DISCOVERED, or that were left by somebody whose lease has ended;
        FAILED ones only with `retry_failed`.
        """
        now = dt.datetime.now(dt.UTC)
        known = {batch.landing.batch_id: batch for batch in batches}
        retry = {"retry": retry_failed}
        found = self._claims([state.claimed(batch, settings, now, claimer, lease) | retry for batch in known.values()])

        def is_mine(row: Row) -> bool:
            return (row["status"], row["claimed_by"], row["claimed_at"]) == (CLAIMED, claimer, now)

        return [Claimed(batch, found[batch_id], is_mine(found[batch_id])) for batch_id, batch in known.items()]

    def write(self, rows: Sequence[Row]) -> None:
        """Record what became of batches: whole rows, with the `claimed_by` of their claim.

        Raises: TakenOver if some of them are somebody else's; the others are written.
        """
        owned = self._writes(rows)
        lost = {row["batch_id"]: row["directory"] for row in rows if (row["batch_id"], row["claimed_by"]) not in owned}
        if lost:
            raise TakenOver(lost)

    def renew(self, claimer: str, lease: dt.timedelta) -> None:
        """Hold everything that `claimer` is at work on for another `lease` from now."""
        bigquery.execute(
            self.client,
            f"UPDATE `{self.table}` SET lease_until = @until "
            "WHERE claimed_by = @claimer AND status IN ('CLAIMED', 'SUBMITTED')",
            {"until": dt.datetime.now(dt.UTC) + lease, "claimer": claimer},
        )

    def kept_alive(self, claimer: str, lease: dt.timedelta) -> AbstractContextManager[None]:
        """Renew the leases in the background while a block runs."""
        return renewed(lambda: self.renew(claimer, lease), lease, claimer)

    def unfinished(self, *, table: TableId | None = None, below: str = "") -> list[Row]:
        """Batches that are not DONE, in path order: all, those for `table`, those whose directory begins with `below`.

        Of a directory whose marker came again only the newest counts.
        """
        found = bigquery.rows(
            self.client,
            f"SELECT * FROM (SELECT * FROM `{self.table}` "
            "WHERE (@table = '' OR destination_table = @table) AND STARTS_WITH(directory, @below) "
            "QUALIFY ROW_NUMBER() OVER (PARTITION BY directory ORDER BY success_generation DESC) = 1) "
            "WHERE status != 'DONE'",
            {"table": str(table or ""), "below": below},
        )
        return sorted(found, key=lambda row: row["directory"])

    def of_run(self, run_id: str) -> list[Row]:
        """Batches that a run was the last to claim, in path order; its claimers' names begin with its id."""
        found = bigquery.rows(
            self.client,
            f"SELECT * FROM `{self.table}` WHERE STARTS_WITH(claimed_by, @run)",
            {"run": f"{run_id} "},
        )
        return sorted(found, key=lambda row: row["directory"])

    def history(self, since: dt.date) -> list[Row]:
        """Batches seen on `since` or later, the newest first."""
        found = bigquery.rows(
            self.client,
            f"SELECT * FROM `{self.table}` WHERE discovered_at >= @since",
            {"since": dt.datetime.combine(since, dt.time(), dt.UTC)},
        )
        return sorted(found, key=lambda row: (row["discovered_at"], row["directory"]), reverse=True)

    def _commit_claims(self, rows: Sequence[Row]) -> dict[str, Row]:
        """-> all of them as they are then. Of rows that several threads have for one batch, the first is tried."""
        first = {row["batch_id"]: row for row in reversed(rows)}
        self._run(state_sql.claim(self.table), list(first.values()))
        found = self._of_ids(first)
        if len(found) > len(first):
            # Somebody inserted the same at the same time. He who finds his row gone when he writes SUBMITTED has done
            # nothing yet that can be seen.
            bigquery.execute(self.client, state_sql.settle(self.table), {"ids": " ".join(first)})
            found = self._of_ids(first)
        return {row["batch_id"]: row for row in found}

    def _commit_writes(self, rows: Sequence[Row]) -> set[tuple[str, str]]:
        """-> (batch id, whose it is) of what is there then."""
        latest = {(row["batch_id"], row["claimed_by"]): {name: row[name] for name in _WRITTEN} for row in rows}
        if self._run(state_sql.write(self.table), list(latest.values())) == len(latest):
            return set(latest)
        found = self._of_ids({row["batch_id"] for row in rows}, "batch_id, claimed_by")
        return {(row["batch_id"], row["claimed_by"]) for row in found}

    def _of_ids(self, batch_ids: Iterable[str], columns: str = "*") -> list[dict[str, Any]]:
        ids = " ".join(batch_ids)
        sql = f"SELECT {columns} FROM `{self.table}` WHERE {state_sql.OF_IDS}"
        return bigquery.rows(self.client, sql, {"ids": ids}) if ids else []

    def _run(self, sql: str, rows: Sequence[Row]) -> int:
        """-> rows affected."""
        affected = 0
        for first in range(0, len(rows), state_sql.ROWS_PER_STATEMENT):
            chunk = rows[first : first + state_sql.ROWS_PER_STATEMENT]
            affected += bigquery.execute(self.client, sql, {"rows": json.dumps(chunk, default=str, ensure_ascii=False)})
        return affected
