"""Where dropped files are loaded: the embedded stack behind a proxy that counts, and holds jobs back where asked to."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from benchmarks.bench import Bench
from benchmarks.drops import Drop
from benchmarks.load_peers import TABLE
from benchmarks.results import Contender
from tests.servers.bigquery_calls import Call
from tests.servers.bigquery_proxy import BigQueryProxy
from wharf.local.stack import LocalStack


class LoadBench(Bench):
    """Files to BigQuery."""

    worker = "benchmarks.load_peers"
    packages = ("apache-beam", "google-cloud-bigquery", "duckdb", "bqemulator", "gcp-storage-emulator")


@dataclass(frozen=True)
class Run:
    """What BigQuery saw of a run: how often its table was modified, and seconds in which a job of it was at work."""

    batches: int
    load_jobs: int
    modifications: int
    working: float


@dataclass
class Line:
    """A contender, the worker's name for it, and how many batches it loads; all if it does not say."""

    contender: Contender
    name: str
    batches: int | None = None
    seen: list[Run] = field(default_factory=list)


def wharf(unit: str) -> Line:
    return Line(Contender("Wharf", unit), "wharf")


def load_jobs(unit: str, batches: int) -> Line:
    return Line(Contender("load jobs into the table, without the timestamp", unit), "load_jobs", batches)


def staged_loads(unit: str, batches: int) -> Line:
    return Line(Contender("load jobs into a staging table, each followed by an INSERT", unit), "staged_loads", batches)


@dataclass(frozen=True)
class Place:
    """A stack that holds dropped files, and the proxy before it."""

    bench: LoadBench
    stack: LocalStack
    proxy: BigQueryProxy
    drop: Drop
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def run(self, line: Line) -> None:
        """Load the files into a dataset of the run's own, which is dropped afterwards."""
        client = self.stack.endpoints.bigquery_client(self.stack.project)
        dataset = f"{self.stack.project}.loads_{next(self.numbers)}"
        client.create_dataset(dataset)
        self.proxy.forget()
        asked = {} if line.batches is None else {"batches": line.batches}
        environment = self.stack.environment | {"BIGQUERY_EMULATOR_HOST": self.proxy.url}
        units = self.drop.megabytes if line.contender.unit == "MB" else 1
        where = {"dataset": dataset, "emulator": self.stack.endpoints.bigquery, "drop": self.drop.keywords()}
        self.bench.run(line.contender, line.name, environment, units=units, **where, **asked)
        table = f"{dataset}.{TABLE}"

        def works(call: Call) -> bool:
            return call.kind == "load" or call.modifies(table)

        line.seen.append(
            Run(
                batches=line.batches or self.drop.batches,
                load_jobs=self.proxy.count("load"),
                modifications=self.proxy.modifications(table),
                working=_covered(self.proxy.jobs, works),
            )
        )
        client.delete_dataset(dataset, delete_contents=True)

    def rounds(self, lines: Iterable[Line]) -> None:
        """Run all in turns."""
        for _ in self.bench.each_round():
            self.round(lines)

    def round(self, lines: Iterable[Line]) -> None:
        """Run each once."""
        for line in lines:
            self.run(line)


@contextmanager
def place(bench: LoadBench, drop: Drop, *, hold: float = 0.0) -> Iterator[Place]:
    """A new stack with the files of `drop`; every job's completion is held back for `hold` seconds."""
    folder = bench.folder / f"stack-{drop.prefix}"
    with (
        LocalStack(folder, bucket=drop.bucket) as stack,
        BigQueryProxy(stack.endpoints.bigquery or "", hold=hold) as proxy,
    ):
        drop.write(stack.endpoints.storage_client())
        yield Place(bench, stack, proxy, drop)
    shutil.rmtree(folder)


def _covered(calls: Iterable[Call], works: Callable[[Call], bool]) -> float:
    """Seconds in which at least one of the jobs was at the emulator."""
    seconds = end = 0.0
    for call in sorted((call for call in calls if works(call)), key=lambda call: call.arrived):
        seconds += max(0.0, call.done - max(end, call.arrived))
        end = max(end, call.done)
    return seconds
