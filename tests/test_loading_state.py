"""The load-state table: who may load which batch, and what is recorded of it."""

from __future__ import annotations

import datetime as dt
import json
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.landed import NOON, ORDERS, batch, landing
from wharf.connectors import bigquery
from wharf.connectors.loading.state import LoadState, TakenOver
from wharf.model.loading import state
from wharf.model.loading.batch import Refused
from wharf.model.loading.state import CLAIMED, DISCOVERED, DONE, FAILED, SUBMITTED
from wharf.model.schema import TableId

LEASE = dt.timedelta(minutes=5)
NO_LEASE = dt.timedelta(seconds=-1)
FLAGS = json.dumps({"write_mode": "append", "prefix": "gs://b/in/"})


@pytest.fixture
def table(stack) -> TableId:
    return TableId(stack.project, "load_state", f"t_{uuid.uuid4().hex[:8]}")


@pytest.fixture
def loads(stack, table) -> LoadState:
    made = LoadState(stack.endpoints.bigquery_client(stack.project), table)
    made.ensure()
    return made


def claim(loads, batches, claimer="me", lease=LEASE, **options):
    return loads.claim(batches, claimer, lease, FLAGS, **options)


def row_of(loads, batch) -> dict:
    return loads.rows([batch.batch_id])[batch.batch_id]


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def test_a_new_batch_is_ours_with_everything_known_of_it(loads):
    day = batch("gs://b/in/1/", 7, ordered=True)
    (mine,) = claim(loads, [day])
    assert (mine.batch, mine.is_mine) == (day, True)
    row = row_of(loads, day)
    assert row == mine.row
    assert set(row) == {column.name for column in state.LOADS.columns}
    assert row["lease_until"] == row["claimed_at"] + LEASE
    wanted = dict.fromkeys(state.RESULT) | {
        "batch_id": day.batch_id,
        "directory": "gs://b/in/1/",
        "success_uri": "gs://b/in/1/_SUCCESS",
        "success_generation": 7,
        "destination_table": "p.sales.orders",
        "write_mode": "append",
        "status": CLAIMED,
        "ordered": True,
        "files": 2,
        "empty_files": 1,
        "bytes": 200,
        "attempts": 1,
        "claimed_by": "me",
        "discovered_at": row["claimed_at"],
        "settings": FLAGS,
    }
    assert {name: row[name] for name in wanted} == wanted


def test_a_claimed_batch_is_nobody_elses_while_the_lease_lasts(loads):
    day = batch("gs://b/in/1/")
    claim(loads, [day])
    (theirs,) = claim(loads, [day], "you", retry_failed=True)
    assert not theirs.is_mine
    assert theirs.row["claimed_by"] == "me"
    (again,) = claim(loads, [day])
    assert not again.is_mine, "the claimer's name alone is no claim: another thread may have it"


def test_a_batch_is_claimed_once_however_often_it_is_named(loads):
    day, other = batch("gs://b/in/1/"), batch("gs://b/in/2/")
    claims = claim(loads, [day, other, day])
    assert [(each.batch, each.is_mine) for each in claims] == [(day, True), (other, True)]
    assert len(loads.unfinished()) == 2
    assert claim(loads, []) == []


@pytest.mark.parametrize("status", [CLAIMED, SUBMITTED])
def test_what_a_dead_worker_left_is_taken_over_and_its_job_is_known(loads, status):
    day = batch("gs://b/in/1/")
    (dead,) = claim(loads, [day], "dead", NO_LEASE)
    if status == SUBMITTED:
        loads.write([state.submitted(dead.row, "job-1", NOON, loaded_rows=5)])
    (mine,) = claim(loads, [day])
    assert mine.is_mine
    assert (mine.row["status"], mine.row["attempts"], mine.row["claimed_by"]) == (CLAIMED, 2, "me")
    assert mine.row["discovered_at"] == dead.row["discovered_at"]
    assert (mine.row["job_id"], mine.row["submitted_at"]) == (("job-1", NOON) if status == SUBMITTED else (None, None))


def test_a_failed_batch_is_claimed_only_by_a_retry_and_forgets_its_error(loads):
    day = batch("gs://b/in/1/")
    (first,) = claim(loads, [day])
    loads.write([state.failed(state.submitted(first.row, "job-1", NOON, loaded_rows=5), "a corrupt file", now())])
    (refused,) = claim(loads, [day], "you")
    assert (refused.is_mine, refused.row["status"], refused.row["error_message"]) == (False, FAILED, "a corrupt file")
    (again,) = claim(loads, [day], "you", retry_failed=True)
    assert again.is_mine
    assert (again.row["error_message"], again.row["completed_at"]) == (None, None)
    assert (again.row["attempts"], again.row["job_id"]) == (2, "job-1")


