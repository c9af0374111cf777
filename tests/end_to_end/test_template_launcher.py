"""Launches by Google's template launcher: it runs a file as a script, and makes the job that this describes in another.

The words that it gives are those of
https://docs.cloud.google.com/dataflow/docs/guides/troubleshoot-templates#read-job-file, and of a launch's environment
https://docs.cloud.google.com/dataflow/docs/reference/rest/v1b3/projects.locations.flexTemplates/launch
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.end_to_end.dataflow import PIPELINES, STREAMING, Dataflow, unpacked

JOB_ID = "2026-11-21_15_18_47-1572174414494443259"
IMAGE = "europe-docker.pkg.dev/my-project/wharf/bigquery_to_avro:1.2.3"
BATCH = [pipeline for pipeline in PIPELINES if pipeline != STREAMING]


def launcher_words(dataflow: Dataflow) -> list[str]:
    return [
        *dataflow.flags,
        f"--template_location={dataflow.uri(f'staging/template_launches/{JOB_ID}/job_object')}",
        f"--staging_location={dataflow.uri('staging')}",
        f"--sdk_container_image={IMAGE}",
        "--service_account_email=exports@my-project.iam.gserviceaccount.com",
        '--labels={"goog-dataflow-provided-template-type": "flex", "team": "data"}',
        "--num_workers=1",
        "--max_num_workers=7",
        "--machine_type=n2-standard-4",
        "--disk_size_gb=50",
        "--autoscaling_algorithm=THROUGHPUT_BASED",
        "--network=own",
        "--subnetwork=regions/europe-west1/subnetworks/own",
        "--no_use_public_ips",
        "--worker_zone=europe-west1-b",
        "--dataflow_kms_key=projects/p/locations/l/keyRings/r/cryptoKeys/k",
        "--enable_streaming_engine",
        "--flexrs_goal=SPEED_OPTIMIZED",
        "--experiments=use_sibling_sdk_workers",
        "--dataflow_service_options=enable_prime",
        "--a_word_of_a_newer_launcher=true",
    ]


def described(dataflow: Dataflow) -> dict[str, Any]:
    """The job that the launcher makes."""
    job: dict[str, Any] = json.loads(dataflow.objects()[f"staging/template_launches/{JOB_ID}/job_object"])
    return job


@pytest.fixture(scope="module")
def image(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What templates/Dockerfile makes: the wheel among the locked packages, and the scripts in their own folder."""
    folder = tmp_path_factory.mktemp("image")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    (site,) = folder.glob("venv/lib/*/site-packages")
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", site, wheel], check=True)
    # A path in a .pth file adds the packages of that folder, and none of its own .pth files, such as the checkout's.
    (site / "locked.pth").write_text(str(Path(pytest.__file__).parents[1]))
    assert "COPY pipelines/${PIPELINE}.py /template/\n" in (ROOT / "templates/Dockerfile").read_text()
    shutil.copytree(
        ROOT / "pipelines", folder / "template", ignore=shutil.ignore_patterns("__*", "running.py", "*_run.py")
    )
    (folder / "elsewhere").mkdir()
    return folder


