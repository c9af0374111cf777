"""A unit's fetches on one event loop, from a local API into a local folder."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web

from tests.end_to_end.fetches import Api as Server
from tests.servers.api_server import UNLIMITED
from wharf.connectors.endpoints import Endpoints
from wharf.connectors.fetching import raw_files
from wharf.connectors.fetching.fetcher import UnitFetcher
from wharf.connectors.storage import open_storage
from wharf.model.fetching.api import Api, Auth, Endpoint, Incremental, Limits, Paging, Retries
from wharf.model.fetching.layout import RawRun
from wharf.model.fetching.ledger import STOPPED
from wharf.model.fetching.unit import Fetch, Fetched, Unit
from wharf.model.ledger import FAILED, SUCCESS
from wharf.model.secrets import SecretRef

NOW = dt.datetime(2025, 3, 23, 12, tzinfo=dt.UTC)
ORDERS = Endpoint(
    name="orders",
    path="v2/orders",
    records="$.orders[*]",
    paging=Paging(kind="page", param="page", size_param="per_page", size=10, pages="$.pages", page="$.page"),
)
EVENTS = Endpoint(
    name="events",
    path="v1/events",
    records="$.data[*]",
    paging=Paging(kind="cursor", param="cursor", cursor="$.next_cursor", size_param="limit", size=1),
)
REPOS = Endpoint(name="repos", path="orgs/acme/repos", paging=Paging(kind="link", link="header:Link"))
ISSUES = Endpoint(
    name="issues",
    path="repos/acme/{repository}/issues",
    parent="repos",
    parent_fields=(("repository", "$.name"),),
    paging=Paging(kind="link", link="header:Link"),
)
IDS = list(range(1, 251))


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(records=250, limits=UNLIMITED) as running:
        yield running


@pytest.fixture
def unit(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """`unit(ORDERS, EVENTS)`: a unit that fetches these into the test's folder."""
    monkeypatch.setenv("API_KEY", server.api_key)

    def make(*endpoints: Endpoint, **limits: int) -> Unit:
        api = Api(
            name="shop",
            client_name="acme",
            base_url=server.url,
            auth=Auth(kind="bearer", password=SecretRef("env:API_KEY")),
            limits=Limits(**{"concurrent": 4, **limits}),
            retries=Retries(attempts=3, timeout_seconds=5),
            endpoints=endpoints,
        )
        fetches = tuple(
            Fetch(endpoint=each, run=run_of(tmp_path, each), started_at=NOW, cursor="") for each in endpoints
        )
        return Unit(api=api, fetches=fetches, spent_today=(("", 0),))

    return make


def run_of(folder: Path, endpoint: Endpoint) -> RawRun:
    names = {"client_name": "acme", "api": "shop", "endpoint": endpoint.name, "tenant": "", "run_id": "r"}
    return RawRun(root=str(folder), date=NOW.date(), **names)


def fetch(unit: Unit) -> dict[str, Fetched]:
    ended = UnitFetcher(unit, Endpoints(), lambda *_: None).run()
    return {fetched.fetch.endpoint.name: fetched for fetched in ended}


def ids(fetched: Fetched) -> list[int]:
    """Of the records in the files, in their order."""
    assert fetched.manifest
    parts = [Path(uri).read_bytes() for uri in fetched.manifest.uris]
    return [json.loads(line)["id"] for part in parts for line in gzip.decompress(part).splitlines()]


def test_pages_come_side_by_side_and_lie_in_their_order(server: Server, unit) -> None:
    server.latency = 0.02
    begun = time.monotonic()
    ended = fetch(unit(ORDERS))["orders"]
    assert time.monotonic() - begun < 25 * 0.02, "one after the other they would take longer"
    assert ids(ended) == IDS
    assert (ended.status, ended.pages, ended.records, ended.requests) == (SUCCESS, 25, 250, 25)


@pytest.mark.parametrize(
    ("latest", "cursor"),
    [
        ("2025-03-20T00:00:00Z", "2025-03-20T00:00:00.000000+00:00"),
        ("2999-01-01T00:00:00Z", "2025-03-23T12:00:00+00:00"),  # when the run began
    ],
)
def test_a_record_from_the_future_does_not_hide_what_changes_until_then(
    server: Server, unit, latest: str, cursor: str
) -> None:
    found = [{"id": 1, "changed": "2025-03-01T00:00:00Z"}, {"id": 2, "changed": latest}]
    server.replies["/v2/orders"] = lambda _: web.json_response({"orders": found, "page": 1, "pages": 1})
    new = Incremental(param="since", cursor="$.changed", format="%Y-%m-%dT%H:%M:%SZ")
    ended = fetch(unit(replace(ORDERS, incremental=new)))["orders"]
    assert (ended.status, ended.cursor, ids(ended)) == (SUCCESS, cursor, [1, 2])


