"""Grouping rows by day and vendor, held against plain Python."""

from __future__ import annotations

import datetime as dt
import pickle
from collections import defaultdict
from collections.abc import Sequence
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wharf.formats import partition_rows
from wharf.formats.partition_rows import Partitioned, Partitioner
from wharf.model.windows import Window, month_window

ARROW = {"TIMESTAMP": pa.timestamp("us", tz="UTC"), "DATETIME": pa.timestamp("us"), "DATE": pa.date32()}
MARCH = month_window("202503")
VENDORS = st.none() | st.sampled_from(["a", "b", "", "ÅÄÖ", "../x"])


def partitioned(dates: pa.Array, vendors: pa.Array, window: Window = MARCH, type_: str = "TIMESTAMP") -> Partitioned:
    batch = pa.RecordBatch.from_arrays([dates, vendors], names=["when", "who"])
    return Partitioner(window, "when", type_, "who").partition(batch)


def groups(found: Partitioned) -> dict[Any, list[int]]:
    """Row numbers by (day, vendor), having looked at the rest of the answer."""
    order = np.arange(found.bounds[-1]) if found.order is None else found.order
    assert order.dtype == found.bounds.dtype == np.int64
    assert found.bounds[0] == 0
    assert found.bounds[-1] == len(order)
    assert (found.order is None) == (len(found.partitions) == 1)
    assert len(found.bounds) == len(found.partitions) + 1 == len(set(found.partitions)) + 1
    edges = zip(found.partitions, found.bounds, found.bounds[1:], strict=False)
    return {partition: order[begin:end].tolist() for partition, begin, end in edges}


def plainly(days: Sequence[dt.date], vendors: Sequence[Any]) -> dict[Any, list[int]]:
    expected = defaultdict(list)
    for row, (day, vendor) in enumerate(zip(days, vendors, strict=True)):
        expected[day, None if vendor is None else str(vendor)].append(row)
    return expected


def in_march(type_: str) -> st.SearchStrategy[Any]:
    if type_ == "DATE":
        return st.dates(dt.date(2025, 3, 1), dt.date(2025, 3, 31))
    zone = st.just(dt.UTC) if type_ == "TIMESTAMP" else st.none()
    return st.datetimes(dt.datetime(2025, 3, 1), dt.datetime(2025, 3, 31, 23, 59, 59, 999_999), timezones=zone)


@pytest.mark.parametrize("type_", ["TIMESTAMP", "DATETIME", "DATE"])
@settings(deadline=None)
@given(data=st.data())
def test_rows_are_grouped_as_plain_python_groups_them(type_: str, data: st.DataObject) -> None:
    """Row order kept within each group, slices of batches included, counted and sorted alike."""
    rows = data.draw(st.lists(st.tuples(in_march(type_), VENDORS), max_size=60))
    first = data.draw(st.integers(0, len(rows)))
    dates = pa.array([row[0] for row in rows], ARROW[type_]).slice(first)
    vendors = pa.array([row[1] for row in rows], pa.string()).slice(first)
    days = [moment.date() if isinstance(moment, dt.datetime) else moment for moment, _ in rows[first:]]
    expected = plainly(days, [vendor for _, vendor in rows[first:]])
    for most_counters in (1 << 20, -1):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(partition_rows, "_MOST_COUNTERS", most_counters)
            assert groups(partitioned(dates, vendors, type_=type_)) == expected


@pytest.mark.parametrize(
    ("zone", "start", "end"),
    [
        ("Europe/Berlin", "2025-03-29", "2025-04-01"),
        ("Europe/Berlin", "2025-10-25", "2025-10-28"),
        ("America/Sao_Paulo", "2018-11-03", "2018-11-06"),  # midnight is skipped
        ("America/Sao_Paulo", "2018-02-16", "2018-02-20"),  # the hour before midnight comes twice
        ("Asia/Beirut", "2025-03-29", "2025-04-01"),  # midnight is skipped
        ("Asia/Beirut", "2025-10-25", "2025-10-28"),
        ("America/Havana", "2025-11-01", "2025-11-04"),  # midnight comes twice
        ("Pacific/Apia", "2011-12-29", "2012-01-02"),  # a day is skipped
        ("Asia/Kathmandu", "2025-03-01", "2025-03-03"),
        ("Australia/Lord_Howe", "2025-04-05", "2025-04-08"),  # by half an hour
    ],
)
def test_days_of_timestamps_are_those_of_the_wall_clock(zone: str, start: str, end: str) -> None:
    """Every ten minutes across a change of the clock, each row's day as the zone database says."""
    window = Window(dt.datetime.fromisoformat(start), dt.datetime.fromisoformat(end), zone)
    seconds = int((window.last_instant - window.first_instant).total_seconds())
    moments = [window.first_instant + dt.timedelta(seconds=second) for second in range(0, seconds, 600)]
    days = [moment.astimezone(ZoneInfo(zone)).date() for moment in moments]
    vendors = ["v"] * len(moments)
    assert groups(partitioned(pa.array(moments, ARROW["TIMESTAMP"]), pa.array(vendors), window)) == plainly(
        days, vendors
    )
    assert (window.first_instant - dt.timedelta(microseconds=1)).astimezone(ZoneInfo(zone)).date() < days[0]
    assert window.last_instant.astimezone(ZoneInfo(zone)).date() > days[-1]


