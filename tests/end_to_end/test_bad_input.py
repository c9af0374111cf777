"""What a person must mend is one line on stderr and exit code 2, before anything is written."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest
from google.cloud.bigquery import Table

MARCH = "--period=202503"


class Bad(NamedTuple):
    """Flags that replace or add to good ones, and what the line must say."""

    words: list[str]
    said: list[str]
    leave_out: str = ""


CASES = {
    "a misspelt flag": Bad(["--vendr_column=acme"], ["--vendr_column", "did you mean --vendor_column?"]),
    "a misspelt flag of Beam's": Bad(["--direct_num_worker=2"], ["did you mean --direct_num_workers?"]),
    "a word that is no flag": Bad(["202503"], ["202503"]),
    "table and query": Bad(["--query=SELECT 1"], ["exactly one of --source_table and --query"]),
    "neither table nor query": Bad([], ["exactly one of --source_table and --query"], leave_out="--source_table"),
    "a query without a temporary dataset": Bad(
        ["--query=SELECT 1", "--project=demo-project"], ["--temp_dataset is missing"], leave_out="--source_table"
    ),
    "no output": Bad([], ["--output is missing"], leave_out="--output"),
    "an output elsewhere": Bad(["--output=s3://bucket/prefix"], ["--output", "s3://bucket/prefix"]),
    "a missing table": Bad(["--source_table=demo-project.tests.nothing"], ["demo-project.tests.nothing", "not found"]),
    "a missing dataset": Bad(["--source_table=demo-project.nowhere.t"], ["demo-project.nowhere.t", "not found"]),
    "a table without a dataset": Bad(["--source_table=nothing"], ["--source_table", "project.dataset.table"]),
    "an unknown column": Bad(["--columns=id,valu"], ["--columns", "'valu'", "did you mean value?"]),
    "an unknown vendor column": Bad(["--vendor_column=vendors"], ["--vendor_column", "did you mean vendor?"]),
    "a number as date column": Bad(["--date_column=id"], ["--date_column", "INT64", "TIMESTAMP or DATETIME or DATE"]),
    "a time as vendor column": Bad(["--vendor_column=when_read"], ["--vendor_column", "must be STRING or INT64"]),
    "a restriction that is no SQL": Bad(["--row_restriction=value >"], ["--row_restriction"]),
    "a restriction on no column": Bad(["--row_restriction=valeu > 1"], ["--row_restriction", "valeu"]),
    "a query that is no SQL": Bad(
        ["--query=SELEC 1", "--temp_dataset=tests", "--project=demo-project"], ["--query"], leave_out="--source_table"
    ),
    "a month that is none": Bad(["--period=202513"], ["--period", "202513", "write one like 202503"]),
    "a time that is none": Bad(
        ["--period=", "--when_read_from=2025-02-30T00:00:00", "--when_read_to=2025-03-01T00:00:00"],
        ["--when_read_from", "write one like 2025-03-01T00:00:00"],
    ),
    "a window that ends before it begins": Bad(
        ["--period=", "--when_read_from=2025-03-02T00:00:00", "--when_read_to=2025-03-01T00:00:00"], ["is not before"]
    ),
    "half a window": Bad(["--period=", "--when_read_from=2025-03-02T00:00:00"], ["--when_read_to is missing"]),
    "month and window": Bad(["--when_read_from=2025-03-02T00:00:00"], ["--period", "not both"]),
    "no time zone": Bad(["--time_zone=Europe/Atlantis"], ["--time_zone", "Europe/Atlantis", "Europe/Berlin"]),
    "an unknown codec": Bad(["--codec=zstandart"], ["--codec", "did you mean zstandard?"]),
    "a tiny file size": Bad(["--target_file_bytes=12"], ["--target_file_bytes", "268435456"]),
    "a lease that is no number": Bad(["--lease_minutes=long"], ["--lease_minutes"]),
    "a missing bucket": Bad(["--output=gs://no-such-bucket/x"], ["gs://no-such-bucket/x", "bucket does not exist"]),
    "an output below a file": Bad(["--output=/etc/hostname/x"], ["/etc/hostname/x", "cannot be written"]),
    "an output in the kernel": Bad(["--output=/proc/x"], ["/proc/x", "cannot be written"]),
}


@pytest.fixture
def written(client, flags, output):
    """What a run of this test has left: files at its output, tables of its ledger."""

    def look() -> list[str]:
        project, dataset, table = flags[0].partition("=")[2].split(".")
        names = [found.table_id for found in client.list_tables(f"{project}.{dataset}", retry=None)]
        return [str(path) for path in Path(output).glob("*")] + [name for name in names if name.startswith(table)]

    client.create_dataset("ledger", exists_ok=True, retry=None)
    return look


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_one_line_that_names_it_and_nothing_is_written(run, readings, output, written, name):
    bad = CASES[name]
    good = [f"--source_table={readings}", f"--output={output}", MARCH]
    ended = run(*[word for word in good if word.split("=")[0] != bad.leave_out], *bad.words)
    assert_one_line(ended, *bad.said)
    if "bucket" in name or name.startswith("an output"):  # found out by writing, after the ledger was made
        assert not Path(output).exists()
    else:
        assert written() == []


def test_a_view_is_refused_with_the_way_round(run, client, readings, output, written):
    view = Table(f"{readings}_view")
    view.view_query = f"SELECT * FROM `{readings}`"
    client.create_table(view, retry=None)
    ended = run(f"--source_table={readings}_view", f"--output={output}", MARCH)
    assert_one_line(ended, "VIEW", "--query", f"{readings}_view")
    assert written() == []


def test_an_unknown_flag_in_a_process_of_its_own_has_no_traceback(export, readings, output):
    ended = export(f"--source_table={readings}", f"--output={output}", "--vendr_column=acme")
    assert_one_line(ended, "--vendr_column", "--vendor_column")


def test_a_corrupt_credentials_file_is_named_at_once(export, output, tmp_path):
    broken = tmp_path / "credentials.json"
    broken.write_text('{"type": "service_account", "private_key": ')
    real = dict.fromkeys(["BIGQUERY_EMULATOR_HOST", "BIGQUERY_STORAGE_EMULATOR_HOST", "STORAGE_EMULATOR_HOST"], "")
    ended = export(
        *["--source_table=p.d.t", f"--output={output}", "--bigquery_endpoint=", "--bigquery_storage_endpoint="],
        **real,
        GOOGLE_APPLICATION_CREDENTIALS=str(broken),
    )
    assert_one_line(ended, "credentials", "GOOGLE_APPLICATION_CREDENTIALS")


def test_half_an_emulated_bigquery_is_refused(run, readings, output):
    ended = run(f"--source_table={readings}", f"--output={output}", "--bigquery_storage_endpoint=example.com:443")
    assert_one_line(ended, "BIGQUERY_STORAGE_EMULATOR_HOST")


def assert_one_line(ended, *said: str) -> None:
    assert ended.code == 2, ended.err
    assert ended.err.startswith("error: "), ended.err
    assert len(ended.err.splitlines()) == 1, ended.err
    for text in said:
        assert text in ended.err
