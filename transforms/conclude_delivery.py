"""Results of files -> how each run ended: recorded, and told to people."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam

from transforms.fail_if_any import FailIfAny
from transforms.record import RecordRows
from wharf.connectors.deliveries import Deliveries
from wharf.model.delivery import DeliveryResult
from wharf.model.ledger import FILES
from wharf.model.manifest import Manifest, file_rows, outcome


@dataclass
class ConcludeDeliveries(beam.PTransform):
    """Record each run's files, then how it ended, then tell people; the job fails if a run did.

    (PCollection of Manifest, PCollection of DeliveryResult) -> the row of each run that succeeded. A run succeeds,
    and its watermark moves, only if every file of its manifest has arrived. `tell` is called with the run's row
    and its manifest.
    """

    deliveries: Deliveries
    tell: Callable[[dict[str, Any], Manifest], None]

    def expand(self, manifests_and_results: Any) -> Any:
        manifests, results = manifests_and_results
        spec = self.deliveries
        by_run = results | "ByRun" >> beam.Map(lambda result: (result.file.owner, result))
        runs = {"manifest": manifests | "OfRun" >> beam.Map(lambda run: (run.export_id, run)), "results": by_run}
        complete = runs | "GatherResults" >> beam.CoGroupByKey() | "TakeStock" >> beam.FlatMap(_take_stock)
        recorded = (
            complete
            | "FileRows" >> beam.FlatMap(_file_rows)
            | "RecordFiles" >> RecordRows(spec.files, FILES, spec.project, spec.endpoints)
        )
        return (
            complete
            | "EndRun" >> beam.ParDo(_EndRun(spec, self.tell), beam.pvalue.AsList(recorded))
            | "FailIfAny" >> FailIfAny(_failure)
        )


def _take_stock(gathered: tuple[str, dict[str, Iterable[Any]]]) -> Iterator[tuple[Manifest, list[DeliveryResult]]]:
    for manifest in gathered[1]["manifest"]:
        yield manifest, list(gathered[1]["results"])


def _file_rows(run: tuple[Manifest, list[DeliveryResult]]) -> list[dict[str, Any]]:
    return file_rows(*run, dt.datetime.now(dt.UTC))


@dataclass
class _EndRun(beam.DoFn):
    """(Manifest, results) -> the run's row."""

    deliveries: Deliveries
    tell: Callable[[dict[str, Any], Manifest], None]

    def process(self, run: tuple[Manifest, list[DeliveryResult]], _recorded: list[int]) -> Iterator[dict[str, Any]]:
        manifest, results = run
        self.deliveries.end(outcome(manifest, results))
        row = self.deliveries.ledger.row(manifest.export_id)
        self.tell(row, manifest)
        yield row


def _failure(row: dict[str, Any]) -> str:
    return f"run {row['export_id']}: {row['error_message']}" if row["error_message"] else ""