def test_no_more_requests_are_under_way_than_may_be(server: Server, unit) -> None:
    server.limits = replace(UNLIMITED, concurrent=4)
    server.latency = 0.005
    ended = fetch(unit(ORDERS, EVENTS, REPOS))
    assert {each.status for each in ended.values()} == {SUCCESS}
    assert server.refused() == 0


def test_an_endpoint_that_fails_among_its_own_pages_disturbs_no_other(server: Server, unit) -> None:
    server.latency = 0.005

    def refuse_late(request: web.Request) -> web.Response | None:
        return web.json_response({}, status=400) if request.query["page"] == "7" else None

    server.replies["/v2/orders"] = refuse_late
    ended = fetch(unit(ORDERS, EVENTS))
    assert (ended["orders"].status, ended["events"].status) == (FAILED, SUCCESS)
    assert "status 400" in ended["orders"].error
    assert (ended["events"].requests, ended["events"].retries) == (250, 0), "connections of cancelled requests are left"
    assert ids(ended["events"]) == IDS


def test_a_fetch_goes_on_behind_its_checkpoint(server: Server, unit, tmp_path: Path) -> None:
    stopped = fetch(unit(EVENTS, per_day=120))["events"]
    assert (stopped.status, stopped.pages, stopped.records, stopped.requests) == (STOPPED, 120, 120, 120)
    checkpoint = raw_files.resume(open_storage(str(tmp_path), Endpoints()), stopped.fetch.run)
    assert checkpoint
    assert (checkpoint.pages, len(checkpoint.parts)) == (120, 2)
    ended = fetch(unit(EVENTS))["events"]
    assert (ended.status, ended.pages, ended.requests) == (SUCCESS, 250, 130)
    assert ids(ended) == IDS
    again = fetch(unit(EVENTS))["events"]
    assert (again.status, again.requests, again.records) == (SUCCESS, 0, 250), "what is sealed is not asked for"


@pytest.mark.parametrize(
    ("endpoint", "path", "status", "goes_on"),
    [
        (EVENTS, "/v1/events", 503, True),
        (EVENTS, "/v1/events", 410, False),  # as of a cursor that has expired
        (replace(ORDERS, paging=replace(ORDERS.paging, size=1, pages="")), "/v2/orders", 503, False),
    ],
)
def test_a_fetch_goes_on_later_where_the_api_gave_out_if_the_place_is_the_same_then(
    server: Server, unit, tmp_path: Path, endpoint: Endpoint, path: str, status: int, goes_on: bool
) -> None:
    def give_out(_: web.Request) -> web.Response | None:
        return web.json_response({}, status=status) if len(server.asked(path)) >= 110 else None

    server.replies[path] = give_out
    failed = fetch(unit(endpoint))[endpoint.name]
    assert (failed.status, failed.pages, failed.records) == (FAILED, 110, 110)
    checkpoint = raw_files.resume(open_storage(str(tmp_path), Endpoints()), failed.fetch.run)
    assert (checkpoint and checkpoint.pages) == (110 if goes_on else None)
    server.replies.clear()
    ended = fetch(unit(endpoint))[endpoint.name]
    assert ids(ended) == IDS


def test_children_wait_for_their_parent_and_end_as_it_does(server: Server, unit) -> None:
    server.records = 40
    ended = fetch(unit(ISSUES, REPOS))
    assert ids(ended["repos"]) == list(range(1, 41))
    assert Counter(ids(ended["issues"])) == dict.fromkeys(range(1, 41), 40)
    assert ended["issues"].requests == 80


def test_children_of_a_parent_that_stopped_are_stopped(unit) -> None:
    ended = fetch(unit(REPOS, ISSUES, per_day=3))
    assert {name: (each.status, each.requests) for name, each in ended.items()} == {
        "repos": (STOPPED, 3),
        "issues": (STOPPED, 0),
    }


def test_what_nobody_foresaw_fails_one_endpoint_only(unit, server: Server, caplog: pytest.LogCaptureFixture) -> None:
    broken = replace(ORDERS, paging=replace(ORDERS.paging, param=""))  # which no configuration lets through
    ended = fetch(unit(broken, REPOS))
    assert (ended["orders"].status, ended["repos"].status) == (FAILED, SUCCESS)
    assert ended["orders"].error.startswith("endpoint orders: ")