def test_a_batch_that_is_done_is_never_claimed_again_but_a_new_marker_is_a_new_batch(loads):
    day, newer = batch("gs://b/in/1/", 1), batch("gs://b/in/1/", 2)
    (mine,) = claim(loads, [day], lease=NO_LEASE)
    loads.write([state.done(mine.row, now())])
    (done,) = claim(loads, [day], retry_failed=True)
    assert (done.is_mine, done.row["status"]) == (False, DONE)
    (fresh,) = claim(loads, [newer])
    assert fresh.is_mine


def test_a_discovered_batch_waits_and_may_be_claimed_by_anyone(loads):
    day = batch("gs://b/in/1/")
    loads.discover([day, day], FLAGS)
    first = row_of(loads, day)
    assert (first["status"], first["attempts"], first["claimed_by"]) == (DISCOVERED, 0, None)
    loads.discover([day], "{}")
    assert row_of(loads, day) == first, "what is known is left alone"
    (mine,) = claim(loads, [day])
    assert (mine.is_mine, mine.row["attempts"]) == (True, 1)
    assert mine.row["discovered_at"] == first["discovered_at"]
    loads.write([state.held(mine.row, "waits for gs://b/in/0/")])
    assert row_of(loads, day)["error_message"] == "waits for gs://b/in/0/"
    (theirs,) = claim(loads, [day], "you")
    assert theirs.is_mine


def test_what_could_not_be_resolved_is_recorded_too(loads):
    nowhere = Refused(landing("gs://b/odd/"), "gs://b/odd/: no table in this path")
    (mine,) = claim(loads, [nowhere])
    loads.write([state.failed(mine.row, nowhere.error, now())])
    row = row_of(loads, nowhere.landing)
    assert (row["status"], row["destination_table"], row["error_message"]) == (FAILED, None, nowhere.error)


def test_the_way_of_a_batch_to_its_end_is_recorded(loads):
    day = batch("gs://b/in/1/")
    (mine,) = claim(loads, [day])
    row = state.submitted(mine.row, "job-1", NOON, loaded_rows=30, loaded_batches=3, rejected_rows=2)
    loads.write([row])
    assert row_of(loads, day) == row
    loads.write([state.done(row, NOON)])
    found = row_of(loads, day)
    assert (found["status"], found["rows"], found["loaded_rows"], found["loaded_batches"]) == (DONE, None, 30, 3)
    assert (found["rejected_rows"], found["completed_at"], found["job_id"]) == (2, NOON, "job-1")
    assert found["rows"] is None, "how many of the thirty are its own, nobody counted"
    assert state.submitted(mine.row, "job-1", NOON, loaded_rows=30)["rows"] == 30


def test_an_end_that_nobody_lived_to_record_keeps_what_was_counted_before_the_job(loads):
    day = batch("gs://b/in/1/")
    (dead,) = claim(loads, [day], "dead", NO_LEASE)
    loads.write([state.submitted(dead.row, "job-1", NOON, loaded_rows=5)])
    (mine,) = claim(loads, [day])
    loads.write([state.done(mine.row, NOON)])
    found = row_of(loads, day)
    assert (found["status"], found["completed_at"], found["rows"], found["loaded_rows"]) == (DONE, NOON, 5, 5)


def test_who_lost_his_claim_changes_nothing_and_learns_which(loads):
    days = [batch(f"gs://b/in/{n}/") for n in range(3)]
    mine = claim(loads, days[:2], "slow", NO_LEASE) + claim(loads, days[2:], "slow")
    claim(loads, days[:2], "quick")
    with pytest.raises(TakenOver, match="gs://b/in/0/: another worker has taken this batch over, and 1 more") as lost:
        loads.write([state.submitted(each.row, "job-1", NOON, loaded_rows=5) for each in mine])
    assert lost.value.batch_ids == {day.batch_id for day in days[:2]}
    rows = loads.rows(day.batch_id for day in days)
    assert [(rows[day.batch_id]["claimed_by"], rows[day.batch_id]["status"]) for day in days] == [
        ("quick", CLAIMED),
        ("quick", CLAIMED),
        ("slow", SUBMITTED),
    ]


def test_a_write_does_not_shorten_the_lease(loads):
    day = batch("gs://b/in/1/")
    (mine,) = claim(loads, [day], lease=NO_LEASE)
    loads.renew("me", LEASE)
    loads.write([state.submitted(mine.row, "job-1", NOON, loaded_rows=5)])
    assert row_of(loads, day)["lease_until"] > now()
    assert not claim(loads, [day], "you")[0].is_mine


