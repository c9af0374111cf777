"""What is data, which directory it is of, and what a pattern means."""

from __future__ import annotations

import datetime as dt
import glob
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wharf.model.errors import UsageError
from wharf.model.loading.batch import LandedFile, Landing
from wharf.model.loading.landing import fixed_prefix, landings, matches, parents, selected

NOW = dt.datetime(2025, 3, 1, tzinfo=dt.UTC)


def file(uri: str, size: int = 10, generation: int = 1) -> LandedFile:
    return LandedFile(f"gs://b/{uri}", size, generation, NOW)


def found(*names: str, marker: str = "_SUCCESS", prefix: str = "gs://b/in/") -> dict[str, list[str]]:
    """The data by directory, both without the prefix."""
    listed = landings([file(f"in/{name}") for name in names], marker, prefix)
    return {
        landing.directory.removeprefix("gs://b/in/"): [
            each.uri.removeprefix(landing.directory) or each.uri for each in landing.files
        ]
        for landing in listed
    }


def test_a_directory_is_a_batch_when_its_marker_is_there() -> None:
    assert found("a/1.csv", "a/2.csv", "b/1.csv", "b/_SUCCESS") == {"b/": ["1.csv"]}


def test_files_below_the_directory_are_its_data() -> None:
    assert found("a/x=1/1.csv", "a/x=2/y/2.csv", "a/_SUCCESS") == {"a/": ["x=1/1.csv", "x=2/y/2.csv"]}


def test_the_nearest_marker_owns_a_file() -> None:
    files = ("a/1.csv", "a/b/2.csv", "a/b/c/3.csv", "a/_SUCCESS", "a/b/_SUCCESS")
    assert found(*files) == {"a/": ["1.csv"], "a/b/": ["2.csv", "c/3.csv"]}


def test_a_marker_in_the_bucket_itself_makes_a_batch_of_it() -> None:
    (landing,) = landings([file("x/1.csv"), file("_SUCCESS")], "_SUCCESS", "gs://b/")
    assert landing.directory == "gs://b/"
    assert [each.uri for each in landing.files] == ["gs://b/x/1.csv"]


@pytest.mark.parametrize(
    "name", ["_temporary/0/1.csv", "_config/load.json", "x/_y/1.csv", ".1.csv.crc", "_metadata", ".hidden/1.csv", "x/"]
)
def test_what_is_hidden_is_no_data(name: str) -> None:
    assert found("a/1.csv", f"a/{name}", "a/_SUCCESS") == {"a/": ["1.csv"]}


def test_a_marker_in_a_hidden_directory_makes_no_batch() -> None:
    assert found("a/1.csv", "a/_temporary/0/_SUCCESS", "a/_temporary/0/2.csv", "a/_SUCCESS") == {"a/": ["1.csv"]}
    assert found("_rejected/a/1.csv", "_rejected/a/_SUCCESS") == {}


def test_underscores_in_the_prefix_hide_nothing() -> None:
    files = [file("_in/a/1.csv"), file("_in/a/_SUCCESS")]
    assert [landing.directory for landing in landings(files, "_SUCCESS", "gs://b/_in/")] == ["gs://b/_in/a/"]


def test_empty_files_are_left_out_and_counted_and_folder_objects_are_not() -> None:
    files = [file("a/1.csv", 0), file("a/2.csv"), file("a/3.csv", 0), file("a/", 0), file("a/_SUCCESS", 0)]
    (landing,) = landings(files, "_SUCCESS")
    assert landing == Landing("gs://b/a/", files[4], (files[1],), empty=2)


def test_a_directory_without_data_is_found_all_the_same() -> None:
    assert landings([file("a/_SUCCESS"), file("a/1.csv", 0)], "_SUCCESS") == [
        Landing("gs://b/a/", file("a/_SUCCESS"), (), empty=1)
    ]


def test_another_markers_name_can_be_given() -> None:
    assert found("a/1.csv", "a/done.flag", "b/1.csv", "b/_SUCCESS", marker="done.flag") == {"a/": ["1.csv"]}


def test_without_a_marker_every_file_of_data_is_a_batch_of_its_own() -> None:
    files = ("b.csv", "a/1.csv", "a/_config/load.json", "a/_SUCCESS", "a/.crc")
    assert found(*files, marker="none") == {"a/1.csv": ["gs://b/in/a/1.csv"], "b.csv": ["gs://b/in/b.csv"]}
    assert landings([file("a/1.csv", 0)], "none") == []


def test_a_marker_written_anew_makes_another_batch_and_nothing_else_does() -> None:
    (first,) = landings([file("a/_SUCCESS", generation=1), file("a/1.csv")], "_SUCCESS")
    (again,) = landings([file("a/_SUCCESS", generation=1), file("a/1.csv", generation=9), file("a/2.csv")], "_SUCCESS")
    (anew,) = landings([file("a/_SUCCESS", generation=2), file("a/1.csv")], "_SUCCESS")
    assert first.batch_id == again.batch_id != anew.batch_id


components = st.sampled_from(["a", "b", "_c", ".d", "e=1"])
trees = st.sets(
    st.tuples(st.lists(components, max_size=4), st.sampled_from(["_SUCCESS", "1.csv", "2.csv", "_x", ".y", ""])).map(
        lambda path: "/".join([*path[0], path[1]])
    ),
    max_size=25,
)


@given(trees, st.randoms(use_true_random=False))
def test_every_visible_file_is_in_the_batch_of_the_nearest_marker_and_in_no_other(
    tree: set[str], order: random.Random
) -> None:
    shuffled = sorted(tree)
    order.shuffle(shuffled)
    owners = {
        each.uri: landing.directory
        for landing in landings([file(name) for name in shuffled], "_SUCCESS", "gs://b/")
        for each in landing.files
    }
    for name in tree:
        visible = bool(name) and not name.endswith("/") and not any(p[:1] in {"_", "."} for p in name.split("/"))
        above = parents(f"gs://b/{name}".rpartition("/")[0] + "/")
        nearest = next((each for each in above if f"{each}_SUCCESS".removeprefix("gs://b/") in tree), None)
        assert owners.get(f"gs://b/{name}") == (nearest if visible else None)


