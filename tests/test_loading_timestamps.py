"""What time a file's rows are of, and what its re-delivery replaces."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wharf.model.errors import UsageError
from wharf.model.loading.timestamps import compiled, file_time, holding, named_time, partition_span, span


def at(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("$2017", "2017-01-01", "2018-01-01"),
        ("$201712", "2017-12-01", "2018-01-01"),
        ("$20240228", "2024-02-28", "2024-02-29"),
        ("$20240229", "2024-02-29", "2024-03-01"),
        ("$2017041101", "2017-04-11T01", "2017-04-11T02"),
        ("$2017123123", "2017-12-31T23", "2018-01-01"),
    ],
)
def test_a_partition_folder_names_a_span(text: str, start: str, end: str) -> None:
    assert partition_span(text) == (at(start), at(end))


@pytest.mark.parametrize("text", ["$", "$20170", "$2017041", "$201704110101", "20170411", "$2017-04-11", "$٢٠١٧"])
def test_a_folder_that_is_no_partition_is_refused_by_name(text: str) -> None:
    with pytest.raises(UsageError) as error:
        partition_span(text)
    assert f"the folder {text} is no partition" in str(error.value)


@pytest.mark.parametrize("text", ["$20170230", "$201713", "$2017041124", "$0000", "$99991231", "$9999"])
def test_a_partition_that_the_calendar_does_not_have_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no date"):
        partition_span(text)


moments = st.datetimes(dt.datetime(1, 1, 1), dt.datetime(9998, 12, 31), timezones=st.just(dt.UTC))
granularities = st.sampled_from(["hour", "day", "month", "year"])


@given(moments, granularities)
def test_a_moment_is_in_the_partition_that_holds_it_and_the_next_begins_where_it_ends(
    moment: dt.datetime, granularity: str
) -> None:
    start, end = holding(moment, granularity)
    assert start <= moment < end
    assert holding(start, granularity) == holding(end - dt.timedelta(microseconds=1), granularity) == (start, end)
    assert holding(end, granularity)[0] == end


@given(moments, st.integers(1, 4))
def test_folders_and_a_partition_folder_of_the_same_digits_are_the_same_span(moment: dt.datetime, depth: int) -> None:
    parts = (moment.year, moment.month, moment.day, moment.hour)[:depth]
    digits = "".join(f"{part:02d}" for part in parts[1:])
    assert partition_span(f"${parts[0]:04d}{digits}") == span(parts)


def test_a_path_that_says_nothing_has_no_time() -> None:
    assert file_time(None, "", (), "day") is None


@pytest.mark.parametrize(
    ("named", "partition", "folders", "granularity", "moment", "start", "end"),
    [
        # The name goes before the folders, a partition folder before dated ones.
        ("2017-04-11T05:30", "", (), "day", "2017-04-11T05:30", "2017-04-11", "2017-04-12"),
        ("2017-04-11T05:30", "", (), "month", "2017-04-11T05:30", "2017-04-01", "2017-05-01"),
        ("2017-04-11T05:30", "$20170411", (), "hour", "2017-04-11T05:30", "2017-04-11", "2017-04-12"),
        (None, "$20170411", (), "day", "2017-04-11", "2017-04-11", "2017-04-12"),
        (None, "$20170411", (2017, 4, 11, 1), "day", "2017-04-11", "2017-04-11", "2017-04-12"),
        (None, "$2017041101", (2017, 4), "day", "2017-04-11T01", "2017-04-11T01", "2017-04-11T02"),
        # Folders finer than the table's partitions replace their own span, coarser ones a partition.
        (None, "", (2017, 4, 11, 1), "day", "2017-04-11T01", "2017-04-11T01", "2017-04-11T02"),
        ("2017-04-11T01:30", "", (2017, 4, 11, 1), "day", "2017-04-11T01:30", "2017-04-11T01", "2017-04-11T02"),
        (None, "", (2017, 4, 11), "day", "2017-04-11", "2017-04-11", "2017-04-12"),
        (None, "", (2017, 4, 11), "year", "2017-04-11", "2017-04-11", "2017-04-12"),
        (None, "", (2017, 4), "day", "2017-04-01", "2017-04-01", "2017-04-02"),
        (None, "", (2017,), "month", "2017-01-01", "2017-01-01", "2017-02-01"),
    ],
)
def test_name_and_folders_say_the_time_and_what_is_replaced(
    named: str | None, partition: str, folders: tuple[int, ...], granularity: str, moment: str, start: str, end: str
) -> None:
    found = file_time(at(named) if named else None, partition, folders, granularity)
    assert found == (at(moment), (at(start), at(end)))


@pytest.mark.parametrize(
    ("named", "partition", "folders", "text"),
    [
        ("2017-04-12T00:00", "$20170411", (), r"name says 2017-04-12T00:00:00, and the folder \$20170411"),
        ("2017-04-11T00:00", "", (2017, 4, 11, 5), r"name says 2017-04-11T00:00:00, and the folder of 2017/04/11/05"),
        (None, "$20170411", (2017, 4, 12), r"the folder \$20170411 contradicts the folder of 2017/04/12"),
        (None, "", (2017, 13), r"2017/13 is no date"),
    ],
)
def test_a_contradiction_names_both_sides(
    named: str | None, partition: str, folders: tuple[int, ...], text: str
) -> None:
    with pytest.raises(UsageError, match=text):
        file_time(at(named) if named else None, partition, folders, "day")


@given(st.none() | moments, st.none() | moments, st.none() | moments, st.integers(1, 4), st.integers(1, 4), st.data())
def test_a_re_delivery_always_replaces_the_rows_it_brings(
    named: dt.datetime | None,
    of_partition: dt.datetime | None,
    of_folders: dt.datetime | None,
    depth: int,
    other_depth: int,
    data: st.DataObject,
) -> None:
    """Else rows would be there twice; a path for which that cannot be is refused."""
    if data.draw(st.booleans()):  # that they are near each other
        of_partition, of_folders = of_partition and named, of_folders and named
    partition = f"${of_partition:%Y%m%d%H}"[: (5, 7, 9, 11)[depth - 1]] if of_partition else ""
    if of_partition and of_partition.year < 1000:
        partition = ""
    folders = tuple(of_folders.timetuple()[:other_depth]) if of_folders else ()
    try:
        found = file_time(named, partition, folders, data.draw(granularities))
    except UsageError as error:
        assert "contradicts" in str(error)  # noqa: PT017 - whether it is raised depends on the data
        return
    if found:
        assert found.replaces[0] <= found.moment < found.replaces[1]
    assert (found is None) == (not (named or partition or folders))


@pytest.mark.parametrize(
    ("path", "regex", "format_", "moment"),
    [
        ("in/sales_2025030107.csv", r"_(\d{10})\.csv", "%Y%m%d%H", "2025-03-01T07"),
        ("in/20250301/part-0.csv", r"/(\d{8})/", "%Y%m%d", "2025-03-01"),
        ("a_x_2025-03-01.csv", r"(a|b)_(x|y)_(?P<timestamp>.{10})", "%Y-%m-%d", "2025-03-01"),
        ("2025-03-01T02:00:00+0200.csv", r"(.*)\.csv", "%Y-%m-%dT%H:%M:%S%z", "2025-03-01T00:00"),
        ("250301.csv", r"(\d{6})", "%y%m%d", "2025-03-01"),
    ],
)
def test_a_name_holds_a_time(path: str, regex: str, format_: str, moment: str) -> None:
    assert named_time(path, regex, format_) == at(moment)


@given(moments.filter(lambda moment: moment.year >= 1000))
def test_a_time_written_into_a_name_is_read_back(moment: dt.datetime) -> None:
    format_ = "%Y%m%dT%H%M%S.%f"
    assert named_time(f"in/x-{moment.strftime(format_)}.csv", r"-([\dT.]+)\.csv", format_) == moment


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("in/sales.csv", "--timestamp_regex finds no time in 'in/sales.csv'"),
        ("in/sales_.csv", "--timestamp_regex finds no time in 'in/sales_.csv'"),
        ("in/sales_20250230.csv", "'20250230' in 'in/sales_20250230.csv' is no time of the form '%Y%m%d'"),
    ],
)
def test_a_name_without_a_time_is_refused(path: str, text: str) -> None:
    with pytest.raises(UsageError) as error:
        named_time(path, r"_(\d*)\.csv", "%Y%m%d")
    assert text in str(error.value)


@pytest.mark.parametrize(
    ("regex", "format_", "text"),
    [
        ("(", "%Y", "--timestamp_regex: '(' is no regular expression"),
        (r"\d+", "%Y", "has 0 groups"),
        (r"(\d)(\d)", "%Y", "has 2 groups"),
        (r"(\d+)", "", "--timestamp_format is missing"),
        (r"(\d+)", "%m%d", "--timestamp_format: '%m%d' has no year"),
        (r"(\d+)", "%Q", "--timestamp_format: '%Q' is not understood"),
        (r"(\d+)", "%Y%Y", "--timestamp_format: '%Y%Y' is not understood"),
        (r"(\d+)", "%", "--timestamp_format: '%' is not understood"),
        (r"(\d+)", "yyyyMMdd", "--timestamp_format: 'yyyyMMdd' has no year"),
    ],
)
def test_flags_that_cannot_work_are_refused_by_name(regex: str, format_: str, text: str) -> None:
    with pytest.raises(UsageError) as error:
        compiled(regex, format_)
    assert text in str(error.value)
