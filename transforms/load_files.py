"""Batches of files -> BigQuery tables, by BigQuery's own load jobs; no row passes through a worker."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import apache_beam as beam

from transforms.metrics import count
from transforms.read_notifications import GroupBySlot
from wharf.connectors.loading.loader import Loader, LoaderSpec
from wharf.model.loading.batch import Batch, Refused


class Ended(NamedTuple):
    """A batch that was DONE, FAILED or held back, and its row in the load-state table."""

    batch: Batch | Refused
    row: dict[str, Any]


@dataclass
class LoadFiles(beam.PTransform):
    """Bring batches into their tables, each once.

    PCollection of Batch | Refused -> PCollection of Ended. A table's batches go to one of `slots` loaders, which
    share the jobs that may run at once: so two loaders never change one table, and a slow table only keeps those of
    its slot waiting.
    """

    spec: LoaderSpec  # most_jobs: of all loaders together
    slots: int = 1

    def expand(self, batches: Any) -> Any:
        share = replace(self.spec, most_jobs=max(self.spec.most_jobs // self.slots, 1))
        return (
            batches
            | "BySlot" >> beam.Map(self._slot).with_output_types(tuple[str, Any])
            | GroupBySlot()
            | "Load" >> beam.ParDo(_Load(share))
        )

    def _slot(self, batch: Batch | Refused) -> tuple[str, Batch | Refused]:
        # Python's own hash of a text differs from process to process.
        digest = hashlib.sha256(str(batch.table).encode()).digest()
        return str(int.from_bytes(digest[:4], "big") % self.slots), batch


@dataclass
class _Load(beam.DoFn):
    spec: LoaderSpec

    def setup(self) -> None:
        self._loader = Loader(self.spec, count)

    def teardown(self) -> None:
        self._loader.close()

    def process(self, slot: tuple[str, Iterable[Batch | Refused]]) -> Iterator[Ended]:
        for batch, row in self._loader.load(slot[1]):
            yield Ended(batch, row)
