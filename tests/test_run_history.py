"""The history of all runs, from rows that the pipelines' own code recorded on the embedded stack."""

from __future__ import annotations

import datetime as dt
import json
import re
import shlex
import time
from dataclasses import replace

import pytest
from google.cloud.bigquery import SchemaField, Table

from tests.recorded_runs import DAY, MINUTE, NOON, SFTP, Ledgers, batch, delivered, exported, fetched, loaded
from tests.servers.bigquery_calls import refuse
from tests.servers.bigquery_proxy import BigQueryProxy
from wharf.connectors import bigquery
from wharf.connectors.ledger import RunLedger
from wharf.connectors.run_history import Position, RunHistory
from wharf.launch.cli import make_parser
from wharf.launch.parser import parse
from wharf.model.errors import UsageError
from wharf.model.history.runs import Run
from wharf.model.loading import state as loading

NOW = dt.datetime.now(dt.UTC)


@pytest.fixture
def ledgers(stack) -> Ledgers:
    return Ledgers.of(stack)


def only(runs: list[Run]) -> Run:
    (run,) = runs
    return run


def test_without_any_table_there_are_no_runs(ledgers):
    history = ledgers.history
    assert history.runs() == history.days(NOON.date()) == history.troubles(NOON.date()) == history.of_job("j") == []
    assert history.run("r") is None


def test_an_export_is_a_run(ledgers):
    ledgers.export(exported("e1"))
    assert only(ledgers.history.runs()) == Run(
        run_id="e1",
        pipeline="bigquery_to_avro",
        name="measurements",
        status="SUCCESS",
        started_at=NOON,
        completed_at=NOON + 5 * MINUTE,
        rows=1_000_000,
        bytes=19_000_000,
        files=124,
        window="2025-03",
        source="demo-project.metering.measurements",
        destination="gs://bucket/events",
        job_id="2025-03-20_05_00_00-1234567890",
        ledger=str(ledgers.tables.exports),
    )


def test_a_batch_of_files_is_a_run_that_began_when_it_was_claimed(ledgers):
    ledgers.load(loaded(batch()))
    run = only(ledgers.history.runs())
    assert (run.pipeline, run.name, run.status) == ("files_to_bigquery", "sales.orders", "SUCCESS")
    assert (run.started_at, run.seconds, run.rows, run.bytes, run.files) == (NOON, 120, 2_000, 2_000, 2)
    assert (run.source, run.destination) == ("gs://in/sales/orders/2025-03-20/", "demo-project.sales.orders")
    assert (run.run_id, run.job_id, run.retry) == (batch().batch_id, "wharf-load-1", "")


@pytest.mark.parametrize(
    ("recorded", "shown"), [("DISCOVERED", "WAITING"), ("CLAIMED", "RUNNING"), ("SUBMITTED", "RUNNING")]
)
def test_a_batch_that_is_not_done_is_waiting_or_running(ledgers, recorded, shown):
    ledgers.load(loaded(batch(), NOW, recorded, "waits for the batch before it", lease_until=NOW + DAY))
    run = only(ledgers.history.runs())
    assert (run.status, run.completed_at, run.retry) == (shown, None, "")


def test_a_batch_that_is_claimed_again_has_not_ended(ledgers):
    of = batch()
    ledgers.load(loaded(of, NOW - 60 * DAY, "FAILED"))
    claim = ledgers.loads.claim([of], "load-2 host:2 abc", DAY, "{}", retry_failed=True)
    assert [claimed.is_mine for claimed in claim] == [True]
    run = only(ledgers.history.runs(since=NOW.date()))  # not when it was discovered
    assert (run.status, run.completed_at, run.seconds) == ("RUNNING", None, None)


def test_the_endpoints_of_a_fetch_are_one_run(ledgers):
    ledgers.fetch(fetched("r1", "Invoices"), fetched("r1", "Contacts", NOON + MINUTE), fetched("r2", "Contacts"))
    run = only([run for run in ledgers.history.runs() if run.run_id == "r1"])
    assert (run.pipeline, run.name, run.status) == ("api_to_bigquery", "acme/xero", "SUCCESS")
    assert (run.started_at, run.completed_at) == (NOON, NOON + 4 * MINUTE)
    assert (run.rows, run.bytes, run.files, run.source) == (600, 180_000, 2, "Contacts,Invoices")
    assert run.destination == "demo-project.xero"