def test_a_lease_is_renewed_for_what_its_claimer_is_at_work_on(loads):
    at_work, ended, other = (batch(f"gs://b/in/{n}/") for n in range(3))
    mine = claim(loads, [at_work, ended], lease=NO_LEASE)
    claim(loads, [other], "you", NO_LEASE)
    loads.write([state.done(mine[1].row, NOON)])
    loads.renew("me", LEASE)
    assert [row_of(loads, each)["lease_until"] > now() for each in (at_work, ended, other)] == [True, False, False]


def test_leases_are_kept_alive_while_the_work_goes_on(loads):
    day = batch("gs://b/in/1/")
    (mine,) = claim(loads, [day], lease=NO_LEASE)
    with loads.kept_alive("me", dt.timedelta(seconds=0.9)):
        until = time.monotonic() + 10
        while (found := row_of(loads, day)["lease_until"]) == mine.row["lease_until"] and time.monotonic() < until:
            time.sleep(0.1)
    assert found > mine.row["lease_until"]


def insert_twin(loads: LoadState, **values) -> None:
    """A second row of the table's only batch, as BigQuery lets two insert them at the same time."""
    columns = [column.name for column in state.LOADS.columns]
    selected = ", ".join(f"@{name}" if name in values else f"`{name}`" for name in columns)
    bigquery.execute(
        loads.client,
        f"INSERT INTO `{loads.table}` ({', '.join(f'`{name}`' for name in columns)}) "
        f"SELECT {selected} FROM `{loads.table}`",
        values,
    )


class Raced(LoadState):
    """Another worker inserts the same batch while our claim is on its way."""

    def __init__(self, loads: LoadState, **rival) -> None:
        super().__init__(loads.client, loads.table)
        self._rival = rival

    def _run(self, sql, rows) -> int:
        affected = super()._run(sql, rows)
        if "retry" in rows[0]:
            insert_twin(self, **self._rival)
        return affected


@pytest.mark.parametrize(
    ("seconds", "status", "is_mine"),
    [(-1, CLAIMED, False), (1, CLAIMED, True), (1, SUBMITTED, False), (1, DISCOVERED, True), (1, FAILED, True)],
)
def test_of_two_that_insert_a_batch_at_once_one_stays_and_both_agree_which(loads, seconds, status, is_mine):
    day = batch("gs://b/in/1/")
    moment = now() + dt.timedelta(seconds=seconds)
    raced = Raced(loads, claimed_by="rival", claimed_at=moment, status=status)
    (claimed,) = claim(raced, [day])
    assert claimed.is_mine is is_mine
    (left,) = bigquery.rows(loads.client, f"SELECT * FROM `{loads.table}`")
    assert left["claimed_by"] == ("me" if is_mine else "rival")
    if is_mine:
        with pytest.raises(TakenOver):
            loads.write([state.submitted({**left, "claimed_by": "rival"}, "job-1", NOON, loaded_rows=5)])
        loads.write([state.submitted(claimed.row, "job-1", NOON, loaded_rows=5)])


def test_who_writes_before_another_has_looked_keeps_a_batch_that_both_inserted(loads):
    """The other inserted his row after we had looked: when he looks he finds ours SUBMITTED, and gives way."""
    day = batch("gs://b/in/1/")
    (mine,) = claim(loads, [day])
    older = now() - dt.timedelta(minutes=1)
    insert_twin(loads, claimed_by="rival", claimed_at=older)
    loads.write([state.submitted(mine.row, "job-1", NOON, loaded_rows=5)])
    assert not claim(loads, [day], "rival")[0].is_mine
    (left,) = bigquery.rows(loads.client, f"SELECT claimed_by, status FROM `{loads.table}`")
    assert left == {"claimed_by": "me", "status": SUBMITTED}


def test_a_batch_that_two_discovered_at_once_is_one_batch_once_it_is_claimed(loads):
    day = batch("gs://b/in/1/")
    loads.discover([day], FLAGS)
    insert_twin(loads, discovered_at=now())
    (mine,) = claim(loads, [day])
    assert mine.is_mine
    assert len(bigquery.rows(loads.client, f"SELECT * FROM `{loads.table}`")) == 1


def test_of_eight_workers_at_once_each_batch_has_one(loads):
    days = [batch(f"gs://b/in/{n:02d}/") for n in range(40)]

    def work(number: int) -> list[str]:
        apart = LoadState(loads.client, loads.table)
        some = days[number:] + days[:number]
        return [each.batch.batch_id for each in claim(apart, some, f"worker-{number}") if each.is_mine]

    with ThreadPoolExecutor(8) as pool:
        taken = [batch_id for ids in pool.map(work, range(8)) for batch_id in ids]
    assert sorted(taken) == sorted(day.batch_id for day in days)


