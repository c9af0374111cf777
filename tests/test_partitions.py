"""Vendors as path components: safe, one each, and back again."""

from __future__ import annotations

import datetime as dt
import string
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wharf.model.partitions import EMPTY, NULL, Partition, escape, parse_path, partition_path, unescape

AWKWARD: tuple[str | None, ...] = (
    "../x",
    "a/b",
    "ÅÄÖ",
    "",
    None,
    "x" * 300,
    "å" * 300,
    NULL,
    "%",
    "a%2Fb",
    ".",
    "..",
    "...",
    "a..b",
    "%2E%2E",
)
AWKWARD += ("a=b", "a b", "a\nb", "\x00", "\x7f", "a\\b", "C:\\x", "_SUCCESS", ".hidden", "~", "%~", "\ud800", "a*?[b]")
SAFE = set(string.ascii_letters + string.digits + string.punctuation) - set("/\\*?[]=:'\"#{}^")
vendors = st.none() | st.text(st.characters(), max_size=400)


def examples(test):  # type: ignore[no-untyped-def]
    for vendor in AWKWARD:
        test = example(vendor)(test)
    return test


@examples
@given(vendors)
def test_a_component_can_be_used_anywhere(vendor: str | None) -> None:
    """No separator, nothing above the folder, printable ASCII, and short enough for every file system."""
    component = escape(vendor)
    assert component
    assert set(component) <= SAFE
    assert ".." not in component
    assert component != "."
    assert len(f"vendor={component}") <= 255


@examples
@given(vendors)
def test_a_component_gives_its_vendor_back(vendor: str | None) -> None:
    """What was too long says so instead of answering something else."""
    component = escape(vendor)
    if "%~" in component:
        assert len(vendor or "") > 200 // len("%F0%9F%9A%A2")
        with pytest.raises(ValueError, match="manifest"):
            unescape(component)
    else:
        assert unescape(component) == vendor


@given(st.lists(vendors | st.sampled_from(AWKWARD), unique=True, max_size=30))
def test_no_two_vendors_share_a_component(found: list[str | None]) -> None:
    assert len({escape(vendor) for vendor in found}) == len(found)


def test_long_vendors_that_differ_at_their_end_stay_apart() -> None:
    long = ["a" * 300, "a" * 299 + "b", "a" * 301, "å" * 150, "å" * 151]
    assert len({escape(vendor) for vendor in long}) == len(long)


@pytest.mark.parametrize(
    ("vendor", "component"),
    [
        ("testvendor", "testvendor"),
        ("a-b_c.d+e@f", "a-b_c.d+e@f"),
        ("a/b", "a%2Fb"),
        ("../x", "%2E%2E%2Fx"),
        ("a%2Fb", "a%252Fb"),
        ("a=b", "a%3Db"),
        ("ÅÄÖ", "%C3%85%C3%84%C3%96"),
        ("a b\n", "a%20b%0A"),
        ("", EMPTY),
        (None, NULL),
        (NULL, "%5F_HIVE_DEFAULT_PARTITION__"),
    ],
)
def test_components_are_spelled_as_hive_does(vendor: str | None, component: str) -> None:
    assert escape(vendor) == component


@given(st.text(max_size=20).filter(lambda text: text not in {"", NULL}))
def test_any_reader_that_knows_percent_escapes_reads_a_component(vendor: str) -> None:
    assert unquote_to_bytes(escape(vendor)).decode() == vendor


@given(st.dates(), vendors)
def test_a_partitions_path_is_four_folders_deep_and_parses(day: dt.date, vendor: str | None) -> None:
    path = partition_path(day, vendor)
    assert path.count("/") == 3
    assert parse_path(path) == Partition(day, escape(vendor))


def test_a_path_is_spelled_with_leading_zeros() -> None:
    assert partition_path(dt.date(2025, 3, 3), "testvendor") == "year=2025/month=03/day=03/vendor=testvendor"


@pytest.mark.parametrize(
    "path",
    [
        "",
        "year=2025/month=03/day=23",
        "year=2025/month=3/day=23/vendor=a",
        "year=2025/month=02/day=30/vendor=a",
        "year=2025/month=03/day=23/vendor=",
        "year=2025/month=03/day=23/vendor=a/b",
        "_staging/year=2025/month=03/day=23/vendor=a",
    ],
)
def test_another_folder_is_no_partition(path: str) -> None:
    assert parse_path(path) is None