@pytest.mark.parametrize(
    ("endpoints", "run"),
    [
        ("SUCCESS FAILED RUNNING", "FAILED"),
        ("SUCCESS RUNNING STOPPED", "RUNNING"),
        ("SUCCESS STOPPED", "STOPPED"),
        ("SUCCESS SUCCESS", "SUCCESS"),
    ],
)
def test_a_fetch_stands_as_the_worst_of_its_endpoints(ledgers, endpoints, run):
    ledgers.fetch(*(fetched("r1", f"E{number}", status=one) for number, one in enumerate(endpoints.split())))
    found = only(ledgers.history.runs())
    assert found.status == run
    assert (found.completed_at is None) == ("RUNNING" in endpoints)


def test_exports_and_deliveries_that_share_a_table_are_told_apart(stack):
    ledgers = Ledgers.of(stack, shared=True)
    ledgers.export(exported("e1"), delivered("orders-20250320-1"))
    runs = {run.run_id: run for run in ledgers.history.runs()}
    assert len(runs) == 2
    assert runs["e1"].pipeline == "bigquery_to_avro"
    assert (runs["orders-20250320-1"].pipeline, runs["orders-20250320-1"].destination) == ("bigquery_to_sftp", SFTP)
    assert only(ledgers.history.runs(pipeline="bigquery_to_avro")).run_id == "e1"
    assert only(ledgers.history.runs(pipeline="bigquery_to_sftp")).run_id == "orders-20250320-1"


def test_a_table_that_people_had_before_is_read_under_its_names(ledgers):
    """It has neither all columns nor an id for what others wrote."""
    their = (("export_name", "STRING"), ("export_status", "STRING"), ("rows_exported", "INT64"))
    times = (("started_at", "TIMESTAMP"), ("completed_at", "TIMESTAMP"), ("error_message", "STRING"))
    table = str(ledgers.tables.deliveries)
    ledgers.export(exported("e1"))
    ledgers.client.create_table(Table(table, [SchemaField(name, type_) for name, type_ in their + times]), retry=None)
    ended = "TIMESTAMP '2025-03-20 11:00:00+00', TIMESTAMP '2025-03-20 11:01:00+00'"
    bigquery.execute(ledgers.client, f"INSERT INTO `{table}` VALUES ('news', 'FAILED', 7, {ended}, 'no space')")
    theirs = only(ledgers.history.runs(pipeline="bigquery_to_sftp"))
    assert (theirs.name, theirs.status, theirs.rows, theirs.error) == ("news", "FAILED", 7, "no space")
    assert ledgers.history.run(theirs.run_id) == theirs
    assert [run.name for run in ledgers.history.runs()] == ["measurements", "news"]
    assert ledgers.history.files(theirs) == []


def test_a_table_of_another_shape_is_passed_over(ledgers):
    ledgers.export(exported("e1"))
    ledgers.client.create_table(Table(str(ledgers.tables.loads), [SchemaField("id", "INT64")]), retry=None)
    assert only(ledgers.history.runs()).run_id == "e1"


def test_a_table_that_is_made_or_dropped_in_the_meantime_is_noticed(ledgers):
    history = ledgers.history
    ledgers.export(exported("e1"))
    ledgers.load(loaded(batch()))
    assert len(history.runs()) == 2
    bigquery.drop(ledgers.client, ledgers.tables.loads)
    assert only(history.runs()).run_id == "e1"
    ledgers.fetch(fetched("r1"))
    assert len(history.runs()) == 2


