"""How an API's endpoints ended -> one message to people."""

from __future__ import annotations

import datetime as dt
import logging
import shlex
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

    PCollection of Concluded -> the same, when they have been told. A message that cannot be sent is logged and fails
    nothing.
    """

    config: ApiConfig
    run_id: str
    endpoints: Endpoints

    def expand(self, ended: Any) -> Any:
        once = ended.pipeline | "TellOnce" >> beam.Create([None])
        return once | "Tell" >> beam.ParDo(_Tell(self), beam.pvalue.AsList(ended))


@dataclass
class _Tell(beam.DoFn):
    spec: TellFetches

    def process(self, _once: None, ended: list[Concluded]) -> Iterator[Concluded]:
        spec = self.spec
        outcome = fetch_outcome(spec.config, spec.run_id, [(each.row, failure(each)) for each in ended])
        for problem in notify(
            outcome, spec.config.notifications, lambda secret: secrets.resolve(secret, spec.endpoints)
        ):
            _LOG.warning("%s: nobody was told: %s", outcome.export_name, problem)
        yield from ended


def fetch_outcome(config: ApiConfig, run_id: str, ended: list[tuple[dict[str, Any], str]]) -> Outcome:
    """What is told of a run; its endpoints stand for the files."""
    errors = [error for _, error in ended if error]
    began = min(row["started_at"] for row, _ in ended)
    again = shlex.join(["--config", config.uri, "--client_name", config.api.client_name])
    return Outcome(
        pipeline=PIPELINE,
        export_name=f"{config.api.name} of {config.api.client_name}",
        export_id=run_id,
        status="FAILED" if errors else "SUCCESS",
        date=began.date().isoformat(),
        rows=sum(row["records"] or 0 for row, _ in ended),
        files=tuple((" ".join(filter(None, [row["endpoint"], row["tenant"]])), row["bytes"] or 0) for row, _ in ended),
        bytes=sum(row["bytes"] or 0 for row, _ in ended),
        seconds=(dt.datetime.now(dt.UTC) - began).total_seconds(),
        destination=f"{config.project}.{config.dataset}",
        error="\n".join(errors[:20]),
        retry_command=f"python -m pipelines.{PIPELINE} {again}" if errors else "",
    )
