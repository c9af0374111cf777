"""Read streams give every row once, whatever breaks on the way."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pytest

from tests.servers.read_proxy import BreaksOff, BreaksOffHonouringOffsets, Dead, HonoursOffsets, ReadProxy
from wharf.connectors import bigquery_read
from wharf.connectors.bigquery_read import ReadRequest, open_session, read_stream
from wharf.model.errors import RunFailed, UsageError
from wharf.model.schema import TableId

ROWS = 12_345


@pytest.fixture(scope="module")
def request_(stack) -> ReadRequest:
    client = stack.endpoints.bigquery_client(stack.project)
    client.create_dataset("reading", exists_ok=True, retry=None)
    made = f"CREATE OR REPLACE TABLE reading.numbers AS SELECT n FROM UNNEST(GENERATE_ARRAY(1, {ROWS})) AS n"
    client.query(made, retry=None, job_retry=None).result(retry=None, timeout=60)
    return ReadRequest(TableId(stack.project, "reading", "numbers"), ("n",), "", stack.project, max_streams=1)


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Waits between attempts are short here."""
    monkeypatch.setattr(bigquery_read, "_LONGEST_WAIT", 0.02)


@pytest.fixture
def upstream(stack) -> str:
    return str(stack.endpoints.bigquery_storage)


def read(stack, proxy: ReadProxy, request: ReadRequest) -> list[pa.RecordBatch]:
    client = replace(stack.endpoints, bigquery_storage=proxy.address).read_client()
    session = open_session(client, request)
    schema = pa.ipc.read_schema(pa.py_buffer(session.schema))
    return [
        batch
        for stream in session.streams
        for batch in read_stream(client, stream, schema, honours_offset=proxy.honours_offset)
    ]


def numbers(batches: list[pa.RecordBatch]) -> list[int]:
    return [number for batch in batches for number in batch.column("n").to_pylist()]


@pytest.mark.parametrize("kind", [ReadProxy, HonoursOffsets])
def test_batches_arrive_as_the_server_sends_them(stack, upstream, request_, kind):
    with kind(upstream) as proxy:
        batches = read(stack, proxy, request_)
    assert sorted(numbers(batches)) == list(range(1, ROWS + 1))
    assert max(batch.num_rows for batch in batches) == 1_000
    assert proxy.offsets == [0]


@pytest.mark.parametrize("messages", [1, 2, 5])
@pytest.mark.parametrize("kind", [BreaksOff, BreaksOffHonouringOffsets])
def test_a_stream_that_breaks_off_again_and_again_gives_every_row_once(stack, upstream, request_, kind, messages):
    with kind(upstream, messages=messages, times=8) as proxy:
        found = numbers(read(stack, proxy, request_))
    assert sorted(found) == list(range(1, ROWS + 1))
    assert len(proxy.offsets) > 2
    if proxy.honours_offset:
        assert proxy.offsets[:3] == [0, messages * 1_000, 2 * messages * 1_000]
    else:
        assert set(proxy.offsets) == {0}


@pytest.mark.parametrize("honours_offset", [True, False])
def test_a_stream_that_breaks_off_behind_its_last_row_ends_there(stack, upstream, request_, honours_offset):
    kind = BreaksOffHonouringOffsets if honours_offset else BreaksOff
    with kind(upstream, messages=1, times=1, batch_rows=100_000) as proxy:
        found = numbers(read(stack, proxy, request_))
    assert sorted(found) == list(range(1, ROWS + 1))


def test_a_stream_that_stays_broken_fails_the_run(stack, upstream, request_):
    with Dead(upstream) as proxy, pytest.raises(RunFailed, match="broke 6 times at row 0: nobody at home"):
        read(stack, proxy, request_)
    assert len(proxy.offsets) == 6


def test_progress_starts_the_count_of_attempts_anew(stack, upstream, request_):
    with BreaksOffHonouringOffsets(upstream, messages=1, times=12) as proxy:
        found = numbers(read(stack, proxy, request_))
    assert sorted(found) == list(range(1, ROWS + 1))
    assert len(proxy.offsets) > 6


def test_a_missing_table_is_named(stack, request_):
    missing = request_.table._replace(table="nothing")
    with pytest.raises(UsageError, match=r"reading\.nothing"):
        open_session(stack.endpoints.read_client(), replace(request_, table=missing))