def test_runs_of_all_ledgers_come_newest_first_and_page_by_page(ledgers):
    ledgers.export(exported("e1", NOON), exported("e2", NOON - 2 * MINUTE), exported("e3", NOON - 2 * MINUTE))
    ledgers.deliver(delivered("d-20250320-1", NOON - MINUTE))
    ledgers.load(loaded(batch(), NOON - 3 * MINUTE))
    ledgers.fetch(fetched("r1", began=NOON + MINUTE))
    history = ledgers.history
    order = ["r1", "e1", "d-20250320-1", "e3", "e2", batch().batch_id]
    assert [run.run_id for run in history.runs()] == order
    paged, after = [], None
    while found := history.runs(after=after, limit=2):
        paged += [run.run_id for run in found]
        after = Position(found[-1].started_at, found[-1].run_id)
    assert paged == order


def test_runs_are_filtered_by_pipeline_name_status_and_day(ledgers):
    ledgers.export(exported("e1"), exported("e2", NOON - DAY, "FAILED"), exported("e3", export_name="other"))
    ledgers.load(loaded(batch()), loaded(batch(generation=2), NOON - DAY, "FAILED"))
    history = ledgers.history

    def found(**narrowed) -> set[str]:
        return {run.run_id for run in history.runs(**narrowed)}

    failed = batch(generation=2).batch_id
    assert found(pipeline="files_to_bigquery") == {batch().batch_id, failed}
    assert found(name="other") == {"e3"}
    assert found(name="sales.orders", status="FAILED") == {failed}
    assert found(status="FAILED") == {"e2", failed}
    yesterday = (NOON - DAY).date()
    assert found(since=yesterday, until=yesterday) == {"e2", failed}
    assert found(since=NOON.date()) == {"e1", "e3", batch().batch_id}
    assert found(until=yesterday) == {"e2", failed}
    assert found(name="'; DROP TABLE x; --") == set()


def test_a_run_whose_lease_has_ended_is_silent_not_failed(ledgers):
    ended = NOW - MINUTE
    ledgers.export(exported("alive", NOW, "RUNNING"), exported("gone", NOW - DAY, "RUNNING", lease_until=ended))
    ledgers.load(loaded(batch(), NOW - 10 * MINUTE, "CLAIMED"))
    runs = {run.run_id: run for run in ledgers.history.runs()}
    assert (runs["alive"].status, runs["alive"].silent_since, runs["alive"].retry) == ("RUNNING", None, "")
    assert (runs["gone"].status, runs["gone"].silent_since) == ("SILENT", ended)
    assert "wharf run bigquery_to_avro" in runs["gone"].retry
    assert runs[batch().batch_id].status == "SILENT"
    assert {run.run_id for run in ledgers.history.runs(status="SILENT")} == {"gone", batch().batch_id}
    assert only(ledgers.history.runs(status="RUNNING")).run_id == "alive"


def test_a_fetch_is_silent_once_nobody_holds_its_api(ledgers):
    ledgers.fetch(fetched("held", began=NOW, status="RUNNING"), fetched("dead", began=NOW, status="RUNNING"))
    ledgers.fetch(fetched("loading", began=NOW, status="RUNNING"))
    with ledgers.fetches.held("acme/xero/1", "loading", DAY):
        pass
    with ledgers.fetches.held("acme/xero/2", "held", DAY):
        with pytest.raises(OSError, match="broken"), ledgers.fetches.held("acme/xero/3", "dead", DAY):
            raise OSError("broken")
        status = {run.run_id: run.status for run in ledgers.history.runs()}
    assert status == {"held": "RUNNING", "dead": "SILENT", "loading": "RUNNING"}


def test_days_are_counted_by_pipeline_and_status(ledgers):
    ledgers.export(
        exported("e1"), exported("e2", NOON + MINUTE, completed_at=NOON + 11 * MINUTE), exported("e3", NOON - DAY)
    )
    ledgers.export(exported("e4", NOON - MINUTE, "FAILED", export_name="other", rows_exported=None))
    ledgers.fetch(fetched("r1"))
    days = ledgers.history.days(NOON.date() - DAY)
    assert [(day.day.day, day.pipeline, day.status, day.runs, day.rows, day.seconds) for day in days] == [
        (19, "bigquery_to_avro", "SUCCESS", 1, 1_000_000, 300),
        (20, "api_to_bigquery", "SUCCESS", 1, 300, 180),
        (20, "bigquery_to_avro", "FAILED", 1, 0, 300),
        (20, "bigquery_to_avro", "SUCCESS", 2, 2_000_000, 600),
    ]
    assert [day.names for day in days] == [("measurements",), ("acme/xero",), ("other",), ("measurements",)]
    assert [day.runs for day in ledgers.history.days(NOON.date(), name="other")] == [1]


