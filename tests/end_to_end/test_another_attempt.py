"""A job dies after its pipeline has claimed the window, and nobody tells: the next attempt begins all the same.

Each job is launched by the service or by `wharf run` on a stand-in for Dataflow; its pipeline is then started as
Google's template launcher does it, and leaves its run to workers that there are not.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from pipelines.bigquery_to_avro import main
from tests.end_to_end.dataflow import Dataflow
from tests.end_to_end.loads import captured
from tests.end_to_end.process import Finished
from tests.servers.dataflow_api import Job
from tests.serving import serving
from wharf.connectors.endpoints import Endpoints
from wharf.launch import cli
from wharf.model.launching.config import load_launch_config

MARCH = {"period": "202503"}


@pytest.fixture
def config(dataflow: Dataflow, tmp_path: Path) -> Path:
    """A launch configuration with one job."""
    parameters = {"source_table": dataflow.readings, "output": dataflow.uri("out"), "metadata_table": dataflow.table}
    path = tmp_path / "launch.json"
    document = {
        "project": dataflow.project,
        "region": "europe-west1",
        "templates": dataflow.uri("templates"),
        "records": str(tmp_path / "launches"),
        "jobs": {"readings": {"pipeline": "bigquery_to_avro", "parameters": parameters}},
        "tables": {"exports": dataflow.table},
    }
    path.write_text(json.dumps(document))
    return path


def begin(dataflow: Dataflow, job: Job) -> Finished:
    """What the template launcher does for a job."""
    folder = dataflow.uri(f"staging/template_launches/{job.id}/job_object")
    flags = [f"--{name}={value}" for name, value in job.asked["parameters"].items()]
    return captured(lambda: main([*dataflow.flags, f"--template_location={folder}", *flags]))


def ask_the_service(config: Path) -> str:
    """-> the state of the run"""
    launch_config = load_launch_config(config.read_text(), uri=str(config))
    with serving(launch_config, Endpoints.resolve()) as url:
        answer = httpx.post(f"{url}/export", json=MARCH, timeout=60)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["status"])


def ask_on_a_shell(config: Path) -> str:
    words = ["run", "readings", "--target=dataflow", "--detach", "--json", "--period=202503"]
    ended = captured(lambda: cli.main([*words, f"--launch_config={config}"]))
    assert ended.code == 0, ended.err
    return str(json.loads(ended.out)["state"])


@pytest.mark.parametrize("state", ["FAILED", "CANCELLED"])
@pytest.mark.parametrize("ask", [ask_the_service, ask_on_a_shell])
def test_the_window_of_a_job_that_died_is_free_for_the_next_attempt(
    ask: Callable[[Path], str],
    state: str,
    dataflow: Dataflow,
    config: Path,
    sql: Callable[[str], list[dict[str, object]]],
) -> None:
    assert ask(config) == "LAUNCHED"
    first = dataflow.api.jobs[0]
    assert begin(dataflow, first).code == 0
    dataflow.api.end(first.id, f"JOB_STATE_{state}", "Workflow failed. Causes: out of disks")
    assert ask(config) == "LAUNCHED"
    second = dataflow.api.jobs[1]
    begun = begin(dataflow, second)
    assert begun.code == 0, begun.err
    rows = {row["job_id"]: row for row in sql(f"SELECT job_id, status, error_message FROM `{dataflow.table}`")}
    assert {job: row["status"] for job, row in rows.items()} == {first.id: "FAILED", second.id: "RUNNING"}
    why = "out of disks" if state == "FAILED" else f"{first.id} is over"
    assert why in str(rows[first.id]["error_message"])


def test_a_job_that_is_at_work_keeps_its_window(dataflow: Dataflow, config: Path) -> None:
    assert ask_on_a_shell(config) == "LAUNCHED"
    first = dataflow.api.jobs[0]
    assert begin(dataflow, first).code == 0
    assert ask_the_service(config) == "LAUNCHED"
    assert dataflow.api.jobs == [first]
    refused = begin(dataflow, first)
    assert refused.code == 3, "a job of somebody else's for the same window"
