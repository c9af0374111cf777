"""Ordered tables, and loads that wait for a file."""

from __future__ import annotations

import datetime as dt
import signal
import threading
from collections.abc import Callable

import apache_beam as beam
import pytest
from google.cloud.bigquery import SchemaField

from pipelines.command_line import IN_PROCESS
from tests.end_to_end.load_moments import ELSEWHERE, records
from tests.end_to_end.loads import Loads, csv_of
from tests.end_to_end.process import Finished
from tests.servers.bigquery_calls import Call, Dropped
from tests.servers.bigquery_proxy import BigQueryProxy
from transforms.find_batches import AwaitFile
from wharf.local.stack import LocalStack
from wharf.model.errors import RunFailed


def day(number: int) -> str:
    return f"orders/2025/03/{number:02}"


def only(loads: Loads, number: int) -> tuple[str, str]:
    """What loads one day alone."""
    return (f"--input={loads.uri(day(number))}/**", f"--prefix={loads.input.removesuffix('**')}")


@pytest.fixture
def ordered(loads: Loads) -> Loads:
    """`orders` takes its batches in order."""
    loads.make_table("orders", SchemaField("id", "INT64"), SchemaField("file_timestamp", "TIMESTAMP"))
    loads.put("orders/_config/ORDERME")
    return loads


def drop(loads: Loads, *numbers: int, bad: tuple[int, ...] = ()) -> None:
    """Deliver days, each with its number as its one row; a bad one has a text instead."""
    for number in numbers:
        loads.drop(day(number), {"a.csv": csv_of("id", ("bad" if number in bad else number,))})


def ids(loads: Loads) -> list[int]:
    return [number for (number,) in loads.rows("orders", "id")]


@pytest.mark.parametrize("mode", ["replace_table", "merge", "append"])
def test_batches_are_applied_in_the_order_of_their_paths(ordered: Loads, mode: str) -> None:
    keys = {"mergeKeys": ["key"]} if mode == "merge" else {}
    ordered.put("latest/_config/load.json", {"writeMode": mode} | keys)
    ordered.put("latest/_config/ORDERME")
    for number in (3, 1, 4, 2):
        ordered.drop(f"latest/2025/03/0{number}", {"a.csv": csv_of("key,id", (1, number))})
    assert ordered.run().code == 0
    expected = [1, 2, 3, 4] if mode == "append" else [4]
    assert [number for (number,) in ordered.rows("latest", "id")] == expected
    assert {(row["status"], row["ordered"]) for row in ordered.states()} == {("DONE", True)}


def redeliver(loads: Loads) -> Finished:
    drop(loads, 2)
    return loads.run(*only(loads, 2))


def retry(loads: Loads) -> Finished:
    loads.put(f"{day(2)}/a.csv", csv_of("id", (2,)))
    return loads.wharf("retry", "--load_state_table", loads.state_table)


def retry_one(loads: Loads) -> Finished:
    loads.put(f"{day(2)}/a.csv", csv_of("id", (2,)))
    return loads.wharf("retry", "--load_state_table", loads.state_table, "--directory", loads.uri(day(2)))


@pytest.mark.parametrize("repair", [redeliver, retry, retry_one])
def test_a_failed_batch_holds_back_its_successors_only_until_it_is_repaired(
    ordered: Loads, repair: Callable[[Loads], Finished]
) -> None:
    drop(ordered, 1, 2, 3, 4, bad=(2,))
    for number in (1, 2, 3):
        content = csv_of("id", ("bad" if number == 1 else number,))
        ordered.drop(f"others/2025/03/0{number}", {"a.csv": content})
    ordered.make_table("others", SchemaField("id", "INT64"), SchemaField("file_timestamp", "TIMESTAMP"))
    for _ in "12":
        ended = ordered.run()
        assert ended.code == 1
        assert ids(ordered) == [1]
        assert ordered.rows("others", "id") == [(2,), (3,)], "where no order is asked for, nothing waits"
        statuses = ordered.statuses()
        assert [statuses[day(number)] for number in (1, 2, 3, 4)] == ["DONE", "FAILED", "DISCOVERED", "DISCOVERED"]
        for number in (3, 4):
            assert ordered.errors()[day(number)].startswith(f"waits for {ordered.uri(day(2))}/, which comes before it")
            assert f"waits for {ordered.uri(day(2))}/" in ended.err
    ordered.put("others/2025/03/01/a.csv", csv_of("id", (1,)))
    ended = repair(ordered)
    assert ended.code == 0, ended.err
    assert ids(ordered) == [1, 2, 3, 4]
    newest = {row["directory"]: (row["status"], row["error_message"]) for row in ordered.states()}
    assert {newest[day(number)] for number in (1, 2, 3, 4)} == {("DONE", None)}