def test_a_failure_is_in_the_way_until_a_run_of_its_window_succeeds(ledgers):
    february = {
        "window_from": dt.datetime(2025, 2, 1, tzinfo=dt.UTC),
        "window_to": dt.datetime(2025, 3, 1, tzinfo=dt.UTC),
    }
    ledgers.export(
        exported("feb", NOON - 5 * DAY, "FAILED", **february),
        exported("mar-1", NOON - 4 * DAY, "FAILED"),
        exported("mar-2", NOON - 3 * DAY, "FAILED"),
        exported("mended", NOON - 4 * DAY, "FAILED", export_name="other"),
        exported("mends", NOON - 3 * DAY, export_name="other"),
    )
    history = ledgers.history
    march, feb = history.troubles(NOON.date() - 9 * DAY)
    assert ([run.run_id for run in march.runs], march.since, march.retried_by) == (
        ["mar-2", "mar-1"],
        NOON - 4 * DAY,
        None,
    )
    assert (feb.newest.run_id, feb.newest.window) == ("feb", "2025-02")
    ledgers.export(exported("mar-3", NOW, "RUNNING"))
    march, _ = history.troubles(NOON.date() - 9 * DAY)
    assert [march.newest.run_id, march.retried_by.run_id] == ["mar-2", "mar-3"]
    year = {"window_from": dt.datetime(2025, 1, 1, tzinfo=dt.UTC), "window_to": dt.datetime(2026, 1, 1, tzinfo=dt.UTC)}
    ledgers.export(exported("elsewhere", NOON, destination_uri="gs://bucket/other", **year))
    assert len(history.troubles(NOON.date() - 9 * DAY)) == 2
    ledgers.export(exported("whole", NOON, **year))
    assert history.troubles(NOON.date() - 9 * DAY) == []
    assert history.troubles(NOON.date() - 9 * DAY, name="nothing") == []


def test_an_increment_a_batch_and_a_fetch_are_made_up_for_by_their_likes(ledgers):
    nothing = {"window_from": None, "window_to": None}
    ledgers.deliver(delivered("n-20250318-1", NOON - 2 * DAY, "FAILED", **nothing))
    first, second = batch("gs://in/a/"), batch("gs://in/b/")
    ledgers.load(loaded(first, NOON - DAY, "FAILED"), loaded(second, NOON - DAY, "FAILED"))
    ledgers.fetch(fetched("f1", "A", NOON - DAY, "FAILED"), fetched("f1", "B", NOON - DAY))
    history, since = ledgers.history, NOON.date() - 9 * DAY
    assert {trouble.newest.pipeline: len(trouble.runs) for trouble in history.troubles(since)} == {
        "bigquery_to_sftp": 1,
        "files_to_bigquery": 2,
        "api_to_bigquery": 1,
    }
    batches = only([trouble for trouble in history.troubles(since) if len(trouble.runs) == 2])
    assert batches.retry == f"wharf retry --load_state_table {ledgers.tables.loads}"
    ledgers.deliver(delivered("n-20250320-1", NOON, **nothing))
    ledgers.load(loaded(batch("gs://in/a/", generation=2)))
    ledgers.fetch(fetched("f2", "A"))  # one of two
    left = {trouble.newest.source or trouble.newest.name: trouble for trouble in history.troubles(since)}
    assert left.keys() == {"gs://in/b/", "A,B"}
    assert left["gs://in/b/"].retry.endswith("--directory gs://in/b/")
    ledgers.fetch(fetched("f3", "A"), fetched("f3", "B"))
    assert len(history.troubles(since)) == 1


