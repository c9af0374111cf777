"""How an API's endpoints ended -> one message to people."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam

from transforms.fetch_api import Concluded, failure
from wharf.connectors import secrets
from wharf.connectors.endpoints import Endpoints
from wharf.connectors.notify import notify
from wharf.model.fetching.config import ApiConfig
from wharf.model.fetching.flags import PIPELINE
from wharf.model.notification import Outcome

_LOG = logging.getLogger("wharf")


@dataclass
class TellFetches(beam.PTransform):
    """Tell people of a run once all its endpoints have ended.

    PCollection of Concluded -> the same, when they have been told. `again` is the command that fetches what has failed,
    `after` what RecordRows gave. A message that cannot be sent is logged and fails nothing.
    """

    config: ApiConfig
    run_id: str
    again: str
    endpoints: Endpoints
    after: Any

    def expand(self, ended: Any) -> Any:
        once = ended.pipeline | "TellOnce" >> beam.Create([None])
        return once | "Tell" >> beam.ParDo(
            _Tell(self.config, self.run_id, self.again, self.endpoints),
            beam.pvalue.AsList(ended),
            beam.pvalue.AsList(self.after),
        )


@dataclass
class _Tell(beam.DoFn):
    config: ApiConfig
    run_id: str
    again: str
    endpoints: Endpoints

    def process(self, _once: None, ended: list[Concluded], _recorded: list[int]) -> Iterator[Concluded]:
        outcome = fetch_outcome(self.config, self.run_id, self.again, ended)
        told = notify(outcome, self.config.notifications, lambda secret: secrets.resolve(secret, self.endpoints))
        for problem in told:
            _LOG.warning("%s: nobody was told: %s", outcome.export_name, problem)
        yield from ended


def fetch_outcome(config: ApiConfig, run_id: str, again: str, ended: list[Concluded]) -> Outcome:
    """What is told of a run; its endpoints stand for the files."""
    rows = [each.row for each in ended]
    errors = list(filter(None, map(failure, ended)))
    began = min(row["started_at"] for row in rows)
    return Outcome(
        pipeline=PIPELINE,
        export_name=f"{config.api.name} of {config.api.client_name}",
        export_id=run_id,
        status="FAILED" if errors else "SUCCESS",
        date=began.date().isoformat(),
        rows=sum(row["records"] or 0 for row in rows),
        files=tuple((" ".join(filter(None, [row["endpoint"], row["tenant"]])), row["bytes"] or 0) for row in rows),
        bytes=sum(row["bytes"] or 0 for row in rows),
        seconds=(dt.datetime.now(dt.UTC) - began).total_seconds(),
        destination=f"{config.project}.{config.dataset}",
        error="\n".join(errors[:20]),
        retry_command=again if errors else "",
    )
