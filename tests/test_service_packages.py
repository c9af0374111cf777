"""The service runs with the packages that requirements/service.txt lists, and without all others."""

from __future__ import annotations

import json
import sys
import tomllib
import uuid

import httpx
import pytest

from tests.only_listed import listed, normal
from tests.recorded_runs import Ledgers
from tests.servers.dataflow_api import DataflowApi
from tests.servers.secret_manager import SecretManager
from tests.servers.token_issuer import CALLER, TokenIssuer
from tests.servers.webhook import Webhook
from tests.serving import ROOT, SERVED, Process, push, status_changed
from wharf.connectors.endpoints import Endpoints
from wharf.local.stack import LocalStack

LOCK = ROOT / "requirements" / "service.txt"
AUDIENCE = "https://wharf.example"
SECRET = "projects/my-project/secrets/webhook"


def named() -> set[str]:
    """What the dependency group names, not what that needs in turn."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    return {normal(each.partition("==")[0].partition("[")[0]) for each in groups["service"]}


@pytest.fixture(scope="module")
def imported(stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The distributions that a service has imported which launched, was told of an end, told people, showed runs."""
    folder = tmp_path_factory.mktemp("packages")
    told = folder / "told.json"
    ledgers = Ledgers.of(stack)
    with (
        DataflowApi() as dataflow,
        TokenIssuer() as issuer,
        Webhook() as webhook,
        SecretManager({SECRET: [webhook.url.encode()]}) as secrets,
    ):
        document = {
            **SERVED,
            "project": stack.project,
            "records": str(folder / "launches"),
            "tables": {name: str(getattr(ledgers.tables, name)) for name in ("exports", "deliveries", "loads")},
            "notifications": {"slack": {"webhook": f"{SECRET}/versions/latest"}},
        }
        uri = f"gs://{stack.bucket}/{uuid.uuid4().hex}/launch.json"
        bucket, _, name = uri.removeprefix("gs://").partition("/")
        stack.endpoints.storage_client().bucket(bucket).blob(name).upload_from_string(json.dumps(document))
        endpoints = Endpoints(
            bigquery=stack.endpoints.bigquery,
            bigquery_emulated=True,
            bigquery_storage=stack.endpoints.bigquery_storage,
            bigquery_storage_emulated=True,
            storage=stack.endpoints.storage,
            dataflow=dataflow.url,
            secret_manager=f"http://{secrets.address}",
        )
        command = (sys.executable, str(ROOT / "tests" / "only_listed.py"), str(LOCK), str(told))
        flags = ("--audience", AUDIENCE, "--service_accounts", CALLER, "--certs_url", issuer.url)
        with (
            Process(uri, endpoints, folder, *flags, command=command) as service,
            httpx.Client(
                base_url=service.url, timeout=60, headers={"Authorization": f"Bearer {issuer.token()}"}
            ) as client,
        ):
            launched = client.post("/pubsub", json=push({"period": "202503"}))
            assert launched.status_code == 202, service.lines
            job = launched.json()
            ended = status_changed(job["job_id"], job["job_name"], "JOB_STATE_FAILED")
            assert client.post("/events/dataflow", json=ended).status_code == 200, service.lines
            assert client.get("/runs").status_code == 200, service.lines
            page = client.get("/", headers={"Accept": "text/html"})
            assert (page.status_code, page.headers["Content-Type"].split(";")[0]) == (200, "text/html"), service.lines
            assert client.get("/openapi.json").status_code == 200
            assert len(webhook.posts) == 1
            assert service.stop() == 0
    return set(json.loads(told.read_text()))


def test_the_service_imports_only_what_is_listed(imported: set[str]) -> None:
    assert imported
    assert imported <= listed(LOCK)
    for name in ("apache-beam", "pyarrow", "numba", "numpy", "paramiko", "pandas", "duckdb"):
        assert name not in listed(LOCK)


def test_the_service_needs_everything_that_its_group_names(imported: set[str]) -> None:
    assert named() - {"tzdata"} <= imported  # tzdata holds no modules that are imported, but time zones
    assert named() <= listed(LOCK)
