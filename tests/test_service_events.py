"""Files that land, jobs that end: events in every form they arrive in, and what is done about them, once."""

from __future__ import annotations

import base64
import datetime as dt
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.launches import launch_config
from tests.recorded_runs import Ledgers, delivered, exported
from tests.servers.dataflow_api import DataflowApi
from tests.servers.storage_api import StorageApi
from tests.servers.webhook import Webhook
from tests.serving import NO_BIGQUERY, SERVED, push, serving, status_changed
from wharf.connectors.endpoints import Endpoints
from wharf.launch.service.events import Event, Job, Object, event_of, job_of, object_of
from wharf.launch.service.problems import Refusal
from wharf.local.stack import LocalStack
from wharf.model.launching.config import LaunchConfig

FINALIZED = "google.cloud.storage.object.v1.finalized"
STATUS_CHANGED = "google.cloud.dataflow.job.v1beta3.statusChanged"
MARKER = {"bucket": "in", "name": "sales/orders/2025-03-20/_SUCCESS", "generation": "1742428800000001"}
NOW = dt.datetime.now(dt.UTC).replace(microsecond=0) - dt.timedelta(minutes=5)
JOB = Job("2025-03-20_05_00_00-1", "measurements", "FAILED")


def envelope(data: Any, **attributes: str) -> dict[str, Any]:
    return push(data, "5", **{name.replace("ce_", "ce-"): value for name, value in attributes.items()})


def structured(kind: str, data: Any, **more: Any) -> dict[str, Any]:
    return {"specversion": "1.0", "id": "1", "source": "//somewhere", "type": kind, "data": data, **more}


STORAGE_FORMS = {
    "binary": ({"ce-type": FINALIZED, "ce-id": "1", "ce-specversion": "1.0"}, MARKER | {"size": "0"}),
    "structured": ({"content-type": "application/cloudevents+json"}, structured(FINALIZED, MARKER)),
    "structured, base64": (
        {"content-type": "application/cloudevents+json"},
        structured(FINALIZED, None, data_base64=base64.b64encode(json.dumps(MARKER).encode()).decode()),
    ),
    "binary, pushed": ({}, envelope(MARKER, ce_type=FINALIZED)),
    "structured, pushed": ({}, envelope(structured(FINALIZED, MARKER))),
    "a push as Eventarc hands it on": (
        {"ce-type": "google.cloud.pubsub.topic.v1.messagePublished"},
        envelope(structured(FINALIZED, MARKER)),
    ),
    "Storage's own notification": (
        {},
        envelope(
            {"kind": "storage#object", **MARKER},
            eventType="OBJECT_FINALIZE",
            bucketId=MARKER["bucket"],
            objectId=MARKER["name"],
            objectGeneration=MARKER["generation"],
            payloadFormat="JSON_API_V1",
        ),
    ),
    "Storage's own notification without payload": (
        {},
        envelope(
            None,
            eventType="OBJECT_FINALIZE",
            bucketId=MARKER["bucket"],
            objectId=MARKER["name"],
            objectGeneration=MARKER["generation"],
            payloadFormat="NONE",
        ),
    ),
}
_ended = status_changed(*JOB)
DATAFLOW_FORMS = {
    "structured": ({"content-type": "application/cloudevents+json"}, _ended),
    "binary": ({"ce-type": STATUS_CHANGED}, _ended["data"]),
    "the job alone": ({"ce-type": STATUS_CHANGED}, _ended["data"]["payload"]),
    "a number for the state": (
        {"ce-type": STATUS_CHANGED},
        {"payload": _ended["data"]["payload"] | {"currentState": 4}},
    ),
    "pushed": ({}, envelope(_ended)),
    "binary, pushed": ({}, envelope(_ended["data"], ce_type=STATUS_CHANGED)),
}


@pytest.mark.parametrize("form", STORAGE_FORMS)
def test_every_form_of_a_finalized_object_is_read(form: str) -> None:
    assert object_of(event_of(*STORAGE_FORMS[form])) == Object(**MARKER)


@pytest.mark.parametrize("form", DATAFLOW_FORMS)
def test_every_form_of_a_changed_job_is_read(form: str) -> None:
    assert job_of(event_of(*DATAFLOW_FORMS[form])) == JOB