def test_the_files_of_an_export_and_of_a_delivery(ledgers):
    ledgers.export(exported("e1"))
    ledgers.deliver(delivered("d-20250320-1", status="FAILED"))
    assert ledgers.history.files(only(ledgers.history.runs(name="measurements"))) == []
    file = {"rows": 10, "bytes": 100, "status": "SUCCESS", "started_at": NOON, "error_message": None}
    sent = {"attempts": 1, "remote_path": "in/a.csv"}
    refused = {"status": "FAILED", "error_message": "no space left", "attempts": 3, "remote_path": "in/b.csv"}
    ledgers.files(ledgers.tables.exports, *({"export_id": "e1", "file_uri": f"gs://b/{n}"} | file for n in range(3)))
    ledgers.files(
        ledgers.tables.deliveries,
        {"export_id": "d-20250320-1", "file_uri": "gs://s/a"} | file | sent,
        {"export_id": "d-20250320-1", "file_uri": "gs://s/b"} | file | refused,
    )
    history = ledgers.history
    export, delivery = (history.run(run_id) for run_id in ("e1", "d-20250320-1"))
    assert [file.name for file in history.files(export, 2)] == ["gs://b/0", "gs://b/1"]
    assert [(file.name, file.rows, file.bytes) for file in history.files(export, 2, 2)] == [("gs://b/2", 10, 100)]
    bad, good = history.files(delivery)
    assert (bad.status, bad.error, bad.note) == (
        "FAILED",
        "no space left",
        "to be delivered as in/b.csv, tried 3 times",
    )
    assert (good.status, good.note) == ("SUCCESS", "delivered as in/a.csv")


def test_the_files_of_a_batch_come_with_what_bigquery_says_of_them(ledgers):
    of = batch()
    row = loaded(of, status="FAILED", error="2 errors")
    ledgers.load(row)
    beside = ledgers.tables.loads
    files = beside._replace(table=f"{beside.table}_files")
    bigquery.ensure_table(ledgers.client, files, loading.LOAD_FILES)
    bigquery.merge_rows(ledgers.client, files, loading.LOAD_FILES, loading.file_rows(of, row, NOON))
    history = ledgers.history
    run = only(history.runs())
    assert [(file.status, file.error) for file in history.files(run)] == [("FAILED", ""), ("FAILED", "")]
    bad = of.files[1].uri
    errors = [{"reason": "invalid", "message": f"{bad}: row {n} is broken", "location": bad} for n in range(5)]
    rejects = beside._replace(table=f"{beside.table}_rejects")
    bigquery.ensure_table(ledgers.client, rejects, loading.REJECTS)
    bigquery.merge_rows(ledgers.client, rejects, loading.REJECTS, loading.reject_rows(of, errors, NOON))
    first, second = ledgers.history.files(run)
    assert (first.name, len(first.error.splitlines()), second.error) == (bad, 3, "")


def test_the_endpoints_of_a_fetch_stand_for_its_files(ledgers):
    ledgers.fetch(
        fetched("r1", "Contacts", tenant="t1", warnings="2 records have no key"), fetched("r1", status="FAILED")
    )
    history = ledgers.history
    bad, good = history.files(only(history.runs()))
    assert (bad.name, bad.status, bad.error) == ("Invoices", "FAILED", "endpoint Invoices: the API answers 500")
    assert (good.name, good.rows, good.bytes) == ("Contacts of t1", 300, 90_000)
    assert good.note == (
        "3 pages, 4 requests, 1 repeated, waited 2 s for the API's limits, loaded into demo-project.xero.raw_Contacts; "
        "2 records have no key"
    )


def test_everything_that_is_recorded_of_a_run_can_be_seen(ledgers):
    ledgers.export(exported("e1", last_exported_value="7"))
    ledgers.load(loaded(batch()))
    ledgers.fetch(fetched("r1"))
    history = ledgers.history
    found = {run.pipeline: history.recorded(run) for run in history.runs()}
    assert found["bigquery_to_avro"]["last_exported_value"] == "7"
    assert found["files_to_bigquery"]["claimed_by"] == "load-1 host:1 abc"
    assert found["api_to_bigquery"] == {}


