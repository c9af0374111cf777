"""Wrong commands and exports that cannot run: each ends in one line, and is recorded where there was a run."""

from __future__ import annotations

import re

import pytest


@pytest.fixture(scope="module")
def table(orders) -> str:
    return orders(200)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--export_name=dailly"], "no export 'dailly' (did you mean daily?)"),
        (["--export_name=off"], "off is switched off"),
        ([], "--export_name is missing: name exports, or all; there are daily, off, lost"),
        (["--export_name=daily", "--date=2025-02-30"], "'2025-02-30' is not understood: write one like 2025-03-02"),
        (["--export_name=daily", "--dat=2025-02-03"], "unknown flag --dat"),
    ],
)
def test_a_wrong_command_ends_with_exit_code_2_and_one_line(delivery, table, words, message):
    delivery.write({"daily": {"source_table": table}, "off": {"query": ""}, "lost": {"source_table": f"{table}_x"}})
    ended = delivery.run(*words)
    assert (ended.code, ended.out) == (2, "")
    (line,) = ended.err.splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert delivery.files == {}


def test_an_export_that_cannot_run_is_recorded_and_keeps_no_other_from_running(delivery, table):
    delivery.write(
        {
            "fine": {"source_table": table},
            "lost": {"source_table": f"{table}_x"},
            "mistyped": {"source_table": table, "columns": ["nam"]},
            "wrong": {"query": "SELEC 1"},
        }
    )
    ended = delivery.run("--export_name=all", "--date=2025-03-02")
    assert ended.code == 2
    errors = [line for line in ended.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == len(ended.err.splitlines()) == 3
    assert list(delivery.files) == ["fine_2025-03-02.csv"]
    runs = {row["export_name"]: row for row in delivery.runs()}
    assert {name: row["status"] for name, row in runs.items()} == {
        "fine": "SUCCESS",
        "lost": "FAILED",
        "mistyped": "FAILED",
        "wrong": "FAILED",
    }
    assert "no column 'nam'" in runs["mistyped"]["error_message"]
    assert all(runs[name]["error_message"] for name in ("lost", "mistyped", "wrong"))


def test_an_export_that_breaks_while_it_runs_takes_no_other_with_it(delivery, table):
    delivery.write(
        {
            "broken": {"source_table": table, "quoting": "none", "delimiter": " "},
            "fine": {"source_table": table},
            "news": {"source_table": table, "timestamp_column": "changed_at"},
        }
    )
    ended = delivery.run("--export_name=all", "--date=2025-03-02")
    assert ended.code == 1
    assert {row["export_name"]: row["status"] for row in delivery.runs()} == {
        "broken": "FAILED",
        "fine": "SUCCESS",
        "news": "SUCCESS",
    }
    assert len(delivery.files) == 2
    assert ended.err.count("error: run broken") == 1


def test_a_plan_says_what_would_be_done_and_writes_nothing(delivery, table, sql):
    delivery.write({"daily": {"source_table": table, "date_column": "day", "max_rows_per_file": 7},
                    "news": {"source_table": table, "timestamp_column": "id"}})  # fmt: skip
    ended = delivery.run("--export_name=all", "--date=2025-03-05", "--plan")
    assert (ended.code, ended.err) == (0, "")
    daily, news = ended.out.split("nothing was written\n")[:2]
    assert re.search(r"^rows +20$", daily, re.MULTILINE)
    assert re.search(r"^files +daily_2025-03-05_00001-of-00001.csv, at most 7 rows each$", daily, re.MULTILINE)
    assert re.search(r"^watermark +none", news, re.MULTILINE)
    assert re.search(r"^rows +200$", news, re.MULTILINE)
    assert delivery.files == {}
    assert not delivery.staging.exists()
    tables = sql(f"SELECT table_name FROM `{delivery.project}.ledger.INFORMATION_SCHEMA.TABLES`")
    assert delivery.metadata.rpartition(".")[2] not in {row["table_name"] for row in tables}
