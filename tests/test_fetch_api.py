"""FetchApi as a transform of anybody's pipeline."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.testing.util import assert_that, equal_to

from pipelines import running
from pipelines.command_line import IN_PROCESS
from tests.end_to_end.fetches import Api as Server
from tests.servers.api_server import UNLIMITED
from tests.test_fetcher import EVENTS, IDS, NOW, ORDERS, ids, run_of
from transforms.fetch_api import FetchApi
from wharf.connectors.endpoints import Endpoints
from wharf.model.fetching.api import Api, Auth, Limits
from wharf.model.fetching.unit import Fetch, Fetched, units
from wharf.model.secrets import SecretRef


@pytest.mark.parametrize("kind", ["bearer", "basic"])
def test_units_go_in_and_how_each_fetch_ended_comes_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    with Server(records=250, limits=UNLIMITED) as server:
        monkeypatch.setenv("API_KEY", server.api_key)
        api = Api(
            name="shop",
            client_name="acme",
            base_url=server.url,
            auth=Auth(kind=kind, username="acme", password=SecretRef("env:API_KEY")),
            limits=Limits(concurrent=4, per_day=100),
            endpoints=(ORDERS, EVENTS),
        )
        fetches = tuple(
            Fetch(endpoint=each, run=run_of(tmp_path, each), started_at=NOW, cursor="") for each in api.endpoints
        )

        def check(found: list[Fetched]) -> None:
            (orders,) = found
            assert orders.fetch == fetches[0]
            assert ids(orders) == IDS

        pipeline = beam.Pipeline(runner=IN_PROCESS)
        fetched = pipeline | beam.Create(list(units(api, fetches, {}))) | FetchApi(Endpoints())
        assert_that(fetched.complete, check, label="complete")
        ended = fetched.incomplete | beam.Map(lambda each: (each.fetch.endpoint.name, each.status, each.requests))
        assert_that(ended, equal_to([("events", "STOPPED", 75)]), label="incomplete")
        assert server.api_key.encode() not in pipeline.to_runner_api().SerializeToString(), "a reference travels"
        pipeline.run().wait_until_finish()
        assert len(server.seen) == 100


def test_sigterm_is_not_lost_in_a_callback_that_swallows_exceptions() -> None:
    async def swallow() -> None:
        with contextlib.suppress(BaseException):
            signal.raise_signal(signal.SIGTERM)
        await asyncio.sleep(5)

    def work() -> int:
        asyncio.run(swallow())
        return 0

    assert running.end_with(work) == 130
