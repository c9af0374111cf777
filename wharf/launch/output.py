"""What commands say: results on standard output, an object a line for programs, and progress beside them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wharf.model.history.runs import Run

Say = Callable[[str], None]


def say(text: str) -> None:
    """One line of progress; results alone go to standard output."""
    print(text, file=sys.stderr, flush=True)


def print_lines(rows: Iterable[Mapping[str, Any]]) -> None:
    """One JSON object a line."""
    for row in rows:
        print(json.dumps(row, default=str))


def run_facts(run: Run) -> dict[str, Any]:
    """A run for programs."""
    from dataclasses import asdict

    return asdict(run) | {"seconds": run.seconds}


def print_result(facts: Mapping[str, Any], runs: Sequence[Run]) -> None:
    """How a command that ran something ended, for programs: one JSON document."""
    print(json.dumps({**facts, "runs": [run_facts(run) for run in runs]}, indent=2, default=str))
