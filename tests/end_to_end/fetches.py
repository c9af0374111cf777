"""Fetches of one test: an API, a bucket's prefix, a dataset and a metadata table of its own.

fetches.declare(orders=ORDERS)
assert fetches.run().code == 0
assert fetches.ids("orders") == list(range(1, 251))
assert fetches.statuses() == {"orders": "SUCCESS"}
"""

from __future__ import annotations

import contextlib
import gzip
import json
import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from google.cloud.storage import Bucket

from pipelines.api_to_bigquery import main
from tests.end_to_end.loads import captured
from tests.end_to_end.process import Finished, Started
from tests.servers.api_server import UNLIMITED, ApiServer
from wharf.local.stack import LocalStack

Respond = Callable[[web.Request], web.StreamResponse | None]

TABLE_KEY = {"primary_key": ["id"]}
ORDERS = TABLE_KEY | {
    "path": "v2/orders",
    "records": "$.orders[*]",
    "paging": {"kind": "page", "param": "page", "size_param": "per_page", "size": 20}
    | {"pages": "$.pages", "page": "$.page", "total": "$.total"},
}
# The same without its number of pages: one after the other.
ORDERS_IN_TURN = ORDERS | {"paging": {"kind": "page", "param": "page", "size_param": "per_page", "size": 20}}
CUSTOMERS = TABLE_KEY | {
    "path": "v2/customers",
    "records": "$.items[*]",
    "paging": {"kind": "offset", "param": "offset", "size_param": "limit", "size": 40, "total": "$.total"},
}
EVENTS = TABLE_KEY | {
    "path": "v1/events",
    "records": "$.data[*]",
    "paging": {"kind": "cursor", "param": "cursor", "cursor": "$.next_cursor", "size_param": "limit", "size": 30},
}
AUDIT = TABLE_KEY | {
    "path": "v1/audit",
    "paging": {
        "kind": "cursor",
        "param": "cursor",
        "cursor": "header:X-Next-Cursor",
        "size_param": "limit",
        "size": 30,
    },
}
PRODUCTS = TABLE_KEY | {
    "path": "v2/products",
    "records": "$.results[*]",
    "paging": {"kind": "link", "link": "$.next"},
}
REPOS = TABLE_KEY | {
    "path": "orgs/acme/repos",
    "paging": {"kind": "link", "link": "header:Link", "size_param": "per_page", "size": 30},
}
ISSUES = TABLE_KEY | {
    "path": "repos/acme/{repository}/issues",
    "parent": "repos",
    "parent_fields": {"repository": "name"},
    "paging": {"kind": "link", "link": "header:Link", "size_param": "per_page", "size": 100},
}
INVOICES = {
    "path": "Invoices",
    "records": "$.Invoices[*]",
    "primary_key": ["InvoiceID"],
    "paging": {"kind": "page", "param": "page", "size_param": "pageSize", "size": 100}
    | {"pages": "$.pagination.pageCount", "page": "$.pagination.page"},
}
JOURNALS = {
    "path": "Journals",
    "records": "$.Journals[*]",
    "primary_key": ["JournalID"],
    "paging": {"kind": "offset", "param": "offset", "offset_from": "JournalNumber"},
}
ACCOUNTS = {"path": "Accounts", "records": "$.Accounts[*]", "primary_key": ["AccountID"]}
SINCE = {"incremental": {"param": "since", "cursor": "updated_at", "format": "%Y-%m-%dT%H:%M:%SZ"}}


@dataclass
class Api(ApiServer):
    """A well-behaved server, but for the paths that `replies` has an answer for: None is the usual one."""

    replies: dict[str, Respond] = field(default_factory=dict)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        respond = self.replies.get(request.path)
        return (respond(request) if respond else None) or await super().answer(request)

    def asked(self, path: str = "") -> list[str]:
        """The requests to paths that begin so, as they came."""
        return [seen.path for seen in self.seen if seen.path.startswith(path)]


