"""Fixtures of tests of the `wharf` command, in this process.

command       `command("status", "--json")` -> the command, ended, on the embedded stack
launching     a launch configuration with ledgers of its own, and a stand-in for Dataflow's API that runs its jobs
pipelines     in the place of the pipelines, ones that only remember what they were called with
"""

from __future__ import annotations

import datetime as dt
import json
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.recorded_runs import Ledgers, exported
from wharf.launch.cli import main
from wharf.local.stack import LocalStack
from wharf.model.launching.pipelines import PIPELINES

if TYPE_CHECKING:
    from tests.servers.dataflow_api import DataflowApi


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """What --json printed."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """The same where it is an object a line."""
        return [json.loads(line) for line in self.out.splitlines()]


Command = Callable[..., Ended]


@pytest.fixture
def command(
    stack: LocalStack, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Ended]:
    for name, value in stack.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("WHARF_LAUNCH_CONFIG", raising=False)

    def run(*words: str) -> Ended:
        capsys.readouterr()
        code = main(words)
        said = capsys.readouterr()
        return Ended(code, said.out, said.err)

    return run


@dataclass
class Pipelines:
    """What pipelines were called with; `codes` are their next exit codes, `says` what they print."""

    calls: list[tuple[str, list[str]]] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)
    says: str = "the pipeline's own table"

    def main(self, name: str) -> Callable[[list[str]], int]:
        def called(argv: list[str]) -> int:
            self.calls.append((name, argv))
            print(self.says)
            return self.codes.pop(0) if self.codes else 0

        return called


@pytest.fixture
def pipelines(monkeypatch: pytest.MonkeyPatch) -> Pipelines:
    made = Pipelines()
    for pipeline in PIPELINES.values():
        module = types.ModuleType(pipeline.module)
        module.main = made.main(pipeline.name)  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, pipeline.module, module)
    return made


@dataclass
class Launching:
    """`end_jobs` lets each job that is launched end so, with what a pipeline would have recorded."""

    folder: Path
    project: str
    ledgers: Ledgers
    api: DataflowApi
    threads: list[threading.Thread] = field(default_factory=list)

    @property
    def config(self) -> str:
        return str(self.folder / "launch.json")

    def write(self, jobs: dict[str, Any] | None = None) -> None:
        tables = {
            name: str(getattr(self.ledgers.tables, name)) for name in ("exports", "deliveries", "loads", "fetches")
        }
        parameters = {"source_table": f"{self.project}.metering.measurements", "output": "gs://my-bucket/events"}
        parameters |= {"metadata_table": tables["exports"]}
        document = {
            "project": self.project,
            "region": "europe-west1",
            "templates": "gs://my-bucket/templates/1.0.0",
            "records": str(self.folder / "launches"),
            "environment": {"max_workers": 5},
            "jobs": {"measurements": {"pipeline": "bigquery_to_avro", "parameters": parameters}, **(jobs or {})},
            "tables": tables,
        }
        Path(self.config).write_text(json.dumps(document))

    def end_jobs(
        self, state: str = "JOB_STATE_DONE", status: str = "SUCCESS", message: str = "", after: float = 0.0
    ) -> None:
        """Run each job that is made from now on in the background, and end it `after` seconds."""

        def run(job: Any) -> None:
            time.sleep(0.05)  # the launch is answered first
            self.api.run(job.id)
            self.api.say(job.id, "Worker configuration: n1-standard-1.")
            self.record(job, status)
            time.sleep(after)
            self.api.end(job.id, state, message)

        def begin() -> None:
            self.threads.append(threading.Thread(target=run, args=[self.api.jobs[-1]]))
            self.threads[-1].start()

        self.api.after_launch = begin

    def record(self, job: Any, status: str) -> None:
        """What the pipeline records of the window in the job's parameters."""
        asked = job.asked["parameters"]
        edges = {
            column: dt.datetime.fromisoformat(asked[flag]).replace(tzinfo=dt.UTC)
            for column, flag in (("window_from", "when_read_from"), ("window_to", "when_read_to"))
        }
        began = dt.datetime.now(dt.UTC)
        more = {"job_id": job.id, "destination_uri": asked["output"], **edges}
        self.ledgers.export(exported(f"run-{job.name[-30:]}", began, status, **more))

    def rows(self) -> list[Any]:
        return self.ledgers.history.runs()


@pytest.fixture
def launching(stack: LocalStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Launching]:
    from tests.servers.dataflow_api import DataflowApi  # what it needs is not installed everywhere

    with DataflowApi() as api:
        monkeypatch.setenv("DATAFLOW_EMULATOR_HOST", api.url)
        made = Launching(tmp_path, stack.project, Ledgers.of(stack), api)
        made.write()
        yield made
        for thread in made.threads:
            thread.join()
