"""One job of a run, however often it is asked for: the same key, other keys, none, force, and what Dataflow answers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.launches import MARCH, Cloud, cloud, launch_config
from wharf.connectors.endpoints import Endpoints
from wharf.connectors.launcher import Launched, Launcher
from wharf.model.errors import UsageError
from wharf.model.launching.errors import LaunchBusy
from wharf.model.launching.launch import Launch
from wharf.model.launching.record import ACCEPTED, CANCELLED, FAILED, LAUNCHED, SUCCESS, LaunchRecord

WINDOWLESS = replace(MARCH, window="")
ONE, TWO = replace(MARCH, key="one"), replace(MARCH, key="two")


@pytest.fixture
def place() -> Iterator[Cloud]:
    with cloud() as made:
        yield made


def test_a_launch_makes_a_job_of_the_template_and_records_it(place: Cloud) -> None:
    launched = place.launch(ONE)
    job = place.dataflow.jobs[0]
    assert launched == (ONE.run_id, LAUNCHED, job.id, ONE.run_id, 1, True)
    assert (job.project, job.region) == ("my-project", "europe-west1")
    assert job.asked == {
        "jobName": ONE.run_id,
        "containerSpecGcsPath": "gs://my-bucket/templates/1.0.0/bigquery_to_avro.json",
        "parameters": {"a": "b"},
        "environment": {
            "serviceAccountEmail": "w@my-project.iam.gserviceaccount.com",
            "maxWorkers": 5,
            "additionalUserLabels": {"wharf-job": "measurements", "wharf-run": ONE.run_id},
        },
    }
    record = place.record()
    assert (record.state, record.job_id, record.keys, record.launch) == (LAUNCHED, job.id, ("one",), ONE)
    assert record.accepted_at <= (record.launched_at or record.accepted_at)


def test_the_record_is_there_before_the_job(place: Cloud) -> None:
    seen: list[LaunchRecord] = []
    place.dataflow.before_launch = lambda: seen.append(place.record())
    place.launch()
    assert [record.state for record in seen] == [ACCEPTED]


@pytest.mark.parametrize("launch", [MARCH, ONE, WINDOWLESS])
def test_ten_identical_requests_at_once_are_one_job(place: Cloud, launch: Launch) -> None:
    async def ten(launcher: Launcher) -> set[tuple[str, str]]:
        launched = await asyncio.gather(*(launcher.launch(launch) for _ in range(10)))
        assert sum(each.is_new for each in launched) == 1
        return {(each.run_id, each.job_id) for each in launched}

    assert place.use(ten) == {(launch.run_id, place.dataflow.jobs[0].id)}
    assert place.dataflow.launches == 1


def test_ten_keys_at_once_are_one_job_and_few_writes(place: Cloud) -> None:
    async def ten(launcher: Launcher) -> None:
        await asyncio.gather(*(launcher.launch(replace(MARCH, key=f"key {n}")) for n in range(10)))

    place.use(ten)
    assert place.dataflow.launches == 1
    assert place.record().keys == tuple(f"key {n}" for n in range(10))
    assert sum(request.startswith("POST") for request in place.storage.requests) == 2


def test_other_windows_jobs_and_parameters_are_other_runs(place: Cloud) -> None:
    april = replace(MARCH, window="20250401-20250501")
    others = [april, replace(MARCH, name="landed"), replace(MARCH, parameters={"a": "c"})]
    assert len({place.launch(launch).run_id for launch in [MARCH, *others]}) == 4
    assert place.dataflow.launches == 4


def test_a_storm_of_redeliveries_asks_for_nothing(place: Cloud) -> None:
    async def storm(launcher: Launcher) -> None:
        await launcher.launch(ONE)
        before = len(place.dataflow.requests) + len(place.storage.requests)
        for _ in range(20):
            await asyncio.gather(*(launcher.launch(ONE) for _ in range(20)))
        assert len(place.dataflow.requests) + len(place.storage.requests) == before

    place.use(storm)


@pytest.mark.parametrize("state", ["JOB_STATE_RUNNING", "JOB_STATE_DONE", "JOB_STATE_FAILED", "JOB_STATE_CANCELLED"])
def test_a_key_that_comes_again_gets_the_same_run_whatever_became_of_it(place: Cloud, state: str) -> None:
    first = place.launch(ONE)
    place.dataflow.end(first.job_id, state)
    again = place.launch(ONE)
    assert (again.job_id, again.is_new) == (first.job_id, False)
    assert place.dataflow.launches == 1


@pytest.mark.parametrize("state", ["JOB_STATE_QUEUED", "JOB_STATE_RUNNING", "JOB_STATE_CANCELLING", "JOB_STATE_DONE"])
def test_another_key_gets_the_run_that_is_active_or_has_succeeded(place: Cloud, state: str) -> None:
    first = place.launch(ONE)
    place.dataflow.end(first.job_id, state)
    again = place.launch(TWO)
    assert (again.job_id, again.is_new) == (first.job_id, False)
    assert again.state == (SUCCESS if state == "JOB_STATE_DONE" else LAUNCHED)
    assert place.record().keys == ("one", "two")
    place.dataflow.end(first.job_id, "JOB_STATE_FAILED")
    assert place.launch(TWO).job_id == first.job_id  # it was answered with this run before
    assert place.dataflow.launches == 1


@pytest.mark.parametrize("state", ["JOB_STATE_FAILED", "JOB_STATE_CANCELLED"])
@pytest.mark.parametrize("second", [TWO, MARCH])
def test_a_run_that_failed_gets_another_attempt(place: Cloud, state: str, second: Launch) -> None:
    first = place.launch(ONE)
    place.dataflow.end(first.job_id, state)
    again = place.launch(second)
    assert (again.run_id, again.job_name, again.attempt, again.is_new) == (ONE.run_id, f"{ONE.run_id}-2", 2, True)
    assert [job.name for job in place.dataflow.jobs] == [ONE.run_id, f"{ONE.run_id}-2"]
    assert place.launch(ONE).job_id == again.job_id  # the newest attempt, and nothing new
    place.dataflow.end(again.job_id, state)
    assert place.launch(replace(MARCH, key="three")).attempt == 3


def test_an_answer_to_a_known_key_says_nothing_of_whether_the_job_is_active(place: Cloud) -> None:
    first = place.launch(ONE)
    place.dataflow.end(first.job_id, "JOB_STATE_FAILED")

    async def both(launcher: Launcher) -> list[int]:
        return [(await launcher.launch(launch)).attempt for launch in (ONE, MARCH)]

    assert place.use(both) == [1, 2]


def test_a_request_without_window_and_key_is_the_active_run_or_else_a_new_one(place: Cloud) -> None:
    first = place.launch(WINDOWLESS)
    assert place.launch(WINDOWLESS).job_id == first.job_id
    place.dataflow.end(first.job_id, "JOB_STATE_DONE")
    second = place.launch(WINDOWLESS)
    assert (second.attempt, second.is_new) == (2, True)
    assert place.launch(WINDOWLESS).job_id == second.job_id
    assert place.dataflow.launches == 2


def test_a_request_with_a_key_alone_is_done_once(place: Cloud) -> None:
    launch = replace(WINDOWLESS, key="message 1")
    first = place.launch(launch)
    place.dataflow.end(first.job_id, "JOB_STATE_DONE")
    assert place.launch(launch).job_id == first.job_id
    assert place.launch(replace(WINDOWLESS, key="message 2")).run_id != first.run_id


def test_force_repeats_what_is_done_and_once_only(place: Cloud) -> None:
    first = place.launch(ONE)
    forced = replace(MARCH, key="forced", force=True)
    assert place.launch(replace(forced, key="early")).job_id == first.job_id  # two jobs at once would be wrong
    place.dataflow.end(first.job_id, "JOB_STATE_DONE")
    second = place.launch(forced)
    assert (second.run_id, second.attempt, second.is_new) == (first.run_id, 2, True)
    assert place.dataflow.jobs[-1].asked["parameters"] == {"a": "b", "force": "true"}
    place.dataflow.end(second.job_id, "JOB_STATE_DONE")
    assert place.launch(forced).job_id == second.job_id
    assert place.dataflow.launches == 2


def test_force_is_not_lost_among_others_who_ask_at_once(place: Cloud) -> None:
    first = place.launch(ONE)
    place.dataflow.end(first.job_id, "JOB_STATE_DONE")

    async def both(launcher: Launcher) -> None:
        await asyncio.gather(launcher.launch(TWO), launcher.launch(replace(MARCH, key="forced", force=True)))

    place.use(both)
    assert len(place.dataflow.jobs) == 2


def test_a_pipeline_without_the_flag_is_not_sent_force(place: Cloud) -> None:
    place.launch(Launch(pipeline="files_to_bigquery", name="landed", parameters={"input": "gs://in/a"}, force=True))
    assert place.dataflow.jobs[0].asked["parameters"] == {"input": "gs://in/a"}


def test_a_job_that_dataflow_has_forgotten_is_not_repeated_where_it_has_a_window(place: Cloud) -> None:
    first = place.launch(ONE)
    place.put(replace(place.record(), job_id="2020-01-01_00_00_00-1"))
    assert not place.launch(TWO).is_new
    place.launch(WINDOWLESS)
    place.put(replace(place.record(WINDOWLESS), job_id="2020-01-01_00_00_00-2"))
    assert place.launch(WINDOWLESS).attempt == 2
    assert first.attempt == 1


def test_an_active_job_of_the_name_is_taken_over(place: Cloud) -> None:
    first = place.launch(ONE)
    place.storage.objects.clear()  # somebody tidied up
    again = place.launch(ONE)
    assert (again.job_id, again.is_new) == (first.job_id, False)
    assert place.record().job_id == first.job_id


def test_an_ended_job_of_the_name_from_long_ago_is_not(place: Cloud) -> None:
    first = place.launch(ONE)
    place.dataflow.end(first.job_id)
    place.dataflow.jobs[0].created_at = "2024-01-01T00:00:00Z"
    place.storage.objects.clear()
    place.dataflow.fail(503)
    with pytest.raises(Exception, match="try again"):
        place.launch(ONE)
    assert place.launch(ONE).is_new
    assert len(place.dataflow.jobs) == 2


def test_what_dataflow_refuses_is_told_kept_and_launched_once_mended(place: Cloud) -> None:
    place.dataflow.fail(404, message="Unable to open template file: gs://my-bucket/templates")
    with pytest.raises(UsageError, match=r"the template gs://.*Unable to open template file.*are project my-project"):
        place.launch(ONE)
    assert place.record().state == ACCEPTED
    assert "Unable to open" in place.record().error
    assert place.launch(ONE).is_new
    assert place.record().error == ""


def test_the_end_of_a_job_is_recorded_once(place: Cloud) -> None:
    async def ends(launcher: Launcher) -> None:
        first = await launcher.launch(ONE)
        assert await launcher.ended(first.job_name, first.job_id, FAILED, "out of memory")
        assert not await launcher.ended(first.job_name, first.job_id, FAILED, "out of memory")
        record = await launcher.record_of_job(first.job_name)
        assert record
        assert (record.state, record.error, record.told) == (FAILED, "out of memory", ())
        assert (await launcher.launch(ONE)).state == FAILED
        place.dataflow.end(first.job_id, "JOB_STATE_FAILED")
        second = await launcher.launch(TWO)
        assert second.attempt == 2
        # What is said of the former attempt changes nothing of this one.
        assert not await launcher.ended(first.job_name, first.job_id, FAILED)
        assert await launcher.ended(second.job_name, second.job_id, CANCELLED)
        assert (await launcher.record(second.run_id) or record).state == CANCELLED

    place.use(ends)


def test_that_people_were_told_is_remembered_for_each_attempt(place: Cloud) -> None:
    async def told(launcher: Launcher) -> None:
        first = await launcher.launch(ONE)
        place.dataflow.end(first.job_id, "JOB_STATE_FAILED")
        second = await launcher.launch(TWO)  # which finds out before anybody says so
        for launched in (first, second):
            assert await launcher.ended(launched.job_name, launched.job_id, FAILED, is_told=True)
            assert not await launcher.ended(launched.job_name, launched.job_id, FAILED, is_told=True)
        record = await launcher.record(first.run_id)
        assert record
        assert (record.told, record.state) == ((first.job_id, second.job_id), FAILED)

    place.use(told)


def test_the_end_of_a_job_that_is_not_recorded_yet_is_left_to_who_settles_it(place: Cloud) -> None:
    ended: list[bool] = []

    async def during(launcher: Launcher) -> None:
        async def tell() -> None:
            job = place.dataflow.jobs[0]
            ended.append(await launcher.ended(job.name, job.id, FAILED, is_told=True))
            place.dataflow.end(job.id, "JOB_STATE_FAILED")

        place.dataflow.drop()
        with pytest.raises(LaunchBusy):
            await launcher.launch(ONE)
        await tell()
        assert (await launcher.launch(ONE)).state == LAUNCHED
        assert (await launcher.launch(TWO)).attempt == 2

    place.use(during)
    assert ended == [True]
    assert len(place.dataflow.jobs) == 2


def test_the_end_of_somebody_elses_job_is_no_news(place: Cloud) -> None:
    async def told(launcher: Launcher) -> None:
        for name in ("beamapp-root-0301", MARCH.run_id, f"{MARCH.run_id}-2"):
            assert not await launcher.ended(name, "2025", SUCCESS)
            assert await launcher.record_of_job(name) is None

    place.use(told)


@pytest.mark.parametrize("name", ["../x", "a/b", "a\0b", "a" * 300, "\ud800", ""])
def test_no_name_of_a_job_leads_out_of_the_folder_of_records(name: str, tmp_path: Path) -> None:
    async def record() -> LaunchRecord | None:
        async with Launcher(launch_config(records=str(tmp_path / "launches")), Endpoints()) as launcher:
            return await launcher.record_of_job(f"{name}-0123456789abcdef")

    (tmp_path / "x-0123456789abcdef.json").write_text("no record")
    assert asyncio.run(record()) is None


def test_what_was_launched_last_is_shown_first(place: Cloud) -> None:
    launches = [replace(MARCH, window=f"2025030{day}-2025031{day}") for day in range(1, 5)]
    for launch in launches:
        place.launch(launch)
    recent = place.use(lambda launcher: launcher.recent(3))
    assert [record.launch for record in recent] == launches[:0:-1]


def test_records_may_be_in_a_local_folder(place: Cloud, tmp_path: Path) -> None:
    async def launch() -> Launched:
        config = launch_config(records=str(tmp_path))
        async with Launcher(config, Endpoints(dataflow=place.dataflow.url)) as launcher:
            return await launcher.launch(ONE)

    place.dataflow.drop()
    with pytest.raises(LaunchBusy):
        asyncio.run(launch())
    assert {asyncio.run(launch()).job_id for _ in range(2)} == {place.dataflow.jobs[0].id}
    assert place.storage.requests == []


def test_a_run_may_have_more_than_a_hundred_attempts() -> None:
    long = Launch(pipeline="bigquery_to_avro", name="a" * 40, window="20250301T060000-20250301T120000-Europe/Berlin")
    assert len(long.job_name(1)) <= 63
    assert len(long.job_name(99_999)) <= 63