@dataclass
class Fetches:
    """What one test fetches, and what came of it."""

    api: ApiServer
    client: Any
    bucket: Bucket
    dataset: str
    folder: Path  # of the test
    variables: dict[str, str]  # where the emulators are
    endpoints: dict[str, Any] = field(default_factory=dict)
    keys: dict[str, Any] = field(default_factory=dict)  # of the configuration, instead of what it has here
    started: list[Started] = field(default_factory=list)

    @property
    def project(self) -> str:
        return str(self.client.project)

    @property
    def metadata_table(self) -> str:
        return f"{self.project}.{self.dataset}.fetches"

    @property
    def token_file(self) -> Path:
        return self.folder / "refresh-token"

    def declare(self, **endpoints: Any) -> None:
        """Let the API have these endpoints."""
        self.endpoints = endpoints

    def like_xero(self, *tenants: str, **endpoints: Any) -> None:
        """Let the API be Xero's, for `tenants` of one app."""
        self.declare(**endpoints)
        self.token_file.write_text(self.api.login.refresh_token)
        self.keys |= {
            "api": "xero",
            "base_url": f"{self.api.url}/api.xro/2.0",
            "tenant_header": "xero-tenant-id",
            "tenants": list(tenants),
            "auth": {
                "kind": "refresh_token",
                "token_url": self.api.token_url,
                "client_id": "env:APP_ID",
                "client_secret": "env:APP_SECRET",
                "token": f"file:{self.token_file}",
            },
        }

    def config(self) -> Path:
        """The configuration, as a file."""
        document = {
            "api": "shop",
            "client_name": "acme",
            "base_url": self.api.url,
            "auth": {"kind": "bearer", "password": "env:API_KEY"},
            "retries": {"attempts": 6, "timeout_seconds": 5},
            "bucket": f"gs://{self.bucket.name}/{self.dataset}",
            "dataset": self.dataset,
            "project": self.project,
            "metadata_table": self.metadata_table,
            "endpoints": self.endpoints,
        }
        path = self.folder / "api.json"
        path.write_text(json.dumps(document | self.keys))
        return path

    def run(self, *words: str) -> Finished:
        """The pipeline, in this process."""
        return captured(lambda: main([f"--config={self.config()}", *words]))

    def start(self, *words: str) -> Started:
        """The pipeline, in a process that can be killed."""
        folder = self.folder / f"process-{len(self.started)}"
        folder.mkdir()
        self.started.append(Started([f"--config={self.config()}", *words], self.variables, folder, "api_to_bigquery"))
        return self.started[-1]

    def sql(self, statement: str) -> list[dict[str, Any]]:
        job = self.client.query(statement, retry=None, job_retry=None, timeout=60)
        return [dict(row.items()) for row in job.result(retry=None, job_retry=None, timeout=60)]

    def raw(self, endpoint: str, columns: str = "*", order: str = "1") -> list[dict[str, Any]]:
        """Rows of a raw table."""
        return self.sql(f"SELECT {columns} FROM `{self.project}.{self.dataset}.raw_{endpoint}` ORDER BY {order}")

    def ids(self, endpoint: str, column: str = "id") -> list[Any]:
        return [row[column] for row in self.raw(endpoint, column)]

    def tables(self) -> set[str]:
        return {table.table_id for table in self.client.list_tables(self.dataset, retry=None)}

    def rows(self) -> list[dict[str, Any]]:
        """The metadata table's rows, the oldest first."""
        return self.sql(f"SELECT * FROM `{self.metadata_table}` ORDER BY started_at, endpoint, tenant")

    def newest(self) -> dict[str, dict[str, Any]]:
        """Each endpoint's newest row, or where there are tenants `endpoint/tenant`'s."""
        return {"/".join(filter(None, [row["endpoint"], row["tenant"]])): row for row in self.rows()}

    def statuses(self) -> dict[str, str]:
        return {name: row["status"] for name, row in self.newest().items()}

    def files(self, pattern: str = "") -> dict[str, bytes]:
        """Raw files by their path below the bucket's prefix."""
        start = f"{self.dataset}/"
        names = [blob.name for blob in self.bucket.list_blobs(prefix=start)]
        return {
            name.removeprefix(start): self.bucket.blob(name).download_as_bytes()
            for name in names
            if re.search(pattern, name)
        }

    def lines(self, endpoint: str) -> list[dict[str, Any]]:
        """The records in an endpoint's raw files."""
        parts = self.files(rf"/{endpoint}/.*\.jsonl\.gz$").values()
        return [json.loads(line) for data in parts for line in gzip.decompress(data).splitlines()]

    def has_staged(self, endpoint: str) -> bool:
        """Whether a part of an endpoint is in the bucket, and a checkpoint behind it."""
        found = self.bucket.list_blobs(prefix=f"{self.dataset}/")
        return any(re.search(rf"/{endpoint}/.*/_checkpoint\.json$", blob.name) for blob in found)


@contextlib.contextmanager
def fetches_of(api: ApiServer, stack: LocalStack, client: Any, folder: Path) -> Iterator[Fetches]:
    """Processes that were started end with the block."""
    name = f"fetches_{uuid.uuid4().hex[:8]}"
    bucket = stack.endpoints.storage_client().bucket(stack.bucket)
    variables = stack.environment | secrets_of(api)
    made = Fetches(api, client, bucket, name, folder, variables)
    try:
        yield made
    finally:
        for one in made.started:
            one.process.kill()
            one.process.join()


def secrets_of(api: ApiServer) -> dict[str, str]:
    """Environment variables that configurations here refer to."""
    return {"API_KEY": api.api_key, "APP_ID": api.login.client_id, "APP_SECRET": api.login.client_secret}


@pytest.fixture
def fetching(
    stack: LocalStack, client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[ApiServer], Fetches]]:
    """`fetching(Api(records=10))`: fetches from a server of the test's own."""
    with contextlib.ExitStack() as running:

        def begin(api: ApiServer) -> Fetches:
            running.enter_context(api)
            for name, value in (stack.environment | secrets_of(api)).items():
                monkeypatch.setenv(name, value)
            folder = tmp_path / f"api-{api.port}"
            folder.mkdir()
            return running.enter_context(fetches_of(api, stack, client, folder))

        yield begin


@pytest.fixture
def api(fetching: Callable[[ApiServer], Fetches]) -> Api:
    return Api(records=250, limits=UNLIMITED)


@pytest.fixture
def fetches(api: Api, fetching: Callable[[ApiServer], Fetches]) -> Fetches:
    """An API of 250 records an endpoint, without limits and faults."""
    return fetching(api)