@pytest.mark.parametrize(
    ("headers", "body", "text"),
    [
        ({}, {}, "this is no event"),
        ({}, {"specversion": "1.0"}, "this is no event"),
        ({}, {"specversion": "1.0", "type": 7}, "this is no event"),
        ({}, structured(FINALIZED, "text"), "data: must be an object"),
        ({}, structured(FINALIZED, None), "data: must be an object"),
        ({}, structured(FINALIZED, None, data_base64="?"), "data_base64: is not base64"),
        ({}, structured(FINALIZED, None, data_base64=7), "data_base64: is not base64"),
        ({}, structured(FINALIZED, MARKER | {"name": ""}), "data.name: is missing"),
        ({}, structured(FINALIZED, MARKER | {"bucket": None}), "data.bucket: is missing"),
        ({}, structured(FINALIZED, MARKER | {"generation": "x"}), "data.generation: is no number"),
        ({}, structured(FINALIZED, MARKER | {"generation": "9" * 5_000}), "data.generation: is no number"),
        ({}, structured(FINALIZED, MARKER | {"generation": "\u0661"}), "data.generation: is no number"),
        ({}, {"message": {}}, "message.messageId: Field required"),
        ({}, envelope({"a": 1}), "this is no event"),
        ({}, envelope(envelope(MARKER)), "message.data: is an envelope again"),
        ({}, structured(STATUS_CHANGED, {"payload": "x"}), "data.payload: must be an object"),
        ({}, structured(STATUS_CHANGED, {"payload": {}}), "currentState: is no state"),
        ({}, structured(STATUS_CHANGED, {"payload": {"currentState": "JOB_STATE_LOST"}}), "is no state"),
        ({}, structured(STATUS_CHANGED, {"payload": {"currentState": 99}}), "is no state"),
        ({}, structured(STATUS_CHANGED, {"payload": {"currentState": "JOB_STATE_DONE"}}), "payload.id: is missing"),
    ],
)
def test_what_is_no_event_is_told_what_is_wrong(headers: dict[str, str], body: dict[str, Any], text: str) -> None:
    def read() -> None:
        event = event_of(headers, body)
        object_of(event)
        job_of(event)

    with pytest.raises(Refusal) as refused:
        read()
    assert (refused.value.status, text in refused.value.text) == (400, True), refused.value.text


def test_events_of_other_kinds_are_neither() -> None:
    event = Event("google.cloud.storage.object.v1.deleted", {})
    assert object_of(event) is None
    assert job_of(event) is None
    assert object_of(event_of({}, envelope({}, eventType="OBJECT_DELETE"))) is None


@dataclass
class Watched:
    """The service, what it launched, its ledgers and whom it told."""

    client: httpx.Client
    dataflow: DataflowApi
    ledgers: Ledgers
    webhook: Webhook

    def send(self, path: str, headers: dict[str, str], body: Any) -> httpx.Response:
        return self.client.post(path, content=json.dumps(body), headers={"Content-Type": "application/json"} | headers)

    def end(self, job_id: str, name: str, state: str = "JOB_STATE_FAILED") -> httpx.Response:
        return self.send("/events/dataflow", {}, status_changed(job_id, name, state))

    def launch(self) -> tuple[str, str]:
        """The run's and the job's id."""
        launched = self.client.post("/export", json={"period": "202503"}).json()
        return launched["run_id"], launched["job_id"]


@pytest.fixture
def config(stack: LocalStack, tmp_path: Path) -> Callable[[Ledgers, Webhook], LaunchConfig]:
    def make(ledgers: Ledgers, webhook: Webhook) -> LaunchConfig:
        (tmp_path / "webhook").write_text(webhook.url)
        return launch_config(
            project=stack.project,
            jobs=SERVED["jobs"],
            tables={name: str(getattr(ledgers.tables, name)) for name in ("exports", "deliveries", "loads", "fetches")},
            notifications={"slack": {"webhook": f"file:{tmp_path / 'webhook'}"}},
        )

    return make


@pytest.fixture
def watched(
    stack: LocalStack, config: Callable[[Ledgers, Webhook], LaunchConfig], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Watched]:
    ledgers = Ledgers.of(stack)
    with DataflowApi() as dataflow, StorageApi() as storage, Webhook() as webhook:
        endpoints = Endpoints(
            bigquery=stack.endpoints.bigquery, bigquery_emulated=True, dataflow=dataflow.url, storage=storage.url
        )
        with (
            serving(config(ledgers, webhook), endpoints) as url,
            httpx.Client(base_url=url, timeout=60) as client,
        ):
            yield Watched(client, dataflow, ledgers, webhook)


