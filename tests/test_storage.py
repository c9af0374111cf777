"""Local folders and Cloud Storage keep the same promises."""

from __future__ import annotations

import base64
import uuid

import google_crc32c
import pytest

from wharf.connectors.endpoints import Endpoints
from wharf.connectors.storage import CloudStorage, LocalStorage, Range, check_writable, open_storage, read_parts
from wharf.model.errors import RunFailed, UsageError


@pytest.fixture(params=["folder", "bucket"])
def root(request, tmp_path) -> str:
    """A place of the test's own."""
    if request.param == "folder":
        return str(tmp_path)
    return f"gs://{request.getfixturevalue('stack').bucket}/{uuid.uuid4().hex}"


@pytest.fixture
def endpoints(request, root) -> Endpoints:
    return request.getfixturevalue("stack").endpoints if root.startswith("gs://") else Endpoints()


@pytest.fixture
def storage(root, endpoints):
    return open_storage(root, endpoints)


def put(storage, uri: str, *chunks: bytes) -> None:
    file = storage.create(uri)
    for chunk in chunks:
        file.write(chunk)
    file.close()


def test_the_uri_says_which_storage_it_is(root, storage):
    assert isinstance(storage, CloudStorage if root.startswith("gs://") else LocalStorage)


def test_a_file_appears_when_it_is_closed_and_not_before(root, storage):
    file = storage.create(f"{root}/a/file")
    file.write(b"some ")
    file.write(b"bytes")
    assert storage.read_all(f"{root}/a/file") is None
    file.close()
    assert storage.read_all(f"{root}/a/file") == b"some bytes"
    assert storage.list(f"{root}/") == [f"{root}/a/file"]


def test_a_discarded_file_never_appears_and_leaves_nothing(root, storage):
    file = storage.create(f"{root}/a/file")
    file.write(b"some bytes")
    file.discard()
    assert storage.list(f"{root}/") == []


def test_a_file_may_lie_aside_until_it_is_complete(root, storage):
    file = storage.create(f"{root}/a/file", aside=f"{root}/staging")
    file.write(b"some bytes")
    assert storage.list(f"{root}/a/") == []
    file.close()
    assert storage.list(f"{root}/") == [f"{root}/a/file"]


def test_writing_a_file_again_replaces_it(root, storage):
    put(storage, f"{root}/file", b"old and longer")
    put(storage, f"{root}/file", b"new")
    assert storage.read_all(f"{root}/file") == b"new"


def test_a_large_file_arrives_whole(root, storage):
    chunks = [bytes([number]) * 3_000_000 for number in range(6)]
    put(storage, f"{root}/large", *chunks)
    assert storage.read_all(f"{root}/large") == b"".join(chunks)


def test_an_empty_file_is_a_file(root, storage):
    put(storage, f"{root}/empty")
    assert storage.read_all(f"{root}/empty") == b""


def test_a_range_is_exactly_the_bytes_asked_for(root, storage):
    put(storage, f"{root}/file", bytes(range(256)))
    assert storage.read(Range(f"{root}/file", 10, 5)) == bytes(range(10, 15))
    assert storage.read(Range(f"{root}/file", 255, 1)) == b"\xff"
    with pytest.raises(RunFailed, match="ends before byte 260"):
        storage.read(Range(f"{root}/file", 250, 10))


def test_parts_come_in_the_order_they_were_asked_for(root, storage):
    put(storage, f"{root}/one", bytes(range(200)))
    put(storage, f"{root}/two", bytes(range(200, 256)) * 100)
    parts = [Range(f"{root}/{'one' if n % 3 else 'two'}", n, 1 + n % 5) for n in range(60)]
    assert list(read_parts(storage, parts, ahead_bytes=40)) == [storage.read(part) for part in parts]


def test_a_list_has_what_begins_with_the_prefix_in_order(root, storage):
    names = ["a/2", "a/1", "ab/3", "b/c/d/4", "a b/å=%2F"]
    for name in names:
        put(storage, f"{root}/{name}", b"x")
    assert storage.list(f"{root}/a/") == [f"{root}/a/1", f"{root}/a/2"]
    assert storage.list(f"{root}/a") == sorted(f"{root}/{name}" for name in names if name.startswith("a"))
    assert storage.list(f"{root}/") == sorted(f"{root}/{name}" for name in names)
    assert storage.list(f"{root}/nothing/") == []


def test_moving_twice_is_moving_once(root, storage):
    put(storage, f"{root}/staged", b"new")
    put(storage, f"{root}/x/final", b"old")
    storage.move(f"{root}/staged", f"{root}/x/final")
    storage.move(f"{root}/staged", f"{root}/x/final")
    assert storage.read_all(f"{root}/x/final") == b"new"


def test_moving_what_never_was_is_an_error(root, storage):
    with pytest.raises(Exception, match=r"No such file|404"):
        storage.move(f"{root}/nothing", f"{root}/target")


def test_deleting_twice_is_deleting_once_and_leaves_no_folder(root, storage, tmp_path):
    for name in ("a/b/one", "a/b/two", "a/three"):
        put(storage, f"{root}/{name}", b"x")
    for _ in range(2):
        storage.delete([f"{root}/a/b/one", f"{root}/a/b/two"])
    assert storage.list(f"{root}/") == [f"{root}/a/three"]
    assert not (tmp_path / "a" / "b").exists()


def test_a_name_that_needs_escaping_is_kept(root, storage):
    uri = f"{root}/vendor=..%2Fx/part 1.avro"
    put(storage, f"{root}/aside", b"content")
    storage.move(f"{root}/aside", uri)
    assert storage.read_all(uri) == b"content"
    assert storage.read(Range(uri, 0, 3)) == b"con"
    storage.delete([uri, f"{root}/aside"])
    assert storage.list(f"{root}/") == []


def test_a_file_that_is_not_there_reads_as_none(root, storage):
    assert storage.read_all(f"{root}/nothing") is None


def test_cloud_storage_has_the_checksum_of_what_was_written(stack):
    name = uuid.uuid4().hex
    storage = open_storage("gs://", stack.endpoints)
    put(storage, f"gs://{stack.bucket}/{name}", b"some ", b"bytes")
    blob = stack.endpoints.storage_client().bucket(stack.bucket).get_blob(name)
    assert blob.crc32c == base64.b64encode(google_crc32c.value(b"some bytes").to_bytes(4, "big")).decode()


def test_what_arrives_damaged_is_removed_and_refused(stack):
    uri = f"gs://{stack.bucket}/{uuid.uuid4().hex}"
    storage = open_storage(uri, stack.endpoints)
    file = storage.create(uri)
    file.write(b"some bytes")
    file._crc.update(b"and what the server never saw")
    with pytest.raises(RunFailed, match="it was removed"):
        file.close()
    assert storage.read_all(uri) is None


def test_a_bucket_that_is_missing_is_named(stack):
    uri = "gs://no-such-bucket/prefix"
    with pytest.raises(UsageError, match=r"gs://no-such-bucket/prefix.*does not exist"):
        check_writable(uri, stack.endpoints, f"{uri}/note", b"")


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    uri = str(tmp_path / "file" / "below")
    with pytest.raises(UsageError, match="below: cannot be written: Not a directory"):
        check_writable(uri, Endpoints(), f"{uri}/note", b"")
