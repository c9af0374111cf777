"""Several workers and the same batches, and batches that come again."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable

import pytest
from google.cloud.bigquery import SchemaField

from tests.end_to_end.load_moments import (
    DAYS,
    ELSEWHERE,
    begin,
    check_complete,
    claims,
    deliver,
    kill,
    records,
    statement,
    through,
)
from tests.end_to_end.loads import Loads, csv_of
from tests.end_to_end.process import Finished, Started
from tests.servers.bigquery_calls import Predicate
from tests.servers.bigquery_proxy import BigQueryProxy


@pytest.fixture
def dropped(loads: Loads) -> Loads:
    deliver(loads)
    return loads


def test_somebody_elsewhere_is_waited_for_until_his_lease_has_ended(dropped: Loads, proxy: BigQueryProxy) -> None:
    run = begin(dropped, proxy, claims(dropped), kill, after=True)
    run.wait()
    until = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=6)
    dropped.sql(
        f"UPDATE `{dropped.state_table}` SET claimed_by = '{ELSEWHERE}', lease_until = TIMESTAMP '{until}' WHERE TRUE"
    )
    ended = dropped.run()
    assert ended.code == 0
    assert dt.datetime.now(dt.UTC) > until
    check_complete(dropped)
    assert {row["attempts"] for row in dropped.states()} == {2}


def test_a_living_run_is_waited_for_and_nothing_loaded_again(dropped: Loads, proxy: BigQueryProxy) -> None:
    reached, go = threading.Event(), threading.Event()

    def hold(_: Started) -> None:
        reached.set()
        assert go.wait(30)

    run = begin(dropped, proxy, statement(dropped), hold, after=False)
    assert reached.wait(30)
    threading.Timer(3, go.set).start()
    second = dropped.run()
    assert go.is_set()
    assert second.code == 0
    assert second.out.startswith("nothing to load")
    assert run.wait().code == 0
    check_complete(dropped)
    assert {row["attempts"] for row in dropped.states()} == {1}


@pytest.mark.parametrize("held", [statement, records("DONE")], ids=["statement", "DONE"])
def test_a_worker_that_was_asleep_while_another_took_its_batches_over_loads_nothing_again(
    dropped: Loads, proxy: BigQueryProxy, held: Callable[[Loads], Predicate]
) -> None:
    reached, go = threading.Event(), threading.Event()

    def hold(_: Started) -> None:
        reached.set()
        assert go.wait(60)

    run = begin(dropped, proxy, held(dropped), hold, after=False)
    assert reached.wait(30)
    dropped.expire_leases()
    for number, directory in enumerate(DAYS, 1):  # so that neither load jobs nor statement are the same
        dropped.drop(f"{directory}/late", {"a.csv": csv_of("id", (number * 10 + 2,))})
    assert dropped.run(through(proxy)).code == 0
    assert dropped.rows("orders", "id") == [(n + each,) for n in (10, 20, 30) for each in (0, 1, 2)]
    go.set()
    ended = run.wait()
    assert ended.code == 0, ended.err
    assert "Traceback" not in ended.err
    assert dropped.rows("orders", "id") == [(n + each,) for n in (10, 20, 30) for each in (0, 1, 2)]
    assert set(dropped.statuses().values()) == {"DONE"}


def test_a_worker_that_loses_one_of_its_batches_still_loads_the_others(dropped: Loads, proxy: BigQueryProxy) -> None:
    def take_one(_: Started) -> None:
        dropped.sql(
            f"UPDATE `{dropped.state_table}` SET claimed_by = '{ELSEWHERE}', "
            "lease_until = TIMESTAMP_ADD(CURRENT_TIMESTAMP(), INTERVAL 3 SECOND) "
            f"WHERE directory = '{dropped.uri(DAYS[1])}/'"
        )

    run = begin(dropped, proxy, records("SUBMITTED")(dropped), take_one, after=False)
    ended = run.wait()
    assert ended.code == 0, ended.err
    assert f"{dropped.uri(DAYS[1])}/: another worker has taken this batch over" in ended.err
    check_complete(dropped)


def test_two_pipelines_at_once_load_once(dropped: Loads) -> None:
    for number in range(10):
        dropped.drop(f"items/2025/04/{number + 10}", {"a.csv": csv_of("id", (number,))})
    runs = [dropped.start(f"--input={dropped.input}") for _ in range(2)]
    assert [run.wait().code for run in runs] == [0, 0]
    assert dropped.rows("items", "id") == sorted([(7,), *((number,) for number in range(10))])
    assert dropped.rows("orders", "id") == [(10,), (11,), (20,), (21,), (30,), (31,)]
    assert {(row["status"], row["attempts"]) for row in dropped.states()} == {("DONE", 1)}
    assert len(dropped.states()) == 14


@pytest.mark.parametrize(("mode", "times"), [("append", 2), ("replace_partition", 1)])
def test_a_marker_that_comes_again_loads_its_directory_again_by_the_write_mode(
    dropped: Loads, mode: str, times: int
) -> None:
    flag = f"--write_mode={mode}"
    assert dropped.run(flag).code == 0
    assert dropped.run(flag).out.startswith("nothing to load")
    dropped.drop(DAYS[1], {})
    assert dropped.run(flag).code == 0
    assert dropped.rows("orders", "id") == sorted([(10,), (11,), (30,), (31,), *[(20,), (21,)] * times])
    assert [row["status"] for row in dropped.states() if row["directory"] == DAYS[1]] == ["DONE", "DONE"]


def test_backfill_ingest_loads_what_is_complete_and_not_loaded(dropped: Loads) -> None:
    dropped.make_table("orders", SchemaField("id", "INT64"), SchemaField("file_timestamp", "TIMESTAMP"))
    dropped.drop("orders/2025/03/05", {"a.csv": csv_of("id", ("no number",))})
    dropped.drop("orders/2025/03/06", {"a.csv": csv_of("id", (60,))}, marker=None)

    def ingest(*words: str) -> Finished:
        return dropped.wharf("backfill", "ingest", "--input", dropped.input, *words, *dropped.flags)

    assert ingest("--until", "2025-01-01").out.startswith("nothing to load")
    assert ingest("--only", "failed").out.startswith("nothing to load")
    first = ingest("--since", "2025-01-01")
    assert first.code == 1
    assert "orders/2025/03/05" in first.err
    assert dropped.statuses() == dict.fromkeys([*DAYS, "items/2025/03/01"], "DONE") | {"orders/2025/03/05": "FAILED"}
    dropped.put("orders/2025/03/05/a.csv", csv_of("id", (50,)))
    dropped.drop("orders/2025/03/06", {})
    assert ingest("--only", "failed").code == 0
    assert (50,) in dropped.rows("orders", "id")
    assert (60,) not in dropped.rows("orders", "id")
    assert ingest().code == 0
    assert dropped.rows("orders", "id") == [(10,), (11,), (20,), (21,), (30,), (31,), (50,), (60,)]


def test_a_batch_is_loaded_again_into_another_table_and_where_its_record_is_gone(
    dropped: Loads, proxy: BigQueryProxy
) -> None:
    """BigQuery remembers job ids for long: a job for another table, or of another record, is not ours."""
    behind = (f"--bigquery_endpoint={proxy.url}", f"--bigquery_storage_endpoint={dropped.storage_endpoint}")
    assert dropped.run(*behind).code == 0
    check_complete(dropped)
    elsewhere = f"{dropped.project}.{dropped.dataset}.elsewhere"
    second = (f"--destination_table={elsewhere}", f"--load_state_table={dropped.state_table}_2")
    assert dropped.run(*behind, *second).code == 0
    assert dropped.rows("elsewhere", "id") == [(7,), (10,), (11,), (20,), (21,), (30,), (31,)]
    dropped.sql(f"DELETE FROM `{dropped.state_table}_2` WHERE TRUE")
    assert dropped.run(*behind, *second).code == 0
    assert len(dropped.rows("elsewhere", "id")) == 14