def test_the_runs_of_a_job_that_died_are_failed_and_their_windows_free(ledgers):
    mine = exported("mine", NOW, "RUNNING", job_id="job-1")
    ledgers.export(mine, exported("done", NOW, job_id="job-1"), exported("other", NOW, "RUNNING", job_id="job-2"))
    ledgers.deliver(delivered("d-20250320-1", NOW - DAY, "RUNNING", job_id="job-1", lease_until=NOW - MINUTE))
    ledgers.load(loaded(batch(), NOW, "CLAIMED", job_id="job-1", lease_until=NOW + DAY))
    history = ledgers.history
    failed = history.fail_job("job-1", "Dataflow job job-1 failed: no workers")
    assert {run.run_id for run in failed} == {"mine", "d-20250320-1"}
    assert {(run.status, run.error) for run in failed} == {("FAILED", "Dataflow job job-1 failed: no workers")}
    assert all(run.completed_at and run.retry for run in failed)
    assert {run.run_id: run.status for run in history.of_job("job-1")} == {
        "mine": "FAILED",
        "d-20250320-1": "FAILED",
        "done": "SUCCESS",
        batch().batch_id: "RUNNING",
    }
    assert history.fail_job("job-1", "again") == history.fail_job("nobody", "") == []
    assert RunLedger(ledgers.client, ledgers.tables.exports).living(["mine", "other"]) == {"other"}


def test_a_fetch_whose_job_died_gives_its_api_free(ledgers):
    ledgers.fetch(
        fetched("r1", "A", NOW, job_id="job-1"),
        fetched("r1", "B", NOW, "FAILED", job_id="job-1"),
        fetched("r1", "C", NOW, "RUNNING", job_id="job-1"),
    )
    dead = ledgers.fetches.held("acme/xero", "r1", DAY)
    dead.gen.send(None)  # and nobody ends it
    failed = only(ledgers.history.fail_job("job-1", "Dataflow job job-1 failed"))
    assert (failed.status, "job-1 failed" in failed.error, bool(failed.completed_at)) == ("FAILED", True, True)
    status = {key[0]: row["status"] for key, row in ledgers.fetches.of_run("r1").items()}
    assert status == {"A": "SUCCESS", "B": "FAILED", "C": "FAILED"}
    with ledgers.fetches.held("acme/xero", "r2", DAY):
        pass
    dead.gen.close()


@pytest.mark.parametrize("record", ["export", "fetch"])
def test_a_ledger_that_may_not_be_written_is_named(stack, ledgers, record):
    if record == "export":
        ledgers.export(exported("e1", NOW, "RUNNING", job_id="j"))
    else:
        ledgers.fetch(fetched("f1", began=NOW, status="RUNNING", job_id="j"))
    with BigQueryProxy(stack.endpoints.bigquery) as proxy:
        client = replace(stack.endpoints, bigquery=proxy.url).bigquery_client(stack.project)
        proxy.on(lambda call: bool(re.match(r"\s*(MERGE|UPDATE)", call.sql)), refuse(403, "accessDenied"))
        with pytest.raises(UsageError, match="job j: no permission"):
            RunHistory(client, ledgers.tables).fail_job("j", "it died")


def test_an_export_is_repeated_with_its_window_on_the_clock_of_its_zone(ledgers):
    berlin = dt.datetime(2025, 3, 1, 23, tzinfo=dt.UTC), dt.datetime(2025, 3, 2, 23, tzinfo=dt.UTC)
    ledgers.export(
        exported("e1", status="FAILED", window_from=berlin[0], window_to=berlin[1], time_zone="Europe/Berlin"),
        exported("e2", NOON + MINUTE, "FAILED", source_table="SELECT *\nFROM `d.t` WHERE x = 'y'"),
    )
    query, table = ledgers.history.runs()
    assert table.window == "2025-03-02 (Europe/Berlin)"
    words = shlex.split(table.retry)
    assert words[:5] == ["wharf", "run", "bigquery_to_avro", "--target", "dataflow"]
    assert dict(zip(words[5::2], words[6::2], strict=True)) == {
        "--source_table": "demo-project.metering.measurements",
        "--output": "gs://bucket/events",
        "--export_name": "measurements",
        "--metadata_table": str(ledgers.tables.exports),
        "--time_zone": "Europe/Berlin",
        "--when_read_from": "2025-03-02T00:00:00",
        "--when_read_to": "2025-03-03T00:00:00",
    }
    assert shlex.split(query.retry)[5:7] == ["--query", "SELECT *\nFROM `d.t` WHERE x = 'y'"]


