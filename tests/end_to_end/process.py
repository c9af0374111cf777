"""A pipeline in a process that can be killed: forked from one that has imported Beam, as that takes seconds."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [f"pipelines.{name}" for name in ("bigquery_to_avro", "bigquery_to_sftp", "files_to_bigquery", "api_to_bigquery")]
)


@dataclass(frozen=True)
class Finished:
    """How a run ended."""

    code: int
    out: str
    err: str


class Started:
    """`python -m pipelines.NAME WORDS` at work, with `variables` in its environment."""

    def __init__(
        self, words: Sequence[str], variables: dict[str, str], folder: Path, name: str = "bigquery_to_avro"
    ) -> None:
        self._logs = (folder / "out.txt", folder / "err.txt")
        self.process = _CONTEXT.Process(target=_main, args=(name, list(words), variables, *map(str, self._logs)))
        self.process.start()

    def signal_when(self, seen: Callable[[], bool], number: int) -> None:
        """Send the signal `number` as soon as `seen()`; fails if the process ends before."""
        while not seen():
            assert self.process.is_alive(), f"it ended too soon: {self.wait()}"
            time.sleep(0.001)
        self.signal(number)

    def signal(self, number: int) -> None:
        assert self.process.pid
        os.kill(self.process.pid, number)

    def wait(self) -> Finished:
        self.process.join(120)
        assert self.process.exitcode is not None, "it still runs after two minutes"
        return Finished(self.process.exitcode, *(log.read_text() if log.exists() else "" for log in self._logs))


def _main(name: str, words: list[str], variables: dict[str, str], out: str, err: str) -> None:
    os.environ.update(variables)
    for number, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), number)
    sys.exit(importlib.import_module(f"pipelines.{name}").main(words))