def test_a_failed_batch_whose_directory_is_deleted_holds_back_nothing(ordered: Loads) -> None:
    drop(ordered, 1, 2, 3, 4, bad=(2,))
    assert ordered.run().code == 1
    ordered.delete(day(2))
    ended = ordered.run()
    assert ended.code == 0, ended.err
    assert ids(ordered) == [1, 3, 4]
    assert ordered.statuses() == {day(1): "DONE", day(2): "FAILED", day(3): "DONE", day(4): "DONE"}


def test_a_waiting_batch_whose_directory_is_deleted_is_passed_over(ordered: Loads) -> None:
    drop(ordered, 1, 2, 3, bad=(1,))
    assert ordered.run().code == 1
    ordered.delete(day(2))
    assert retry_first(ordered).code == 0
    assert ids(ordered) == [1, 3]


def retry_first(loads: Loads) -> Finished:
    loads.put(f"{day(1)}/a.csv", csv_of("id", (1,)))
    return loads.wharf("retry", "--load_state_table", loads.state_table, "--directory", loads.uri(day(1)))


def test_what_was_held_is_applied_in_order_too(ordered: Loads) -> None:
    ordered.put("orders/_config/load.json", {"writeMode": "replace_table"})
    drop(ordered, 4, 3, 2, 1, bad=(1,))
    assert ordered.run().code == 1
    assert ids(ordered) == []
    drop(ordered, 1)
    assert ordered.run(*only(ordered, 1)).code == 0
    assert ids(ordered) == [4]
    moments = [row["submitted_at"] for row in ordered.states() if row["status"] == "DONE"]
    assert moments == sorted(moments)
    assert len(moments) == 4


@pytest.mark.parametrize("files", [{}, {"a.csv": "id\n2\n", "b.json": '{"id": 2}\n'}], ids=["no data", "two formats"])
def test_a_delivery_that_cannot_even_be_tried_holds_back_its_successors(ordered: Loads, files: dict[str, str]) -> None:
    drop(ordered, 1, 3)
    ordered.drop(day(2), files)
    assert ordered.run().code == 1
    assert ids(ordered) == [1]
    assert ordered.statuses() == {day(1): "DONE", day(2): "FAILED", day(3): "DISCOVERED"}
    ordered.bucket.blob(f"{ordered.prefix}{ordered.dataset}/{day(2)}/b.json").upload_from_string("")
    drop(ordered, 2)
    assert ordered.run(*only(ordered, 2)).code == 0
    assert ids(ordered) == [1, 2, 3]


def kill(loads: Loads, proxy: BigQueryProxy, *words: str, nth: int = 1, after: bool = False) -> None:
    """Run, and kill at the table's `nth` statement."""

    def act(_: Call) -> None:
        loads.started[-1].signal(signal.SIGKILL)
        raise Dropped

    proxy.on(lambda call: call.kind == "query" and call.modifies(f"{loads.dataset}.orders"), act, nth=nth, after=after)
    assert loads.start(*words, f"--bigquery_endpoint={proxy.url}").wait().code == -signal.SIGKILL


def test_a_later_batch_alone_does_not_overtake_an_unfinished_one(ordered: Loads, proxy: BigQueryProxy) -> None:
    drop(ordered, 1, 2)
    kill(ordered, proxy, *only(ordered, 1))
    ordered.sql(f"UPDATE `{ordered.state_table}` SET claimed_by = '{ELSEWHERE}' WHERE TRUE")
    ended = ordered.run(*only(ordered, 2))
    assert ended.code == 1
    assert ids(ordered) == []
    assert ordered.statuses() == {day(1): "SUBMITTED", day(2): "DISCOVERED"}
    assert f"waits for {ordered.uri(day(1))}/" in ended.err
    ordered.expire_leases()
    assert ordered.run(*only(ordered, 1)).code == 0
    assert ids(ordered) == [1, 2]


