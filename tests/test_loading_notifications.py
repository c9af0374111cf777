"""Messages of Pub/Sub become notifications of Cloud Storage, and each knows whether it completes a batch."""

from __future__ import annotations

import pytest

from wharf.model.loading.notifications import Notification, parse

ATTRIBUTES = {
    "notificationConfig": "projects/_/buckets/b/notificationConfigs/3",
    "eventType": "OBJECT_FINALIZE",
    "payloadFormat": "JSON_API_V1",
    "bucketId": "b",
    "objectId": "in/sales/2025/_SUCCESS",
    "objectGeneration": "1743500000000001",
    "eventTime": "2025-04-01T09:33:20.000001Z",
}


def of(uri: str, event: str = "OBJECT_FINALIZE", size: int | None = 7) -> Notification:
    return Notification(event, uri, 1, size)


def test_the_resource_tells_the_size_and_the_attributes_the_rest() -> None:
    data = b'{"kind": "storage#object", "size": "12"}'
    assert parse(ATTRIBUTES, data) == of_generation(12)
    assert parse({**ATTRIBUTES, "payloadFormat": "NONE"}, b"") == of_generation(None)


def of_generation(size: int | None) -> Notification:
    return Notification("OBJECT_FINALIZE", "gs://b/in/sales/2025/_SUCCESS", 1743500000000001, size)


@pytest.mark.parametrize("data", [b"", b"\xff", b"[]", b"7", b'{"size": null}', b'{"size": "many"}'])
def test_a_payload_that_cannot_be_read_leaves_the_size_unknown(data: bytes) -> None:
    assert parse(ATTRIBUTES, data) == of_generation(None)


def test_custom_attributes_are_passed_over() -> None:
    assert parse({**ATTRIBUTES, "team": "sales"}, b"") == of_generation(None)


@pytest.mark.parametrize("name", ["eventType", "bucketId", "objectId", "objectGeneration"])
def test_a_message_without_an_attribute_is_refused_by_its_name(name: str) -> None:
    with pytest.raises(ValueError, match=f"it has no attribute {name}$"):
        parse({key: value for key, value in ATTRIBUTES.items() if key != name}, b"")


def test_a_message_of_somebody_else_is_refused_without_its_content() -> None:
    with pytest.raises(ValueError, match="has no attribute eventType, bucketId") as refusal:
        parse({"password": "hunter2"}, b"hunter2")
    assert "hunter2" not in str(refusal.value)


@pytest.mark.parametrize("generation", ["-1", "1.5", "one", "²"])
def test_a_generation_that_is_no_number_is_refused(generation: str) -> None:
    with pytest.raises(ValueError, match="objectGeneration is no number"):
        parse({**ATTRIBUTES, "objectGeneration": generation}, b"")


@pytest.mark.parametrize("uri", ["gs://b/in/_SUCCESS", "gs://b/in/sales/2025/_SUCCESS"])
def test_a_marker_below_the_prefix_completes_a_batch(uri: str) -> None:
    assert of(uri, size=0).completes("gs://b/in/", "_SUCCESS")
    assert of(uri).completes("", "_SUCCESS")


@pytest.mark.parametrize(
    "uri",
    [
        "gs://b/in/a.csv",
        "gs://b/in/_SUCCESS/a.csv",
        "gs://b/in/NOT_SUCCESS",
        "gs://b/other/_SUCCESS",
        "gs://other/in/_SUCCESS",
        "gs://b/in/_temporary/0/_SUCCESS",
        "gs://b/in/.trash/_SUCCESS",
    ],
)
def test_anything_else_does_not(uri: str) -> None:
    assert not of(uri).completes("gs://b/in/", "_SUCCESS")


@pytest.mark.parametrize("event", ["OBJECT_DELETE", "OBJECT_ARCHIVE", "OBJECT_METADATA_UPDATE"])
def test_other_events_complete_nothing(event: str) -> None:
    assert not of("gs://b/in/_SUCCESS", event).completes("gs://b/in/", "_SUCCESS")
    assert not of("gs://b/in/a.csv", event).completes("gs://b/in/", "none")


@pytest.mark.parametrize("size", [1, None])
def test_without_markers_each_file_of_data_is_a_batch(size: int | None) -> None:
    assert of("gs://b/in/sales/a.csv", size=size).completes("gs://b/in/", "none")


@pytest.mark.parametrize(
    ("uri", "size"),
    [
        ("gs://b/in/empty.csv", 0),
        ("gs://b/in/folder/", None),
        ("gs://b/in/_SUCCESS", 7),
        ("gs://b/in/.a.csv.crc", 7),
        ("gs://b/in/_config/schema.json", 7),
    ],
)
def test_without_markers_what_is_no_data_is_no_batch(uri: str, size: int | None) -> None:
    assert not of(uri, size=size).completes("gs://b/in/", "none")
