"""Listing what has landed, and reading `_config/`, on the embedded Cloud Storage."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from wharf.connectors.loading.landings import Config, ConfigFiles, landing_of, list_landings
from wharf.model.errors import UsageError

Put = Callable[..., int]


@pytest.fixture
def client(stack) -> Any:
    return stack.endpoints.storage_client()


@pytest.fixture
def root(stack) -> str:
    """A prefix of the test's own, with its slash."""
    return f"gs://{stack.bucket}/{uuid.uuid4().hex}/"


@pytest.fixture
def put(client, root) -> Put:
    """`put("a/1.csv", "text")` -> the object's generation."""
    bucket, _, prefix = root.removeprefix("gs://").partition("/")

    def write(name: str, content: str | bytes = "x") -> int:
        blob = client.bucket(bucket).blob(prefix + name)
        blob.upload_from_string(content)
        return blob.generation

    return write


@pytest.fixture
def requests(client) -> list[str]:
    """The requests for objects that the client makes, as they are made; of the bucket it may ask in the background."""
    made: list[str] = []

    def note(response: Any, **_: Any) -> None:
        if "/o?" in response.url or "/o/" in response.url:
            made.append(response.url)

    client._http.hooks["response"].append(note)
    return made


def test_a_listing_finds_complete_directories_with_all_that_is_known_of_a_file(client, root, put) -> None:
    data, marker = put("ds/t/å b+%2F/1.csv", "12345"), put("ds/t/å b+%2F/_SUCCESS", "")
    put("ds/t/waiting/1.csv")
    (landing,) = list_landings(client, f"{root}**", "_SUCCESS")
    assert landing.directory == f"{root}ds/t/å b+%2F/"
    assert (landing.marker.uri, landing.marker.generation) == (f"{landing.directory}_SUCCESS", marker)
    (file,) = landing.files
    assert (file.uri, file.bytes, file.generation) == (f"{landing.directory}1.csv", 5, data)
    assert file.created.tzinfo is not None


def test_a_listing_is_of_the_pattern_and_in_order(client, root, put) -> None:
    for name in ("b", "a", "c/x"):
        put(f"{name}/1.csv")
        put(f"{name}/_SUCCESS")
    assert [each.directory for each in list_landings(client, f"{root}**", "_SUCCESS")] == [
        f"{root}{name}/" for name in ("a", "b", "c/x")
    ]
    assert [each.directory for each in list_landings(client, f"{root}[b-z]/**", "_SUCCESS")] == [
        f"{root}{name}/" for name in ("b", "c/x")
    ]
    assert list_landings(client, f"{root}nothing/**", "_SUCCESS") == []


def test_without_a_marker_files_are_found_one_by_one(client, root, put) -> None:
    for name in ("a/1.csv", "2.csv", "_config/load.json"):
        put(name)
    found = list_landings(client, f"{root}**", "none")
    assert [each.directory for each in found] == [f"{root}2.csv", f"{root}a/1.csv"]
    assert landing_of(client, f"{root}2.csv", "none") == found[0]


def test_an_announced_marker_leads_to_the_same_batch_as_a_listing(client, root, put) -> None:
    for name in ("a/1.csv", "a/sub/2.csv", "a/own/3.csv", "a/own/_SUCCESS", "a/_SUCCESS", "ab/4.csv"):
        put(name)
    listed = list_landings(client, f"{root}**", "_SUCCESS")
    assert len(listed) == 2
    assert [landing_of(client, each.marker.uri, "_SUCCESS") for each in listed] == listed


def test_of_a_marker_that_was_written_anew_the_new_one_counts_and_one_that_is_gone_makes_no_batch(
    client, root, put, stack
) -> None:
    put("a/1.csv")
    old, new = put("a/_SUCCESS"), put("a/_SUCCESS")
    landing = landing_of(client, f"{root}a/_SUCCESS", "_SUCCESS")
    assert landing is not None
    assert old != landing.marker.generation == new
    name = f"{root}a/_SUCCESS".removeprefix(f"gs://{stack.bucket}/")
    client.bucket(stack.bucket).blob(name).delete()
    assert landing_of(client, f"{root}a/_SUCCESS", "_SUCCESS") is None


def test_an_announced_file_that_is_gone_or_empty_is_no_batch(client, root, put) -> None:
    put("empty.csv", "")
    assert landing_of(client, f"{root}empty.csv", "none") is None
    assert landing_of(client, f"{root}gone.csv", "none") is None


