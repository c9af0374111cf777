"""Periods of a backfill: half-open, without gaps, named as people name them."""

from __future__ import annotations

import datetime as dt
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wharf.model.errors import UsageError
from wharf.model.launching.launch import Launch
from wharf.model.launching.periods import LENGTHS, MONTH, Period, periods, window_text
from wharf.model.launching.requests import canonical
from wharf.model.windows import Window, month_window

DAYS = st.dates(dt.date(1999, 1, 1), dt.date(2030, 1, 1))


def names(start: str, end: str, every: str) -> list[str]:
    return [str(period) for period in periods(start, end, every)]


def test_months_are_named_as_months_and_the_end_is_not_among_them() -> None:
    assert names("2023-11", "2024-02", "month") == ["2023-11", "2023-12", "2024-01"]
    assert names("2024-02-01", "2024-03-01", "month") == ["2024-02"]


def test_days_and_weeks_may_begin_anywhere_and_the_last_week_may_be_short() -> None:
    assert names("2024-02-28", "2024-03-02", "day") == ["2024-02-28", "2024-02-29", "2024-03-01"]
    assert names("2024-01-03", "2024-01-12", "week") == ["2024-01-03 to 2024-01-10", "2024-01-10 to 2024-01-12"]
    assert names("2024-01-03", "2024-01-11", "week")[-1] == "2024-01-10"


@given(DAYS, st.integers(1, 400), st.sampled_from(LENGTHS))
def test_periods_meet_without_gap_or_overlap(start: dt.date, days: int, every: str) -> None:
    end = start + dt.timedelta(days=days)
    if every == MONTH:
        start, end = start.replace(day=1), (end + dt.timedelta(days=31)).replace(day=1)
    found = periods(start.isoformat(), end.isoformat(), every)
    assert (found[0].start, found[-1].end) == (start, end)
    assert all(one.end == other.start for one, other in pairwise(found))
    assert all(period.start < period.end for period in found)


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
def test_the_window_of_a_month_is_the_one_that_period_means(zone: str) -> None:
    (month,) = periods("2025-03", "2025-04", "month")
    assert month.is_month
    assert month.window(zone) == month_window("202503", zone)


@pytest.mark.parametrize(
    ("start", "end", "every", "message"),
    [
        ("2024-01", "2024-01", "month", "--from 2024-01 is not before --to 2024-01"),
        ("2024-01-15", "2024-03", "month", "--from: 2024-01-15 is not the first of a month: write one like 2024-01"),
        ("2024-01", "2024-03-02", "month", "--to: 2024-03-02 is not the first of a month"),
        ("2024-13", "2025-01", "month", "--from: '2024-13' is neither a month nor a day"),
        ("202401", "2025-01", "month", "--from: '202401' is neither a month nor a day"),
        ("2024-01", "soon", "day", "--to: 'soon' is neither a month nor a day: write 2024-01 or 2024-01-31"),
        ("0204-01", "2024-01", "day", "more than 10,000 periods: is a year mistyped?"),
    ],
)
def test_a_mistake_is_named_with_its_flag(start: str, end: str, every: str, message: str) -> None:
    with pytest.raises(UsageError) as refused:
        periods(start, end, every)
    assert message in str(refused.value)


def test_a_period_of_days_is_no_month() -> None:
    assert not Period(dt.date(2024, 1, 2), dt.date(2024, 2, 2)).is_month
    assert not Period(dt.date(9999, 12, 1), dt.date(9999, 12, 31)).is_month  # no day comes after that month


@pytest.mark.parametrize(
    ("window", "shown"),
    [
        ("", ""),
        ("20250301-20250401", "2025-03"),
        ("20250301-20250302", "2025-03-01"),
        ("20250301", "2025-03-01"),
        ("20250301-20250308-America/Port-au-Prince", "2025-03-01 to 2025-03-08 (America/Port-au-Prince)"),
        ("20250301T060000-20250301T120000", "2025-03-01T06:00:00 to 2025-03-01T12:00:00"),
        ("00010102-99991231", "0001-01-02 to 9999-12-31"),
        ("99991231", "9999-12-31"),
    ],
)
def test_the_window_of_a_launch_is_shown_as_that_of_a_run(window: str, shown: str) -> None:
    assert Launch(pipeline="bigquery_to_avro", name="m", window=window).window_text == shown


@given(st.datetimes(dt.datetime(2000, 1, 1)), st.timedeltas(dt.timedelta(seconds=1), dt.timedelta(days=400)))
def test_whatever_window_is_asked_for_can_be_shown(start: dt.datetime, length: dt.timedelta) -> None:
    start, length = start.replace(microsecond=0), dt.timedelta(seconds=length // dt.timedelta(seconds=1))
    try:
        window = Window(start, start + length, "Europe/Berlin")
    except (UsageError, OverflowError):
        return  # beyond the calendar's end
    text = Launch(pipeline="bigquery_to_avro", name="m", window=canonical(window)).window_text
    assert text == window_text(window.start, window.end, window.time_zone)
