"""Other runners give the same tree."""

from __future__ import annotations

from tests.end_to_end.conftest import COLUMNS, READINGS

MARCH = "--period=202503"
# The addresses come as flags: they must reach the workers without the help of the environment.
NOWHERE = {"BIGQUERY_EMULATOR_HOST": "", "BIGQUERY_STORAGE_EMULATOR_HOST": ""}


def test_worker_processes_write_the_tree_that_one_process_writes(
    run, export, make_table, output, tmp_path, read_tree, ledger, count_by_sql
):
    table = make_table(COLUMNS, READINGS.format(rows=150_000))
    apart = str(tmp_path / "apart")
    words = [f"--source_table={table}", MARCH, "--target_file_bytes=10000", "--codec=null"]
    assert run(*words, f"--output={output}").code == 0
    workers = ["--direct_running_mode=multi_processing", "--direct_num_workers=2"]
    ended = export(*words, f"--output={apart}", *workers, **NOWHERE)
    assert ended.code == 0, ended.err
    one, several = read_tree(output), read_tree(apart)
    assert several.names == one.names
    assert several.contents == one.contents
    assert several.count() == count_by_sql(table)
    assert len(several.data_files) >= 2 * len(several.partitions)
    assert [row["rows_exported"] for row in ledger()] == [150_000, 150_000]
