"""Windows of wall-clock time: days, borders, SQL."""

from __future__ import annotations

import datetime as dt
import re
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wharf.model.errors import UsageError
from wharf.model.windows import DATE_TYPES, Span, Window, month_window, parse_instant, previous_month, zone

SECOND = dt.timedelta(seconds=1)
SECONDS = st.datetimes(dt.datetime(1950, 1, 1), dt.datetime(2050, 1, 1)).map(
    lambda moment: moment.replace(microsecond=0)
)
ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/Sao_Paulo", "Asia/Kathmandu", "Pacific/Apia", "Asia/Beirut"])
LENGTHS = st.timedeltas(dt.timedelta(seconds=1), dt.timedelta(days=60)).map(lambda length: length // SECOND * SECOND)
windows = st.builds(lambda start, length, name: Window(start, start + length, name), SECONDS, LENGTHS, ZONES)


@given(windows)
def test_spans_cover_the_window_day_by_day_without_a_gap(window: Window) -> None:
    spans = window.spans
    assert spans[0].start == window.start
    assert spans[-1].end == window.end
    assert all(before.end == after.start for before, after in pairwise(spans))
    assert all(span.start.date() == span.day for span in spans)
    assert all(span.whole for span in spans[1:-1])


@given(windows, st.sampled_from(DATE_TYPES))
def test_there_is_a_border_before_each_span_and_one_after_all(window: Window, type_: str) -> None:
    borders = window.borders(type_)
    assert len(borders) == len(window.spans) + 1
    assert borders == sorted(borders)


def test_borders_are_in_the_units_of_arrow() -> None:
    window = Window(dt.datetime(1970, 1, 2), dt.datetime(1970, 1, 3), "Europe/Berlin")
    assert window.borders("DATE") == [1, 2]
    assert window.borders("DATETIME") == [86_400_000_000, 172_800_000_000]
    assert window.borders("TIMESTAMP") == [82_800_000_000, 169_200_000_000]
    assert Window(dt.datetime(1969, 12, 31), dt.datetime(1970, 1, 1)).borders("DATE") == [-1, 0]


@pytest.mark.parametrize(
    ("start", "end", "clock"),
    [
        ("2025-03-01T00:00:00", "2025-03-02T00:00:00", ""),
        ("2025-03-01T06:00:00", "2025-03-02T00:00:00", "060000-240000"),
        ("2025-03-01T00:00:00", "2025-03-01T12:30:01", "000000-123001"),
    ],
)
def test_a_part_of_a_day_has_a_clock(start: str, end: str, clock: str) -> None:
    (span,) = Window(dt.datetime.fromisoformat(start), dt.datetime.fromisoformat(end)).spans
    assert span == Span(dt.date(2025, 3, 1), dt.datetime.fromisoformat(start), dt.datetime.fromisoformat(end))
    assert span.clock == clock
    assert span.whole == (clock == "")


def test_restrictions_are_spelled_for_each_type() -> None:
    window = Window(dt.datetime(2025, 3, 1), dt.datetime(2025, 4, 1), "Europe/Berlin")
    assert window.restriction("t", "TIMESTAMP") == (
        "`t` >= TIMESTAMP '2025-02-28 23:00:00+00' AND `t` < TIMESTAMP '2025-03-31 22:00:00+00'"
    )
    assert window.restriction("t", "DATETIME") == (
        "`t` >= DATETIME '2025-03-01 00:00:00' AND `t` < DATETIME '2025-04-01 00:00:00'"
    )
    assert window.restriction("t", "DATE") == "`t` >= DATE '2025-03-01' AND `t` < DATE '2025-04-01'"


@given(windows)
def test_the_restriction_on_timestamps_says_the_same_as_the_borders(window: Window) -> None:
    quoted = re.findall(r"'([^']+)'", window.restriction("t", "TIMESTAMP"))
    epoch = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    edges = [(dt.datetime.fromisoformat(edge) - epoch) // dt.timedelta(microseconds=1) for edge in quoted]
    assert edges == [window.borders("TIMESTAMP")[0], window.borders("TIMESTAMP")[-1]]


def test_a_date_column_needs_whole_days() -> None:
    window = Window(dt.datetime(2025, 3, 1), dt.datetime(2025, 3, 1, 12))
    with pytest.raises(UsageError, match="column 't' is a DATE, so the window must begin and end at midnight"):
        window.restriction("t", "DATE")


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        (dt.datetime(2025, 3, 1), dt.datetime(2025, 3, 1), "is not before"),
        (dt.datetime(2025, 3, 2), dt.datetime(2025, 3, 1), "is not before"),
        (dt.datetime(1025, 3, 1), dt.datetime(2025, 3, 1), "longer than 200 years"),
        (dt.datetime(1, 1, 1), dt.datetime(1, 1, 5), "between 0001-01-02 and 9999-12-31"),
        (dt.datetime(9999, 12, 1), dt.datetime(9999, 12, 31, 1), "between 0001-01-02 and 9999-12-31"),
    ],
)
def test_a_window_that_makes_no_sense_is_refused(start: dt.datetime, end: dt.datetime, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Window(start, end)


@pytest.mark.parametrize("name", ["Pacific/Kiritimati", "Pacific/Niue"])
def test_the_ends_of_the_calendar_work_in_every_zone(name: str) -> None:
    for start, end in (("0001-01-02", "0001-01-03"), ("9999-12-30", "9999-12-31")):
        window = Window(dt.datetime.fromisoformat(start), dt.datetime.fromisoformat(end), name)
        assert len(window.borders("TIMESTAMP")) == 2
        assert start in window.restriction("t", "DATE")


@pytest.mark.parametrize("name", ["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires"])
def test_a_zone_of_the_database_is_taken(name: str) -> None:
    assert zone(name) == name


@pytest.mark.parametrize(
    "name", ["", "Berlin", "Europe/Berln", "../etc/passwd", "/etc/localtime", "Europe", "\x00", "é"]
)
def test_any_other_zone_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="is not a time zone: write UTC or one like Europe/Berlin"):
        zone(name)


