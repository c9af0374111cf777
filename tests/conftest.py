"""Fixtures of the whole suite.

stack       the embedded stack: BigQuery and Cloud Storage emulators, shared by the session
wharf       runs the `wharf` command in a process of its own and returns what it did
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from wharf.local.stack import LocalStack

ROOT = Path(__file__).parent.parent
Run = Callable[..., subprocess.CompletedProcess[str]]

missing_emulators = [
    name for name in ("bqemulator", "duckdb_extensions", "gcp_storage_emulator") if find_spec(name) is None
]
needs_emulators = pytest.mark.skipif(
    bool(missing_emulators), reason=f"not installed: {missing_emulators}; pip install 'wharf[local]'"
)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """One stack for all tests; each keeps to datasets and object names of its own."""
    if missing_emulators:
        pytest.skip(needs_emulators.kwargs["reason"])
    with LocalStack(tmp_path_factory.mktemp("stack")) as running:
        yield running


@pytest.fixture(scope="session")
def wharf() -> Run:
    """`wharf("local", "env")` -> the finished process, its output as text."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "wharf", *arguments]
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120, check=False)

    return run
