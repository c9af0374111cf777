"""`GET /runs`: what the ledgers tell of runs, and launches that no ledger tells of, as JSON."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.launches import launch_config
from tests.recorded_runs import Ledgers, delivered, exported, fetched
from tests.servers.dataflow_api import DataflowApi
from tests.servers.storage_api import StorageApi
from tests.serving import SERVED, serving
from wharf.connectors.endpoints import Endpoints
from wharf.local.stack import LocalStack
from wharf.model.launching.pipelines import PIPELINES
from wharf.model.ledger import FILES

NOW = dt.datetime.now(dt.UTC).replace(microsecond=0) - dt.timedelta(minutes=5)
JOB = "2025-03-20_05_00_00-1234567890"


@pytest.fixture(scope="module")
def ledgers(stack: LocalStack) -> Ledgers:
    made = Ledgers.of(stack)
    made.export(exported("march-1", NOW), exported("march-2", NOW - dt.timedelta(days=2), "FAILED"))
    made.deliver(delivered("orders-1", NOW - dt.timedelta(minutes=1)))
    made.fetch(fetched("acme-1", began=NOW - dt.timedelta(minutes=2)))
    assert made.tables.exports
    made.files(made.tables.exports, dict.fromkeys(column.name for column in FILES.columns) | {
        "export_id": "march-1", "file_uri": "gs://bucket/events/a.avro", "rows": 10, "bytes": 100,
        "status": "SUCCESS", "started_at": NOW, "completed_at": NOW,
    })  # fmt: skip
    return made


@pytest.fixture(scope="module")
def stand_ins() -> Iterator[tuple[DataflowApi, StorageApi]]:
    with DataflowApi() as dataflow, StorageApi() as storage:
        yield dataflow, storage


@pytest.fixture(scope="module")
def client(stack: LocalStack, ledgers: Ledgers, stand_ins: tuple[DataflowApi, StorageApi]) -> Iterator[httpx.Client]:
    dataflow, storage = stand_ins
    endpoints = Endpoints(
        bigquery=stack.endpoints.bigquery, bigquery_emulated=True, dataflow=dataflow.url, storage=storage.url
    )
    tables = {name: str(getattr(ledgers.tables, name)) for name in ("exports", "deliveries", "loads", "fetches")}
    config = launch_config(project=stack.project, jobs=SERVED["jobs"], tables=tables)
    with serving(config, endpoints) as url, httpx.Client(base_url=url, timeout=60) as made:
        yield made


def ids(client: httpx.Client, **query: Any) -> list[str]:
    answer = client.get("/runs", params=query)
    assert answer.status_code == 200, answer.text
    return [run["run_id"] for run in answer.json()["runs"]]


def test_runs_of_all_pipelines_are_listed_the_newest_first(client: httpx.Client) -> None:
    assert ids(client) == ["march-1", "orders-1", "acme-1", "march-2"]
    assert ids(client, limit=2) == ["march-1", "orders-1"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"pipeline": "bigquery_to_avro"}, ["march-1", "march-2"]),
        ({"name": "orders_daily"}, ["orders-1"]),
        ({"status": "FAILED"}, ["march-2"]),
        ({"day": f"{NOW - dt.timedelta(days=2):%Y-%m-%d}"}, ["march-2"]),
        ({"pipeline": "bigquery_to_avro", "status": "SUCCESS"}, ["march-1"]),
        ({"name": "' OR 1=1 --"}, []),
        ({"day": "2020-01-01"}, []),
    ],
)
def test_runs_are_narrowed_by_what_is_asked(client: httpx.Client, query: dict[str, str], found: list[str]) -> None:
    assert ids(client, **query) == found


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"pipeline": "bigquery_to_arvo"}, "pipeline"),
        ({"status": "DEAD"}, "status"),
        ({"day": "yesterday"}, "day"),
        ({"day": "9999-12-31"}, "day"),
        ({"day": "0"}, "day"),
        ({"limit": 0}, "limit"),
        ({"limit": 1001}, "limit"),
        ({"limit": "many"}, "limit"),
    ],
)
def test_a_query_that_cannot_be_meant_is_refused(client: httpx.Client, query: dict[str, Any], field: str) -> None:
    answer = client.get("/runs", params=query)
    assert (answer.status_code, answer.json()["field"]) == (400, field)


@pytest.mark.parametrize(
    ("query", "error"),
    [
        (
            {"status": "FALED"},
            "status: 'FALED' is none of RUNNING, SUCCESS, FAILED, SILENT, STOPPED, WAITING (did you mean FAILED?)",
        ),
        (
            {"pipeline": "bigquery_to_arvo"},
            f"pipeline: 'bigquery_to_arvo' is none of {', '.join(PIPELINES)} (did you mean bigquery_to_avro?)",
        ),
        (
            {"status": "x" * 3_000},
            f"status: {'x' * 40!r} is none of RUNNING, SUCCESS, FAILED, SILENT, STOPPED, WAITING",
        ),
    ],
)
def test_a_word_that_is_none_is_answered_with_the_ones_there_are(
    client: httpx.Client, query: dict[str, str], error: str
) -> None:
    assert client.get("/runs", params=query).json()["error"] == error


def test_a_run_is_shown_with_its_files(client: httpx.Client) -> None:
    shown = client.get("/runs/march-1").json()
    (run,) = shown["runs"]
    assert (run["run_id"], run["status"], run["rows"], run["job_id"]) == ("march-1", "SUCCESS", 1_000_000, JOB)
    assert run["started_at"] == NOW.isoformat().replace("+00:00", "Z")
    assert [(file["name"], file["rows"]) for file in shown["files"]] == [("gs://bucket/events/a.avro", 10)]
    assert shown["launch"] is None


@pytest.mark.parametrize(
    "run_id", ["nothing", "%2e%2e%2fetc", "a%00b", "x" * 2_000, "m-0123456789abcdef", "m" * 300 + "-0123456789abcdef"]
)
def test_a_run_that_there_is_not_is_not_found(client: httpx.Client, run_id: str) -> None:
    answer = client.get(f"/runs/{run_id}")
    assert answer.status_code == 404, answer.text
    assert answer.json()["error"]


def test_a_launch_is_shown_until_a_ledger_tells_of_its_job(
    client: httpx.Client, ledgers: Ledgers, stand_ins: tuple[DataflowApi, StorageApi]
) -> None:
    dataflow, _ = stand_ins
    launched = client.post("/export", json={"period": "202501"}).json()
    (launch,) = client.get("/runs").json()["launches"]
    assert (launch["run_id"], launch["state"], launch["window"]) == (
        launched["run_id"],
        "LAUNCHED",
        "20250101-20250201",
    )
    assert client.get("/runs", params={"status": "FAILED"}).json()["launches"] == []
    assert client.get("/runs", params={"pipeline": "bigquery_to_sftp"}).json()["launches"] == []
    dataflow.fail(503)
    assert client.post("/export", json={"period": "202412"}).status_code == 503
    waiting = client.get("/runs", params={"status": "WAITING"}).json()["launches"]
    assert [(launch["state"], launch["job_id"]) for launch in waiting] == [("ACCEPTED", "")]
    shown = client.get(f"/runs/{launched['run_id']}").json()
    assert (shown["runs"], shown["launch"]["job_id"]) == ([], launched["job_id"])

    ledgers.export(exported("january", NOW - dt.timedelta(days=1), "RUNNING", job_id=launched["job_id"]))
    assert launched["run_id"] not in {each["run_id"] for each in client.get("/runs").json()["launches"]}
    shown = client.get(f"/runs/{launched['run_id']}").json()
    assert [run["run_id"] for run in shown["runs"]] == ["january"]


def test_a_browser_gets_pages_and_a_program_gets_json(client: httpx.Client) -> None:
    browser = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
    launched = client.post("/export", json={"period": "202411"}).json()
    for path in ("/", "/runs/march-1", f"/runs/{launched['run_id']}"):
        answer = client.get(path, headers=browser)
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8"), answer.text
    assert client.get("/runs/nothing", headers=browser).status_code == 404
    assert client.get("/runs/march-1", headers={"Accept": "*/*"}).headers["Content-Type"] == "application/json"
