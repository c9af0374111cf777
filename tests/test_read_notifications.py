"""Notifications through a real Pub/Sub emulator: each arrives, and nothing waits for the next one."""

from __future__ import annotations

import logging
import queue
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.util import assert_that, equal_to

from tests.servers.pubsub_emulator import pull
from transforms.metrics import tally
from transforms.read_notifications import GroupBySlot, ReadNotifications
from wharf.local.pubsub_server import PubSub
from wharf.local.put import announcement
from wharf.local.stack import LocalStack
from wharf.model.loading.notifications import Notification

ARRIVED: queue.Queue[tuple[str, Any]] = queue.Queue()  # what the pipeline under test let through, in this process


def arrive(kind: str, value: Any) -> None:
    ARRIVED.put((kind, value))


def slot(notification: Notification) -> tuple[str, Notification]:
    return "slot", notification


def arrivals(count: int) -> list[tuple[str, Any]]:
    return [ARRIVED.get(timeout=30) for _ in range(count)]


@pytest.fixture
def prefix(stack: LocalStack) -> str:
    return f"gs://{stack.bucket}/{uuid.uuid4().hex}/"


@pytest.fixture
def stream(pubsub: PubSub, prefix: str) -> Iterator[Callable[..., None]]:
    """`stream(marker="none")` starts a pipeline whose results come to ARRIVED; it is cancelled after the test."""
    results = []
    ARRIVED.queue.clear()
    tally.clear()

    def start(**settings: Any) -> None:
        options = PipelineOptions(["--runner=BundleBasedDirectRunner", "--streaming"])
        pipeline = beam.Pipeline(options=options)
        notified = pipeline | ReadNotifications(pubsub.subscription, prefix, **settings)
        slots = notified.markers | beam.Map(slot) | GroupBySlot()
        slots | "Markers" >> beam.MapTuple(lambda _, values: [arrive("marker", value) for value in values])
        notified.released | "Released" >> beam.Map(lambda value: arrive("released", value))
        results.append(pipeline.run())

    yield start
    for result in results:
        end = threading.Thread(target=result.cancel)
        end.start()
        while end.is_alive():  # The runner waits for a pull to end, and that for a message.
            pubsub.publish({}, b"end")
            end.join(0.1)


@pytest.fixture
def write(stack: LocalStack, prefix: str) -> Callable[[str, bytes], Any]:
    """`write("day/_SUCCESS", b"")` -> the object below the prefix."""

    def upload(name: str, data: bytes) -> Any:
        bucket, _, path = prefix.removeprefix("gs://").partition("/")
        blob = stack.endpoints.storage_client().bucket(bucket).blob(path + name)
        blob.upload_from_string(data, timeout=30, retry=None)
        return blob

    return upload


def test_markers_of_uploaded_directories_arrive_through_three_deliveries_each(
    stream: Callable[..., None], write: Callable, pubsub: PubSub, prefix: str
) -> None:
    stream()
    markers = []
    for day in range(1, 6):
        data, marker = write(f"sales/{day}/a.csv", b"n\n1\n"), write(f"sales/{day}/_SUCCESS", b"")
        markers.append(Notification("OBJECT_FINALIZE", f"{prefix}sales/{day}/_SUCCESS", marker.generation, 0))
        for blob in (data, marker):
            for _ in range(3):
                pubsub.publish(*announcement(blob))
    came = arrivals(15)
    assert sorted((kind, value.uri) for kind, value in came) == [
        ("marker", each.uri) for each in markers for _ in "123"
    ]
    assert {value for _, value in came} == set(markers)
    assert tally["notifications_ignored"] == 15


def test_a_marker_that_comes_alone_is_handed_on_at_once(
    stream: Callable[..., None], write: Callable, pubsub: PubSub
) -> None:
    stream()
    first, second = write("1/_SUCCESS", b""), write("2/_SUCCESS", b"")
    pubsub.publish(*announcement(first))
    arrivals(1)
    for blob in (second, second):
        published = time.monotonic()
        pubsub.publish(*announcement(blob))
        ((_, value),) = arrivals(1)
        assert value.generation == second.generation
        assert time.monotonic() - published < 2


def test_the_file_that_all_wait_for_is_told_apart(
    stream: Callable[..., None], write: Callable, pubsub: PubSub, prefix: str, stack: LocalStack
) -> None:
    stream(marker="none", wait_for=f"gs://{stack.bucket}/history.done")
    data, empty, released = write("a.csv", b"n\n"), write("b.csv", b""), announcement(write("c.csv", b"n\n"))
    released[0]["objectId"] = "history.done"
    pubsub.publish(*announcement(empty))
    pubsub.publish(*announcement(data))
    pubsub.publish(*released)
    assert {(kind, value.uri) for kind, value in arrivals(2)} == {
        ("marker", f"{prefix}a.csv"),
        ("released", f"gs://{stack.bucket}/history.done"),
    }
    assert tally["notifications_ignored"] == 1


def test_messages_of_others_are_counted_and_logged_once_and_end_nothing(
    stream: Callable[..., None], write: Callable, pubsub: PubSub, caplog: pytest.LogCaptureFixture
) -> None:
    marker = announcement(write("_SUCCESS", b""))
    with caplog.at_level(logging.WARNING, "wharf"):
        stream()
        for _ in range(3):
            pubsub.publish({"password": "hunter2"}, b"hunter2")
        pubsub.publish({**marker[0], "objectGeneration": "none"}, b"\xff")
        pubsub.publish(*marker)
        arrivals(1)
    assert tally["messages_refused"] == 4
    warnings = [record.getMessage() for record in caplog.records if record.name == "wharf"]
    assert len(warnings) == 2
    assert all(f"a message of {pubsub.subscription} was dropped: no notification" in line for line in warnings)
    assert "hunter2" not in "".join(warnings)


def test_what_was_received_is_not_delivered_again(stream: Callable[..., None], write: Callable, pubsub: PubSub) -> None:
    stream()
    pubsub.publish(*announcement(write("_SUCCESS", b"")))
    arrivals(1)
    assert pull(pubsub) == []


def test_a_batch_pipeline_gets_one_group_for_each_slot() -> None:
    with beam.Pipeline(runner="apache_beam.runners.portability.fn_api_runner.FnApiRunner") as pipeline:
        groups = pipeline | beam.Create([(str(n % 3), n) for n in range(300)]) | beam.Reshuffle() | GroupBySlot()
        assert_that(
            groups | beam.MapTuple(lambda key, values: (key, len(list(values)))), equal_to([(k, 100) for k in "012"])
        )
