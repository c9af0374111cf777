"""Records of launches: made once, changed by one at a time, read back as they were written."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import orjson
import pytest

from tests.launches import MARCH
from tests.servers.storage_api import StorageApi
from wharf.connectors.endpoints import Endpoints
from wharf.connectors.google_http import GoogleHttp
from wharf.connectors.launches import Held, LaunchRecords, LocalRecords, open_records
from wharf.local.stack import LocalStack
from wharf.model.errors import UsageError
from wharf.model.history.unsettled import as_run
from wharf.model.launching.record import FAILED, LaunchRecord

T = TypeVar("T")
Use = Callable[[Callable[[LaunchRecords], Awaitable[T]]], T]
NOW = dt.datetime(2025, 4, 1, 3, 0, 0, 123456, tzinfo=dt.UTC)
RECORD = LaunchRecord.accepted(replace(MARCH, key="æ/\n", force=True), ["æ/\n", "b"], "host/1:2 abc", NOW)


def use_of(folder: str, endpoints: Endpoints) -> Use[T]:
    def use(work: Callable[[LaunchRecords], Awaitable[T]]) -> T:
        async def with_records() -> T:
            async with GoogleHttp() as http:
                return await work(open_records(folder, http, endpoints))

        return asyncio.run(with_records())

    return use


@pytest.fixture
def storage() -> Iterator[StorageApi]:
    with StorageApi() as running:
        yield running


@pytest.fixture(params=["a folder", "Cloud Storage", "a bucket's root"])
def use(request: pytest.FixtureRequest, tmp_path: Path, storage: StorageApi) -> Use[T]:
    folders = {"a folder": str(tmp_path / "a" / "b"), "Cloud Storage": "gs://b/launches/x", "a bucket's root": "gs://b"}
    return use_of(folders[request.param], Endpoints(storage=storage.url))


def test_a_record_is_made_once_and_read_as_it_was_written(use: Use[None]) -> None:
    async def work(records: LaunchRecords) -> None:
        assert await records.read(RECORD.run_id) is None
        held = await records.create(RECORD)
        assert held
        assert held.record == RECORD
        assert await records.create(replace(RECORD, attempt=7)) is None
        assert await records.read(RECORD.run_id) == held

    use(work)


def test_a_record_is_changed_only_by_who_has_its_newest_version(use: Use[None]) -> None:
    async def work(records: LaunchRecords) -> None:
        first = await records.create(RECORD)
        assert first
        launched = RECORD.launched("job 1", NOW)
        second = await records.replace(first, launched)
        assert second
        assert await records.replace(first, RECORD.ended(FAILED, NOW, "too late")) is None
        assert await records.read(RECORD.run_id) == second == Held(launched, second.version)
        assert await records.replace(second, launched.ended(FAILED, NOW, "an error"))

    use(work)


def test_of_many_who_write_at_once_one_does(use: Use[None]) -> None:
    async def work(records: LaunchRecords) -> None:
        made = await asyncio.gather(*(records.create(replace(RECORD, attempt=n)) for n in range(1, 20)))
        (held,) = filter(None, made)
        changed = await asyncio.gather(*(records.replace(held, replace(RECORD, attempt=n)) for n in range(20, 40)))
        (newest,) = filter(None, changed)
        assert await records.read(RECORD.run_id) == newest

    use(work)


def test_the_records_that_were_changed_last_come_first(use: Use[None]) -> None:
    async def work(records: LaunchRecords) -> None:
        made = []
        for number in range(5):
            launch = replace(MARCH, window=f"2025030{number}")
            made.append(await records.create(LaunchRecord.accepted(launch, [], "owner", NOW)))
        assert made[0]
        await records.replace(made[0], made[0].record.launched("job", NOW))
        recent = await records.recent(3)
        assert [record.launch.window for record in recent] == ["20250300", "20250304", "20250303"]
        assert len(await records.recent(100)) == 5

    use(work)


def test_more_records_than_fit_a_page_are_all_looked_at(storage: StorageApi) -> None:
    for number in range(1005):
        storage.put("b", f"launches/{number:05}.json", LaunchRecord.as_json(RECORD))
    storage.put("b", "launches/00000.json", replace(RECORD, attempt=2).as_json())
    storage.put("b", "elsewhere/1.json", b"no record")
    use: Use[list[LaunchRecord]] = use_of("gs://b/launches", Endpoints(storage=storage.url))
    assert [record.attempt for record in use(lambda records: records.recent(2))] == [2, 1]


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"run_id": "a"}', b"null"])
def test_what_is_no_record_is_named(storage: StorageApi, tmp_path: Path, data: bytes) -> None:
    storage.put("b", "x.json", data)
    (tmp_path / "x.json").write_bytes(data)
    for folder, uri in (("gs://b", "gs://b/x.json"), (str(tmp_path), f"{tmp_path}/x.json")):
        use: Use[object] = use_of(folder, Endpoints(storage=storage.url))
        with pytest.raises(UsageError, match=f"{uri}: is no record of a launch; remove it"):
            use(lambda records: records.read("x"))


def test_a_record_of_a_newer_version_is_read_too() -> None:
    newer = RECORD.as_json().replace(b'"run_id"', b'"colour":"blue","run_id"')
    assert LaunchRecord.from_json(newer) == RECORD


def test_a_record_of_an_older_version_is_read_too() -> None:
    older = orjson.loads(RECORD.as_json())
    assert older.pop("former_jobs") == []
    assert LaunchRecord.from_json(orjson.dumps(older)) == RECORD


def test_a_launch_is_shown_among_runs_with_its_window_as_they_write_theirs() -> None:
    assert as_run(RECORD).window == "2025-03"


def test_a_record_knows_the_jobs_of_its_attempts_and_no_others() -> None:
    record, jobs = RECORD, [f"job {number}" for number in range(1, 31)]
    for number, job in enumerate(jobs, 1):
        assert record.is_own("any", record.job_name)  # nobody knows yet which one it is
        record = record.launched(job, NOW)
        assert record.is_own(job, record.job_name)
        assert not record.is_own("a second one", record.job_name)
        record = record.ended(FAILED, NOW).again(MARCH, "owner", NOW)
        assert (record.attempt, record.is_own(job, MARCH.job_name(number))) == (number + 1, True)
    assert not record.is_own("a second one", MARCH.job_name(30))
    assert record.former_jobs == tuple(jobs[10:])


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="file/launches: launches cannot be recorded there: Not a directory"):
        asyncio.run(LocalRecords(tmp_path / "file" / "launches").create(RECORD))


def test_processes_that_share_a_folder_take_turns(tmp_path: Path) -> None:
    """Each of four processes adds ten keys of its own; none is lost."""

    async def add(number: int) -> None:
        records = LocalRecords(tmp_path)
        await records.create(RECORD)
        for key in range(10):
            while held := await records.read(RECORD.run_id):
                if await records.replace(held, held.record.with_keys([f"{number} {key}"])):
                    break

    children = []
    for number in range(4):
        child = os.fork()
        if not child:
            try:
                asyncio.run(add(number))
            finally:
                os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    held = asyncio.run(LocalRecords(tmp_path).read(RECORD.run_id))
    assert held
    assert len(held.record.keys) == 2 + 40
    assert [path.name for path in sorted(tmp_path.iterdir())] == [".lock", f"{RECORD.run_id}.json"]


def test_the_emulator_keeps_records_too(stack: LocalStack) -> None:
    """It does not heed ifGenerationMatch, so this says nothing of two at once."""
    use: Use[None] = use_of(f"gs://{stack.bucket}/launches-test", stack.endpoints)

    async def work(records: LaunchRecords) -> None:
        assert await records.read(RECORD.run_id) is None
        held = await records.create(RECORD)
        assert held
        assert await records.read(RECORD.run_id) == held
        assert await records.replace(held, RECORD.launched("job", NOW))
        assert [record.job_id for record in await records.recent(10)] == ["job"]

    use(work)


def test_of_very_many_keys_the_last_are_kept() -> None:
    record = RECORD.with_keys(f"key {number}" for number in range(500))
    assert (len(record.keys), record.keys[-1]) == (200, "key 499")
    assert record.with_keys(["key 400"]) == record
