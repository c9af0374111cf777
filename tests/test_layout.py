"""What a run does to the files it finds, and how its own are called."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wharf.model.layout import (
    SUCCESS_FILE,
    Layout,
    Replacement,
    manifest_prefix,
    part_name,
    replacement,
    run_prefix,
    staging_root,
)
from wharf.model.windows import Window

MORNING = part_name("000000-120000", 0, 1)
AFTERNOON = part_name("120000-240000", 0, 1)
NOON = part_name("110000-130000", 0, 1)
DAY = part_name("", 0, 1)


def test_everything_of_a_run_is_below_its_output() -> None:
    layout = Layout("gs://b/p", "m-1")
    assert layout.folder("year=2025") == "gs://b/p/year=2025"
    assert layout.manifest == "gs://b/p/_manifests/m-1.json"
    assert layout.note == "gs://b/p/_staging/m-1/run.json"
    assert layout.staging.startswith(staging_root("gs://b/p"))


def test_runs_of_one_window_share_a_prefix_that_other_windows_do_not_have() -> None:
    first = Window(dt.datetime(2025, 3, 1), dt.datetime(2025, 4, 1))
    longer = Window(dt.datetime(2025, 3, 1), dt.datetime(2025, 4, 1, 12))
    assert run_prefix("m", first) == "m-20250301T000000-20250401T000000-"
    assert not run_prefix("m", longer).startswith(run_prefix("m", first))
    assert manifest_prefix("out", "m", first) == f"out/_manifests/{run_prefix('m', first)}"


def test_parts_are_numbered_and_carry_the_part_of_the_day() -> None:
    assert part_name("", 3, 12) == "part-00003-of-00012.avro"
    assert part_name("060000-120000", 0, 1) == "part-060000-120000-00000-of-00001.avro"


def test_a_whole_day_replaces_every_file_of_it() -> None:
    """Those of parts of the day too, and any that nobody knows: the day is exported anew."""
    names = [DAY, MORNING, NOON, "foreign.parquet"]
    assert replacement(names, "") == Replacement(names, [], [])


def test_a_part_of_a_day_leaves_the_other_parts_alone() -> None:
    assert replacement([MORNING, AFTERNOON], "120000-240000") == Replacement([AFTERNOON], [MORNING], [])


def test_a_part_of_a_day_replaces_what_lies_within_it() -> None:
    hour = part_name("090000-100000", 2, 3)
    assert replacement([hour, MORNING], "000000-120000") == Replacement([hour, MORNING], [], [])


@pytest.mark.parametrize("name", [DAY, NOON, "foreign.parquet", "part-1.avro"])
def test_a_file_with_rows_on_both_sides_is_in_the_way(name: str) -> None:
    assert replacement([name], "000000-120000") == Replacement([], [], [name])


def test_markers_and_hidden_files_are_passed_over() -> None:
    assert replacement([SUCCESS_FILE, ".crc"], "") == Replacement([], [], [])


CLOCKS = st.lists(st.integers(0, 24), min_size=2, max_size=2, unique=True).map(sorted)


@given(CLOCKS, CLOCKS)
def test_hours_decide_what_happens_to_a_file(mine: list[int], other: list[int]) -> None:
    """Held against sets of hours."""
    name = part_name(f"{other[0]:02d}0000-{other[1]:02d}0000", 0, 1)
    found = replacement([name], f"{mine[0]:02d}0000-{mine[1]:02d}0000")
    hours, its = set(range(*mine)), set(range(*other))
    assert found.replaced == ([name] if its <= hours else [])
    assert found.kept == ([name] if not its & hours else [])
    assert len(found.replaced + found.kept + found.in_the_way) == 1
