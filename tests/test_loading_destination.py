"""Paths and what they say: the table, the partition, times, and columns of their own."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wharf.model.errors import UsageError
from wharf.model.loading.destination import Destination, compiled, destination, table_name
from wharf.model.loading.timestamps import span
from wharf.model.partitions import escape

NOTHING = Destination("", (), ())


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("part-0.csv", NOTHING),
        ("batch7/part-0.csv", NOTHING),
        ("historical/part-0.csv", NOTHING),
        ("incremental/$20170411/part-0.csv", NOTHING._replace(partition="$20170411")),
        ("$2017041101/batch7/part-0.csv", NOTHING._replace(partition="$2017041101")),
        ("2017/part-0.csv", NOTHING._replace(times=(2017,))),
        ("2017/04/part-0.csv", NOTHING._replace(times=(2017, 4))),
        ("2017/4/1/part-0.csv", NOTHING._replace(times=(2017, 4, 1))),
        ("2017/04/11/7/part-0.csv", NOTHING._replace(times=(2017, 4, 11))),
        ("historical/2017/04/11/01/batch7/deep/er/part-0.csv", NOTHING._replace(times=(2017, 4, 11, 1))),
        ("$20170411/2017/04/11/01/part-0.csv", Destination("$20170411", (2017, 4, 11, 1), ())),
        ("year=2017/month=04/day=11/hour=01/part-0.csv", NOTHING._replace(times=(2017, 4, 11, 1))),
        ("yyyy=2017/mm=4/part-0.csv", NOTHING._replace(times=(2017, 4))),
        ("dt=2017-04-11/part-0.csv", NOTHING._replace(times=(2017, 4, 11))),
        ("DATE=20170411/Hour=1/part-0.csv", NOTHING._replace(times=(2017, 4, 11, 1))),
        ("dt=2017-04-11-01/part-0.csv", NOTHING._replace(times=(2017, 4, 11, 1))),
        ("2017/04/11/hh=01/part-0.csv", NOTHING._replace(times=(2017, 4, 11, 1))),
        ("shop=eu/2017/04/Till=7/part-0.csv", Destination("", (2017, 4), (("shop", "eu"), ("Till", "7")))),
        (
            "shop=a%2Fb/till=%/x=a=b/part-0.csv",
            NOTHING._replace(constants=(("shop", "a/b"), ("till", ""), ("x", "a=b"))),
        ),
        ("shop=__HIVE_DEFAULT_PARTITION__/part-0.csv", NOTHING),
        ("a-b=c/shop=eu.csv", NOTHING),
    ],
)
def test_the_default_reads_the_paths_it_promises_to(path: str, said: Destination) -> None:
    assert table_name(f"in/sales/orders/{path}", "in/", "") == ("sales", "orders")
    assert destination(f"in/sales/orders/{path}", "in/", "", has_table=False) == said


names = st.text("abcXYZ_089", min_size=1, max_size=8)
values = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
moments = st.datetimes(dt.datetime(1970, 1, 1), dt.datetime(2200, 1, 1))


@given(
    dataset=names,
    table=names,
    kind=st.sampled_from(["", "historical/", "incremental/"]),
    partition=st.none() | moments,
    times=st.tuples(moments, st.integers(0, 4)),
    as_keys=st.booleans(),
    keys=st.dictionaries(names.map(lambda name: f"k_{name.lower()}"), values, max_size=3),
    batch=st.sampled_from(["", "batch-7/", "x/y/"]),
)
def test_what_is_written_into_a_path_is_read_back(
    dataset: str,
    table: str,
    kind: str,
    partition: dt.datetime | None,
    times: tuple[dt.datetime, int],
    as_keys: bool,
    keys: dict[str, str],
    batch: str,
) -> None:
    moment, depth = times
    folder = f"${partition:%Y%m%d}" if partition else ""
    parts = [f"{part:02d}" for part in moment.timetuple()[:depth]]
    dated = [f"{key}={part}" for key, part in zip(("year", "month", "day", "hour"), parts, strict=False)]
    hive = [f"{key}={escape(value)}" for key, value in keys.items() if len(value.encode()) < 60]
    folders = [dataset, table, *([folder] if folder else []), *(dated if as_keys else parts), *hive]
    path = f"{'/'.join(folders[:2])}/{kind}{''.join(f'{each}/' for each in folders[2:])}{batch}part-0.csv"
    expected = tuple((key, value) for key, value in keys.items() if len(value.encode()) < 60)
    assert table_name(path, "", "") == (dataset, table)
    found = destination(path, "", "", has_table=False)
    assert found == (folder, tuple(int(part) for part in parts), expected)
    if depth:
        start, end = span(found.times)
        assert start <= moment.replace(tzinfo=dt.UTC) < end


@given(st.lists(st.sampled_from(["in", "2025", "03", "1", "$20250301", "dt=2025-03-01", "shop=eu", "x"]), max_size=8))
def test_with_a_table_given_a_path_says_the_same_however_far_down_a_pattern_begins(folders: list[str]) -> None:
    path = "/".join([*folders, "1.csv"])
    prefixes = ["/".join([*folders[:depth], ""]) for depth in range(len(folders) + 1)]
    said = set()
    for prefix in ["", *prefixes[1:]]:
        try:
            said.add(destination(path, prefix, "", has_table=True))
        except UsageError as error:
            said.add(str(error))  # type: ignore[arg-type]
    assert len(said) == 1


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("orders/1.csv", NOTHING),
        ("orders/2025/03/01/1.csv", NOTHING._replace(times=(2025, 3, 1))),
        ("archive/2019/orders/2025/03/x/1.csv", NOTHING._replace(times=(2025, 3))),
        ("orders/2025/1.csv", NOTHING),
        ("orders/1234/05/1.csv", NOTHING),
        ("orders/$20250301/1.csv", NOTHING._replace(partition="$20250301")),
        ("$20250301/2025/03/01/1.csv", Destination("$20250301", (2025, 3, 1), ())),
        ("2025/03/01/01/$2025030101/1.csv", Destination("$2025030101", (2025, 3, 1, 1), ())),
        ("$old/1.csv", NOTHING),
    ],
)
def test_with_a_table_given_dates_are_found_anywhere(path: str, said: Destination) -> None:
    assert destination(path, "", "", has_table=True) == said


def test_an_expression_of_ones_own_names_what_it_finds() -> None:
    date = r"(?P<dd>\d+)\.(?P<mm>\d+)\.(?P<yyyy>\d+)"
    regex = rf"(?P<table>[a-z]+)-(?P<dataset>[a-z]+)/{date}(?P<partition>\$\d+)?/(?P<batch>.*)"
    path = "in/orders-sales/1.3.2025/x/1.csv"
    assert table_name(path, "in/", regex) == ("sales", "orders")
    assert destination(path, "in/", regex, has_table=False) == NOTHING._replace(times=(2025, 3, 1))


def test_an_expression_without_dates_passes_over_dated_folders() -> None:
    path = "sales/orders/2025/03/02/20250301.csv"
    regex = "(?P<dataset>[^/]+)/(?P<table>[^/]+)/"
    assert destination(path, "", regex, has_table=False) == NOTHING
    assert destination(path, "", ".*", has_table=True) == NOTHING


@pytest.mark.parametrize("path", ["1.csv", "orders/1.csv", "dt=2025-03-01/orders/1.csv", "sales/$20250301/1.csv"])
def test_a_path_that_names_no_table_is_refused_with_the_remedies(path: str) -> None:
    with pytest.raises(UsageError) as error:
        table_name(f"in/{path}", "in/", "")
    assert f"'{path}', below in/, does not match --destination_regex" in str(error.value)
    assert "--prefix" in str(error.value)


def test_a_group_that_finds_nothing_is_named() -> None:
    with pytest.raises(UsageError, match=r"--destination_regex finds no table in 'sales/1\.csv'"):
        table_name("sales/1.csv", "", "(?P<dataset>[^/]+)/(?P<table>x?)")


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("month=03/1.csv", "names a part of a date without what it is a part of"),
        ("2025/03/hour=4/1.csv", "names a part of a date without what it is a part of"),
        ("2025/03/month=4/1.csv", "the folder month=4 contradicts another date in the path"),
        ("dt=2025-03-01/day=02/1.csv", "the folder day=02 contradicts another date in the path"),
        ("day=Monday/1.csv", "the folder day=Monday is no part of a date"),
        ("year=__HIVE_DEFAULT_PARTITION__/1.csv", "is no part of a date"),
        ("dt=yesterday/1.csv", "the folder dt=yesterday is no date: write one like dt=2025-03-01"),
        ("shop=eu/Shop=us/1.csv", "the folder Shop=us contradicts another one of the same key"),
        ("shop=%FF/1.csv", "the folder shop=%FF holds no value that can be read back"),
        ("shop=%ED%A0%80/1.csv", "holds no value that can be read back"),
        (f"shop={escape('x' * 300)}/1.csv", "holds no value that can be read back"),
    ],
)
def test_a_path_that_contradicts_itself_or_holds_no_date_is_refused(path: str, text: str) -> None:
    for has_table in (True, False):
        with pytest.raises(UsageError) as error:
            destination(f"sales/orders/{path}", "", "", has_table=has_table)
        assert text in str(error.value)


@pytest.mark.parametrize(
    ("regex", "text"),
    [
        ("(?P<dataset>.*", "--destination_regex: '(?P<dataset>.*' is no regular expression"),
        ("(?P<dataset>.*)/(?P<tabel>.*)", "there is no group 'tabel' (did you mean table?)"),
        ("(?P<dataset>.*)/", "has no group table"),
        ("(?P<table>.*)/", "has no group dataset"),
        ("(?P<dataset>.*)/(?P<table>.*)/(?P<mm>..)", "has no group yyyy"),
        ("(?P<dataset>.*)/(?P<table>.*)/(?P<yyyy>....)(?P<hh>..)", "has no group dd"),
    ],
)
def test_an_expression_that_cannot_work_is_refused_at_once(regex: str, text: str) -> None:
    with pytest.raises(UsageError) as error:
        compiled(regex, has_table=False)
    assert text in str(error.value)


def test_with_a_table_given_an_expression_needs_no_table() -> None:
    regex = r"x(?P<yyyy>\d{4})"
    assert compiled(regex, has_table=True).match("x2025")
    assert destination("in/x2025/1.csv", "in/", regex, has_table=True) == NOTHING._replace(times=(2025,))
