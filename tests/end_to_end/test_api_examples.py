"""Every example of an API runs whole, against the local server in place of the real one."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipelines.api_to_bigquery import main
from tests.servers.api_server import UNLIMITED, ApiServer
from wharf.connectors import bigquery
from wharf.connectors.storage import open_storage
from wharf.local.api_data import XERO, records
from wharf.local.stack import LocalStack
from wharf.model.fetching.layout import table_name, view_name

EXAMPLES = sorted((Path(__file__).parents[2] / "examples" / "api_to_bigquery").glob("*.json"))
RECORDS = 130
TENANTS = ("t1", "t2")


@dataclass
class Example:
    """An example, made to ask the local server and to write to the embedded stack."""

    stack: LocalStack
    path: Path
    dataset: str
    endpoints: list[str]

    def run(self, *flags: str) -> int:
        return main(["--config", str(self.path), "--client_name", "acme", "--project", self.stack.project, *flags])

    def rows(self, sql: str) -> list[dict[str, Any]]:
        return bigquery.rows(self.stack.endpoints.bigquery_client(self.stack.project), sql)

    def count(self, table: str, what: str = "*") -> int:
        return int(self.rows(f"SELECT COUNT({what}) AS n FROM `{self.dataset}.{table}`")[0]["n"])

    def fetched(self) -> dict[tuple[str, str], list[int]]:
        """Records of each run, oldest first, by endpoint and tenant."""
        rows = self.rows(
            f"SELECT endpoint, tenant, ARRAY_AGG(records ORDER BY run_id) AS found FROM `{self.dataset}.fetches` "
            "WHERE status = 'SUCCESS' GROUP BY endpoint, tenant"
        )
        return {(row["endpoint"], row["tenant"]): row["found"] for row in rows}


def localised(
    name: str, server: ApiServer, stack: LocalStack, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Example:
    for variable, value in {**stack.environment, "LOCAL_ID": "demo-client", "LOCAL_SECRET": "demo-secret"}.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("LOCAL_KEY", server.api_key)
    config = json.loads((EXAMPLES[0].parent / name).read_text())
    (folder / "token").write_text(server.login.refresh_token)
    auth = {"token_url": server.token_url, "client_id": "env:LOCAL_ID", "client_secret": "env:LOCAL_SECRET"}
    auth |= {"password": "env:LOCAL_KEY", "token": f"file:{folder / 'token'}"}
    config["auth"] |= {key: value for key, value in auth.items() if key in config["auth"]}
    paths = {"xero.json": "/api.xro/2.0", "cursor.json": "/shop", "github.json": ""}
    config["base_url"] = server.url + paths[name]
    if "clients" in config:
        config["clients"] = {"acme": {"tenants": list(TENANTS)}}
    dataset = f"api_{uuid.uuid4().hex[:8]}"
    config |= {"bucket": f"gs://{stack.bucket}/{dataset}", "dataset": dataset, "project": stack.project}
    config["metadata_table"] = f"{stack.project}.{dataset}.fetches"
    config["limits"] = {"concurrent": config["limits"]["concurrent"]}
    path = folder / name
    path.write_text(json.dumps(config))
    endpoints = [name for name, each in config["endpoints"].items() if each.get("enabled", True)]
    return Example(stack, path, dataset, endpoints)


def test_the_xero_example_fetches_everything_of_each_tenant_and_then_what_has_changed(
    stack: LocalStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ApiServer(records=RECORDS, tenants=TENANTS, limits=UNLIMITED) as server:
        example = localised("xero.json", server, stack, tmp_path, monkeypatch)
        assert example.run() == 0
        held = {(name, tenant): len(records(tenant, name, RECORDS)) for name in example.endpoints for tenant in TENANTS}
        assert example.fetched() == {key: [count] for key, count in held.items()}
        server.change("t1", "Invoices", 3, Status="PAID")
        assert example.run("--endpoints", "Invoices,Contacts,Journals,LinkedTransactions,Organisation") == 0
        second = {key: found[1] for key, found in example.fetched().items() if len(found) > 1}
    assert second == {
        ("Invoices", "t1"): 3,
        ("Invoices", "t2"): 0,
        **{(name, tenant): 0 for name in ("Contacts", "Journals") for tenant in TENANTS},
        **{("LinkedTransactions", tenant): RECORDS for tenant in TENANTS},
        **{("Organisation", tenant): 1 for tenant in TENANTS},
    }
    key = XERO["Invoices"][0]
    assert example.count("raw_Invoices") == 2 * RECORDS + 3
    assert example.count("latest_Invoices") == example.count("latest_Invoices", f"DISTINCT {key}") == 2 * RECORDS
    assert example.rows(f"SELECT COUNT(*) AS n FROM `{example.dataset}.latest_Invoices` WHERE Status = 'PAID'") == [
        {"n": 3}
    ]
    assert example.count("raw_Organisation", "DISTINCT OrganisationID") == 2
    (changed,) = example.rows(f"SELECT MIN(UpdatedDateUTC) AS at FROM `{example.dataset}.raw_Invoices`")
    assert changed["at"] == dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
    folder = f"gs://{stack.bucket}/{example.dataset}/acme/xero/"
    sealed = [
        uri.split("/")[6] for uri in open_storage(folder, stack.endpoints).list(folder) if uri.endswith("_SUCCESS")
    ]
    again = {name for name, _ in second}
    assert Counter(sealed) == {name: 4 if name in again else 2 for name in example.endpoints}


@pytest.mark.parametrize("name", [path.name for path in EXAMPLES if path.name != "xero.json"])
def test_other_examples_fetch_everything_of_each_endpoint(
    name: str, stack: LocalStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 12
    with ApiServer(records=count, limits=UNLIMITED) as server:
        example = localised(name, server, stack, tmp_path, monkeypatch)
        assert example.run() == 0
    found = {endpoint: number for (endpoint, _), (number,) in example.fetched().items()}
    expected = {
        "github.json": {"repositories": count, "issues": count, "releases": count * count, "rate_limit": 1},
        "cursor.json": {"customers": count, "orders": count, "order_lines": count * 2, "events": count},
    }
    assert found == expected[name]
    for endpoint, number in found.items():
        assert example.count(table_name(endpoint)) == number
    tables = example.rows(f"SELECT table_name FROM `{example.dataset}`.INFORMATION_SCHEMA.TABLES")
    views = {view_name(endpoint) for endpoint in found if endpoint != "rate_limit"}
    assert views <= {row["table_name"] for row in tables}
