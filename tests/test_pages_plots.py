"""Plots and wording of the pages for people, as values."""

from __future__ import annotations

import datetime as dt
from itertools import pairwise
from urllib.parse import parse_qsl, urlsplit

import pytest

from wharf.launch.service import plots, wording
from wharf.launch.service.filters import Filters
from wharf.model.history.runs import STATUSES, DayTotal, Run

DAY = dt.date(2025, 3, 1)


def total(day: int, rows: int, seconds: float | None = 60.0, status: str = "SUCCESS", pipeline: str = "a") -> DayTotal:
    return DayTotal(day=DAY.replace(day=day), pipeline=pipeline, status=status, runs=1, rows=rows, seconds=seconds)


def run(hour: int, status: str = "SUCCESS", rows: int | None = 10) -> Run:
    began = dt.datetime(2025, 3, 1, hour, tzinfo=dt.UTC)
    ended = None if status == "RUNNING" else began + dt.timedelta(minutes=hour)
    run_id = f"r{hour}"
    return Run(run_id=run_id, pipeline="a", name="n", status=status, started_at=began, completed_at=ended, rows=rows)


def test_each_pipeline_has_a_bar_for_every_day_and_marks_for_bad_ones():
    totals = [total(1, 100), total(3, 50), total(3, 0, None, "SILENT"), total(2, 7, pipeline="b")]
    first, second = plots.by_day(totals, DAY, DAY.replace(day=4))
    assert (first.heading, second.heading) == ("a", "b")
    rows, took = first.plots
    assert [round(bar.height / plots.HEIGHT, 3) for bar in rows.bars] == [1, 0, 0.5, 0]
    assert [bar.is_broken for bar in rows.bars] == [False, False, True, False]
    assert [bar.label for bar in took.bars][::3] == ["2025-03-01: 1 min", "2025-03-04: 0.0 s"]
    assert rows.description == (
        "4 days, from 2025-03-01 to 2025-03-04. The most is 100, on 2025-03-01. The last is 0. "
        "Failed or silent: 2025-03-03."
    )


def test_bars_stand_beside_each_other_inside_the_drawing_and_are_seen_however_small():
    (chart,) = plots.by_day([total(day, 10**9 if day == 1 else 1) for day in range(1, 32)], DAY, DAY.replace(day=31))
    bars = chart.plots[0].bars
    assert all(bar.x >= 0 and bar.x + bar.width <= plots.WIDTH for bar in bars)
    assert all(one.x + one.width < other.x for one, other in pairwise(bars))
    assert all(0 < bar.height <= plots.HEIGHT and bar.y >= 0 for bar in bars)


def test_runs_of_a_name_are_drawn_in_the_order_of_time():
    chart = plots.by_run("n", [run(3, "RUNNING", None), run(2, "FAILED"), run(1)])
    rows, took = chart.plots
    assert [bar.height > 0 for bar in rows.bars] == [True, True, False]
    assert [bar.is_broken for bar in took.bars] == [False, True, False]
    assert (took.most, took.first, took.last) == ("2 min", "2025-03-01 01:00 UTC", "2025-03-01 03:00 UTC")
    assert plots.by_run("n", []) is None


def test_a_plot_of_nothing_says_so():
    chart = plots.by_run("n", [run(1, "FAILED", 0)])
    assert "All are nothing." in chart.plots[0].description


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "\N{EN DASH}"),
        (-3, "0.0 s"),
        (0.44, "0.4 s"),
        (45, "45 s"),
        (59.7, "1 min"),
        (723, "12 min 3 s"),
        (7_200, "2 h"),
        (7_920, "2 h 12 min"),
        (273_600, "3 d 4 h"),
    ],
)
def test_durations_are_said_in_the_units_that_tell_most(seconds, text):
    assert wording.duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (950, "950"), (1_234, "1.23 thousand"), (3_400_000, "3.4 million")]
)
def test_large_numbers_are_rounded_for_plots(value, text):
    assert wording.rounded(value) == text


def test_every_status_has_a_word_and_a_meaning():
    assert wording.STATUS_WORDS.keys() == wording.STATUS_MEANINGS.keys() == set(STATUSES)


def test_a_link_leads_back_to_the_filters_it_was_made_of():
    asked = Filters(pipeline="api_to_bigquery", name="a&b c", status="FAILED", day=DAY)
    query = dict(parse_qsl(urlsplit(asked.link()).query))
    assert Filters.of(query, DAY) == asked
    older = Filters.of(dict(parse_qsl(urlsplit(asked.older(run(1))).query)), DAY)
    assert older.after == (run(1).started_at, "r1")
    assert asked.link(pipeline="", name="", status="", day=None) == "/"
