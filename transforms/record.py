"""Metadata rows (side outputs) -> BigQuery, after the commit they tell of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam

from wharf.connectors import bigquery
from wharf.connectors.endpoints import Endpoints
from wharf.connectors.ledger import RunLedger
from wharf.model.ledger import LedgerTable
from wharf.model.schema import TableId


@dataclass
class RecordRows(beam.PTransform):
    """Merge rows into a ledger table by its key; writing a row twice changes nothing.

    dict of column values -> number of rows written, one to a batch.
    """

    table: TableId
    shape: LedgerTable
    project: str
    endpoints: Endpoints

    def expand(self, rows: Any) -> Any:
        return (
            rows
            | "Batch" >> beam.BatchElements(min_batch_size=5_000, max_batch_size=10_000)
            | "Merge" >> beam.ParDo(_Merge(self)).with_output_types(int)
        )


@dataclass
class _Merge(beam.DoFn):
    spec: RecordRows

    def setup(self) -> None:
        self._client = self.spec.endpoints.bigquery_client(self.spec.project)

    def process(self, rows: list[dict[str, Any]]) -> Iterator[int]:
        yield bigquery.merge_rows(self._client, self.spec.table, self.spec.shape, rows)


@dataclass
class RecordSuccess(beam.PTransform):
    """Record that the run succeeded, once all rows of `after` are written.

    dict with export_id and totals -> the same dict. `after` is what RecordRows gave.
    """

    table: TableId
    project: str
    endpoints: Endpoints
    after: Any

    def expand(self, outcomes: Any) -> Any:
        return outcomes | "Succeed" >> beam.ParDo(
            _Succeed(self.table, self.project, self.endpoints), beam.pvalue.AsList(self.after)
        )


@dataclass
class _Succeed(beam.DoFn):
    table: TableId
    project: str
    endpoints: Endpoints

    def process(self, outcome: dict[str, Any], _recorded: Iterable[int]) -> Iterator[dict[str, Any]]:
        RunLedger(self.endpoints.bigquery_client(self.project), self.table).succeed(outcome)
        yield outcome
