"""Every command's help: it works, says what the command does, fits a terminal, and the README knows the command."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Iterator

import pytest

from tests.conftest import ROOT
from wharf.launch.cli import main, make_parser
from wharf.launch.parser import Parser, parse

WIDEST = 100
README = (ROOT / "README.md").read_text()


def walk(parser: Parser, *words: str) -> Iterator[tuple[str, ...]]:
    yield words
    for name, command in parser.commands.items():
        yield from walk(command, *words, name)


COMMANDS = list(walk(make_parser()))


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_works_and_reads_well(words: tuple[str, ...], capsys, monkeypatch) -> None:
    for columns in ("80", "300"):
        monkeypatch.setenv("COLUMNS", columns)
        with pytest.raises(SystemExit) as ended:
            main([*words, "--help"])
        said = capsys.readouterr()
        assert (ended.value.code, said.err) == (0, "")
        lines = said.out.splitlines()
        assert lines[0].startswith(f"usage: {' '.join(['wharf', *words])}")
        assert not [line for line in lines if len(line) >= WIDEST]
        described = re.split(r"\n\s*\n", said.out)[1].replace("\n", " ")
        assert described[0].isupper(), "a sentence stands below the usage"
        assert described.endswith(".")
        assert "None" not in said.out
        assert "SUPPRESS" not in said.out


@pytest.mark.parametrize("words", COMMANDS[1:], ids=" ".join)
def test_every_command_and_flag_says_what_it_is_for(words: tuple[str, ...]) -> None:
    parser = make_parser()
    for word in words:
        parser = parser.commands[word]
    assert parser.description
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            continue
        assert action.help, f"{words}: {action.option_strings or action.dest} has no help"
        for name in action.option_strings:
            assert re.fullmatch(r"-h|--[a-z]+([_-][a-z]+)*", name)
        if action.option_strings and action.nargs != 0 and not action.choices:
            assert action.metavar, f"{words}: {action.option_strings} has no metavar"


def test_a_group_lists_its_commands_with_a_line_each(capsys) -> None:
    for words in COMMANDS:
        parser = make_parser()
        for word in words:
            parser = parser.commands[word]
        names = list(parser.commands)
        text = parser.format_help()
        for name in names:
            assert re.search(rf"^  {name} +\S", text, re.MULTILINE), f"{words}: {name}"


@pytest.mark.parametrize(
    "words",
    # Below `run`, `plan` and `backfill` are the pipelines, which have parts of their own.
    [words for words in COMMANDS[1:] if words[0] not in {"run", "plan", "backfill"} or len(words) == 1],
    ids=" ".join,
)
def test_the_readme_knows_the_command(words: tuple[str, ...]) -> None:
    assert re.search(rf"\bwharf {' '.join(words)}\b", README)


def test_examples_are_commands_that_are_understood() -> None:
    """Up to what only a run finds out: their flags and names are known."""
    seen = 0
    for words in COMMANDS:
        parser = make_parser()
        for word in words:
            parser = parser.commands[word]
        for line in re.sub(r"\\\n +", "", parser.epilog or "").splitlines():
            if example := re.match(r"^ +wharf (.*?)(?: +#.*)?$", line):
                given = shlex.split(example[1].partition(" > ")[0])
                arguments = parse(make_parser(), [word for word in given if word != "--help"])
                assert "run" in arguments, line
                seen += 1
    assert seen > 15
