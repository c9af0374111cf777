"""The OpenAPI description holds: every operation answers as it says, whatever it is sent that fits, or does not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import requests
from hypothesis import HealthCheck, given, settings

from tests.launches import launch_config
from tests.recorded_runs import Ledgers, exported
from tests.servers.dataflow_api import DataflowApi
from tests.servers.storage_api import StorageApi
from tests.servers.token_issuer import CALLER, TokenIssuer
from tests.serving import SERVED, serving
from wharf.connectors.endpoints import Endpoints
from wharf.launch.service.identity_tokens import IdentityTokens
from wharf.local.stack import LocalStack

schemathesis = pytest.importorskip("schemathesis")
OPERATIONS = (
    *(("POST", path) for path in ("/", "/export", "/run", "/pubsub", "/events/storage", "/events/dataflow")),
    *(("GET", path) for path in ("/health", "/runs", "/runs/{run_id}")),
)


@pytest.fixture(scope="module")
def described(stack: LocalStack) -> Iterator[tuple[Any, str]]:
    """The description, and a token."""
    ledgers = Ledgers.of(stack)
    ledgers.export(exported("march-1"))
    tables = {name: str(getattr(ledgers.tables, name)) for name in ("exports", "deliveries", "loads", "fetches")}
    config = launch_config(project=stack.project, jobs=SERVED["jobs"], tables=tables)
    with DataflowApi() as dataflow, StorageApi() as storage, TokenIssuer() as issuer:
        endpoints = Endpoints(
            bigquery=stack.endpoints.bigquery, bigquery_emulated=True, dataflow=dataflow.url, storage=storage.url
        )
        tokens = IdentityTokens("https://wharf.example", [CALLER], issuer.url)
        with serving(config, endpoints, tokens) as url:
            yield schemathesis.openapi.from_url(f"{url}/openapi.json"), issuer.token()


def test_all_operations_are_described_and_tried(described: tuple[Any, str]) -> None:
    schema, _ = described
    found = {(each.ok().method.upper(), each.ok().path) for each in schema.get_all_operations()}
    assert found == set(OPERATIONS)


@pytest.mark.parametrize("mode", ["POSITIVE", "NEGATIVE"])
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_an_operation_answers_as_its_description_says(
    described: tuple[Any, str], method: str, path: str, mode: str
) -> None:
    schema, token = described
    if mode == "NEGATIVE" and path == "/health":
        return  # it takes nothing that could be wrong
    # What fits the schema may still name a job that there is not.
    semantic = [schemathesis.checks.CHECKS.get_one("positive_data_acceptance")]
    strategy = schema[path][method].as_strategy(generation_mode=schemathesis.GenerationMode[mode])

    @settings(max_examples=10, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=strategy)
    def answers(case: Any) -> None:
        case.call_and_validate(headers={"Authorization": f"Bearer {token}"}, excluded_checks=semantic, session=session)

    with requests.Session() as session:
        answers()


def test_examples_of_the_description_are_accepted(described: tuple[Any, str]) -> None:
    schema, token = described
    document = schema.raw_schema
    for path, name in (("/export", "ExportBody"), ("/", "DeliveryBody"), ("/run", "FetchBody")):
        fields = document["components"]["schemas"][name]["properties"]
        body = {field: fields[field]["examples"][0] for field in ASKED[name]}
        url = schema.location.removesuffix("/openapi.json")
        answer = httpx.post(f"{url}{path}", json=body, headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 202, answer.text


ASKED = {
    "ExportBody": ("period", "name"),
    "DeliveryBody": ("export_name", "date", "config"),
    "FetchBody": ("name", "endpoints"),
}