def test_a_run_that_recorded_its_flags_is_repeated_with_them(ledgers):
    flags = {"source_table": "p.d.t", "output": "gs://b/x", "columns": "a,b", "period": "202503", "force": "true"}
    ledgers.export(exported("e1", status="FAILED", settings=json.dumps(flags)))
    ledgers.deliver(
        delivered(
            "orders-20250320-ab12", NOON - MINUTE, "FAILED", settings=json.dumps({"config": "gs://c/exports.json"})
        ),
        delivered(
            "orders-20250321-ab12", NOON - 2 * MINUTE, "FAILED", files=None, settings='{"config": "exports.json"}'
        ),
    )
    export, staged, unstaged = (run.retry for run in ledgers.history.runs())
    assert export == (
        "wharf run bigquery_to_avro --target dataflow --source_table p.d.t --output gs://b/x --columns a,b "
        "--when_read_from 2025-03-01T00:00:00 --when_read_to 2025-04-01T00:00:00"
    )
    assert staged == (
        "wharf retry --config gs://c/exports.json --export_name orders_daily --export_id orders-20250320-ab12"
    )
    assert unstaged == (
        "wharf run bigquery_to_sftp --target dataflow --config exports.json --export_name orders_daily "
        "--date 2025-03-21"
    )


def test_a_command_is_there_for_what_can_be_completed_and_is_one_that_exists(ledgers):
    ledgers.deliver(delivered("theirs", NOON - MINUTE, "FAILED", files=None))
    ledgers.load(loaded(batch("gs://in/it's/"), NOON - 2 * MINUTE, "FAILED"))
    ledgers.fetch(fetched("r1", "A", NOON - 3 * MINUTE, "FAILED"), fetched("r1", "B", NOON - 3 * MINUTE))
    ledgers.fetch(fetched("r2", "A", NOON - 4 * MINUTE, "STOPPED"), fetched("r3", "A", NOON - 5 * MINUTE))
    delivery, load, failed, stopped, done = (run.retry for run in ledgers.history.runs())
    assert delivery == "wharf run bigquery_to_sftp --target dataflow --config CONFIG --export_name orders_daily"
    assert failed == ("wharf run api_to_bigquery --config CONFIG --client_name acme --endpoints A,B")
    assert stopped.endswith("--endpoints A")
    assert done == ""
    words = shlex.split(load)
    assert words == ["wharf", "retry", "--load_state_table", str(ledgers.tables.loads), "--directory", "gs://in/it's/"]
    assert parse(make_parser(), words[1:]).directory == "gs://in/it's/"


def test_ten_thousand_runs_are_read_in_a_moment(ledgers):
    """The time is the emulator's; what is held is that nothing grows faster than the rows do."""
    ledgers.export(*(exported(f"e{n}", NOON - n * MINUTE, "SUCCESS" if n % 50 else "FAILED") for n in range(5_000)))
    ledgers.load(*(loaded(batch(f"gs://in/{n}/"), NOON - n * MINUTE) for n in range(3_000)))
    ledgers.fetch(*(fetched(f"r{n // 2}", f"E{n % 2}", NOON - n * MINUTE) for n in range(2_000)))
    history, since = ledgers.history, NOON.date() - 30 * DAY
    began = time.monotonic()
    found = history.runs(limit=50)
    assert len(found) == 50
    assert len(history.runs(after=Position(found[-1].started_at, found[-1].run_id), limit=50)) == 50
    assert sum(day.runs for day in history.days(since)) == 9_000
    assert history.troubles(since)
    took = time.monotonic() - began
    assert took < 30, f"{took:.1f} s"
