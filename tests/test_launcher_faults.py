"""Nothing lost and nothing twice, whatever breaks: Dataflow, Cloud Storage, the launcher itself, at any moment."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.launches import MARCH, Cloud, cloud
from wharf.connectors import machine
from wharf.connectors.launcher import Launched, Launcher
from wharf.model.errors import UsageError
from wharf.model.launching.errors import LaunchBusy
from wharf.model.launching.record import ACCEPTED, FAILED, LAUNCHED, LaunchRecord

ONE, TWO = replace(MARCH, key="one"), replace(MARCH, key="two")
ELSEWHERE = "another-machine:4711 0123abcd"


@pytest.fixture
def place() -> Iterator[Cloud]:
    with cloud() as made:
        yield made


def begin(place: Cloud, times: int = 1, key: str = "one") -> subprocess.Popen[str]:
    """A process that launches as soon as it is told `go`."""
    command = [sys.executable, "-m", "tests.launch_process", place.dataflow.url, place.storage.url, str(times), key]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    return process


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin
    process.stdin.write("\n")
    process.stdin.flush()


def end(process: subprocess.Popen[str]) -> list[dict[str, Any]]:
    out, _ = process.communicate(timeout=60)
    return [json.loads(line) for line in out.splitlines()]


def test_ten_identical_requests_at_once_on_two_processes_are_one_job(place: Cloud) -> None:
    place.dataflow.latency = 0.05
    processes = [begin(place, 10) for _ in range(2)]
    for process in processes:
        go(process)
    answers = [answer for process in processes for answer in end(process)]
    assert len(answers) == 20
    assert {answer["job_id"] for answer in answers} == {place.dataflow.jobs[0].id}
    assert sum(answer["is_new"] for answer in answers) == 1
    assert place.dataflow.launches == 1


def test_a_launcher_killed_between_the_record_and_the_launch_loses_nothing(place: Cloud) -> None:
    process = begin(place)

    def kill() -> None:
        os.kill(process.pid, signal.SIGKILL)
        raise ConnectionResetError  # the request never got through

    place.dataflow.before_launch = kill
    go(process)
    assert end(process) == []
    assert (place.record().state, place.dataflow.jobs) == (ACCEPTED, [])
    place.dataflow.before_launch = lambda: None
    launched = place.launch(ONE)
    assert launched.is_new
    assert [job.id for job in place.dataflow.jobs] == [launched.job_id]


def test_a_launcher_killed_between_the_launch_and_its_record_launches_nothing_twice(place: Cloud) -> None:
    process = begin(place)
    place.dataflow.after_launch = lambda: os.kill(process.pid, signal.SIGKILL)
    go(process)
    assert end(process) == []
    assert (place.record().state, len(place.dataflow.jobs)) == (ACCEPTED, 1)
    place.dataflow.after_launch = lambda: None
    launched = place.launch(ONE)
    assert (launched.job_id, launched.is_new) == (place.dataflow.jobs[0].id, False)
    assert place.record().state == LAUNCHED
    assert place.dataflow.launches == 1


def test_a_job_that_ended_before_anybody_asked_again_is_found_too(place: Cloud) -> None:
    process = begin(place)
    place.dataflow.after_launch = lambda: os.kill(process.pid, signal.SIGKILL)
    go(process)
    end(process)
    place.dataflow.after_launch = lambda: None
    place.dataflow.end(place.dataflow.jobs[0].id, "JOB_STATE_FAILED")
    assert not place.launch(ONE).is_new
    assert place.launch(TWO).attempt == 2
    assert place.dataflow.launches == 2


def test_a_launcher_killed_after_the_record_is_as_good_as_one_that_answered(place: Cloud) -> None:
    process = begin(place)
    go(process)
    assert process.stdout
    answer = json.loads(process.stdout.readline())
    process.kill()
    process.communicate()
    assert place.launch(ONE).job_id == answer["job_id"]
    assert place.dataflow.launches == 1


Fault = Callable[[Cloud], None]
UNMADE: dict[str, Fault] = {
    "429": lambda place: place.dataflow.fail(429, retry_after="7"),
    "503": lambda place: place.dataflow.fail(503),
    "500": lambda place: place.dataflow.fail(500),
    "quota as 403": lambda place: place.dataflow.fail(403, message="Quota exceeded for quota metric 'Requests'"),
    "quota as 400": lambda place: place.dataflow.fail(
        400, message="Dataflow quota error for jobs-per-project quota. Project p is running 25 jobs."
    ),
    "a connection that breaks": lambda place: place.dataflow.drop(is_made=False),
    "records that cannot be made": lambda place: place.storage.fail(503, times=4),
}
MADE: dict[str, Fault] = {
    "503 although the job was made": lambda place: place.dataflow.fail_once_made(503),
    "429 although the job was made": lambda place: place.dataflow.fail_once_made(429),
    "a connection that breaks once the job was made": lambda place: place.dataflow.drop(),
}


@pytest.mark.parametrize("fault", UNMADE)
@pytest.mark.parametrize("is_same_launcher", [True, False])
def test_a_launch_that_was_refused_is_done_by_the_callers_next_try(
    place: Cloud, fault: str, is_same_launcher: bool
) -> None:
    async def twice(launcher: Launcher) -> Launched | None:
        UNMADE[fault](place)
        with pytest.raises(LaunchBusy, match="try again"):
            await launcher.launch(ONE)
        assert place.dataflow.jobs == []
        return await launcher.launch(ONE) if is_same_launcher else None

    launched = place.use(twice) or place.launch(ONE)
    assert launched.is_new
    assert len(place.dataflow.jobs) == 1


@pytest.mark.parametrize("fault", MADE)
@pytest.mark.parametrize("is_same_launcher", [True, False])
def test_a_job_of_which_dataflow_did_not_tell_is_found(place: Cloud, fault: str, is_same_launcher: bool) -> None:
    async def twice(launcher: Launcher) -> Launched | None:
        MADE[fault](place)
        with pytest.raises(LaunchBusy, match="try again"):
            await launcher.launch(ONE)
        return await launcher.launch(ONE) if is_same_launcher else None

    launched = place.use(twice) or place.launch(ONE)
    assert (launched.job_id, launched.is_new) == (place.dataflow.jobs[0].id, False)
    assert place.dataflow.launches == 1


def test_a_quota_tells_when_to_come_again(place: Cloud) -> None:
    place.dataflow.fail(429, retry_after="7")
    with pytest.raises(LaunchBusy) as refused:
        place.launch(ONE)
    assert refused.value.retry_after == 7


@pytest.mark.parametrize("fault", [429, 503, 0])
def test_a_record_that_was_written_although_nobody_was_told_is_no_other_launchers(place: Cloud, fault: int) -> None:
    place.storage.fail_once_made(fault)
    assert place.launch(ONE).is_new
    assert place.dataflow.launches == 1
    assert "GET" not in "".join(place.dataflow.requests)


def test_a_job_whose_record_could_not_be_changed_is_found(place: Cloud) -> None:
    place.dataflow.after_launch = lambda: place.storage.fail(503, times=4)
    with pytest.raises(LaunchBusy, match=r"gs://my-bucket/launches: Cloud Storage says"):
        place.launch(ONE)
    place.dataflow.after_launch = lambda: None
    # The launcher that knew of it is alive, as far as another one can tell.
    launched = place.launch(ONE, lease=0.1)
    assert (launched.job_id, launched.is_new) == (place.dataflow.jobs[0].id, False)
    assert place.dataflow.launches == 1


def test_a_missing_bucket_is_named_before_anything_is_launched(place: Cloud) -> None:
    place.storage.missing.add("my-bucket")
    with pytest.raises(UsageError, match=r"gs://my-bucket/launches: .*does not exist; is the bucket's name right"):
        place.launch(ONE)
    assert place.dataflow.requests == []


def somebody_at_work(place: Cloud, *, seconds_ago: float = 0.0, owner: str = ELSEWHERE) -> None:
    when = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=seconds_ago)
    place.put(LaunchRecord.accepted(ONE, ["one"], owner, when))


def test_another_launcher_at_work_is_waited_for(place: Cloud) -> None:
    somebody_at_work(place)

    async def meanwhile(launcher: Launcher) -> Launched:
        request = asyncio.create_task(launcher.launch(ONE))
        await asyncio.sleep(0.3)
        assert not request.done()
        place.put(place.record().launched("2025-03-01_00_00_00-1", dt.datetime.now(dt.UTC)))
        return await request

    assert place.use(meanwhile).job_id == "2025-03-01_00_00_00-1"
    assert place.dataflow.requests == []


def test_another_launcher_at_work_for_long_is_left_to_it(place: Cloud) -> None:
    somebody_at_work(place)
    with pytest.raises(LaunchBusy, match="another launcher is at work") as busy:
        place.launch(ONE, patience=0.1)
    assert 20 < busy.value.retry_after <= 30
    assert place.dataflow.requests == []


@pytest.mark.parametrize(
    ("seconds_ago", "owner"), [(31.0, ELSEWHERE), (0.0, f"{machine.process().rpartition(':')[0]}:4194000 0123abcd")]
)
def test_a_launcher_that_is_gone_or_silent_is_replaced_at_once(place: Cloud, seconds_ago: float, owner: str) -> None:
    somebody_at_work(place, seconds_ago=seconds_ago, owner=owner)
    began = time.monotonic()
    assert place.launch(ONE).is_new
    assert time.monotonic() - began < 2


def test_two_launchers_that_replace_a_silent_one_make_one_job(place: Cloud) -> None:
    somebody_at_work(place, seconds_ago=31.0)
    place.dataflow.latency = 0.3  # both find that there is no job before either makes one
    processes = [begin(place, 3) for _ in range(2)]
    for process in processes:
        go(process)
    answers = [answer for process in processes for answer in end(process)]
    assert {answer["job_id"] for answer in answers} == {place.dataflow.jobs[0].id}
    assert (len(answers), place.dataflow.launches) == (6, 1)


def test_a_launcher_that_slept_and_was_replaced_keeps_its_job_if_the_other_has_none(place: Cloud) -> None:
    place.dataflow.after_launch = lambda: place.put(place.record().claimed(ELSEWHERE, dt.datetime.now(dt.UTC)))
    launched = place.launch(ONE)
    assert (place.record().job_id, place.record().state) == (launched.job_id, LAUNCHED)
    assert place.dataflow.jobs[0].is_active


def test_a_launcher_that_slept_and_was_replaced_cancels_its_second_job(place: Cloud) -> None:
    place.dataflow.after_launch = lambda: place.put(place.record().launched("others", dt.datetime.now(dt.UTC)))
    launched = place.launch(ONE)
    assert (launched.job_id, launched.is_new) == ("others", False)
    assert place.record().job_id == "others"
    assert [job.state for job in place.dataflow.jobs] == ["JOB_STATE_CANCELLED"]


def test_a_launcher_that_slept_until_the_next_attempt_began_answers_with_no_job_that_is_none(place: Cloud) -> None:
    def next_attempt() -> None:
        now = dt.datetime.now(dt.UTC)
        place.put(place.record().launched("others", now).ended(FAILED, now).again(ONE, ELSEWHERE, now))

    place.dataflow.after_launch = next_attempt
    with pytest.raises(LaunchBusy, match="the next attempt"):
        place.launch(ONE)
    assert [job.state for job in place.dataflow.jobs] == ["JOB_STATE_CANCELLED"]


def test_a_second_job_that_dataflow_takes_and_fails_changes_nothing(place: Cloud) -> None:
    place.dataflow.refuses_duplicates = False
    first = place.launch(ONE)
    place.put(
        replace(
            place.record(),
            state=ACCEPTED,
            job_id="",
            owner=ELSEWHERE,
            claimed_at=dt.datetime(2025, 3, 1, tzinfo=dt.UTC),
        )
    )
    assert place.launch(ONE).job_id == first.job_id
    assert place.dataflow.launches == 1


@pytest.mark.parametrize("seed", range(12))
def test_whatever_happens_in_whatever_order_each_request_has_one_run(place: Cloud, seed: int) -> None:
    """Requests with few keys, by launchers that come and go, while all breaks at random and jobs end."""
    chance = random.Random(seed)
    breaks = [*UNMADE.values(), *MADE.values(), lambda place: place.storage.fail_once_made(503, times=4)]
    breaks.remove(UNMADE["records that cannot be made"])  # they take seconds
    breaks.pop()
    answered: dict[str, int] = {}  # by key: how many jobs there were when it was answered for the first time

    async def requests(launcher: Launcher) -> None:
        for _ in range(4):
            if chance.random() < 0.5:
                chance.choice(breaks)(place)
            key = f"key {chance.randrange(8)}"
            before = len(place.dataflow.jobs)
            was_active = any(job.is_active for job in place.dataflow.jobs)
            for _ in range(9):  # as Pub/Sub does
                try:
                    launched = await launcher.launch(replace(MARCH, key=key))
                    break
                except (LaunchBusy, UsageError):
                    pass
            made = len(place.dataflow.jobs) - before
            assert made == 0 if key in answered or was_active else made <= 1
            assert launched.job_id in {job.id for job in place.dataflow.jobs}
            answered.setdefault(key, len(place.dataflow.jobs))
            assert sum(job.is_active for job in place.dataflow.jobs) <= 1
            if chance.random() < 0.4 and place.dataflow.jobs[-1].is_active:
                state = chance.choice(["DONE", "FAILED", "FAILED", "CANCELLED"])
                place.dataflow.end(launched.job_id, f"JOB_STATE_{state}")
                await launcher.ended(launched.job_name, launched.job_id, {"DONE": "SUCCESS"}.get(state, state))

    for _ in range(6):
        place.use(requests)
    assert answered
