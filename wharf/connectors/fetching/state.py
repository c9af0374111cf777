"""What became of endpoints, run by run, and who may ask an API now.

Rows of endpoints are in the metadata table; leases are rows of a second table, shaped like that of exports: a unit,
an app or one of its tenants, is what an export is there.
"""

from __future__ import annotations

import datetime as dt
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from wharf.connectors import bigquery
from wharf.connectors.ledger import SAME_EXPORT, RunLedger
from wharf.model.errors import RunInProgress
from wharf.model.fetching.ledger import FETCHES
from wharf.model.ledger import RUNS
from wharf.model.schema import TableId

if TYPE_CHECKING:
    from google.cloud.bigquery import Client

_LONGEST_PAUSE = 20.0
Row = dict[str, Any]
Key = tuple[str, str]  # endpoint and tenant


@dataclass(frozen=True)
class FetchState:
    """The fetches in `table`; `client` is a BigQuery client."""

    client: Client
    table: TableId

    @property
    def leases_table(self) -> TableId:
        return self.table._replace(table=f"{self.table.table}_leases")

    @cached_property
    def leases(self) -> RunLedger:
        """Units that runs are at work on: `export_name` is the unit, `export_id` begins with the run's id."""
        return RunLedger(self.client, self.leases_table, SAME_EXPORT)

    def ensure(self, location: str | None = None) -> None:
        """Make both tables where missing.

        Raises: UsageError.
        """
        bigquery.ensure_table(self.client, self.table, FETCHES, location)
        bigquery.ensure_table(self.client, self.leases_table, RUNS, location)

    def write(self, rows: Sequence[Row]) -> None:
        """Record what became of endpoints: rows of `wharf.model.fetching.ledger`; twice is the same as once."""
        bigquery.merge_rows(self.client, self.table, FETCHES, rows)

    def last_cursors(self, client_name: str, api: str) -> dict[Key, str]:
        """The cursor of each endpoint and tenant that the newest successful run committed."""
        found = self._newest(client_name, api, "AND status = 'SUCCESS' AND cursor_after IS NOT NULL")
        return {key: row["cursor_after"] for key, row in found.items()}

    def newest(self, client_name: str, api: str) -> dict[Key, Row]:
        """The newest row of each endpoint and tenant, whatever became of it; none before there is a table."""
        return self._newest(client_name, api, "")

    def of_run(self, run_id: str) -> dict[Key, Row]:
        """The rows of a run."""
        found = bigquery.rows(self.client, f"SELECT * FROM `{self.table}` WHERE run_id = @run", {"run": run_id})
        return {_key(row): row for row in found}

    def spent_today(self, client_name: str, api: str, now: dt.datetime) -> dict[str, int]:
        """Requests that runs of this day (UTC) have used, by tenant."""
        found = bigquery.rows(
            self.client,
            f"SELECT tenant, SUM(requests) AS spent FROM `{self.table}` WHERE client_name = @client AND api = @api "
            "AND IFNULL(completed_at, started_at) >= @day AND requests IS NOT NULL GROUP BY tenant",
            {"client": client_name, "api": api, "day": dt.datetime.combine(now.date(), dt.time(), dt.UTC)},
        )
        return {row["tenant"]: row["spent"] for row in found}

    @contextmanager
    def held(
        self, unit: str, run_id: str, lease: dt.timedelta, *, job_id: str | None = None, force: bool = False
    ) -> Iterator[None]:
        """Keep others from `unit`, such as `client/api/tenant`, for the length of the block.

        With `force`, or when its lease has ended, a former holder is taken over from. One that is at work for the same
        run, most likely on a worker that was lost, is waited for.

        Raises: RunInProgress if another run is at work on it.
        """
        claim = f"{run_id}/{uuid.uuid4().hex[:8]}"
        row = {
            "export_id": claim,
            "export_name": unit,
            "destination_uri": unit,
            "started_at": dt.datetime.now(dt.UTC),
            "job_id": job_id,
        }
        while True:
            try:
                self.leases.claim(row, lease, force=force)
                break
            except RunInProgress as error:
                if not self._is_at_work(run_id, unit):
                    text = f"{unit} is being fetched already, and its limits are one run's: {error}"
                    raise RunInProgress(text) from error
            time.sleep(min(lease.total_seconds() / 10, _LONGEST_PAUSE))
        try:
            with self.leases.kept_alive([claim], lease):
                yield
        except BaseException as error:
            self.leases.fail(claim, str(error) or type(error).__name__)
            raise
        self.leases.end({"export_id": claim})

    def _is_at_work(self, run_id: str, unit: str) -> bool:
        """Whether one that is at work on `unit` is so for the run."""
        return bool(
            bigquery.rows(
                self.client,
                f"SELECT export_id FROM `{self.leases_table}` WHERE export_name = @unit AND status = 'RUNNING' "
                "AND STARTS_WITH(export_id, CONCAT(@run, '/'))",
                {"unit": unit, "run": run_id},
            )
        )

    def _newest(self, client_name: str, api: str, condition: str) -> dict[Key, Row]:
        if not bigquery.exists(self.client, self.table):
            return {}
        found = bigquery.rows(
            self.client,
            f"SELECT * FROM `{self.table}` WHERE client_name = @client AND api = @api {condition} "
            "QUALIFY ROW_NUMBER() OVER (PARTITION BY endpoint, tenant ORDER BY started_at DESC, run_id DESC) = 1",
            {"client": client_name, "api": api},
        )
        return {_key(row): row for row in found}


def _key(row: Row) -> Key:
    return row["endpoint"], row["tenant"]
