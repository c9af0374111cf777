"""Moments in the life of a load, at which something may happen to it; and what is loaded meanwhile."""

from __future__ import annotations

import signal
from collections.abc import Callable

from tests.end_to_end.loads import Loads, csv_of
from tests.end_to_end.process import Started
from tests.servers.bigquery_calls import Call, Dropped, Predicate
from tests.servers.bigquery_calls import loads as load_jobs
from tests.servers.bigquery_proxy import BigQueryProxy

DAYS = [f"orders/2025/03/0{day}" for day in (1, 2, 3)]
ELSEWHERE = "load-20250301000000-12345678 another-machine:1 12345678"  # a claimer


def claims(_: Loads) -> Predicate:
    return lambda call: "old.attempts + 1" in call.sql


def records(status: str) -> Callable[[Loads], Predicate]:
    def fits(call: Call) -> bool:
        if "old.claimed_by = given.claimed_by" not in call.sql:
            return False
        (rows,) = call.body["configuration"]["query"]["queryParameters"]
        return f'"status": "{status}"' in rows["parameterValue"]["value"]

    return lambda _: fits


def records_files(loads: Loads) -> Predicate:
    return lambda call: call.sql.startswith(f"MERGE `{loads.state_table}_files`")


def a_load(_: Loads) -> Predicate:
    return load_jobs


def statement(loads: Loads) -> Predicate:
    return lambda call: call.kind == "query" and call.modifies(f"{loads.dataset}.orders")


MOMENTS = {
    "before the claim": (claims, False),
    "after the claim": (claims, True),
    "before a load job": (a_load, False),
    "after a load job": (a_load, True),
    "before it is SUBMITTED": (records("SUBMITTED"), False),
    "after it is SUBMITTED": (records("SUBMITTED"), True),
    "before the statement": (statement, False),
    "after the statement": (statement, True),
    "before its files are recorded": (records_files, False),
    "after its files are recorded": (records_files, True),
    "before it is DONE": (records("DONE"), False),
    "after it is DONE": (records("DONE"), True),
}


def deliver(loads: Loads) -> None:
    """Three days of orders, of two rows each, and one of another table."""
    for number, directory in enumerate(DAYS, 1):
        loads.drop(directory, {"a.csv": csv_of("id", (number * 10,)), "b.csv": csv_of("id", (number * 10 + 1,))})
    loads.drop("items/2025/03/01", {"a.csv": csv_of("id", (7,))})


def check_complete(loads: Loads) -> None:
    """Check that all of it is there, once."""
    assert loads.rows("orders", "id") == [(10,), (11,), (20,), (21,), (30,), (31,)]
    assert loads.rows("items", "id") == [(7,)]
    assert set(loads.statuses().values()) == {"DONE"}
    assert len(loads.states()) == 4
    assert [row["status"] for row in loads.file_rows()] == ["DONE"] * 7


def through(proxy: BigQueryProxy) -> str:
    return f"--bigquery_endpoint={proxy.url}"


def begin(loads: Loads, proxy: BigQueryProxy, predicate: Predicate, action: Callable[[Started], None], after: bool):
    """Start a pipeline that has something happen to it at a request."""
    started: list[Started] = []

    def act(_: Call) -> None:
        action(started[0])

    proxy.on(predicate, act, after=after, nth=1)
    started.append(loads.start(f"--input={loads.input}", through(proxy)))
    return started[0]


def kill(run: Started) -> None:
    run.signal(signal.SIGKILL)
    raise Dropped
