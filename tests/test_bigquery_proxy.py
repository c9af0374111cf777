"""The proxy in front of BigQuery's emulator, seen through Google's client."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from google.api_core.exceptions import BadRequest, Conflict, NotFound, ServiceUnavailable
from google.cloud.bigquery import Client, LoadJob, LoadJobConfig, SchemaField
from requests.exceptions import ConnectionError

from tests.servers.bigquery_calls import Call, Dropped, drop, loads, queries, refuse, statements
from tests.servers.bigquery_proxy import BigQueryProxy
from wharf.connectors.endpoints import Endpoints
from wharf.local.stack import LocalStack

HELD = 0.5
SCHEMA = [SchemaField("n", "INT64"), SchemaField("name", "STRING")]


@pytest.fixture
def proxy(stack: LocalStack) -> Iterator[BigQueryProxy]:
    with BigQueryProxy(stack.endpoints.bigquery or "") as running:
        yield running


@pytest.fixture
def client(stack: LocalStack, proxy: BigQueryProxy) -> Client:
    made = Endpoints(bigquery=proxy.url, bigquery_emulated=True).bigquery_client(stack.project)
    made.create_dataset("proxied", exists_ok=True)
    return made


@pytest.fixture(scope="session")
def two_rows(stack: LocalStack) -> str:
    blob = stack.endpoints.storage_client().bucket(stack.bucket).blob(f"{uuid.uuid4().hex}/a.csv")
    blob.upload_from_string("n,name\n1,one\n2,two\n")
    return f"gs://{stack.bucket}/{blob.name}"


@pytest.fixture
def load(client: Client, two_rows: str) -> Callable[..., LoadJob]:
    """`load(table, job_id)` -> a load job of two rows that has begun."""

    def begin(table: str = "", job_id: str | None = None, uri: str = "", retry: Any = None) -> LoadJob:
        target = f"{client.project}.proxied.{table or name()}"
        config = LoadJobConfig(schema=SCHEMA, skip_leading_rows=1, source_format="CSV")
        return client.load_table_from_uri(uri or two_rows, target, job_id=job_id, job_config=config, retry=retry)

    return begin


def name() -> str:
    return f"t_{uuid.uuid4().hex[:8]}"


def run(client: Client, sql: str, **options: Any) -> list[tuple[Any, ...]]:
    job = client.query(sql, retry=None, job_retry=None, **options)
    return [tuple(row) for row in job.result(retry=None, job_retry=None)]


def test_what_is_asked_through_it_is_what_bigquery_answers(client: Client, load: Callable) -> None:
    job = load("plain").result()
    assert (job.state, job.output_rows) == ("DONE", 2)
    assert run(client, "SELECT * FROM proxied.plain ORDER BY n") == [(1, "one"), (2, "two")]
    assert [field.name for field in client.get_table("proxied.plain").schema] == ["n", "name"]
    with pytest.raises(NotFound):
        client.get_table("proxied.missing")
    client.delete_table("proxied.plain")


def test_a_load_job_is_held_back_from_its_insertion_on(proxy: BigQueryProxy, load: Callable) -> None:
    proxy.hold, started = HELD, time.monotonic()
    job = load()
    assert job.state == "RUNNING"
    assert job.output_rows is None
    assert not job.done()
    while not job.done():
        time.sleep(0.01)
    assert HELD <= time.monotonic() - started < HELD + 0.4
    assert job.output_rows == 2


def test_jobs_are_held_back_side_by_side(proxy: BigQueryProxy, load: Callable) -> None:
    proxy.hold, started = 2.0, time.monotonic()
    jobs = [load() for _ in range(10)]
    while not all(job.done() for job in jobs):
        time.sleep(0.01)
    assert 2.0 <= time.monotonic() - started < 5.0


@pytest.mark.parametrize("api_method", ["INSERT", "QUERY"])
def test_a_query_is_held_back_and_its_rows_come_when_it_is_done(
    proxy: BigQueryProxy, client: Client, api_method: str
) -> None:
    proxy.hold, started = HELD, time.monotonic()
    job = client.query("SELECT 7", api_method=api_method)
    assert api_method == "QUERY" or job.state == "RUNNING"
    assert [tuple(row) for row in job.result()] == [(7,)]
    assert HELD <= time.monotonic() - started < HELD + 0.4


def test_a_caller_that_does_not_wait_long_hears_that_the_query_is_not_complete(
    proxy: BigQueryProxy, client: Client
) -> None:
    proxy.hold = HELD
    answer = client._connection.api_request(
        "POST", f"/projects/{client.project}/queries", data={"query": "SELECT 7", "timeoutMs": 10}
    )
    assert answer["jobComplete"] is False
    path = f"/projects/{client.project}/queries/{answer['jobReference']['jobId']}"
    assert client._connection.api_request("GET", path, query_params={"timeoutMs": 0})["jobComplete"] is False
    later = client._connection.api_request("GET", path)
    assert (later["jobComplete"], later["totalRows"]) == (True, "1")


def test_only_the_jobs_asked_for_are_held_back(proxy: BigQueryProxy, client: Client, load: Callable) -> None:
    proxy.hold, proxy.holds = HELD, loads
    assert client.query("SELECT 7").state == "DONE"
    assert load().state == "RUNNING"


def test_a_held_query_that_fails_says_so_when_it_is_done(proxy: BigQueryProxy, client: Client) -> None:
    proxy.hold = HELD
    job = client.query("SELECT ERROR('no such luck')", retry=None, job_retry=None)
    assert (job.state, job.error_result) == ("RUNNING", None)
    with pytest.raises(BadRequest, match="no such luck"):
        job.result(retry=None, job_retry=None)


def test_a_job_id_is_used_once(proxy: BigQueryProxy, client: Client, load: Callable) -> None:
    first = load("once", "load-once").result()
    with pytest.raises(Conflict, match=r"Already Exists: Job demo-project:US\.load-once"):
        load("once", "load-once")
    assert proxy.refused == ["load-once"]
    assert client.get_job(first.job_id).output_rows == 2
    assert run(client, "SELECT COUNT(*) FROM proxied.once") == [(2,)]


def test_a_job_id_is_used_once_though_it_comes_twice_at_the_same_time(proxy: BigQueryProxy, load: Callable) -> None:
    met: list[Any] = []

    def begin() -> None:
        try:
            met.append(load("together", "load-together"))
        except Conflict:
            met.append("refused")

    threads = [threading.Thread(target=begin) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert met.count("refused") == 3
    assert proxy.count("load") == 1


def test_the_id_of_a_job_that_never_came_to_be_is_free(client: Client, two_rows: str) -> None:
    config = LoadJobConfig(schema=SCHEMA, source_format="PUNCH_CARDS")
    for _ in range(2):
        with pytest.raises(BadRequest, match="PUNCH_CARDS"):
            client.load_table_from_uri(two_rows, "proxied.t", job_id="of-none", job_config=config, retry=None)


def test_the_id_of_a_load_that_failed_is_used(load: Callable) -> None:
    with pytest.raises(BadRequest):
        load(job_id="failed", uri="gs://demo-bucket/none.csv").result()
    with pytest.raises(Conflict):
        load(job_id="failed", uri="gs://demo-bucket/none.csv")


def test_jobs_are_counted_by_kind(proxy: BigQueryProxy, client: Client, load: Callable) -> None:
    for _ in range(3):
        load()
    run(client, "SELECT 1")
    client.query_and_wait("SELECT 1")
    assert (proxy.count("load"), proxy.count("query")) == (3, 2)
    assert all(job.done >= job.arrived for job in proxy.jobs)
    proxy.forget()
    assert proxy.count("load") == 0


def test_modifications_of_a_table_are_counted(proxy: BigQueryProxy, client: Client, load: Callable) -> None:
    target, other = name(), name()
    load(target)
    load(other)
    run(client, f"INSERT INTO `{client.project}.proxied.{target}` (n) SELECT n FROM proxied.{other}")
    run(client, f"INSERT proxied.{target} (n) VALUES (3)")
    run(client, f"UPDATE `proxied`.`{target}` SET n = 4 WHERE n = 3")
    run(client, f"MERGE proxied.{target} t USING proxied.{other} o ON t.n = o.n WHEN MATCHED THEN UPDATE SET n = 5")
    run(
        client,
        f"BEGIN TRANSACTION; DELETE FROM `proxied.{target}` WHERE n = 5; "
        f"INSERT INTO `proxied.{target}` (n) SELECT n FROM proxied.{other}; COMMIT TRANSACTION;",
    )
    with pytest.raises(BadRequest):
        run(client, f"INSERT INTO proxied.{target} (n) SELECT CAST(ERROR('no') AS INT64)")
    run(client, f"SELECT * FROM proxied.{target}")
    assert proxy.modifications(f"proxied.{target}") == 6
    assert proxy.modifications(f"{client.project}.proxied.{target}") == 6
    assert proxy.modifications(f"proxied.{other}") == 1
    assert proxy.modifications("proxied.t") == 0


def test_the_answer_to_the_second_load_is_lost_and_the_job_is_found(
    proxy: BigQueryProxy, client: Client, load: Callable
) -> None:
    proxy.on(loads, drop, after=True, nth=2)
    load("lost", "lost-1")
    with pytest.raises(ConnectionError):
        load("lost", "lost-2")
    assert client.get_job("lost-2").state == "DONE"
    with pytest.raises(Conflict):
        load("lost", "lost-2")
    load("lost", "lost-3")
    assert run(client, "SELECT COUNT(*) FROM proxied.lost") == [(6,)]


def test_a_request_that_is_lost_on_the_way_begins_no_job(proxy: BigQueryProxy, client: Client, load: Callable) -> None:
    proxy.on(loads, drop, nth=1)
    with pytest.raises(ConnectionError):
        load(job_id="never-arrived")
    with pytest.raises(NotFound):
        client.get_job("never-arrived")
    assert load(job_id="never-arrived").result().output_rows == 2


def test_bigquery_is_unavailable_for_a_while(proxy: BigQueryProxy, client: Client) -> None:
    proxy.unavailable(HELD)
    with pytest.raises(ServiceUnavailable):
        client.get_dataset("proxied", retry=None)
    started = time.monotonic()
    client.get_dataset("proxied")  # the client's own retries
    assert time.monotonic() - started > HELD / 2


def test_one_kind_of_request_can_be_refused(proxy: BigQueryProxy, client: Client, load: Callable) -> None:
    proxy.on(statements("INSERT"), refuse(400, "rateLimitExceeded"))
    load("refusing")
    with pytest.raises(BadRequest, match="rateLimitExceeded"):
        run(client, "INSERT INTO proxied.refusing (n) VALUES (3)")
    assert run(client, "SELECT COUNT(*) FROM proxied.refusing") == [(2,)]


def test_a_job_waits_at_the_step_where_a_test_stops_it(proxy: BigQueryProxy, load: Callable) -> None:
    arrived, go_on = threading.Event(), threading.Event()

    def stop(call: Call) -> None:
        arrived.set()
        go_on.wait(10)

    proxy.on(loads, stop)
    thread = threading.Thread(target=load)
    thread.start()
    assert arrived.wait(10)
    assert proxy.count("load") == 0
    go_on.set()
    thread.join()
    assert proxy.count("load") == 1


@pytest.mark.parametrize("after", [False, True])
def test_a_process_is_killed_when_its_statement_arrives_or_is_done(
    stack: LocalStack, proxy: BigQueryProxy, client: Client, load: Callable, after: bool
) -> None:
    table = name()
    load(table)
    pid = 0

    def kill(call: Call) -> None:
        os.kill(pid, signal.SIGKILL)
        raise Dropped

    proxy.on(statements("INSERT"), kill, after=after)
    program = (
        "from google.cloud.bigquery import Client; from google.auth.credentials import AnonymousCredentials; "
        f"Client('{client.project}', AnonymousCredentials())"
        f".query('INSERT INTO proxied.{table} (n) VALUES (3)').result()"
    )
    environment = os.environ | stack.environment | {"BIGQUERY_EMULATOR_HOST": proxy.url}
    # It must not answer before `pid` is known here; it takes a second to import Google's client.
    process = subprocess.Popen([sys.executable, "-c", program], env=environment)
    pid = process.pid
    assert process.wait(60) == -signal.SIGKILL
    assert run(client, f"SELECT COUNT(*) FROM proxied.{table}") == [(3 if after else 2,)]


def test_a_load_job_tells_of_the_rows_that_it_skipped(proxy: BigQueryProxy, client: Client, load: Callable) -> None:
    error = {"reason": "invalid", "location": "gs://b/a.csv", "message": "Error while reading data: column n"}
    proxy.hold = HELD
    proxy.report_bad_records(lambda call: call.destination == "proxied.skipping", [error])
    job = load("skipping")
    assert job.errors is None
    time.sleep(HELD)
    for seen in (job.result(), client.get_job(job.job_id)):
        assert (seen.state, seen.error_result, seen.errors) == ("DONE", None, [error])
        assert seen._properties["statistics"]["load"]["badRecords"] == "1"
    assert load("careful").result().errors is None


def test_predicates_tell_jobs_apart(proxy: BigQueryProxy, client: Client, load: Callable) -> None:
    load()
    run(client, "SELECT 1")
    assert [(loads(job), queries(job), statements("SELECT")(job)) for job in proxy.jobs] == [
        (True, False, False),
        (False, True, True),
    ]