def test_an_instant_is_read() -> None:
    assert parse_instant("2025-03-01T12:30:01", flag="x") == dt.datetime(2025, 3, 1, 12, 30, 1)


@pytest.mark.parametrize(
    "text",
    ["", "2025-03-01", "2025-03-01 00:00:00", "2025-02-30T00:00:00", "2025-03-01T24:00:01", "2025-03-01T00:00:00Z",
     "2025-03-01T00:00:00\n", "0000-01-01T00:00:00", "01.03.2025"],
)  # fmt: skip
def test_an_unreadable_instant_names_its_flag_and_the_form(text: str) -> None:
    with pytest.raises(UsageError, match=r"--when_read_to: .* write YYYY-MM-DDTHH:MM:SS"):
        parse_instant(text, flag="when_read_to")


@given(st.dates(dt.date(1, 2, 1), dt.date(9998, 12, 31)))
def test_a_month_has_all_of_its_days(day: dt.date) -> None:
    window = month_window(f"{day.year:04d}{day.month:02d}")
    days = [span.day for span in window.spans]
    assert day in days
    assert {(found.year, found.month) for found in days} == {(day.year, day.month)}
    assert len(days) in {28, 29, 30, 31}


@pytest.mark.parametrize("period", ["", "2025", "202513", "202500", "2025-3", "000003", "999912", "20250301", "٢٠٢٥٠٣"])
def test_an_unreadable_month_is_refused(period: str) -> None:
    with pytest.raises(UsageError, match=r"--period: .* write yyyyMM"):
        month_window(period)


@pytest.mark.parametrize(
    ("now", "name", "first"),
    [
        ("2025-04-15T12:00:00", "UTC", "2025-03-01"),
        ("2025-01-01T00:00:00", "UTC", "2024-12-01"),
        ("2025-03-31T22:30:00", "UTC", "2025-02-01"),
        ("2025-03-31T22:30:00", "Europe/Berlin", "2025-03-01"),  # April there already
        ("2025-04-01T02:00:00", "America/Sao_Paulo", "2025-02-01"),  # March there still
    ],
)
def test_the_previous_month_is_that_of_the_zones_calendar(now: str, name: str, first: str) -> None:
    window = previous_month(dt.datetime.fromisoformat(now).replace(tzinfo=dt.UTC), name)
    assert window == month_window(first[:7].replace("-", ""), name)


@given(windows)
def test_the_ends_as_instants_show_the_windows_wall_clock(window: Window) -> None:
    """Unless the clock skipped them."""
    local = window.first_instant.astimezone(ZoneInfo(window.time_zone)).replace(tzinfo=None)
    assert local == window.start or local - window.start <= dt.timedelta(days=1)