def test_a_directory_without_data_is_returned_for_the_error_that_names_it(client, root, put) -> None:
    put("a/_SUCCESS")
    put("a/1.csv", "")
    (landing,) = list_landings(client, f"{root}**", "_SUCCESS")
    assert (landing.files, landing.empty) == ((), 1)
    assert landing_of(client, f"{root}a/_SUCCESS", "_SUCCESS") == landing


@pytest.mark.parametrize("bucket", ["no-such-bucket", "NO!"])
def test_a_bucket_that_is_not_there_is_named(client, bucket) -> None:
    for ask in (
        lambda: list_landings(client, f"gs://{bucket}/in/**", "_SUCCESS"),
        lambda: landing_of(client, f"gs://{bucket}/in/_SUCCESS", "_SUCCESS"),
        lambda: ConfigFiles(client).of(f"gs://{bucket}/in/"),
    ):
        with pytest.raises(UsageError, match=rf"^gs://{bucket}/.*--input"):
            ask()


def test_nothing_is_configured_where_there_is_no_config(client, root, put) -> None:
    put("a/1.csv")
    assert ConfigFiles(client).of(f"{root}a/") == Config()


def test_options_come_nearest_first_and_of_the_others_the_nearest_counts(client, root, put) -> None:
    for name in (
        "_config/load.json",
        "_config/schema.json",
        "_config/bq_transform.sql",
        "ds/_config/load.json",
        "ds/_config/schema.json",
        "ds/_config/notes.txt",
        "ds/t/_config/ORDERME",
        "ds/other/_config/load.json",
        "ds/t/a/b/_config/load.json",
    ):
        put(name, f"of {name}")
    configs = ConfigFiles(client)
    schema = (f"{root}ds/_config/schema.json", b"of ds/_config/schema.json")
    transform = (f"{root}_config/bq_transform.sql", b"of _config/bq_transform.sql")
    found = configs.of(f"{root}ds/t/a/b/")
    assert [uri.removeprefix(root) for uri, _ in found.options] == [
        "ds/t/a/b/_config/load.json",
        "ds/_config/load.json",
        "_config/load.json",
    ]
    assert found.options[0][1] == b"of ds/t/a/b/_config/load.json"
    assert found[1:] == (schema, transform, True)
    assert configs.of(f"{root}ds/") == Config(found.options[1:], schema, transform, False)
    assert configs.of(root) == Config(
        found.options[2:], (f"{root}_config/schema.json", b"of _config/schema.json"), transform
    )


def test_an_empty_config_file_is_not_a_missing_one(client, root, put) -> None:
    put("_config/load.json", "")
    assert ConfigFiles(client).of(root).options == ((f"{root}_config/load.json", b""),)


def test_what_a_listing_told_is_not_asked_again_and_each_file_is_read_once(client, root, put, requests) -> None:
    put("_config/load.json", "{}")
    for number in range(20):
        put(f"ds/t/{number:02d}/1.csv")
        put(f"ds/t/{number:02d}/_SUCCESS")
    put("ds/t/07/_config/ORDERME")
    requests.clear()
    configs = ConfigFiles(client)
    found = [configs.of(each.directory) for each in list_landings(client, f"{root}**", "_SUCCESS", configs)]
    assert [config.ordered for config in found] == [number == 7 for number in range(20)]
    assert all(config.options == ((f"{root}_config/load.json", b"{}"),) for config in found)
    # The listing, load.json, and what is above the pattern's prefix: the bucket's root.
    assert len(requests) == 3


def test_without_a_listing_each_directory_is_asked_for_once(client, root, put, requests) -> None:
    put("ds/_config/load.json", "{}")
    requests.clear()
    configs = ConfigFiles(client)
    for name in ("ds/t/1/", "ds/t/2/", "ds/t/1/"):
        assert len(configs.of(f"{root}{name}").options) == 1
    assert len(requests) == 1 + 1 + 1 + 1 + 1 + 2  # bucket, root, ds/ and its file, t/, 1/ and 2/


def test_an_announced_directory_is_listed_once_for_data_and_config(client, root, put, requests) -> None:
    for name in ("a/1.csv", "a/_config/load.json", "a/_SUCCESS"):
        put(name)
    requests.clear()
    configs = ConfigFiles(client)
    assert landing_of(client, f"{root}a/_SUCCESS", "_SUCCESS", configs)
    assert len(requests) == 1
    assert len(configs.of(f"{root}a/").options) == 1
    assert len(requests) == 1 + 2 + 1  # the bucket's and the root's _config/, and load.json