@pytest.mark.parametrize(
    "moment",
    [
        dt.datetime(2025, 2, 28, 23, 59, 59, 999_999),
        dt.datetime(2025, 4, 1),
        dt.datetime(1, 1, 1),
        dt.datetime(9999, 12, 31),
    ],
)
@pytest.mark.parametrize("place", [0, 1])
def test_a_row_outside_the_window_is_refused(moment: dt.datetime, place: int) -> None:
    moments = [dt.datetime(2025, 3, 5)]
    moments.insert(place, moment)
    with pytest.raises(ValueError, match="'when' has a value outside the window 2025-03-01"):
        partitioned(pa.array(moments, ARROW["TIMESTAMP"]), pa.array(["a", "b"]))


def test_a_part_of_a_day_begins_and_ends_to_the_microsecond() -> None:
    window = Window(dt.datetime(2025, 3, 1, 6), dt.datetime(2025, 3, 1, 12))
    inside = [window.start, window.end - dt.timedelta(microseconds=1)]
    found = partitioned(pa.array(inside, ARROW["DATETIME"]), pa.array(["a", "a"]), window, "DATETIME")
    assert groups(found) == {(dt.date(2025, 3, 1), "a"): [0, 1]}
    for outside in (inside[0] - dt.timedelta(microseconds=1), window.end):
        with pytest.raises(ValueError, match="outside"):
            partitioned(pa.array([outside], ARROW["DATETIME"]), pa.array(["a"]), window, "DATETIME")


def test_a_null_date_is_refused() -> None:
    with pytest.raises(ValueError, match="'when' is null"):
        partitioned(pa.array([None], ARROW["TIMESTAMP"]), pa.array(["a"]))


@pytest.mark.parametrize(
    "vendors",
    [
        pa.array([7, None, -7, 7], pa.int64()),
        pa.array([None] * 4, pa.string()),
        pa.array(["a", "", None, "a"], pa.large_string()),
        pa.array(["a", None, "b", "a"]).dictionary_encode(),
        pa.array(["a", None, "b", "a"]).dictionary_encode(null_encoding="encode"),
    ],
    ids=["int64", "all null", "large_string", "dictionary", "dictionary with null"],
)
def test_vendors_are_text_whatever_they_come_as(vendors: pa.Array) -> None:
    day = dt.date(2025, 3, 5)
    found = partitioned(pa.array([day] * 4), vendors, type_="DATE")
    assert groups(found) == plainly([day] * 4, vendors.to_pylist())


def test_partitions_come_by_day() -> None:
    days = [dt.date(2025, 3, day) for day in (9, 2, 9, 1)]
    found = partitioned(pa.array(days), pa.array(list("abba")), type_="DATE")
    assert [day for day, _ in found.partitions] == sorted(days)


def test_no_rows_make_no_partitions() -> None:
    found = partitioned(pa.array([], ARROW["TIMESTAMP"]), pa.array([], pa.string()))
    assert groups(found) == {}


def test_other_units_of_time_are_understood() -> None:
    found = partitioned(pa.array([dt.datetime(2025, 3, 5, 23)], pa.timestamp("ns")), pa.array(["a"]))
    assert found.partitions == [(dt.date(2025, 3, 5), "a")]


def test_a_partitioner_travels_to_workers() -> None:
    partitioner = Partitioner(MARCH, "when", "DATE", "who")
    assert pickle.loads(pickle.dumps(partitioner)) == partitioner