def test_threads_of_one_worker_get_a_batch_once_and_write_together(loads):
    days = [batch(f"gs://b/in/{n:02d}/") for n in range(20)]

    def work(number: int) -> int:
        mine = [each.row for each in claim(loads, days, f"thread-{number}") if each.is_mine]
        loads.write([state.done(state.submitted(row, "job-1", NOON, loaded_rows=number), NOON) for row in mine])
        return len(mine)

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(work, range(6))) == len(days)
    rows = loads.rows(day.batch_id for day in days)
    assert {(row["status"], row["claimed_by"]) for row in rows.values()} == {
        (DONE, f"thread-{row['rows']}") for row in rows.values()
    }


def test_more_batches_than_one_statement_takes_are_claimed_in_several(loads):
    days = [batch(f"gs://b/in/{n:05d}/") for n in range(1_200)]
    started = time.perf_counter()
    mine = claim(loads, days)
    assert all(each.is_mine for each in mine)
    loads.write([state.done(each.row, NOON) for each in mine])
    assert time.perf_counter() - started < 30, "a statement a batch would take minutes"
    assert loads.unfinished() == []
    assert len(loads.history(dt.date(2020, 1, 1))) == 1_200


def ahead(loads, table, directory):
    """The first batch of a table, in path order, that is not DONE and comes before `directory`."""
    return next((row for row in loads.unfinished(table=table) if row["directory"] < directory), None)


def test_of_an_ordered_table_the_first_that_is_not_done_is_ahead(loads):
    days = [batch(f"gs://b/in/{n}/", ordered=True) for n in range(4)]
    elsewhere = batch("gs://b/in/0/x/", table=TableId("p", "sales", "other"))
    rows = {each.batch: each.row for each in claim(loads, [*days, elsewhere])}
    loads.write([state.done(rows[days[0]], NOON), state.failed(rows[days[1]], "corrupt", NOON)])
    loads.write([state.held(rows[days[3]], "waits for gs://b/in/1/")])
    assert ahead(loads, ORDERS, "gs://b/in/1/") is None
    assert ahead(loads, ORDERS, "gs://b/in/3/")["directory"] == "gs://b/in/1/"
    assert [row["directory"] for row in loads.unfinished(table=ORDERS) if row["status"] == DISCOVERED] == [
        "gs://b/in/3/"
    ]
    assert [row["directory"] for row in loads.unfinished()] == [
        *("gs://b/in/0/x/", "gs://b/in/1/", "gs://b/in/2/", "gs://b/in/3/"),
    ]
    assert [row["directory"] for row in loads.unfinished(below="gs://b/in/0/")] == ["gs://b/in/0/x/"]

    (repaired,) = claim(loads, [batch("gs://b/in/1/", 2, ordered=True)])
    loads.write([state.done(repaired.row, NOON)])
    assert ahead(loads, ORDERS, "gs://b/in/3/")["directory"] == "gs://b/in/2/", "the newest marker counts"
    assert [row["directory"] for row in loads.unfinished(table=ORDERS)] == ["gs://b/in/2/", "gs://b/in/3/"]


def test_the_history_begins_with_the_newest(loads):
    claim(loads, [batch("gs://b/in/1/")])
    claim(loads, [batch("gs://b/in/2/")])
    assert [row["directory"] for row in loads.history(now().date())] == ["gs://b/in/2/", "gs://b/in/1/"]
    assert loads.history(now().date() + dt.timedelta(days=1)) == []


def test_any_text_can_be_recorded_and_a_long_one_is_cut(loads):
    odd = batch('gs://b/in/"quoted" \\ å\n\t/')
    (mine,) = claim(loads, [odd])
    assert mine.row["directory"] == odd.directory
    loads.write([state.failed(mine.row, 'it\'s "x"\n' + "å" * 5_000, NOON)])
    assert row_of(loads, odd)["error_message"] == ('it\'s "x"\n' + "å" * 5_000)[:2_000]


def test_files_are_recorded_with_their_batch(loads, table):
    files = table._replace(table=f"{table.table}_files")
    bigquery.ensure_table(loads.client, files, state.LOAD_FILES)
    single, several = batch("gs://b/in/1/", files=1), batch("gs://b/in/2/", files=2)
    rows = [
        row
        for each in claim(loads, [single, several])
        for row in state.file_rows(
            each.batch, state.done(state.submitted(each.row, "job-1", NOON, loaded_rows=7), NOON), NOON
        )
    ]
    assert len(rows) == 3
    first = {"batch_id": single.batch_id, "file_uri": "gs://b/in/1/part-0.csv", "destination_table": "p.sales.orders"}
    first |= {"bytes": 100, "generation": 1, "file_timestamp": NOON, "rows": 7, "status": DONE, "recorded_at": NOON}
    assert rows[0] == first
    assert [row["rows"] for row in rows[1:]] == [None, None]
    bigquery.merge_rows(loads.client, files, state.LOAD_FILES, rows)
    assert len(bigquery.rows(loads.client, f"SELECT * FROM `{files}`")) == 3