@pytest.mark.parametrize("form", STORAGE_FORMS)
def test_a_marker_launches_the_load_of_its_batch_once(form: str) -> None:
    with DataflowApi() as dataflow, StorageApi() as storage:
        endpoints = Endpoints(dataflow=dataflow.url, storage=storage.url, **NO_BIGQUERY)
        with serving(launch_config(jobs=SERVED["jobs"]), endpoints) as url:
            headers, body = STORAGE_FORMS[form]
            headers = {"content-type": "application/json"} | headers
            answers = [httpx.post(f"{url}/events/storage", json=body, headers=headers) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [202] * 3, answers[0].text
    (job,) = dataflow.jobs
    assert job.asked["containerSpecGcsPath"].endswith("/files_to_bigquery.json")
    assert job.asked["parameters"]["input"] == "gs://in/sales/orders/2025-03-20/_SUCCESS"


def test_objects_that_complete_nothing_are_no_concern_of_the_service(watched: Watched) -> None:
    for changed in ({"name": "sales/orders/a.csv"}, {"bucket": "elsewhere"}, {"generation": "1"}):
        answer = watched.send("/events/storage", {"ce-type": FINALIZED}, MARKER | {"name": "x.csv"} | changed)
        assert answer.status_code == 200, answer.text
    answer = watched.send("/events/storage", {"ce-type": "google.cloud.storage.object.v1.deleted"}, MARKER)
    assert (answer.status_code, answer.json()) == (200, {"result": "this tells of no object that was finalized"})
    assert not watched.dataflow.jobs


def test_a_job_that_dies_fails_its_runs_and_is_told_once(watched: Watched) -> None:
    run_id, job_id = watched.launch()
    watched.ledgers.export(exported("march-1", NOW, "RUNNING", job_id=job_id), exported("other", NOW, "RUNNING"))
    answers = [watched.end(job_id, run_id) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200] * 3
    assert answers[0].json() == {"result": f"job {job_id}: FAILED"}
    assert "as is known" in answers[1].json()["result"]
    run, other = (watched.ledgers.history.run(name) for name in ("march-1", "other"))
    assert run
    assert other
    assert (run.status, other.status, run.completed_at is None) == ("FAILED", "RUNNING", False)
    assert run.error.startswith(f"Dataflow job {job_id} ended as FAILED: https://console.cloud.google.com/dataflow/")
    ((_, message),) = watched.webhook.posts
    for word in ("measurements", "FAILED", run_id, job_id, "wharf run bigquery_to_avro"):
        assert word in message["text"]
    shown = watched.client.get(f"/runs/{run_id}").json()
    assert shown["launch"]["state"] == "FAILED"
    assert [each["run_id"] for each in shown["runs"]] == ["march-1"]


def test_a_hundred_tellings_at_once_are_told_to_people_once(watched: Watched) -> None:
    run_id, job_id = watched.launch()
    answers: list[int] = []
    threads = [
        threading.Thread(target=lambda: answers.append(watched.end(job_id, run_id).status_code)) for _ in "x" * 100
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 100
    assert len(watched.webhook.posts) == 1


def test_a_job_that_dies_before_it_records_anything_is_told(watched: Watched) -> None:
    run_id, job_id = watched.launch()
    assert watched.end(job_id, run_id, "JOB_STATE_CANCELLED").json()["result"] == f"job {job_id}: CANCELLED"
    ((_, message),) = watched.webhook.posts
    assert "ended as CANCELLED" in message["text"]
    again = watched.client.post("/export", json={"period": "202503"}).json()
    assert (again["run_id"], again["attempt"], again["is_new"]) == (run_id, 2, True)
    late = watched.end(job_id, run_id)  # the first attempt's end, told once more
    assert "as is known" in late.json()["result"]
    assert watched.client.get(f"/runs/{run_id}").json()["launch"]["state"] == "LAUNCHED"
    assert len(watched.webhook.posts) == 1


def attempt_again(watched: Watched, state: str) -> tuple[str, str]:
    """A run whose first attempt has ended as `state`, which the request saw that began the second; that one's job."""
    run_id, job_id = watched.launch()
    watched.dataflow.end(job_id, f"JOB_STATE_{state}")
    with_a_key = {"Idempotency-Key": "again"}  # else what was known a moment ago is the answer
    assert watched.client.post("/export", json={"period": "202503"}, headers=with_a_key).json()["attempt"] == 2
    return run_id, job_id


@pytest.mark.parametrize("state", ["FAILED", "CANCELLED"])
def test_a_job_whose_end_the_next_request_saw_first_is_told_all_the_same(watched: Watched, state: str) -> None:
    run_id, job_id = attempt_again(watched, state)
    results = [watched.end(job_id, run_id, f"JOB_STATE_{state}").json()["result"] for _ in range(2)]
    assert results == [f"job {job_id}: {state}", f"job {job_id}: {state}, as is known"]
    ((_, message),) = watched.webhook.posts
    assert job_id in message["text"]
    assert watched.client.get(f"/runs/{run_id}").json()["launch"]["state"] == "LAUNCHED"


def test_a_second_job_of_an_earlier_attempt_is_told_to_nobody(watched: Watched) -> None:
    run_id, _ = attempt_again(watched, "CANCELLED")
    result = watched.end("2025-03-20_05_00_00-79", run_id, "JOB_STATE_CANCELLED").json()["result"]
    assert result.endswith("CANCELLED, as is known, or none of ours")
    assert not watched.webhook.posts


def test_a_job_that_was_launched_otherwise_fails_its_runs_and_is_told_once(watched: Watched) -> None:
    job_id = "2025-03-20_05_00_00-77"
    watched.ledgers.deliver(
        delivered("orders-1", NOW, "RUNNING", job_id=job_id), delivered("orders-2", NOW, job_id=job_id)
    )
    for _ in range(2):
        assert watched.end(job_id, "nightly-by-hand").status_code == 200
    history = watched.ledgers.history
    assert [run.status for run in history.of_job(job_id) if run.run_id == "orders-1"] == ["FAILED"]
    assert [run.status for run in history.of_job(job_id) if run.run_id == "orders-2"] == ["SUCCESS"]
    ((_, message),) = watched.webhook.posts
    assert "orders_daily" in message["text"]
    assert "orders-1" in message["text"]
    assert "orders-2" not in message["text"]


def test_a_second_job_of_the_same_name_does_not_end_the_run(watched: Watched) -> None:
    run_id, _ = watched.launch()
    assert watched.end("2025-03-20_05_00_00-78", run_id, "JOB_STATE_CANCELLED").status_code == 200
    assert watched.client.get(f"/runs/{run_id}").json()["launch"]["state"] == "LAUNCHED"
    assert not watched.webhook.posts


def test_a_job_that_an_update_put_in_place_of_another_ends_its_run_and_is_told_once(watched: Watched) -> None:
    run_id, job_id = watched.launch()
    updated = watched.client.post("/export", json={"period": "202504"}).json()["job_id"]
    watched.dataflow.end(job_id, "JOB_STATE_UPDATED")
    watched.dataflow.jobs[0].replaced_by = updated
    results = [watched.end(updated, run_id).json()["result"] for _ in range(2)]
    assert results == [f"job {updated}: FAILED", f"job {updated}: FAILED, as is known"]
    assert watched.client.get(f"/runs/{run_id}").json()["launch"]["state"] == "FAILED"
    ((_, message),) = watched.webhook.posts
    assert updated in message["text"]


@pytest.mark.parametrize("state", ["JOB_STATE_RUNNING", "JOB_STATE_CANCELLING", "JOB_STATE_UPDATED"])
def test_a_job_that_goes_on_changes_nothing(watched: Watched, state: str) -> None:
    run_id, job_id = watched.launch()
    assert watched.end(job_id, run_id, state).status_code == 200
    assert watched.client.get(f"/runs/{run_id}").json()["launch"]["state"] == "LAUNCHED"


def test_a_job_that_is_done_is_recorded_and_nobody_is_told(watched: Watched) -> None:
    run_id, job_id = watched.launch()
    assert watched.end(job_id, run_id, "JOB_STATE_DONE").json()["result"] == f"job {job_id}: SUCCESS"
    assert watched.client.get(f"/runs/{run_id}").json()["launch"]["state"] == "SUCCESS"
    again = watched.client.post("/export", json={"period": "202503"}).json()
    assert (again["job_id"], again["is_new"]) == (job_id, False)
    assert not watched.webhook.posts


def test_jobs_that_nobody_knows_are_answered_and_logged(watched: Watched, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        for name in ("somebody-elses", "measurements-20250301-20250401-0123456789abcdef"):
            assert watched.end("2025-03-20_05_00_00-404", name).status_code == 200
    assert "2025-03-20_05_00_00-404: FAILED, as is known, or none of ours" in caplog.text
    assert not watched.webhook.posts


def test_a_notification_that_cannot_be_sent_does_not_fail_the_event(
    watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    watched.webhook.answers = [(403, {}, "invalid_token")]
    run_id, job_id = watched.launch()
    assert watched.end(job_id, run_id).status_code == 200
    assert f"the end of job {job_id} could not be told: Slack: answers 403" in caplog.text
    assert watched.client.get(f"/runs/{run_id}").json()["launch"]["state"] == "FAILED"