@pytest.mark.parametrize("mode", ["append", "replace_table"])
def test_a_batch_that_another_worker_has_taken_over_is_not_overtaken(
    ordered: Loads, proxy: BigQueryProxy, mode: str
) -> None:
    ordered.put("orders/_config/load.json", {"writeMode": mode})
    drop(ordered, 1, 2, 3)

    def take_second(_: Call) -> None:
        ordered.sql(
            f"UPDATE `{ordered.state_table}` SET claimed_by = '{ELSEWHERE}', "
            "lease_until = TIMESTAMP_ADD(CURRENT_TIMESTAMP(), INTERVAL 3 SECOND) "
            f"WHERE directory = '{ordered.uri(day(2))}/'"
        )

    proxy.on(records("SUBMITTED")(ordered), take_second, nth=1)
    ended = ordered.run(f"--bigquery_endpoint={proxy.url}")
    assert ids(ordered) == ([1, 2, 3] if mode == "append" else [3])
    completed = {row["directory"]: row["completed_at"] for row in ordered.states()}
    assert sorted(completed, key=lambda directory: completed[directory]) == [day(1), day(2), day(3)]
    assert set(ordered.statuses().values()) == {"DONE"}
    assert f"waits for {ordered.uri(day(2))}/" in ended.err


def test_a_batch_that_came_while_the_one_before_it_was_loaded_is_loaded_by_who_loads_that(
    ordered: Loads, proxy: BigQueryProxy
) -> None:
    drop(ordered, 1, 2)
    reached, go = threading.Event(), threading.Event()

    def hold(_: Call) -> None:
        reached.set()
        assert go.wait(30)

    proxy.on(lambda call: call.kind == "query" and call.modifies(f"{ordered.dataset}.orders"), hold, nth=1)
    run = ordered.start(*only(ordered, 1), f"--bigquery_endpoint={proxy.url}")
    assert reached.wait(30)
    assert ordered.run(*only(ordered, 2)).code == 1
    assert ordered.statuses()[day(2)] == "DISCOVERED"
    go.set()
    assert run.wait().code == 0
    assert ordered.statuses() == {day(1): "DONE", day(2): "DONE"}
    assert ids(ordered) == [1, 2]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_run_that_was_killed_between_two_batches_goes_on_in_order(
    ordered: Loads, proxy: BigQueryProxy, after: bool
) -> None:
    ordered.put("orders/_config/load.json", {"writeMode": "replace_table"})
    drop(ordered, 1, 2, 3)
    kill(ordered, proxy, f"--input={ordered.input}", nth=2, after=after)
    assert ids(ordered) == [2 if after else 1]
    assert ordered.run(f"--bigquery_endpoint={proxy.url}").code == 0
    assert ids(ordered) == [3]
    assert set(ordered.statuses().values()) == {"DONE"}


def test_a_batch_run_waits_for_the_file(loads: Loads) -> None:
    drop(loads, 1)
    complete = loads.uri("HISTORY_COMPLETE")
    threading.Timer(2, lambda: loads.put("HISTORY_COMPLETE", "complete")).start()
    seen = []
    threading.Timer(1, lambda: seen.append(loads.tables())).start()
    ended = loads.run(f"--wait_for={complete}", "--wait_minutes=1")
    assert (ended.code, ended.err) == (0, "")
    assert seen == [set()]
    assert ids(loads) == [1]


def test_waiting_in_vain_fails_with_the_file_and_the_remedy(stack: LocalStack, loads: Loads) -> None:
    uri = loads.uri("never")
    pipeline = beam.Pipeline(runner=IN_PROCESS)
    _ = pipeline | beam.Create(["gs://b/**"]) | AwaitFile(uri, dt.timedelta(seconds=0.1), stack.endpoints)
    expected = f"{uri} is not there after 0 minutes, so nothing was loaded: run again when it is, or .* --wait_minutes"
    with pytest.raises(RunFailed, match=expected):
        pipeline.run().wait_until_finish()
