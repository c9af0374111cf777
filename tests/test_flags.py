"""Flags: declared once; values are checked, and mistakes are named."""

from __future__ import annotations

import re

import pytest

from wharf.model.avro_flags import FLAGS
from wharf.model.errors import UsageError
from wharf.model.flags import Flag, as_switch, markdown_table, nearest, parse, parser

CODEC = Flag(name="codec", help="how | packed", default="snappy", choices=("snappy", "null"))
PERIOD = Flag(name="period", help="100 % of a month", example="202503", pattern=r"\d{6}")
FORCE = Flag(name="force", help="go on", is_switch=True)
SOME = (CODEC, PERIOD, FORCE)


def values(*argv: str) -> dict[str, str]:
    found, rest = parse(SOME, argv, prog="x", description="y")
    assert not rest
    return found


def test_defaults_stand_where_nothing_is_given() -> None:
    assert values() == {"codec": "snappy", "period": "", "force": "false"}


@pytest.mark.parametrize("argv", [["--codec", "null", "--period", "202503"], ["--codec=null", "--period=202503"]])
def test_values_follow_a_blank_or_an_equals_sign(argv: list[str]) -> None:
    assert values(*argv) == {"codec": "null", "period": "202503", "force": "false"}


@pytest.mark.parametrize(
    ("argv", "on"), [([], False), (["--force"], True), (["--force=true"], True), (["--force", "false"], False)]
)
def test_a_switch_stands_alone_or_says_true_or_false(argv: list[str], on: bool) -> None:
    """A template's parameter always has a value."""
    assert as_switch(values(*argv), "force") is on


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--codec=snapy"], "--codec: 'snapy' is not one of snappy, null (did you mean snappy?)"),
        (["--codec="], "--codec: '' is not one of snappy, null"),
        (["--period=2025-03"], "--period: '2025-03' is not understood: write one like 202503"),
        (["--period=202503\n"], "--period: '202503\\n' is not understood"),
        (["--period"], "argument --period: expected one argument"),
        (["--force=maybe"], "invalid choice: 'maybe'"),
    ],
)
def test_a_value_the_declaration_does_not_allow_is_named(argv: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        values(*argv)


def test_words_that_are_no_flags_are_handed_back() -> None:
    """They may be Beam's; an abbreviation is not taken for a flag."""
    _, rest = parse(SOME, ["--runner=X", "--codec=null", "--perio=202503"], prog="x", description="y")
    assert rest == ["--runner=X", "--perio=202503"]


def test_the_nearest_word_is_offered_where_one_is_near() -> None:
    assert nearest("vendr", ["vendor", "value"]) == " (did you mean vendor?)"
    assert nearest("xyz", ["vendor", "value"]) == ""


def test_help_and_table_tell_all_there_is_to_know() -> None:
    text = parser(SOME, prog="x", description="y").format_help()
    table = markdown_table(SOME)
    assert "100 % of a month" in text
    assert "(default: snappy)" in text
    assert r"| `--codec` | how \| packed. One of `snappy`, `null`. Default `snappy`. |" in table
    assert "Such as `202503`" in table
    assert table.count("\n") == len(SOME) + 1


@pytest.mark.parametrize("flag", FLAGS, ids=lambda flag: flag.name)
def test_a_pipelines_own_defaults_and_examples_are_allowed(flag: Flag) -> None:
    """Also by the rules of template parameters: names of word characters, help on one line that ends without a dot."""
    assert flag.default == "" or flag.check(flag.default) == flag.default
    assert flag.example == "" or flag.check(flag.example) == flag.example
    assert re.fullmatch(r"[a-z_]+", flag.name)
    assert flag.help
    assert "\n" not in flag.help
    assert not flag.help.endswith(".")
