"""Streaming: Cloud Storage's notifications through a real Pub/Sub emulator become rows."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from statistics import median
from typing import Any

import pytest
from google.api_core.exceptions import NotFound
from google.cloud.bigquery import SchemaField

from tests.end_to_end.loads import Loads, csv_of
from tests.end_to_end.process import Started
from tests.servers.bigquery_calls import Call, Dropped
from tests.servers.bigquery_calls import loads as load_jobs
from tests.servers.bigquery_proxy import BigQueryProxy
from tests.servers.pubsub_emulator import pull
from wharf.local.pubsub_server import PubSub
from wharf.local.put import announcement


def day(number: int) -> str:
    return f"orders/2025/03/{number:02}"


@dataclass
class Stream:
    """A streaming pipeline over what a test drops."""

    loads: Loads
    pubsub: PubSub

    def start(self, *words: str) -> Started:
        prefix = self.loads.input.removesuffix("**")
        given = [f"--subscription={self.pubsub.subscription}", f"--prefix={prefix}"]
        return self.loads.start(*given, *words, PUBSUB_EMULATOR_HOST=self.pubsub.host)

    def announce(self, *paths: str, times: int = 1) -> None:
        """Send Cloud Storage's notifications of objects that are there."""
        for path in paths:
            name = self.loads.uri(path).removeprefix(f"gs://{self.loads.bucket.name}/")
            message = announcement(self.loads.bucket.get_blob(name))
            for _ in range(times):
                self.pubsub.publish(*message)

    def deliver(self, *numbers: int, value: Any = None, times: int = 1) -> None:
        """Deliver days, each with its number as its one row, and announce both objects of each."""
        for number in numbers:
            self.loads.drop(day(number), {"a.csv": csv_of("id", (value or number,))})
            self.announce(f"{day(number)}/a.csv", f"{day(number)}/_SUCCESS", times=times)

    def ids(self) -> list[int]:
        return [number for (number,) in self.loads.rows("orders", "id")]


@pytest.fixture
def stream(loads: Loads, pubsub: PubSub) -> Stream:
    loads.make_table("orders", SchemaField("id", "INT64"), SchemaField("file_timestamp", "TIMESTAMP"))
    return Stream(loads, pubsub)


def wait_for(seen: Callable[[], bool], run: Started, seconds: float = 60.0) -> None:
    def has_come() -> bool:
        with suppress(NotFound):  # the job makes the load-state table
            return seen()
        return False

    end = time.monotonic() + seconds
    while not has_come():
        assert run.process.is_alive(), f"it ended too soon: {run.wait()}"
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.02)


def stop(run: Started) -> str:
    """End a job as systems that run jobs do. -> what it printed"""
    assert run.process.is_alive()
    run.signal(signal.SIGTERM)
    ended = run.wait()
    assert (ended.code, "Traceback" in ended.err, "ERROR" in ended.err) == (0, False, False), ended.err
    return ended.out


def test_what_is_announced_is_loaded_once_though_it_is_announced_three_times(stream: Stream) -> None:
    run = stream.start()
    stream.deliver(1, 2, 3, times=3)
    wait_for(lambda: stream.ids() == [1, 2, 3], run)
    stream.announce(f"{day(2)}/_SUCCESS", times=3)
    seconds = []
    for number in (4, 5, 6, 7, 8):
        stream.deliver(number)
        published = time.monotonic()
        wait_for(lambda number=number: number in stream.ids(), run)
        seconds.append(time.monotonic() - published)
    print(f"from _SUCCESS announced to rows visible: median {median(seconds):.2f} s of {sorted(seconds)}")
    assert median(seconds) < 10
    assert stream.ids() == [1, 2, 3, 4, 5, 6, 7, 8]
    wait_for(lambda: set(stream.loads.statuses().values()) == {"DONE"}, run)
    assert stop(run).startswith("stopped: 8 of 8 batches are loaded")
    assert {row["attempts"] for row in stream.loads.states()} == {1}
    assert pull(stream.pubsub) == []


def test_a_bad_batch_does_not_end_the_job(stream: Stream) -> None:
    stream.pubsub.publish({"eventType": "OBJECT_FINALIZE"}, b"no notification of Cloud Storage's")
    run = stream.start()
    stream.deliver(1, value="no number")
    stream.loads.drop("orders/no/such/place", {"a.xyz": "?"})
    stream.announce("orders/no/such/place/_SUCCESS")
    wait_for(lambda: set(stream.loads.statuses().values()) == {"FAILED"} and len(stream.loads.states()) == 2, run)
    stream.deliver(2)
    wait_for(lambda: stream.ids() == [2], run)
    stream.deliver(1)
    wait_for(lambda: stream.ids() == [1, 2], run)
    wait_for(lambda: stream.loads.statuses()[day(1)] == "DONE", run)
    assert [row["status"] for row in stream.loads.states() if row["directory"] == day(1)] == ["FAILED", "DONE"]
    stop(run)


