"""A run over the files of an earlier one, be it complete, at work or dead."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.end_to_end.conftest import COLUMNS, READINGS
from tests.end_to_end.process import Started

MARCH = "--period=202503"
MOMENTS = {
    "spilling": "_staging/*/*spill-*",
    "staging": "_staging/*/*staged-*",
    "publishing": "year=*/month=*/day=*/vendor=*/_SUCCESS",
}


@pytest.fixture
def mine(make_table) -> str:
    """A table that the test may change."""
    return make_table(COLUMNS, READINGS.format(rows=1_000))


@pytest.fixture(scope="module")
def many(make_table) -> str:
    return make_table(COLUMNS, READINGS.format(rows=40_000).replace("MOD(n, 4)", "MOD(n, 8)"))


@pytest.fixture
def paused(start, output, many) -> Started:
    """A run of `many` that stands still while it spills, as one on a machine that has lost its network."""
    first = start(f"--source_table={many}", f"--output={output}", MARCH)
    first.signal_when(appears(output, MOMENTS["spilling"]), signal.SIGSTOP)
    return first


@pytest.fixture
def paused_after_spilling(start, output, many) -> Started:
    run = start(f"--source_table={many}", f"--output={output}", MARCH)
    run.signal_when(appears(output, "_staging/*/spill-*"), signal.SIGSTOP)
    return run


def appears(output: str, pattern: str) -> Callable[[], bool]:
    return lambda: any(True for _ in Path(output).glob(pattern))


def names_of(partitions, table: str) -> list[str]:
    """What one clean run of `table` leaves."""
    manifest = f"_manifests/{table.rpartition('.')[2]}-20250301T000000-20250401T000000-RUN.json"
    return sorted(
        [manifest, *(f"{path}/{name}" for path in partitions for name in ("part-00000-of-00001.avro", "_SUCCESS"))]
    )


def test_overwrite_replaces_files_and_clears_partitions_of_the_window_only(run, mine, output, read_tree, sql):
    export = [f"--source_table={mine}", f"--output={output}"]
    assert run(*export, MARCH, "--target_file_bytes=1000", "--codec=null").code == 0
    before = read_tree(output)
    assert len(before.data_files) == len(before.partitions) == 31 * 4
    sql(f"DELETE FROM `{mine}` WHERE vendor = 'v1' OR EXTRACT(DAY FROM when_read) IN (3, 20)")
    sql(f"UPDATE `{mine}` SET value = -1 WHERE TRUE")
    window = ["--when_read_from=2025-03-01T00:00:00", "--when_read_to=2025-03-11T00:00:00"]
    assert run(*export, *window).code == 0
    after = read_tree(output)
    early = {path for path in before.partitions if path < "year=2025/month=03/day=11"}
    assert set(after.partitions) == {
        path for path in before.partitions if path not in early or not ("=v1" in path or "day=03" in path)
    }
    assert {row["value"] for path in early & after.partitions.keys() for row in after.partitions[path]} == {-1}
    untouched = [path for path in before.files if path.startswith("year=") and path.rpartition("/")[0] not in early]
    assert {path: after.files[path] for path in untouched} == {path: before.files[path] for path in untouched}
    folders = {str(path.relative_to(output)) for path in Path(output).glob("year=*/month=*/day=*/vendor=*")}
    assert folders == set(after.partitions), "no empty folder stays"


def test_overwrite_leaves_none_of_a_partitions_former_files(run, make_table, output, read_tree, ledger):
    table = make_table(COLUMNS, READINGS.format(rows=4_000).replace("MOD(n * 7919, 31 * 86400)", "n"))
    export = [f"--source_table={table}", f"--output={output}", MARCH]
    assert run(*export, "--target_file_bytes=2000", "--codec=null").code == 0
    assert len(read_tree(output).data_files) > 8
    assert run(*export).code == 0
    tree = read_tree(output)
    assert tree.names == names_of(tree.partitions, table)
    assert len(tree.partitions) == 4
    assert [row["status"] for row in ledger()] == ["SUCCESS", "SUCCESS"]


def test_skip_leaves_partitions_with_files_alone_and_writes_the_others(run, mine, output, read_tree, sql):
    window = ["--when_read_from=2025-03-01T00:00:00", "--when_read_to=2025-03-05T00:00:00"]
    export = [f"--source_table={mine}", f"--output={output}"]
    assert run(*export, *window).code == 0
    before = read_tree(output)
    sql(f"UPDATE `{mine}` SET value = -1 WHERE TRUE")
    ended = run(*export, MARCH, "--write_mode=skip")
    assert ended.code == 0, ended.err
    assert "108 written, 16 skipped" in ended.out
    after = read_tree(output)
    assert {path: after.partitions[path] for path in before.partitions} == before.partitions
    new = after.partitions.keys() - before.partitions.keys()
    assert len(new) == 27 * 4
    assert {row["value"] for path in new for row in after.partitions[path]} == {-1}


def test_fail_refuses_a_window_with_files_and_changes_nothing(run, mine, output, read_tree, ledger):
    export = [f"--source_table={mine}", f"--output={output}", MARCH, "--write_mode=fail"]
    assert run(*export).code == 0
    before = read_tree(output)
    ended = run(*export)
    assert ended.code == 2
    assert "has files already" in ended.err
    assert "--write_mode" in ended.err
    assert read_tree(output) == before
    assert sorted(row["status"] for row in ledger()) == ["FAILED", "SUCCESS"]


@pytest.mark.parametrize("mode", ["overwrite", "skip", "fail"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_run_is_repeated_to_the_tree_of_one_clean_run(
    run, start, many, output, read_tree, ledger, count_by_sql, moment, mode
):
    export = [f"--source_table={many}", f"--output={output}", MARCH, f"--write_mode={mode}"]
    if (mode, moment) == ("overwrite", "publishing"):  # over files of another cut, which must all go
        assert run(*export, "--target_file_bytes=1000", "--codec=null", "--when_read_from=2025-03-01T00:00:00",
                   "--when_read_to=2025-03-03T00:00:00", "--period=").code == 0  # fmt: skip
    killed = start(*export)
    former = set(Path(output).glob(MOMENTS[moment]))
    killed.signal_when(lambda: bool(set(Path(output).glob(MOMENTS[moment])) - former), signal.SIGKILL)
    assert killed.wait().code == -signal.SIGKILL
    repeated = run(*export)  # its process was one of this machine: its lease keeps nobody waiting
    assert repeated.code == 0, repeated.err
    tree, expected = read_tree(output), count_by_sql(many)
    assert tree.count() == expected
    assert [name for name in tree.names if "000000-20250303" not in name] == names_of(expected, many)
    assert [row["status"] for row in ledger()][-2:] == ["FAILED", "SUCCESS"]


def test_a_second_run_of_the_window_is_refused_while_one_is_at_work(run, paused, many, output, ledger):
    (first,) = ledger()
    assert first["status"] == "RUNNING"
    overlapping = ["--when_read_from=2025-03-31T00:00:00", "--when_read_to=2025-04-02T00:00:00"]
    ended = run(f"--source_table={many}", f"--output={output}", *overlapping)
    assert ended.code == 3
    assert first["export_id"] in ended.err
    assert "--force" in ended.err
    assert ledger() == [first]
    other = ["--when_read_from=2025-04-01T00:00:00", "--when_read_to=2025-04-02T00:00:00"]
    assert run(f"--source_table={many}", f"--output={output}", *other).code == 0
    paused.signal(signal.SIGCONT)
    assert paused.wait().code == 0


def test_a_run_whose_window_was_taken_over_does_not_publish(run, paused, many, output, read_tree, ledger, count_by_sql):
    assert run(f"--source_table={many}", f"--output={output}", MARCH, "--force").code == 0
    paused.signal(signal.SIGCONT)
    ended = paused.wait()
    assert ended.code == 1
    assert ended.err.splitlines()[-1].startswith("error: ")
    first, second = ledger()
    assert (first["status"], second["status"]) == ("FAILED", "SUCCESS")
    assert second["export_id"] in first["error_message"]
    tree, expected = read_tree(output), count_by_sql(many)
    assert tree.names == names_of(expected, many)
    assert all(
        second["export_id"].encode() in content for path, content in tree.files.items() if path.endswith("_SUCCESS")
    )


def test_a_run_whose_lease_has_ended_is_taken_over_without_asking(run, paused, many, output, ledger, sql, flags):
    sql(f"UPDATE `{flags[0].partition('=')[2]}` SET lease_until = TIMESTAMP '2025-01-01 00:00:00+00' WHERE TRUE")
    assert run(f"--source_table={many}", f"--output={output}", MARCH).code == 0
    first, second = ledger()
    assert (first["status"], second["status"]) == ("FAILED", "SUCCESS")
    assert first["error_message"] == f"taken over by {second['export_id']}"


def test_sigterm_ends_a_run_as_failed_and_leaves_a_note_only(start, many, output, read_tree, ledger):
    stopped = start(f"--source_table={many}", f"--output={output}", MARCH)
    stopped.signal_when(appears(output, MOMENTS["spilling"]), signal.SIGTERM)
    ended = stopped.wait()
    assert ended.code == 130
    assert "error: interrupted" in ended.err
    (row,) = ledger()
    assert (row["status"], row["error_message"]) == ("FAILED", "interrupted")
    assert list(read_tree(output).files) == [f"_staging/{row['export_id']}/run.json"]


def test_a_worker_that_fails_ends_the_run_and_publishes_nothing(paused_after_spilling, output, read_tree, ledger):
    for spill in Path(output).glob("_staging/*/spill-*"):
        with open(spill, "r+b") as file:
            file.write(b"damaged")
    paused_after_spilling.signal(signal.SIGCONT)
    ended = paused_after_spilling.wait()
    assert ended.code == 1
    assert ended.err.splitlines()[-1].startswith("error: ")
    assert "is damaged" in ended.err.splitlines()[-1]
    (row,) = ledger()
    assert row["status"] == "FAILED"
    assert "is damaged" in row["error_message"]
    assert ledger("files") == []
    assert list(read_tree(output).files) == [f"_staging/{row['export_id']}/run.json"]
