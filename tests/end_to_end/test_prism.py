"""Other runners make of each pipeline what the in-process one makes: Prism, of another make, and worker processes."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.end_to_end.conftest import COLUMNS, READINGS
from tests.end_to_end.delivery import Delivery, numbers
from tests.end_to_end.fetches import EVENTS, ORDERS, Api, Fetches
from tests.end_to_end.loads import Loads, csv_of
from tests.end_to_end.process import Finished
from tests.servers.api_server import UNLIMITED
from tests.servers.prism import Prism, binary, missing_prism
from tests.servers.sshd import Sshd, descendants

pytestmark = pytest.mark.timeout(1_500)  # the first test may have to build Prism
PROCESSES = ["--direct_running_mode=multi_processing", "--direct_num_workers=2"]


@pytest.fixture(scope="module")
def prism_binary() -> str:
    if missing_prism:
        pytest.skip(missing_prism)
    try:
        return binary()
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"Prism cannot be built: {error}")


@pytest.fixture(scope="module")
def prism(prism_binary: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    with Prism(tmp_path_factory.mktemp("prism")) as running:
        yield running.flags


@pytest.fixture(params=["Prism", "worker processes"])
def elsewhere(request: pytest.FixtureRequest) -> Iterator[list[str]]:
    """The flags of another runner, of which no process may be left."""
    flags = request.getfixturevalue("prism") if request.param == "Prism" else PROCESSES
    before = children()
    yield flags
    assert children() <= before


def children() -> set[int]:
    """The processes that this one has started, without the one that lists them."""
    return set(descendants(os.getpid())) & set(descendants(os.getpid()))


def last_line(ended: Finished) -> str:
    """What a command says at the end; before it, other runners show the traceback of what a step raised."""
    return ended.err.splitlines()[-1]


def test_a_command_that_names_prism_writes_the_tree_that_one_process_writes(
    run, export, make_table, tmp_path, read_tree, ledger, prism_binary
):
    own = tmp_path / "prism-of-this-test"
    own.symlink_to(prism_binary)
    table = make_table(COLUMNS, READINGS.format(rows=20_000))
    words = [f"--source_table={table}", "--period=202503", "--codec=null", "--target_file_bytes=10000"]
    assert run(*words, f"--output={tmp_path / 'here'}").code == 0
    ended = export(*words, f"--output={tmp_path / 'there'}", "--runner=PrismRunner", f"--prism_location={own}")
    assert ended.code == 0, ended.err
    here, there = read_tree(str(tmp_path / "here")), read_tree(str(tmp_path / "there"))
    assert there.names == here.names
    assert there.contents == here.contents
    one, other = ledger()
    same = ("status", "rows_exported", "bytes_exported", "files", "partitions", "error_message")
    assert [other[name] for name in same] == [one[name] for name in same]
    assert one["rows_exported"] == 20_000
    assert str(own) not in subprocess.check_output(["ps", "-A", "-o", "args="], text=True), "it ends with the command"


def test_what_prism_cannot_run_is_named(prism, loads: Loads):
    subscription = f"--subscription=projects/{loads.project}/subscriptions/landed"
    ended = loads.run(f"--prefix={loads.input.removesuffix('**')}", subscription, *prism)
    assert ended.code == 1
    assert "ReadNotifications/Receive" in last_line(ended)


def test_files_arrive_on_the_server_from_other_runners_too(elsewhere, deliver_to, sshd: Sshd, orders, tmp_path):
    table = orders(200)

    def delivered(name: str, flags: list[str]) -> Delivery:
        remote = sshd.root / tmp_path.name / name
        delivery = deliver_to(sshd.target(directory=str(remote)), remote)
        delivery.write(
            {
                "whole": {"source_table": table, "max_rows_per_file": 50, "compress": True},
                "asked": {"query": f"SELECT id FROM `{table}` WHERE id <= 20", "compress": False},
                "changed": {"source_table": table, "export_type": "incremental", "timestamp_column": "changed_at"},
            }
        )
        ended = delivery.run("--export_name=all", *flags)
        assert ended.code == 0, ended.err
        return delivery

    here, there = delivered("here", []), delivered("there", elsewhere)
    assert len(there.files) == len(here.files)
    assert sorted(map(sorted, there.tables.values())) == sorted(map(sorted, here.tables.values()))
    same = ("status", "rows_exported", "files", "last_exported_value", "error_message")
    for name in ("whole", "asked", "changed"):
        (one,), (other,) = here.runs(name), there.runs(name)
        assert [other[column] for column in same] == [one[column] for column in same]
    assert sorted(there.column()) == sorted(2 * numbers(1, 200) + numbers(1, 20))


def test_files_arrive_in_their_tables_from_other_runners_too(elsewhere, loads: Loads):
    for place in ("here", "there"):
        loads.drop(f"{place}_good/2025/03/01", {"a.csv": csv_of("id", (1,), (2,)), "b.csv": csv_of("id", (3,))})
        loads.drop(f"{place}_bad/2025/03/01", {"a.csv": csv_of("id", ("x",))})
        loads.put(f"{place}_bad/_config/schema.json", [{"name": "id", "type": "INT64"}])
    prefix = f"--prefix={loads.input.removesuffix('**')}"
    here = loads.run(prefix, f"--input={loads.uri('here_*/**')}")
    there = loads.run(prefix, f"--input={loads.uri('there_*/**')}", *elsewhere)
    assert (here.code, there.code) == (1, 1), "of each a batch is bad"
    assert last_line(there) == last_line(here).replace("here_bad", "there_bad")
    assert loads.rows("there_good", "id") == loads.rows("here_good", "id") == [(1,), (2,), (3,)]
    assert "there_bad" not in loads.tables()
    assert loads.statuses() == {
        "here_bad/2025/03/01": "FAILED",
        "here_good/2025/03/01": "DONE",
        "there_bad/2025/03/01": "FAILED",
        "there_good/2025/03/01": "DONE",
    }


def test_records_arrive_from_other_runners_too(elsewhere, fetching: Callable[[Api], Fetches]):
    def fetched(flags: list[str]) -> tuple[Fetches, Finished]:
        fetches = fetching(Api(records=60, limits=UNLIMITED))
        fetches.declare(orders=ORDERS, events=EVENTS, gone=ORDERS | {"path": "v2/gone"})
        return fetches, fetches.run(*flags)

    (here, one), (there, other) = fetched([]), fetched(elsewhere)
    assert (one.code, other.code) == (1, 1), "an endpoint is gone"
    assert there.statuses() == here.statuses() == {"orders": "SUCCESS", "events": "SUCCESS", "gone": "FAILED"}
    assert there.ids("orders") == there.ids("events") == list(range(1, 61))
    assert summary(there) == summary(here)
    for name in ("orders", "events"):
        assert len(there.lines(name)) == 60
    for row in there.rows():
        assert row["job_id"], "the machine and process that fetched it"


def summary(fetches: Fetches) -> dict[str, list[Any]]:
    columns = ("status", "pages", "records", "requests", "retries", "cursor_after")
    return {name: [row[column] for column in columns] for name, row in fetches.newest().items()}
