"""Counting: Beam metrics, and beside them a tally that a local run's progress line can read as it goes."""

from __future__ import annotations

import threading

from apache_beam.metrics import Metrics

NAMESPACE = "wharf"
_LOCK = threading.Lock()

# What this process has counted. Beam's own counters can be read only when a local pipeline has ended.
tally: dict[str, int] = {}


def count(name: str, amount: int = 1) -> None:
    """Add to a counter."""
    Metrics.counter(NAMESPACE, name).inc(amount)
    with _LOCK:
        tally[name] = tally.get(name, 0) + amount
