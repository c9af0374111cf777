"""The end of a batch pipeline: it fails if anything in it did, once everything has been done and recorded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import apache_beam as beam

from wharf.model.errors import RunFailed


@dataclass
class FailIfAny(beam.PTransform):
    """Pass elements on once all are there. Raises: RunFailed with the first that `failure` has a text for."""

    failure: Callable[[Any], str]

    def expand(self, elements: Any) -> Any:
        once = elements.pipeline | "JudgeOnce" >> beam.Create([None])
        return once | "Judge" >> beam.FlatMap(_judge, self.failure, beam.pvalue.AsList(elements))


def _judge(_once: None, failure: Callable[[Any], str], elements: list[Any]) -> list[Any]:
    for element in elements:
        if text := failure(element):
            raise RunFailed(text)
    return elements
