"""How batches ended -> messages to people."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam

from transforms.load_files import Ended
from wharf.connectors import secrets
from wharf.connectors.endpoints import Endpoints
from wharf.connectors.notify import notify
from wharf.model.history.retries import load_again
from wharf.model.loading.state import DISCOVERED, DONE
from wharf.model.notification import Notifications, Outcome
from wharf.model.schema import TableId

_LOG = logging.getLogger("wharf")


@dataclass
class TellLoads(beam.PTransform):
    """Tell people of each table's batches, those of a bundle in one message for each way to end.

    PCollection of Ended -> nothing. A message that cannot be sent is logged and fails nothing.
    """

    notifications: Notifications
    state_table: TableId
    endpoints: Endpoints

    def expand(self, ended: Any) -> Any:
        return ended | "Tell" >> beam.ParDo(_Tell(self))


@dataclass
class _Tell(beam.DoFn):
    spec: TellLoads

    def start_bundle(self) -> None:
        self._ended: dict[tuple[str, str], list[dict[str, Any]]] = {}

    def process(self, ended: Ended) -> None:
        row = ended.row
        if row["status"] != DISCOVERED:  # what waits has not ended
            self._ended.setdefault((row["destination_table"] or "no table", row["status"]), []).append(row)

    def finish_bundle(self) -> Iterator[Any]:
        spec = self.spec
        for rows in self._ended.values():
            outcome = load_outcome(rows, spec.state_table)
            failures = notify(outcome, spec.notifications, lambda secret: secrets.resolve(secret, spec.endpoints))
            for failure in failures:
                _LOG.warning("%s: nobody was told: %s", outcome.export_name, failure)
        return iter(())


def load_outcome(rows: list[dict[str, Any]], state_table: TableId) -> Outcome:
    """What is told of batches of one table that ended in one way; their directories stand for the files."""
    first = rows[0]
    is_done = first["status"] == DONE
    return Outcome(
        pipeline="files_to_bigquery",
        export_name=first["destination_table"] or "no table",
        export_id=first["batch_id"],
        status="SUCCESS" if is_done else "FAILED",
        date=dt.datetime.now(dt.UTC).date().isoformat(),
        rows=sum(row["rows"] or 0 for row in rows),
        files=tuple((row["directory"], row["bytes"] or 0) for row in rows),
        bytes=sum(row["bytes"] or 0 for row in rows),
        seconds=max((row["completed_at"] - row["claimed_at"]).total_seconds() for row in rows),
        destination=first["destination_table"] or "no table",
        error="" if is_done else "\n".join(row["error_message"] or "" for row in rows[:20]),
        retry_command="" if is_done else load_again(str(state_table)),
    )