def test_order_holds_in_a_stream_as_well(stream: Stream) -> None:
    stream.loads.put("orders/_config/ORDERME")
    run = stream.start()
    stream.deliver(1, value="no number")
    stream.deliver(2, 3)
    expected = {day(1): "FAILED", day(2): "DISCOVERED", day(3): "DISCOVERED"}
    wait_for(lambda: stream.loads.statuses() == expected, run)
    assert stream.ids() == []
    stream.deliver(1)
    wait_for(lambda: stream.ids() == [1, 2, 3], run)
    stop(run)


def test_what_nobody_was_told_of_is_loaded_at_the_next_start(stream: Stream, proxy: BigQueryProxy) -> None:
    """One directory whose notification was never sent, and one whose notification died with who had received it."""
    pulled = stream.start(f"--bigquery_endpoint={proxy.url}")

    def kill(_: Call) -> None:
        pulled.signal(signal.SIGKILL)
        raise Dropped

    proxy.on(lambda call: "old.attempts + 1" in call.sql, kill, nth=1)
    stream.deliver(1)
    assert pulled.wait().code == -signal.SIGKILL
    stream.loads.drop(day(2), {"a.csv": csv_of("id", (2,))})
    assert pull(stream.pubsub) == []
    run = stream.start()
    wait_for(lambda: stream.ids() == [1, 2], run)
    stream.announce(f"{day(1)}/_SUCCESS", f"{day(2)}/_SUCCESS", times=3)
    stream.deliver(3)
    wait_for(lambda: stream.ids() == [1, 2, 3], run)
    stop(run)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_stream_that_was_killed_at_its_statement_goes_on_at_the_next_start(
    stream: Stream, proxy: BigQueryProxy, after: bool
) -> None:
    killed = stream.start(f"--bigquery_endpoint={proxy.url}")

    def kill(_: Call) -> None:
        killed.signal(signal.SIGKILL)
        raise Dropped

    table = f"{stream.loads.dataset}.orders"
    proxy.on(lambda call: call.kind == "query" and call.modifies(table), kill, nth=1, after=after)
    stream.deliver(1, 2, times=3)
    assert killed.wait().code == -signal.SIGKILL
    run = stream.start(f"--bigquery_endpoint={proxy.url}")
    stream.deliver(3)
    wait_for(lambda: stream.ids() == [1, 2, 3], run)
    wait_for(lambda: set(stream.loads.statuses().values()) == {"DONE"}, run)
    stop(run)


def test_batches_are_held_until_the_file_comes(stream: Stream) -> None:
    stream.loads.drop(day(1), {"a.csv": csv_of("id", (1,))})
    run = stream.start(f"--wait_for={stream.loads.uri('HISTORY_COMPLETE')}")
    stream.deliver(2, 3)
    wait_for(lambda: stream.loads.statuses() == dict.fromkeys([day(1), day(2), day(3)], "DISCOVERED"), run)
    assert stream.ids() == []
    stream.loads.put("HISTORY_COMPLETE", "complete")
    stream.announce("HISTORY_COMPLETE")
    wait_for(lambda: stream.ids() == [1, 2, 3], run)
    stream.deliver(4)
    wait_for(lambda: stream.ids() == [1, 2, 3, 4], run)
    stop(run)


def test_sigterm_lets_the_loads_at_work_come_to_their_end(stream: Stream, proxy: BigQueryProxy) -> None:
    run = stream.start(f"--bigquery_endpoint={proxy.url}")
    proxy.on(load_jobs, lambda _: run.signal(signal.SIGTERM), nth=1)
    stream.deliver(1)
    ended = run.wait()
    assert (ended.code, "Traceback" in ended.err) == (0, False), ended.err
    assert stream.loads.statuses() == {day(1): "DONE"}
    assert stream.ids() == [1]


def test_an_outage_does_not_end_the_job(stream: Stream, proxy: BigQueryProxy) -> None:
    run = stream.start(f"--bigquery_endpoint={proxy.url}")
    stream.deliver(1)
    wait_for(lambda: stream.ids() == [1], run)
    proxy.unavailable(5)
    stream.deliver(2)
    wait_for(lambda: stream.ids() == [1, 2], run)
    stop(run)
