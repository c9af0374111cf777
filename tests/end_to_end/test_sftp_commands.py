"""`wharf status`, `wharf verify` and `wharf retry` after real runs; they complete what a run could not."""

from __future__ import annotations

import datetime as dt
import json
import re
import uuid

import pytest

from tests.end_to_end.delivery import numbers

CUT = {"max_rows_per_file": 25, "destination_filename": "{export_name}_{date}_{shard}.csv", "directory": "in"}


@pytest.fixture(scope="module")
def table(orders) -> str:
    return orders(100)


@pytest.fixture
def sent(delivery, table):
    """The export `daily`, delivered as four files."""
    delivery.write({"daily": {"source_table": table} | CUT, "other": {"source_table": table}})
    ended = delivery.run("--export_name=daily", "--date=2025-03-02")
    assert ended.code == 0, ended.err
    return delivery


def test_status_shows_the_history_as_a_table_and_as_json(delivery, table):
    delivery.write({"daily": {"source_table": table} | CUT, "lost": {"source_table": f"{table}_x"}})
    nothing = delivery.wharf("status")
    assert nothing.code == 2, "no run has made the metadata table yet"
    assert delivery.metadata in nothing.err
    assert delivery.run("--export_name=all", "--date=2025-03-02").code == 2
    rows = {row["export_name"]: row for row in delivery.runs()}

    shown = delivery.wharf("status")
    assert (shown.code, shown.err) == (0, "")
    header, *lines = shown.out.splitlines()
    assert header.split() == ["started", "(UTC)", "export", "status", "rows", "files", "size", "took", "run"]
    assert len(lines) == 3, "two runs, and the error of one of them"
    daily = next(line for line in lines if " daily " in line)
    assert re.fullmatch(
        rf"\d{{4}}-\d\d-\d\d \d\d:\d\d +daily +SUCCESS +100 +4 +[\d.]+ KiB +\d+ s  {rows['daily']['export_id']}", daily
    )
    assert rows["lost"]["error_message"] in shown.out

    as_json = delivery.wharf("status", "--json", "--export_name=daily")
    (row,) = [json.loads(line) for line in as_json.out.splitlines()]
    assert (row["export_id"], row["status"], row["rows_exported"]) == (rows["daily"]["export_id"], "SUCCESS", 100)
    assert set(row) == set(rows["daily"])

    tomorrow = dt.datetime.now(dt.UTC).date() + dt.timedelta(days=1)
    assert delivery.wharf("status", "--since", f"{tomorrow}").out == f"no runs since {tomorrow}\n"
    assert delivery.wharf("status", "--since", "soon").code == 2
    assert delivery.wharf("status", "--metadata_table", delivery.metadata, "--export_name=lost").out.count("\n") == 3
    unknown = delivery.wharf("status", "--export_name=dayly")
    assert unknown.code == 2
    assert "dayly" in unknown.err