@given(trees, st.randoms(use_true_random=False))
def test_the_order_of_a_listing_does_not_matter(tree: set[str], order: random.Random) -> None:
    shuffled = sorted(tree)
    order.shuffle(shuffled)
    for marker in ("_SUCCESS", "none"):
        assert landings(map(file, shuffled), marker) == landings(map(file, sorted(tree)), marker)


@pytest.mark.parametrize(
    ("pattern", "prefix"),
    [
        ("gs://b/in/**", "gs://b/in/"),
        ("gs://b/**", "gs://b/"),
        ("gs://b/in/sales_*/2025/**", "gs://b/in/"),
        ("gs://b/in/2025-0[1-3]/x?.csv", "gs://b/in/"),
        ("gs://b/in/a/_SUCCESS", "gs://b/in/a/"),
        ("gs://b/in/", "gs://b/in/"),
        ("gs://b/in[/a", "gs://b/in[/"),
    ],
)
def test_the_fixed_prefix_is_the_directory_before_the_first_wildcard(pattern: str, prefix: str) -> None:
    assert fixed_prefix(pattern) == prefix


@pytest.mark.parametrize("pattern", ["gs://b*/in/**", "gs://b", "gs://", "gs:///in/**", "in/**", "**", ""])
def test_a_pattern_without_a_bucket_is_refused(pattern: str) -> None:
    with pytest.raises(UsageError, match=r"--input: .* names no bucket"):
        fixed_prefix(pattern)


def test_a_set_of_characters_that_is_none_is_refused_at_once() -> None:
    with pytest.raises(UsageError, match=r"--input: 'gs://b/\[z-a\]' is not understood"):
        fixed_prefix("gs://b/[z-a]")


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("gs://b/in/**", "gs://b/in/a/b/c", "gs://b/other/a"),
        ("gs://b/in/*", "gs://b/in/a", "gs://b/in/a/b"),
        ("gs://b/in/", "gs://b/in/a", "gs://b/in/a/b"),
        ("gs://b/*/x", "gs://b/a/x", "gs://b/a/c/x"),
        ("gs://b/**/x", "gs://b/a/c/x", "gs://b/a/c/xx"),
        ("gs://b/**/x", "gs://b/x", "gs://b/ax"),
        ("gs://b/in**.csv", "gs://b/in/a/1.csv", "gs://b/in/a/1.csv.gz"),
        ("gs://b/??", "gs://b/ab", "gs://b/a"),
        ("gs://b/?", "gs://b/a", "gs://b//"),
        ("gs://b/0[1-3]", "gs://b/02", "gs://b/04"),
        ("gs://b/0[!1-3]", "gs://b/04", "gs://b/02"),
        ("gs://b/0[^-1]", "gs://b/04", "gs://b/0-"),
        ("gs://b/a[!x]b", "gs://b/a.b", "gs://b/a/b"),
        ("gs://b/[]x]", "gs://b/]", "gs://b/a"),
        ("gs://b/[\\]", "gs://b/\\", "gs://b/a"),
        ("gs://b/a.c+(1)$", "gs://b/a.c+(1)$", "gs://b/abcc1"),
        ("gs://b/[a", "gs://b/[a", "gs://b/a"),
    ],
)
def test_wildcards_mean_what_they_mean_to_gsutil(pattern: str, matching: str, other: str) -> None:
    assert matches(pattern, matching)
    assert not matches(pattern, other)


names = st.lists(st.text(st.characters(exclude_characters="/\r\n", exclude_categories=["Cs"]), min_size=1), min_size=1)


@given(names, names)
def test_an_escaped_name_matches_itself_alone(one: list[str], other: list[str]) -> None:
    uri, others = (f"gs://b/{'/'.join(path)}" for path in (one, other))
    assert matches(glob.escape(uri), uri)
    assert matches(glob.escape(uri), others) == (uri == others)


@given(names, st.data())
def test_a_star_stands_for_any_folder_and_two_for_all_that_follows(path: list[str], data: st.DataObject) -> None:
    uri, escaped = "gs://b/" + "/".join(path), [glob.escape(part) for part in path]
    place = data.draw(st.integers(0, len(path) - 1))
    assert matches("gs://b/" + "/".join([*escaped[:place], "*", *escaped[place + 1 :]]), uri)
    assert matches("gs://b/" + "/".join([*escaped[:place], "**"]), uri)
    assert fixed_prefix("gs://b/" + "/".join([*escaped[:place], "**"])) in parents(uri.rpartition("/")[0] + "/")


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        ("gs://b/in/**", True),
        ("gs://b/in/2025-*", True),
        ("gs://b/in/2025-03-01/", True),
        ("gs://b/in/*/_SUCCESS", True),
        ("gs://b/**.csv", True),
        ("gs://b/in/*/eu/*", True),
        ("gs://b/in/2024-*", False),
        ("gs://b/**.avro", False),
        ("gs://b/in/*.csv", False),
    ],
)
def test_a_pattern_means_a_batch_by_directory_marker_or_data_and_then_all_of_it(pattern: str, wanted: bool) -> None:
    files = ("in/2025-03-01/1.csv", "in/2025-03-01/eu/2.csv", "in/2025-03-01/_SUCCESS")
    (landing,) = landings(map(file, files), "_SUCCESS")
    assert len(landing.files) == 2
    assert selected(landing, pattern) is wanted