def start(image: Path, dataflow: Dataflow, *words: str) -> subprocess.Popen[str]:
    names = (*dataflow.variables, "PATH")
    return subprocess.Popen(
        [image / "venv" / "bin" / "python", *words],
        env={name: os.environ[name] for name in names},
        cwd=image / "elsewhere",
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_scripts_describe_the_jobs_of_all_pipelines_with_only_the_wheel_installed(image, dataflow):
    # Before the others, as it keeps what numba compiles for them.
    imports = ", ".join(f"pipelines.{pipeline}" for pipeline in BATCH)
    found = start(image, dataflow, "-c", f"import {imports}; print(pipelines.__file__)")
    assert str(image) in found.communicate(timeout=120)[0], "not the checkout"
    launches = {pipeline: replace(dataflow, name=f"{dataflow.name}-{n}") for n, pipeline in enumerate(BATCH)}
    started = {
        pipeline: start(
            image, own, str(image / "template" / f"{pipeline}.py"), *launcher_words(own), *own.parameters(pipeline)
        )
        for pipeline, own in launches.items()
    }
    ended = {pipeline: process.communicate(timeout=240) for pipeline, process in started.items()}
    for pipeline, own in launches.items():
        out, err = ended[pipeline]
        assert started[pipeline].returncode == 0, err
        assert out.endswith(f"runs as Dataflow job {JOB_ID}\n"), out
        assert "Traceback" not in err
        job = described(own)
        environment = job["environment"]
        (pool,) = environment["workerPools"]
        assert job["name"] == own.name
        assert job["labels"] == {"goog-dataflow-provided-template-type": "flex", "team": "data"}
        assert job["type"] == "JOB_TYPE_BATCH"
        assert environment["serviceAccountEmail"] == "exports@my-project.iam.gserviceaccount.com"
        assert environment["serviceKmsKeyName"].endswith("cryptoKeys/k")
        assert [each["containerImage"] for each in pool["sdkHarnessContainerImages"]] == [IMAGE]
        assert pool["autoscalingSettings"]["maxNumWorkers"] == 7
        graph = environment["sdkPipelineOptions"]["options"]["pipelineUrl"]
        assert graph.removeprefix(own.uri()) in own.objects("staging/"), "what the job refers to is there"
    assert not dataflow.api.requests, "the launcher makes the job, not the script"


@pytest.mark.parametrize("pipeline", ["bigquery_to_avro", "bigquery_to_sftp"])
def test_a_run_is_recorded_with_the_job_that_the_launcher_will_make(pipeline, dataflow, sql):
    assert dataflow.run(pipeline, *launcher_words(dataflow)).code == 0
    (row,) = sql(f"SELECT * FROM `{dataflow.table}`")
    assert (row["status"], row["job_id"]) == ("RUNNING", JOB_ID)


def test_elsewhere_than_where_the_launcher_keeps_its_jobs_a_run_is_recorded_with_the_name_of_the_job(dataflow, sql):
    assert dataflow.run("bigquery_to_avro", f"--template_location={dataflow.uri('other/job')}").code == 0
    (row,) = sql(f"SELECT * FROM `{dataflow.table}`")
    assert row["job_id"] == dataflow.name


@pytest.mark.parametrize("pipeline", ["files_to_bigquery", "api_to_bigquery"])
def test_workers_that_record_runs_know_the_job(pipeline, dataflow):
    assert dataflow.run(pipeline, *launcher_words(dataflow)).code == 0
    graph = [data for path, data in dataflow.objects("staging/").items() if path.endswith("/pipeline.pb")]
    assert JOB_ID.encode() in b"".join(piece for data in graph for piece in unpacked(data))


def test_where_nothing_is_to_be_done_the_launcher_gets_a_job_that_does_nothing(dataflow, sql):
    """Without one it would call the launch failed, and people."""
    assert dataflow.run("bigquery_to_sftp").code == 0
    sql(f"UPDATE `{dataflow.table}` SET status = 'SUCCESS', completed_at = CURRENT_TIMESTAMP() WHERE TRUE")
    ended = dataflow.run("bigquery_to_sftp", *launcher_words(dataflow))
    assert ended.code == 0, ended.err
    assert "as Dataflow job" not in ended.out
    assert described(dataflow)["name"] == dataflow.name
    assert {name.split("/")[0] for name in dataflow.steps("staging/")} == {"NothingToDo"}


def test_a_streaming_pipeline_is_described_as_a_streaming_job(dataflow):
    assert dataflow.run(STREAMING, *launcher_words(dataflow)).code == 0
    assert described(dataflow)["type"] == "JOB_TYPE_STREAMING"


def test_a_word_that_the_launcher_did_not_add_is_refused(dataflow):
    ended = dataflow.run("bigquery_to_avro", "--a_word_of_a_newer_launcher=true")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("error: unknown flag --a_word_of_a_newer_launcher")


@pytest.mark.parametrize("module", [path.stem for path in (ROOT / "pipelines").glob("[!_]*.py")])
def test_no_module_beside_a_script_hides_an_installed_package(module):
    """A script's folder comes first where Python looks for packages."""
    assert find_spec(module) is None
