"""Dataflow's API: what is asked of it, and what its answers mean."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

import pytest

from tests.servers.dataflow_api import DataflowApi
from wharf.connectors.dataflow import Dataflow
from wharf.connectors.endpoints import Endpoints
from wharf.connectors.google_http import GoogleHttp
from wharf.model.errors import RunFailed, UsageError
from wharf.model.launching.environment import Environment
from wharf.model.launching.errors import AlreadyRunning, LaunchBusy

T = TypeVar("T")
TEMPLATE = "gs://b/templates/bigquery_to_avro.json"


@pytest.fixture
def api() -> Iterator[DataflowApi]:
    with DataflowApi() as running:
        yield running


def ask(api: DataflowApi, work: Callable[[Dataflow], Awaitable[T]]) -> T:
    async def with_dataflow() -> T:
        async with GoogleHttp() as http:
            return await work(Dataflow(http, Endpoints(dataflow=api.url), "my-project", "europe-west1"))

    return asyncio.run(with_dataflow())


def launch(api: DataflowApi, name: str = "a", environment: Environment | None = None) -> str:
    return ask(api, lambda dataflow: dataflow.launch_template(TEMPLATE, name, {"p": "q"}, environment or Environment()))


def test_a_template_is_launched_with_everything_an_environment_says(api: DataflowApi) -> None:
    environment = Environment(
        service_account="w@p.iam.gserviceaccount.com",
        temp_location="gs://b/tmp",
        image="europe-docker.pkg.dev/p/wharf/wharf:1",
        machine_type="n2-standard-2",
        max_workers=7,
        disk_gb=50,
        network="default",
        subnetwork="regions/r/subnetworks/s",
        private_workers=True,
        kms_key="projects/p/locations/r/keyRings/k/cryptoKeys/c",
        experiments=("use_runner_v2",),
        labels={"team": "data"},
    )
    job_id = launch(api, environment=environment)
    assert api.requests == ["POST /v1b3/projects/my-project/locations/europe-west1/flexTemplates:launch"]
    assert api.jobs[0].id == job_id
    assert api.jobs[0].asked == {
        "jobName": "a",
        "containerSpecGcsPath": TEMPLATE,
        "parameters": {"p": "q"},
        "environment": {
            "serviceAccountEmail": "w@p.iam.gserviceaccount.com",
            "tempLocation": "gs://b/tmp",
            "stagingLocation": "gs://b/tmp",
            "sdkContainerImage": "europe-docker.pkg.dev/p/wharf/wharf:1",
            "machineType": "n2-standard-2",
            "maxWorkers": 7,
            "diskSizeGb": 50,
            "network": "default",
            "subnetwork": "regions/r/subnetworks/s",
            "ipConfiguration": "WORKER_IP_PRIVATE",
            "kmsKeyName": "projects/p/locations/r/keyRings/k/cryptoKeys/c",
            "additionalExperiments": ["use_runner_v2"],
            "additionalUserLabels": {"team": "data"},
        },
    }


def test_the_request_is_one_that_googles_own_client_makes(api: DataflowApi) -> None:
    types = pytest.importorskip("google.cloud.dataflow_v1beta3.types")
    launch(api, environment=Environment(private_workers=False, labels={"a": "b"}, experiments=("x",), disk_gb=10))
    theirs = types.LaunchFlexTemplateParameter.from_json(json.dumps(api.jobs[0].asked))
    assert (theirs.job_name, theirs.container_spec_gcs_path, dict(theirs.parameters)) == ("a", TEMPLATE, {"p": "q"})
    assert theirs.environment.ip_configuration.name == "WORKER_IP_PUBLIC"
    assert theirs.environment.disk_size_gb == 10


def test_a_second_active_job_of_a_name_is_refused_and_one_after_it_is_not(api: DataflowApi) -> None:
    first = launch(api)
    with pytest.raises(AlreadyRunning, match="active job a already"):
        launch(api)
    api.end(first)
    assert launch(api) != first


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (429, "as the test asked"),
        (500, ""),
        (502, ""),
        (503, ""),
        (403, "Quota exceeded for quota metric 'Create requests'"),
        (400, "Dataflow quota error for jobs-per-project quota"),
    ],
)
def test_what_may_go_well_later_is_said_to_be_busy(api: DataflowApi, status: int, message: str) -> None:
    api.fail(status, message=message, retry_after="11")
    with pytest.raises(LaunchBusy, match=f"Dataflow says {message}.*; try again") as busy:
        launch(api)
    assert busy.value.retry_after == 11


def test_a_missing_quota_project_is_nothing_that_passes(api: DataflowApi) -> None:
    api.fail(403, message="The dataflow.googleapis.com API requires a quota project, which is not set by default.")
    with pytest.raises(UsageError, match="requires a quota project"):
        launch(api)


@pytest.mark.parametrize("told", ["", "soon", "Wed, 21 Oct 2026 07:28:00 GMT", "-3", "99999999999999"])
def test_a_time_to_come_again_that_makes_no_sense_is_passed_over(api: DataflowApi, told: str) -> None:
    api.fail(503, retry_after=told)
    with pytest.raises(LaunchBusy) as busy:
        launch(api)
    assert busy.value.retry_after == 5


@pytest.mark.parametrize("is_made", [True, False])
def test_a_connection_that_breaks_is_busy_too(api: DataflowApi, is_made: bool) -> None:
    api.drop(is_made=is_made)
    with pytest.raises(LaunchBusy, match="localhost gives no answer"):
        launch(api)
    assert len(api.jobs) == is_made


def test_nobody_there_is_busy_too() -> None:
    with DataflowApi() as gone:
        pass
    with pytest.raises(LaunchBusy, match="localhost gives no answer"):
        launch(gone)


@pytest.mark.parametrize(
    ("status", "remedy"),
    [
        (400, "mend the parameters, or publish the template anew"),
        (401, "gcloud auth application-default login"),
        (403, "roles/dataflow.developer"),
        (404, "are project my-project, region europe-west1 and the name right"),
    ],
)
def test_what_a_person_must_mend_comes_with_the_remedy(api: DataflowApi, status: int, remedy: str) -> None:
    api.fail(status, message="The template parameters\nare invalid.")
    with pytest.raises(
        UsageError, match=f"the template {TEMPLATE}: Dataflow says The template parameters are invalid; .*{remedy}"
    ):
        launch(api)


def test_an_answer_nobody_expects_is_a_failure_with_its_number(api: DataflowApi) -> None:
    api.fail(418)
    with pytest.raises(RunFailed, match="HTTP status 418"):
        launch(api)


def test_jobs_of_a_name_are_found_also_when_they_ended(api: DataflowApi) -> None:
    ids = []
    for _ in range(3):
        ids.append(launch(api))
        api.end(ids[-1], "JOB_STATE_FAILED")
    launch(api, "another")
    jobs = ask(api, lambda dataflow: dataflow.jobs_named("a"))
    assert [job.id for job in jobs] == ids[::-1]
    assert {job.end for job in jobs} == {"FAILED"}
    assert ask(api, lambda dataflow: dataflow.jobs_named("none")) == []


def test_all_pages_of_jobs_are_read(api: DataflowApi) -> None:
    for _ in range(3):
        api.end(launch(api))
    api.page_size = 2
    assert len(ask(api, lambda dataflow: dataflow.jobs_named("a"))) == 3


@pytest.mark.parametrize(
    ("state", "end"),
    [
        *((state, "") for state in ("QUEUED", "PENDING", "RUNNING", "CANCELLING", "DRAINING", "UNKNOWN", "STOPPED")),
        *(("RESOURCE_CLEANING_UP", ""), ("DONE", "SUCCESS"), ("DRAINED", "SUCCESS")),
        *(("FAILED", "FAILED"), ("CANCELLED", "CANCELLED"), ("UPDATED", "CANCELLED")),
    ],
)
def test_a_job_is_active_or_has_ended(api: DataflowApi, state: str, end: str) -> None:
    job_id = launch(api)
    api.end(job_id, f"JOB_STATE_{state}")
    job = ask(api, lambda dataflow: dataflow.job(job_id))
    assert job
    assert (job.id, job.name, job.state, job.end, job.is_active) == (job_id, "a", state, end, not end)
    assert abs(job.created_at - dt.datetime.now(dt.UTC)) < dt.timedelta(minutes=1)


def test_a_job_that_is_not_there_is_none(api: DataflowApi) -> None:
    assert ask(api, lambda dataflow: dataflow.job("2025")) is None


def test_a_streaming_job_that_was_updated_is_the_one_in_its_place(api: DataflowApi) -> None:
    first = launch(api)
    api.end(first, "JOB_STATE_UPDATED")
    second = launch(api)
    api.jobs[0].replaced_by = second
    job = ask(api, lambda dataflow: dataflow.job(first))
    assert job
    assert (job.id, job.is_active) == (second, True)


def test_messages_since_a_time_are_the_later_ones(api: DataflowApi) -> None:
    job_id = launch(api)
    for text in ("one", "two"):
        api.say(job_id, text)
    api.say(job_id, "worse", "JOB_MESSAGE_ERROR")
    api.say(job_id, "the worst\nof all", "JOB_MESSAGE_ERROR")
    found = ask(api, lambda dataflow: dataflow.messages(job_id))
    assert [(each.text, each.importance) for each in found][:3] == [
        ("one", "BASIC"),
        ("two", "BASIC"),
        ("worse", "ERROR"),
    ]
    later = ask(api, lambda dataflow: dataflow.messages(job_id, found[1].time))
    assert [each.text for each in later] == ["worse", "the worst\nof all"]
    assert ask(api, lambda dataflow: dataflow.failure(job_id)) == "the worst of all"
    silent = launch(api, "b")
    assert ask(api, lambda dataflow: dataflow.failure(silent)) == ""


@pytest.mark.parametrize(("drain", "state"), [(False, "JOB_STATE_CANCELLED"), (True, "JOB_STATE_DRAINED")])
def test_a_job_is_cancelled_or_drained(api: DataflowApi, drain: bool, state: str) -> None:
    job_id = launch(api)
    for _ in range(2):  # the second time it has ended
        ask(api, lambda dataflow: dataflow.cancel(job_id, drain=drain))
    assert api.jobs[0].state == state


def test_a_job_that_is_not_there_cannot_be_cancelled(api: DataflowApi) -> None:
    with pytest.raises(UsageError, match=r"job 2025: .*are project my-project"):
        ask(api, lambda dataflow: dataflow.cancel("2025"))
