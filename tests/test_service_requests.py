"""What the service is asked for, and what it launches: bodies, keys and messages, over real HTTP."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.launches import launch_config
from tests.servers.dataflow_api import DataflowApi, Job
from tests.servers.storage_api import StorageApi
from tests.serving import NO_BIGQUERY, SERVED, push, serving
from wharf.connectors.endpoints import Endpoints


@dataclass
class Served:
    """The service, and what it launched."""

    client: httpx.Client
    dataflow: DataflowApi

    def post(self, path: str, body: Any = None, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return (
            self.client.post(path, headers=named) if body is None else self.client.post(path, json=body, headers=named)
        )

    @property
    def job(self) -> Job:
        """The only one."""
        assert len(self.dataflow.jobs) == 1
        return self.dataflow.jobs[0]


@contextmanager
def running() -> Iterator[Served]:
    with DataflowApi() as dataflow, StorageApi() as storage:
        endpoints = Endpoints(dataflow=dataflow.url, storage=storage.url, **NO_BIGQUERY)
        with (
            serving(launch_config(jobs=SERVED["jobs"]), endpoints) as url,
            httpx.Client(base_url=url, timeout=30) as client,
        ):
            yield Served(client, dataflow)


@pytest.fixture
def served() -> Iterator[Served]:
    with running() as service:
        yield service


@pytest.fixture(scope="module")
def refusing() -> Iterator[Served]:
    """One for many tests that launch nothing."""
    with running() as service:
        yield service


def parameters(job: Job) -> dict[str, str]:
    own = {"source_table", "output", "config"}
    return {name: value for name, value in job.asked["parameters"].items() if name not in own}


@pytest.mark.parametrize(
    ("path", "body", "template", "asked"),
    [
        (
            "/export",
            {"when_read_from": "2024-03-01T00:00:00", "when_read_to": "2024-03-08T12:00:00"},
            "bigquery_to_avro",
            {"when_read_from": "2024-03-01T00:00:00", "when_read_to": "2024-03-08T12:00:00"},
        ),
        (
            "/export",
            {"period": "202402"},
            "bigquery_to_avro",
            {"when_read_from": "2024-02-01T00:00:00", "when_read_to": "2024-03-01T00:00:00"},
        ),
        (
            "/",
            {"export_name": "orders", "date": "2024-03-02"},
            "bigquery_to_sftp",
            {"export_name": "orders", "date": "2024-03-02"},
        ),
        ("/", {"config": "default"}, "bigquery_to_sftp", {"export_name": "all"}),
        (
            "/run",
            {"client_name": "acme", "endpoints": ["Invoices", "Contacts"]},
            "api_to_bigquery",
            {"client_name": "acme", "endpoints": "Invoices,Contacts"},
        ),
        ("/run", None, "api_to_bigquery", {"client_name": "acme"}),
    ],
)
def test_a_body_launches_the_template_with_what_it_asks_for(
    served: Served, path: str, body: Any, template: str, asked: dict[str, str]
) -> None:
    answer = served.post(path, body)
    assert answer.status_code == 202, answer.text
    assert answer.json() == {
        "run_id": served.job.name,
        "status": "LAUNCHED",
        "job_id": served.job.id,
        "job_name": served.job.name,
        "attempt": 1,
        "is_new": True,
    }
    assert answer.headers["Location"] == f"/runs/{served.job.name}"
    assert served.job.asked["containerSpecGcsPath"].endswith(f"/{template}.json")
    assert parameters(served.job) == asked


@pytest.mark.parametrize("content", [b"", b"{}"])
def test_an_export_of_nothing_in_particular_is_of_the_previous_month(served: Served, content: bytes) -> None:
    answer = served.client.post("/export", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 202
    now = dt.datetime.now(dt.UTC)
    first = dt.date(now.year, now.month, 1)
    assert parameters(served.job)["when_read_to"] == f"{first}T00:00:00"


@pytest.mark.parametrize(
    ("path", "body", "field", "text"),
    [
        ("/export", {"period": "2025-03"}, "period", "is not understood: write one like 202503"),
        ("/export", {"period": "202513"}, "period", "'202513'"),
        ("/export", {"period": 202503}, "period", "must be text, not a number"),
        ("/export", {"perod": "202503"}, "perod", "unknown field (did you mean period?)"),
        ("/export", {"when_read_from": "2025-03-01T00:00:00"}, None, "when_read_to"),
        (
            "/export",
            {"when_read_from": "2025-03-32T00:00:00", "when_read_to": "2025-04-01T00:00:00"},
            "when_read_from",
            "03-32",
        ),
        ("/export", {"when_read_from": "2025-04-01T00:00:00", "when_read_to": "2025-03-01T00:00:00"}, None, "before"),
        ("/export", {"name": "measurments"}, "name", "did you mean measurements?"),
        ("/export", {"name": "default"}, "name", "there is no job 'default' of bigquery_to_avro"),
        ("/export", {"force": "yes"}, "force", "must be true or false"),
        ("/", {"export_name": "orders", "date": "2025-02-30"}, "date", "'2025-02-30'"),
        ("/", {"export_name": "orders", "date": "2.3.2025"}, "date", "2025-03-02"),
        ("/", {"config": "deliveries"}, "export_name", "is missing"),
        ("/", {"config": "nothing"}, "config", "there is no job 'nothing'"),
        ("/", {"export_name": ["orders"]}, "export_name", "must be text, not a list"),
        ("/run", {"client_name": "globex"}, "client_name", "no job fetches for 'globex'"),
        ("/run", {"endpoints": [1]}, "endpoints", "must be a list of names"),
        ("/run", {"source_table": "x"}, "source_table", "unknown field"),
    ],
)
def test_a_body_that_cannot_be_meant_is_told_what_is_wrong(
    refusing: Served, path: str, body: Any, field: str | None, text: str
) -> None:
    answer = refusing.post(path, body)
    told = answer.json()
    assert (answer.status_code, told.get("field")) == (400, field), answer.text
    assert text in told["error"]
    assert "--" not in told["error"]
    assert told["request_id"] == answer.headers["X-Request-Id"]
    assert not refusing.dataflow.jobs


def test_two_ways_to_ask_for_a_window_are_one_run(served: Served) -> None:
    first = served.post("/export", {"period": "202402"})
    again = served.post("/export", {"when_read_from": "2024-02-01T00:00:00", "when_read_to": "2024-03-01T00:00:00"})
    named = served.post("/pubsub", push({"route": "/export", "period": "202402", "name": "measurements"}))
    assert first.json()["is_new"]
    for answer in (again, named):
        assert answer.status_code == 202
        assert answer.json() == first.json() | {"is_new": False}
    assert len(served.dataflow.jobs) == 1


@pytest.mark.parametrize(
    "headers",
    [
        {"Idempotency_Key": "mine-1"},
        {"X_CloudScheduler_JobName": "nightly", "X_CloudScheduler_ScheduleTime": "2025-03-02T02:00:00Z"},
    ],
)
def test_a_request_without_a_window_is_one_run_for_each_key(served: Served, headers: dict[str, str]) -> None:
    first = served.post("/run", {}, **headers).json()
    served.dataflow.end(first["job_id"])
    again = served.post("/run", {}, **headers).json()
    assert (again["run_id"], again["is_new"]) == (first["run_id"], False)
    name, value = list(headers.items())[-1]
    other = served.post("/run", {}, **headers | {name: value.replace("1", "7").replace("02Z", "03Z") + "x"}).json()
    assert other["is_new"]
    assert other["run_id"] != first["run_id"]


def test_a_window_is_counted_from_when_it_was_asked_for_and_not_from_when_that_arrived(served: Served) -> None:
    """The publish time of `push` is in March 2025."""
    february = {"when_read_from": "2025-02-01T00:00:00", "when_read_to": "2025-03-01T00:00:00"}
    message = served.post("/pubsub", push({"route": "/export"}, "77")).json()
    assert parameters(served.job) == february
    scheduled = served.post("/export", {}, X_CloudScheduler_ScheduleTime="2025-03-31T23:59:59.999999Z").json()
    assert (scheduled["run_id"], scheduled["is_new"]) == (message["run_id"], False)
    served.post("/export", {}, X_CloudScheduler_ScheduleTime="2025-04-01T00:00:00Z")
    assert parameters(served.dataflow.jobs[-1])["when_read_from"] == "2025-03-01T00:00:00"


def test_requests_without_window_and_key_are_the_run_that_is_active(served: Served) -> None:
    first, again = served.post("/run", {}).json(), served.post("/run", {}).json()
    assert (again["job_id"], again["is_new"]) == (first["job_id"], False)


def test_a_key_that_is_too_long_is_refused(refusing: Served) -> None:
    assert refusing.post("/run", {}, Idempotency_Key="k" * 257).status_code == 400


@pytest.mark.parametrize(
    ("data", "attributes", "template"),
    [
        ({"route": "/export", "period": "202402"}, {}, "bigquery_to_avro"),
        ({"period": "202402"}, {"route": "/export"}, "bigquery_to_avro"),
        ({"period": "202402"}, {}, "bigquery_to_avro"),
        (None, {"route": "/export"}, "bigquery_to_avro"),
        ({"name": "measurements"}, {}, "bigquery_to_avro"),
        ({"export_name": "orders", "date": "2024-03-02"}, {}, "bigquery_to_sftp"),
        ({"config": "default"}, {}, "bigquery_to_sftp"),
        ({"route": "/", "config": "default"}, {"source": "nightly"}, "bigquery_to_sftp"),
        ({"client_name": "acme"}, {}, "api_to_bigquery"),
        ({"name": "xero-acme"}, {}, "api_to_bigquery"),
        ({"endpoints": "Invoices"}, {}, "api_to_bigquery"),
    ],
)
def test_a_message_does_what_the_same_body_does(
    served: Served, data: Any, attributes: dict[str, str], template: str
) -> None:
    answer = served.post("/pubsub", push(data, "77", **attributes))
    assert answer.status_code == 202, answer.text
    assert served.job.asked["containerSpecGcsPath"].endswith(f"/{template}.json")


def test_a_message_is_one_run_however_often_it_is_delivered(served: Served) -> None:
    first = served.post("/pubsub", push({"route": "/run"}, "77")).json()
    served.dataflow.end(first["job_id"])
    assert served.post("/pubsub", push({"route": "/run"}, "77")).json()["job_id"] == first["job_id"]
    assert served.post("/pubsub", push({"route": "/run"}, "78")).json()["job_id"] != first["job_id"]


@pytest.mark.parametrize(
    ("envelope", "text"),
    [
        ({}, "message: Field required"),
        ({"message": None}, "message: "),
        ({"message": "text"}, "message: "),
        ({"message": {}}, "message.messageId: Field required"),
        ({"message": {"messageId": ""}}, "message.messageId: "),
        ({"message": {"messageId": 7}}, "message.messageId: "),
        ({"message": {"messageId": "7", "publishTime": "yesterday"}}, "message.publishTime: "),
        ({"message": {"messageId": "7", "data": {"period": "202402"}}}, "message.data: "),
        ({"message": {"messageId": "7", "data": "not base64!"}}, "message.data is not base64"),
        ({"message": {"messageId": "7", "data": "\u00e4"}}, "message.data is not base64"),
        ({"message": {"messageId": "7", "attributes": ["route"]}}, "message.attributes: "),
        (push(b"\xff\xfe"), "message.data: is not text in UTF-8"),
        (push(b"{"), "message.data: line 1, column 2: this is not JSON"),
        (push(["/export"]), "message.data: must be an object"),
        (push(None), "route: is missing"),
        (push({"period": "202402", "config": "default"}), "route: is missing"),
        (push({"route": "/admin"}), "route: '/admin' is none of /, /export, /run"),
        (push({"route": ["/export"]}), "is none of /, /export, /run"),
        (push({"route": "/export", "period": "2025"}), "period: '2025'"),
        (push({"route": "/export", "name": {"a": 1}}), "name: must be text"),
        (push({"name": ["a"]}), "route: is missing"),
    ],
)
def test_a_malformed_envelope_is_refused_for_the_dead_letter_topic(refusing: Served, envelope: Any, text: str) -> None:
    answer = refusing.post("/pubsub", envelope)
    assert answer.status_code == 400, answer.text
    assert text in answer.json()["error"]
    assert not refusing.dataflow.jobs
