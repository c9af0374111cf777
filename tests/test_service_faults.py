"""No lost trigger and no double run: storms of the same message, launch APIs that fail, a service that is killed."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.launches import launch_config
from tests.servers.dataflow_api import DataflowApi
from tests.servers.storage_api import StorageApi
from tests.serving import NO_BIGQUERY, SERVED, Process, push, serving
from wharf.connectors.endpoints import Endpoints

MESSAGE = push({"route": "/export", "period": "202402"}, "2070443601311540")


@pytest.fixture
def dataflow() -> Iterator[DataflowApi]:
    with DataflowApi() as running:
        yield running


@pytest.fixture
def storage() -> Iterator[StorageApi]:
    with StorageApi() as running:
        yield running


@pytest.fixture
def endpoints(dataflow: DataflowApi, storage: StorageApi) -> Endpoints:
    return Endpoints(dataflow=dataflow.url, storage=storage.url, **NO_BIGQUERY)


@pytest.fixture
def url(endpoints: Endpoints) -> Iterator[str]:
    with serving(launch_config(jobs=SERVED["jobs"]), endpoints) as running:
        yield running


def at_once(requests: list[tuple[str, Any]]) -> list[httpx.Response]:
    """The answers to (URL, body), all sent at the same time."""

    async def send() -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=500)
        async with httpx.AsyncClient(timeout=60, limits=limits) as client:
            return await asyncio.gather(*(client.post(url, json=body) for url, body in requests))

    return asyncio.run(send())


def test_ten_identical_requests_at_once_are_one_run(url: str, dataflow: DataflowApi) -> None:
    answers = at_once([(f"{url}/export", {"period": "202402"})] * 10)
    assert [answer.status_code for answer in answers] == [202] * 10
    assert {answer.json()["job_id"] for answer in answers} == {dataflow.jobs[0].id}
    assert sum(answer.json()["is_new"] for answer in answers) == 1
    assert len(dataflow.jobs) == 1


def test_a_storm_of_redeliveries_is_one_run_of_each_message(url: str, dataflow: DataflowApi) -> None:
    dataflow.latency = 0.02
    messages = [push({"route": "/run"}, f"{number % 5}") for number in range(500)]
    answers = at_once([(f"{url}/pubsub", message) for message in messages])
    assert Counter(answer.status_code for answer in answers) == {202: 500}
    assert len({answer.json()["run_id"] for answer in answers}) == len(dataflow.jobs) == 5


def test_two_instances_that_get_the_same_message_make_one_job(
    url: str, endpoints: Endpoints, dataflow: DataflowApi
) -> None:
    dataflow.latency = 0.05
    with serving(launch_config(jobs=SERVED["jobs"]), endpoints) as second:
        answers = at_once([(f"{at}/pubsub", MESSAGE) for at in (url, second) * 10])
    assert {answer.status_code for answer in answers} <= {202, 503}
    assert {answer.json()["job_id"] for answer in answers if answer.status_code == 202} == {dataflow.jobs[0].id}
    assert len(dataflow.jobs) == 1


def test_what_the_caller_will_repeat_is_no_alarm(
    url: str, dataflow: DataflowApi, caplog: pytest.LogCaptureFixture
) -> None:
    dataflow.fail(429, message="Quota exceeded")
    with caplog.at_level("INFO"):
        assert httpx.post(f"{url}/pubsub", json=MESSAGE).status_code == 503
    assert [each.levelname for each in caplog.records if "Quota exceeded" in each.message] == ["WARNING"]


@pytest.mark.parametrize(("status", "message"), [(429, ""), (503, ""), (500, ""), (403, "Quota exceeded for jobs")])
def test_a_launch_that_dataflow_has_no_room_for_is_left_to_the_callers_retry(
    url: str, dataflow: DataflowApi, status: int, message: str
) -> None:
    dataflow.fail(status, times=2, message=message, retry_after="7")
    for _ in range(2):
        answer = httpx.post(f"{url}/pubsub", json=MESSAGE)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "7"), answer.text
        assert not dataflow.jobs
    answer = httpx.post(f"{url}/pubsub", json=MESSAGE)
    assert answer.status_code == 202
    assert len(dataflow.jobs) == 1


@pytest.mark.parametrize("is_made", [False, True])
def test_a_connection_that_breaks_at_the_launch_loses_nothing_and_doubles_nothing(
    url: str, dataflow: DataflowApi, is_made: bool
) -> None:
    dataflow.drop(is_made=is_made)
    assert httpx.post(f"{url}/pubsub", json=MESSAGE).status_code == 503
    assert len(dataflow.jobs) == is_made
    assert httpx.post(f"{url}/pubsub", json=MESSAGE).json()["job_id"] == dataflow.jobs[0].id
    assert len(dataflow.jobs) == 1


@pytest.mark.parametrize(("status", "remedy"), [(403, "roles/dataflow.developer"), (404, "are project"), (400, "mend")])
def test_what_a_person_must_mend_is_a_fault_of_the_service_not_of_the_request(
    url: str, dataflow: DataflowApi, status: int, remedy: str
) -> None:
    dataflow.fail(status)
    answer = httpx.post(f"{url}/pubsub", json=MESSAGE)
    assert (answer.status_code, remedy in answer.json()["error"]) == (500, True), answer.text
    assert httpx.post(f"{url}/pubsub", json=MESSAGE).status_code == 202  # mended, and delivered again
    assert len(dataflow.jobs) == 1


def test_records_that_cannot_be_written_launch_nothing(url: str, dataflow: DataflowApi, storage: StorageApi) -> None:
    storage.missing.add("my-bucket")
    assert httpx.post(f"{url}/pubsub", json=MESSAGE).status_code == 500
    assert not dataflow.jobs
    storage.missing.clear()
    storage.fail(503, times=4)
    assert httpx.post(f"{url}/pubsub", json=MESSAGE, timeout=30).status_code == 503
    assert not dataflow.jobs
    assert httpx.post(f"{url}/pubsub", json=MESSAGE).status_code == 202


@pytest.mark.parametrize("moment", ["before the job", "after the job"])
def test_a_service_killed_between_accepting_and_launching_is_made_up_for(
    dataflow: DataflowApi, storage: StorageApi, endpoints: Endpoints, tmp_path: Path, moment: str
) -> None:
    with Process(SERVED, endpoints, tmp_path) as service:

        def kill() -> None:
            service.process.kill()
            service.process.wait()
            dataflow.before_launch = dataflow.after_launch = lambda: None
            if moment == "before the job":
                raise ConnectionError("it is gone")

        if moment == "before the job":
            dataflow.before_launch = kill
        else:
            dataflow.after_launch = kill
        with pytest.raises(httpx.TransportError):
            httpx.post(f"{service.url}/pubsub", json=MESSAGE, timeout=30)
    (data, _, _) = next(iter(storage.objects.values()))
    assert b'"state":"ACCEPTED"' in data
    assert len(dataflow.jobs) == (moment == "after the job")
    with Process(SERVED, endpoints, tmp_path) as service:
        answers = at_once([(f"{service.url}/pubsub", MESSAGE)] * 10)
    assert {answer.status_code for answer in answers} == {202}
    assert {answer.json()["job_id"] for answer in answers} == {dataflow.jobs[0].id}
    assert len(dataflow.jobs) == 1


def test_a_restarted_service_knows_what_it_launched(
    dataflow: DataflowApi, endpoints: Endpoints, tmp_path: Path
) -> None:
    with Process(SERVED, endpoints, tmp_path) as service:
        first = httpx.post(f"{service.url}/pubsub", json=MESSAGE).json()
        service.kill()
    with Process(SERVED, endpoints, tmp_path) as service:
        again = httpx.post(f"{service.url}/pubsub", json=MESSAGE).json()
    assert again == first | {"is_new": False}
    assert len(dataflow.jobs) == 1


def test_sigterm_lets_requests_at_work_finish(dataflow: DataflowApi, endpoints: Endpoints, tmp_path: Path) -> None:
    dataflow.latency = 1.0
    answers: list[httpx.Response] = []
    with Process(SERVED, endpoints, tmp_path) as service:
        with httpx.Client(base_url=service.url, timeout=30) as idle:
            idle.get("/health")  # a connection that stays open holds nothing up
            request = threading.Thread(target=lambda: answers.append(httpx.post(f"{service.url}/pubsub", json=MESSAGE)))
            request.start()
            while not dataflow.requests:
                time.sleep(0.01)
            began = time.monotonic()
            assert service.stop() == 0
            assert time.monotonic() - began < 5
        request.join()
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{service.url}/health")
    assert answers[0].status_code == 202
    assert len(dataflow.jobs) == 1
