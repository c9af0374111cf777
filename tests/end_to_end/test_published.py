"""What is left at the output and in the ledger: file sizes, windows of a part of a day, manifest, recorded rows."""

from __future__ import annotations

import base64
import io
import json
import signal
from pathlib import Path

import fastavro
import google_crc32c
import pytest

from tests.end_to_end.conftest import COLUMNS, READINGS

MARCH = "--period=202503"


@pytest.fixture(scope="module")
def hot(make_table) -> str:
    """40,000 rows of one partition and 4 of another."""
    select = READINGS.format(rows=40_004).replace("MOD(n * 7919, 31 * 86400)", "MOD(n, 80000)")
    return make_table(COLUMNS, select.replace("MOD(n, 4)", "IF(n > 40000, 1, 0)"))


def test_a_hot_partition_becomes_files_near_the_target_size(run, hot, output, read_tree, count_by_sql):
    target = 60_000
    export = [f"--source_table={hot}", f"--output={output}", MARCH, "--codec=null"]
    assert run(*export, f"--target_file_bytes={target}").code == 0
    tree = read_tree(output)
    assert tree.count() == count_by_sql(hot)
    sizes = [len(tree.files[path]) for path in tree.data_files if "vendor=v0" in path]
    assert len(sizes) == round(sum(sizes) / target) > 5
    assert target / 2 < min(sizes) <= max(sizes) < target * 1.5
    assert len([path for path in tree.data_files if "vendor=v1" in path]) == 1


def test_parts_of_a_day_lie_side_by_side_and_one_that_overlaps_is_refused(
    run, readings, output, read_tree, count_by_sql, sql
):
    def export(first: str, last: str, *more: str):
        window = [f"--when_read_from=2025-03-01T{first}", f"--when_read_to=2025-03-{last}"]
        return run(f"--source_table={readings}", f"--output={output}", *window, *more)

    assert export("00:00:00", "01T06:00:00").code == 0
    assert export("06:00:00", "02T00:00:00").code == 0
    day = "when_read < TIMESTAMP '2025-03-02'"
    tree = read_tree(output)
    assert tree.count() == count_by_sql(readings, day)
    assert {path.rpartition("/")[2][5:18] for path in tree.data_files} == {"000000-060000", "060000-240000"}
    ended = export("03:00:00", "01T09:00:00")
    assert ended.code == 2
    assert "part-000000-060000" in ended.err
    assert read_tree(output) == tree
    assert export("06:00:00", "02T00:00:00").code == 0, "a part is repeated alone"
    assert read_tree(output).contents == tree.contents
    assert export("00:00:00", "02T00:00:00").code == 0, "the whole day takes the place of its parts"
    whole = read_tree(output)
    assert whole.count() == count_by_sql(readings, day)
    assert {path.rpartition("/")[2] for path in whole.data_files} == {"part-00000-of-00001.avro"}


def test_the_manifest_tells_rows_bytes_and_checksum_of_every_file(run, readings, output, read_tree, ledger):
    assert run(f"--source_table={readings}", f"--output={output}", MARCH).code == 0
    tree = read_tree(output)
    (recorded,) = ledger()
    manifest = json.loads(tree.files[f"_manifests/{recorded['export_id']}.json"])
    assert manifest["window"] == {"from": "2025-03-01T00:00:00", "to": "2025-04-01T00:00:00", "time_zone": "UTC"}
    assert manifest["source"] == readings
    assert len(manifest["schema_fingerprint"]) == 16
    told = {file["file_uri"]: (file["rows"], file["bytes"], file["crc32c"]) for file in manifest["files"]}
    found = {f"{output}/{path}": facts(tree.files[path]) for path in tree.data_files}
    assert told == found
    rows, sizes = (sum(fact[place] for fact in found.values()) for place in (0, 1))
    totals = {"rows_exported": rows, "bytes_exported": sizes, "files": len(found), "partitions": len(tree.partitions)}
    assert {**{name: manifest[name] for name in totals}, "files": len(manifest["files"])} == totals
    assert {name: recorded[name] for name in totals} == totals
    assert {row["file_uri"]: (row["rows"], row["bytes"], row["crc32c"]) for row in ledger("files")} == found
    for path in tree.files:
        if path.endswith("_SUCCESS"):
            assert json.loads(tree.files[path])["export_id"] == recorded["export_id"]


def test_a_run_is_recorded_while_it_runs_and_when_it_has_ended(start, hot, output, ledger):
    process = start(f"--source_table={hot}", f"--output={output}", MARCH)
    process.signal_when(lambda: any(Path(output).glob("_staging/*/*spill-*")), signal.SIGSTOP)
    (running,) = ledger()
    assert (running["status"], running["completed_at"], running["rows_exported"]) == ("RUNNING", None, None)
    assert running["lease_until"] > running["started_at"]
    assert running["job_id"].endswith(f":{process.process.pid}")
    process.signal(signal.SIGCONT)
    assert process.wait().code == 0
    (ended,) = ledger()
    assert (ended["status"], ended["rows_exported"], ended["error_message"]) == ("SUCCESS", 40_004, None)
    assert ended["started_at"] == running["started_at"] < ended["completed_at"]
    assert (ended["source_table"], ended["destination_uri"]) == (hot, output)
    for file in ledger("files"):
        assert (file["export_id"], file["status"]) == (ended["export_id"], "SUCCESS")
        assert file["file_uri"].startswith(f"{output}/year={file['partition_date']:%Y/month=%m/day=%d}/")
        assert file["vendor"] in {"v0", "v1"}


def test_a_plan_shows_what_a_run_would_do_and_writes_nothing(run, readings, output, flags, client, read_tree):
    ended = run(f"--source_table={readings}", f"--output={output}", MARCH, "--plan")
    assert ended.code == 0, ended.err
    assert "6,000 in 124 partitions" in ended.out
    assert "nothing was written" in ended.out
    assert not Path(output).exists()
    project, dataset, table = flags[0].partition("=")[2].split(".")
    assert table not in {found.table_id for found in client.list_tables(f"{project}.{dataset}", retry=None)}


def facts(content: bytes) -> tuple[int, int, str]:
    crc = google_crc32c.value(content).to_bytes(4, "big")
    return len(list(fastavro.reader(io.BytesIO(content)))), len(content), base64.b64encode(crc).decode()
