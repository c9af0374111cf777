"""Periods of a backfill: half-open, without gaps, named as people name them."""

from __future__ import annotations

import datetime as dt
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wharf.model.errors import UsageError
from wharf.model.launching.periods import LENGTHS, MONTH, Period, periods
from wharf.model.windows import month_window

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
