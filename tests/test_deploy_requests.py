"""What Cloud Scheduler, Pub/Sub, Cloud Storage and Eventarc are told to send is what the service takes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import ROOT
from tests.servers.dataflow_api import DataflowApi
from tests.servers.storage_api import StorageApi
from tests.serving import NO_BIGQUERY, push, serving, status_changed
from tests.test_deploy import MODULE, resources
from wharf.connectors.endpoints import Endpoints
from wharf.launch.service import launching
from wharf.launch.service.events import FINALIZED, STATUS_CHANGED, event_of, object_of
from wharf.model.launching.config import load_launch_config

ENVIRONMENTS = sorted((ROOT / "deploy" / "environments").glob("*.json"))
RESOURCES = {f"{kind}.{name}": content for kind, name, content in resources(MODULE)}
# What Terraform's expressions come to, in `body_of` below.
SCHEDULED = (
    "${base64encode(jsonencode(merge({name = each.value.job}, "
    "{for field, value in each.value.body : field => try({true = true, false = false}[value], value)})))}"
)


@pytest.fixture(params=ENVIRONMENTS, ids=lambda path: path.stem)
def environment(request: pytest.FixtureRequest) -> dict[str, Any]:
    path: Path = request.param
    found: dict[str, Any] = json.loads(path.read_text())
    return found


@pytest.fixture
def service(environment: dict[str, Any]) -> Iterator[tuple[httpx.Client, DataflowApi]]:
    config = load_launch_config(json.dumps(environment), uri="launch.json")
    with DataflowApi() as dataflow, StorageApi() as storage:
        endpoints = Endpoints(dataflow=dataflow.url, storage=storage.url, **NO_BIGQUERY)
        with serving(config, endpoints) as url, httpx.Client(base_url=url, timeout=30) as client:
            yield client, dataflow


def only(value: Any) -> Any:
    (found,) = value
    return found


def local(name: str) -> dict[str, str]:
    """The paths of a map in the module's locals, by its keys."""
    text = "\n".join(path.read_text() for path in MODULE.glob("*.tf"))
    written = re.search(rf"^  {name} += (.*?)^  [}})]", text, re.DOTALL | re.MULTILINE)
    assert written
    return dict(re.findall(r'(\w+) *=>? "(/\w*(?:/\w+)*)"', written[1]))


def body_of(schedule: dict[str, Any]) -> dict[str, Any]:
    words = {"true": True, "false": False}
    return {"name": schedule["job"]} | {field: words.get(v, v) for field, v in schedule.get("body", {}).items()}


def test_a_schedule_asks_the_route_of_its_pipeline() -> None:
    target = only(RESOURCES["google_cloud_scheduler_job.service"]["http_target"])
    assert target["body"] == SCHEDULED
    assert target["uri"].endswith('${local.routes[local.jobs[each.value.job].pipeline]}"')
    assert target["headers"] == {'"Content-Type"': '"application/json"'}
    assert local("routes") == launching._OF_PIPELINE


def test_every_schedule_of_an_environment_launches_its_job_once(
    environment: dict[str, Any], service: tuple[httpx.Client, DataflowApi]
) -> None:
    client, dataflow = service
    routes = local("routes")
    through = {name: each for name, each in environment["deploy"]["schedules"].items() if not each.get("direct")}
    assert through
    for name, schedule in through.items():
        # https://cloud.google.com/scheduler/docs/reference/rest/v1/projects.locations.jobs#HttpTarget
        headers = {"X-CloudScheduler-JobName": f"wharf-{name}", "X-CloudScheduler-ScheduleTime": "2025-04-01T03:00:00Z"}
        route = routes[environment["jobs"][schedule["job"]]["pipeline"]]
        for _ in range(2):
            answer = client.post(route, json=body_of(schedule), headers=headers)
            assert answer.status_code == 202, answer.text
            assert answer.json()["run_id"].startswith(f"{schedule['job']}-")
    assert len(dataflow.jobs) == len(through)


@pytest.mark.parametrize("word", ["true", "false"])
def test_a_switch_in_a_schedules_body_is_one_in_the_request(
    word: str, environment: dict[str, Any], service: tuple[httpx.Client, DataflowApi]
) -> None:
    client, _ = service
    answer = client.post("/export", json=body_of({"job": "measurements", "body": {"period": "202503", "force": word}}))
    assert answer.status_code == 202, answer.text


def test_subscriptions_push_to_routes_that_take_them(
    environment: dict[str, Any], service: tuple[httpx.Client, DataflowApi]
) -> None:
    client, _ = service
    paths = set(client.get("/openapi.json").json()["paths"])
    pushed = re.findall(r'"(/[a-z/]+)"', (MODULE / "pubsub.tf").read_text())
    assert sorted(pushed) == ["/events/storage", "/pubsub"]
    assert {*pushed, "/events/dataflow", *local("routes").values()} <= paths
    answer = client.post("/pubsub", json=push({"name": "measurements", "period": "202503"}))
    assert answer.status_code == 202, answer.text
    for landing in environment["deploy"]["landings"].values():
        marker = f"{landing['prefix']}orders/2025-03-20/_SUCCESS"
        told = {"eventType": "OBJECT_FINALIZE", "payloadFormat": "JSON_API_V1", "objectGeneration": "1742428800000001"}
        told |= {"bucketId": landing["bucket"], "objectId": marker}
        answer = client.post("/events/storage", json=push({"kind": "storage#object"}, **told))
        assert answer.status_code == (202 if landing["delivery"] == "event" else 200), answer.text


def test_storage_and_eventarc_send_the_events_that_the_service_knows() -> None:
    notification = RESOURCES["google_storage_notification.landed"]
    (kind,) = (each.strip('"') for each in notification["event_types"])
    told = {"eventType": kind, "bucketId": "b", "objectId": "o", "objectGeneration": "1"}
    event = event_of({}, push(None, **told))
    assert (event.type, object_of(event)) == (FINALIZED, ("b", "o", "1"))
    trigger = RESOURCES["google_eventarc_trigger.job_ended"]
    assert only(trigger["matching_criteria"])["value"] == f'"{STATUS_CHANGED}"'
    assert only(only(trigger["destination"])["cloud_run_service"])["path"] == '"/events/dataflow"'
    assert status_changed("1", "a", "JOB_STATE_DONE")["type"] == STATUS_CHANGED