def test_verify_tells_what_is_missing_different_and_extra_and_retry_sends_it(sent):
    (run,) = sent.runs()
    folder = sent.remote / "in"
    names = sorted(path.name for path in folder.iterdir())
    assert sent.wharf("verify").out == f"{run['export_id']}  4 files, 100 rows: all there\n"
    sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
    folder.joinpath(names[0]).unlink()
    folder.joinpath(names[2]).write_bytes(b"cut")
    extra = ["daily_2025-03-02_00005.csv", f"{names[1]}.0123abcd.part"]
    for name in [*extra, "daily_2025-03-01_00001.csv", "somebody.csv"]:
        folder.joinpath(name).write_text("x")

    differs = sent.wharf("verify", "--export_name=daily")
    assert (differs.code, differs.err) == (1, "")
    assert differs.out.splitlines() == [
        f"{run['export_id']}  4 files, 100 rows: 4 differences",
        f"  missing    in/{names[0]}  ({sizes[names[0]]:,} bytes)",
        f"  different  in/{names[2]}  has 3 bytes, not {sizes[names[2]]:,}",
        *(f"  extra      in/{name}" for name in sorted(extra)),
    ]
    assert sent.wharf("verify", "--export_id", run["export_id"]).code == 1
    assert sent.runs() == [run], "to verify changes nothing"

    listed = sent.folder / "missing.txt"
    listed.write_text(f"{names[0]}\n\nnever.csv\n")
    unknown = sent.wharf("retry", "--missing-files", str(listed))
    assert unknown.code == 2
    assert "never.csv is in no manifest" in unknown.err
    assert not folder.joinpath(names[0]).exists(), "nothing is sent of a list with a mistake"
    listed.write_text(f"{names[0]}\nin/{names[2]}\n")
    for name in extra:
        folder.joinpath(name).unlink()
    again = sent.wharf("retry", "--missing-files", str(listed))
    assert (again.code, again.err) == (0, "")
    assert {name: folder.joinpath(name).stat().st_size for name in names} == sizes
    assert sent.wharf("verify").code == 0
    assert sent.runs() == [run], "a run that has succeeded stays so"
    assert sent.wharf("retry").out == "nothing to send: every run that staged files has delivered them\n"


def test_retry_of_one_run_sends_what_has_been_lost_of_it_since_and_leaves_the_rest(sent):
    (run,) = sent.runs()
    folder = sent.remote / "in"
    lost, *others = sorted(folder.iterdir())
    written = {path: path.stat().st_mtime_ns for path in others}
    lost.unlink()
    ended = sent.wharf("retry", "--export_id", run["export_id"])
    assert (ended.code, ended.err) == (0, "")
    assert sent.column() == numbers(1, 100)
    assert {path: path.stat().st_mtime_ns for path in others} == written
    assert sent.runs() == [run]


def test_retry_sends_staged_files_that_no_manifest_lists(sent, stack):
    prefix = f"gs://{stack.bucket}/{uuid.uuid4().hex}"
    bucket = stack.endpoints.storage_client().bucket(stack.bucket)
    for name in ("a.csv", "sub/b.csv"):
        bucket.blob(f"{prefix.rpartition('/')[2]}/{name}").upload_from_string(f"id\r\n{name}\r\n")
    ended = sent.wharf("retry", "--gcs-prefix", prefix)
    assert (ended.code, ended.err) == (0, "")
    assert sorted(ended.out.splitlines()) == [f"sent    {sent.remote}/a.csv", f"sent    {sent.remote}/sub/b.csv"]
    assert sent.wharf("retry", "--gcs-prefix", f"{prefix}/", "--export_name=daily").code == 0
    assert sent.files["a.csv"] == sent.files["in/a.csv"] == b"id\r\na.csv\r\n"
    assert sent.files["sub/b.csv"] == sent.files["in/sub/b.csv"] == b"id\r\nsub/b.csv\r\n"
    nothing = sent.wharf("retry", "--gcs-prefix", f"{prefix}-no")
    assert nothing.code == 2
    assert f"there are no files below {prefix}-no/" in nothing.err


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["verify", "--export_name=other"], "nothing to verify"),
        (["verify", "--export_id=no-such-run"], "no run no-such-run has staged files"),
        (["retry", "--export_id=no-such-run"], "no run no-such-run has staged files"),
        (["retry", "--missing-files=/no/such/file"], "/no/such/file: No such file"),
        (["retry", "--missing-files=/dev/null"], "lists no file"),
        (["retry", "--missing_files=x"], "--missing_files"),
    ],
    ids=lambda value: value[1] if isinstance(value, list) else "",
)
def test_a_wrong_command_ends_with_exit_code_2_and_says_why(delivery, table, command, message):
    delivery.write({"daily": {"source_table": table}, "other": {"source_table": table}})
    ended = delivery.wharf(*command)
    assert (ended.code, ended.out) == (2, "")
    assert message in ended.err.splitlines()[-1]
