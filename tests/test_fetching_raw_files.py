"""Files of fetched records: parts, checkpoints and the manifest, in a folder and on the embedded Cloud Storage."""

from __future__ import annotations

import asyncio
import gzip
import os
import random
import uuid
from pathlib import Path

import pytest

from tests.raw_runs import as_records, page_lines, raw_run, stage
from wharf.connectors.fetching.raw_files import RawWriter, read_parts, resume, sealed
from wharf.connectors.local_folder import LocalStorage
from wharf.connectors.storage import open_storage
from wharf.model.errors import RunFailed
from wharf.model.fetching.checkpoint import Checkpoint

PAGES = [[{"id": 10 * number + each, "name": "Zoë 😀"} for each in range(10)] for number in range(7)]
RECORDS = [record for page in PAGES for record in page]


@pytest.fixture(params=["folder", "gs"])
def root(request, tmp_path) -> str:
    if request.param == "folder":
        return str(tmp_path)
    return f"gs://{request.getfixturevalue('stack').bucket}/raw-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def storage(root, request):
    return open_storage(root, request.getfixturevalue("stack").endpoints) if "gs" in root[:5] else LocalStorage()


def ids(storage, run, parts) -> list[int]:
    return [record["id"] for text in read_parts(storage, run, parts) for record in as_records(text)]


def at(pages: int, records: int) -> Checkpoint:
    return Checkpoint(position={"next": {"page": pages + 1}}, pages=pages, records=records, cursor=str(pages))


def names(storage, run) -> list[str]:
    return [uri.rsplit("/", 1)[-1] for uri in storage.list(f"{run.folder}/")]


def test_a_complete_run_is_its_parts_a_manifest_and_a_marker(storage, root):
    run = raw_run(root)
    manifest = stage(storage, run, PAGES, part_pages=3)
    assert (manifest.pages, manifest.records, manifest.cursor) == (7, 70, "c7")
    assert [part.records for part in manifest.parts] == [30, 30, 10]
    assert names(storage, run) == ["_SUCCESS", "_manifest.json", *(part.name for part in manifest.parts)]
    assert sealed(storage, run) == manifest
    assert resume(storage, run) is None
    assert ids(storage, run, manifest.parts) == [record["id"] for record in RECORDS]
    first = storage.read_all(manifest.uris[0])
    assert len(first) == manifest.parts[0].bytes == storage.describe(manifest.uris[0])[0]
    assert storage.describe(manifest.uris[0])[1] == manifest.parts[0].crc32c
    record = as_records(gzip.decompress(first))[0]
    assert record["_run_id"] == "run-1"
    assert record["name"] == "Zoë 😀"


def test_an_attempt_goes_on_behind_the_last_checkpoint_and_what_no_checkpoint_tells_of_does_not_count(storage, root):
    run = raw_run(root)

    async def dies() -> None:
        writer = RawWriter(storage, run, part_pages=2)
        for number in range(5):
            await writer.append(page_lines(run, number + 1, PAGES[number]), at(number + 1, 10 * number + 10))
        if writer._writing:
            await writer._writing

    asyncio.run(dies())
    storage.create(run.part(2, "dead0000")).close()
    found = resume(storage, run)
    assert (found.pages, found.records, found.cursor, found.position) == (4, 40, "4", {"next": {"page": 5}})
    assert sealed(storage, run) is None

    async def goes_on():
        writer = RawWriter(storage, run, found, part_pages=2)
        for number in range(4, 7):
            await writer.append(page_lines(run, number + 1, PAGES[number]), at(number + 1, 10 * number + 10))
        return await writer.seal()

    manifest = asyncio.run(goes_on())
    assert ids(storage, run, manifest.parts) == [record["id"] for record in RECORDS]
    assert manifest.records == 70
    assert len(set(names(storage, run))) == 2 + len(manifest.parts)
    assert not [name for name in names(storage, run) if "dead0000" in name]


def test_a_run_that_pauses_leaves_everything_behind_a_checkpoint(storage, root):
    run = raw_run(root)

    async def pauses() -> Checkpoint:
        writer = RawWriter(storage, run)
        await writer.append(page_lines(run, 1, PAGES[0]), at(1, 10))
        return await writer.flush()

    paused = asyncio.run(pauses())
    assert paused == resume(storage, run)
    assert ids(storage, run, paused.parts) == list(range(10))


