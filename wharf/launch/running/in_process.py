"""A pipeline in this process: its own main, looked up by name, so that only who runs one needs Beam."""

from __future__ import annotations

import importlib
from collections.abc import Sequence


def run_in_process(pipeline: str, words: Sequence[str]) -> int:
    """What `python -m pipelines.NAME` does with these words. -> its exit code."""
    from wharf.model.launching.pipelines import pipeline_named

    code: int = importlib.import_module(pipeline_named(pipeline).module).main(list(words))
    return code
