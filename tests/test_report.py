"""What a run shows to people."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from wharf.model.report import closing_table, plan, progress_line, size
from wharf.model.schema import Field

ROW = {
    "export_id": "m-1",
    "status": "SUCCESS",
    "source_table": "p.d.t",
    "destination_uri": "gs://b/p",
    "rows_exported": 1_000_000,
    "started_at": dt.datetime(2025, 3, 1, tzinfo=dt.UTC),
    "completed_at": dt.datetime(2025, 3, 1, 0, 0, 2, tzinfo=dt.UTC),
    "partitions": 496,
    "files": 500,
    "bytes_exported": 3 << 20,
}
DAYS = {f"year=2025/month=03/day={day:02d}/vendor=a": 10 for day in range(1, 4)}
FIRST, *_, LAST = DAYS


def planned(**changed: Any) -> str:
    values: dict[str, Any] = {
        "source": "p.d.t",
        "output": "gs://b/p",
        "window": "March",
        "restriction": "TRUE",
        "write_mode": "overwrite",
        "schema": (Field(name="id", type="INT64", mode="REQUIRED"), Field(name="tags", type="STRING", mode="REPEATED")),
        "partitions": DAYS,
        "estimated_bytes": 2048,
        "existing": {},
        "occupied": set(),
    }
    return plan(**values | changed)


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (3 << 20, "3.0 MiB"), (5 << 30, "5.0 GiB"), (2 << 40, "2.0 TiB")],
)
def test_bytes_come_in_the_unit_that_reads_best(count: int, text: str) -> None:
    assert size(count) == text


def test_progress_counts_rows_and_what_follows_them() -> None:
    assert "2,000 rows  1,000 rows/s" in progress_line({"rows_encoded": 2000, "bytes_spilled": 1024}, 2)
    assert "files" not in progress_line({"rows_encoded": 2000}, 2)
    line = progress_line({"rows_encoded": 2000, "files_written": 31, "partitions_published": 7}, 2)
    assert "31 files" in line
    assert "7 partitions published" in line


def test_progress_begins_at_once() -> None:
    """Without counts too, which is how a launcher sees work that other processes do."""
    assert "0 rows" in progress_line({"rows_encoded": 0}, 0)
    assert progress_line({}, 0).endswith("running")


def test_the_closing_table_tells_what_was_written_and_how_fast() -> None:
    table = closing_table(ROW, skipped=0)
    for part in ("m-1", "SUCCESS", "p.d.t", "gs://b/p", "1,000,000", "496", "500, 3.0 MiB", "2.0 s, 500,000 rows/s"):
        assert part in table
    assert "skipped" not in table
    assert "496 written, 3 skipped" in closing_table(ROW, skipped=3)


def test_a_plan_tells_source_schema_and_partitions() -> None:
    text = planned()
    for part in ("p.d.t", "gs://b/p", "March", "id INT64 NOT NULL", "tags ARRAY<STRING>", "about 2.0 KiB"):
        assert part in text
    assert "30 in 3 partitions" in text
    assert all(path in text for path in DAYS)
    assert text.endswith("nothing was written")


def test_a_plan_without_an_estimate_makes_none_up() -> None:
    assert "about" not in planned(estimated_bytes=None)


@pytest.mark.parametrize(("mode", "verb"), [("overwrite", "replaced"), ("skip", "left alone"), ("fail", "in the way")])
def test_a_plan_says_what_happens_to_files_that_are_there(mode: str, verb: str) -> None:
    text = planned(write_mode=mode, existing={FIRST: 2}, occupied={FIRST})
    assert f"1 partition would be {verb} (--write_mode {mode})" in text
    assert f"{verb}, has 2 now" in text
    assert "no rows any more" not in text


def test_a_plan_says_which_partitions_would_go() -> None:
    """Only overwriting removes them."""
    gone = "year=2025/month=03/day=31/vendor=a"
    assert "1 of them have no rows any more" in planned(existing={gone: 1}, occupied={gone})
    assert "no rows any more" not in planned(existing={gone: 1}, occupied={gone}, write_mode="skip")


def test_a_long_plan_is_cut() -> None:
    partitions = {f"p{number:03d}": 1 for number in range(100)}
    assert "and 60 more" in planned(partitions=partitions)