def test_a_run_that_is_cancelled_while_a_page_is_compressed_keeps_that_page(tmp_path):
    run = raw_run(str(tmp_path))
    page = [{"id": number, "text": "x" * 1_000} for number in range(2_000)]

    async def cancelled() -> Checkpoint:
        writer = RawWriter(LocalStorage(), run)
        appending = asyncio.create_task(writer.append(page_lines(run, 1, page), at(1, len(page))))
        await asyncio.sleep(0)  # now a thread compresses
        assert appending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await appending
        return await writer.flush()

    paused = asyncio.run(cancelled())
    assert paused.records == len(page)
    assert ids(LocalStorage(), run, paused.parts) == list(range(len(page)))


def test_nothing_fetched_is_a_complete_run_without_parts(storage, root):
    run = raw_run(root)
    manifest = stage(storage, run, [])
    assert (manifest.records, manifest.parts) == (0, ())
    assert sealed(storage, run) == manifest
    assert names(storage, run) == ["_SUCCESS", "_manifest.json"]


def test_pages_without_records_move_the_checkpoint_and_make_no_part(storage, root):
    manifest = stage(storage, raw_run(root), [[], []], part_pages=1)
    assert (manifest.pages, manifest.cursor, manifest.parts) == (2, "c2", ())


def test_of_two_workers_that_take_each_other_for_dead_the_first_to_finish_counts(storage, root):
    run = raw_run(root)

    async def both():
        slow = RawWriter(storage, run, part_pages=1)
        await slow.append(page_lines(run, 1, PAGES[0]), at(1, 10))
        fast = RawWriter(storage, run, part_pages=1)
        await fast.append(page_lines(run, 1, PAGES[0]), at(1, 10))
        first = await fast.seal()
        await slow.append(page_lines(run, 2, PAGES[1]), at(2, 20))
        return first, await slow.seal()

    first, second = asyncio.run(both())
    assert first == second == sealed(storage, run)
    assert ids(storage, run, first.parts) == list(range(10))


def test_a_large_part_is_one_gzip_member_that_anybody_can_read(tmp_path):
    noise = random.Random(1).randbytes(40_000).hex()
    pages = [[{"id": number, "text": noise}] for number in range(60)]
    run = raw_run(str(tmp_path))
    manifest = stage(LocalStorage(), run, pages, part_bytes=3 << 20)
    assert len(manifest.parts) > 1
    plain = b"".join(gzip.decompress(Path(uri).read_bytes()) for uri in manifest.uris)
    assert [record["id"] for record in as_records(plain)] == list(range(60))


def test_a_part_that_cannot_be_written_fails_everything_that_comes_later(tmp_path):
    run = raw_run(str(tmp_path))

    async def fails() -> None:
        writer = RawWriter(LocalStorage(), run, part_pages=1)
        await writer.append(page_lines(run, 1, PAGES[0]), at(1, 10))
        for _ in range(2):
            with pytest.raises(OSError, match=r"Not a directory|File exists"):
                await writer.append(page_lines(run, 2, PAGES[1]), at(2, 20))
        with pytest.raises(OSError, match=r"Not a directory|File exists"):
            await writer.seal()

    os.makedirs(os.path.dirname(run.folder))
    Path(run.folder).write_text("in the way")
    asyncio.run(fails())


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"parts": 3}', b"\xff"])
def test_a_damaged_checkpoint_is_named(tmp_path, content):
    run = raw_run(str(tmp_path))
    os.makedirs(run.folder)
    Path(run.checkpoint).write_bytes(content)
    with pytest.raises(RunFailed, match=r"_checkpoint\.json is no checkpoint"):
        resume(LocalStorage(), run)


def test_a_damaged_or_missing_part_is_named(tmp_path):
    run = raw_run(str(tmp_path))
    manifest = stage(LocalStorage(), run, PAGES)
    path = Path(manifest.uris[0])
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(RunFailed, match=r"part-00000-.* is damaged"):
        ids(LocalStorage(), run, manifest.parts)
    path.unlink()
    with pytest.raises(RunFailed, match="is gone"):
        ids(LocalStorage(), run, manifest.parts)
