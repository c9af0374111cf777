"""An argument parser that refuses what it does not know, naming the nearest thing it does."""

from __future__ import annotations

import argparse
import datetime as dt
import re
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NoReturn

from wharf.model.errors import UsageError

_WIDEST = 98  # columns of help, also on wide terminals


class Parser(argparse.ArgumentParser):
    """argparse without abbreviated flags, and with UsageError where it prints its usage and exits.

    `add_subparsers` makes the parsers of commands from this class too. `fill` adds the rest of a parser when it is
    used for the first time: what it needs is not imported before.
    """

    def __init__(self, *, fill: Callable[[Parser], None] | None = None, **options: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=_Help, **options)
        self.set_defaults(parser=self)
        self._fill = fill
        self._commands: Any = None
        self._noun = "command"

    @property
    def commands(self) -> Mapping[str, Parser]:
        """The parsers of the commands below this one, by name."""
        self._filled()
        return self._commands.choices if self._commands else {}

    def add_subparsers(self, *, noun: str = "command", **options: Any) -> Any:
        """Remember the commands, for `error` to suggest one; `noun` is what people are asked for."""
        self._noun = noun
        metavar = noun.upper().replace(" OR ", "|")
        options.setdefault("prog", self.prog)  # by default it has the whole usage in it
        self._commands = super().add_subparsers(title=f"{noun}s".replace(" or ", "s or "), metavar=metavar, **options)
        return self._commands

    def accept_any_name(self, parser: Parser) -> None:
        """Let every name that is none of the commands lead to `parser`."""
        names = _AnyName(self._commands.choices)
        names.other = parser
        self._commands.choices = self._commands._name_parser_map = names

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse's."""
        self._filled()
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Raises: UsageError, always."""
        from wharf.model.flags import nearest

        wrong = re.search(r"invalid choice: '(.*?)'", message)
        if wrong and self._commands:
            message = f"unknown command '{wrong[1]}'" + nearest(wrong[1], self._commands.choices)
        raise UsageError(f"{message}; see `{self.prog} --help`")

    def missing_command(self) -> NoReturn:
        """Raises: UsageError that lists the commands."""
        self.error(f"which {self._noun}? one of: {', '.join(self._commands.choices)}")

    def _filled(self) -> None:
        fill, self._fill = self._fill, None
        if fill:
            fill(self)


class _AnyName(dict[str, Parser]):
    """Parsers by name, and `other` for every other name."""

    other: Parser

    def __contains__(self, name: object) -> bool:
        return True

    def __missing__(self, name: str) -> Parser:
        return self.other


class _Help(argparse.HelpFormatter):
    """Fills paragraphs, leaves texts of several lines, examples, as they are, and lists commands like flags."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30, width=min(shutil.get_terminal_size().columns - 2, _WIDEST))

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return text if "\n" in text else super()._fill_text(text, width, indent)

    def _format_action(self, action: argparse.Action) -> str:
        if isinstance(action, argparse._SubParsersAction):
            return "".join(map(super()._format_action, action._get_subactions()))
        return super()._format_action(action)


def add_command(
    commands: Any,
    name: str,
    run: Callable[[argparse.Namespace], int],
    summary: str,
    *,
    examples: Sequence[str] = (),
    **options: Any,
) -> Parser:
    """Add a command that `run` carries out; `summary` is its line in the help, `examples` are command lines."""
    parser = add_group(commands, name, summary, examples=examples, **options)
    parser.set_defaults(run=run)
    return parser


def add_group(commands: Any, name: str, summary: str, *, examples: Sequence[str] = (), **options: Any) -> Parser:
    """Add a command that has commands of its own, which `add_subparsers` of the result adds."""
    options.setdefault("description", f"{summary[:1].upper()}{summary[1:]}.")
    options.setdefault(
        "epilog", "\n".join(["examples:", *(f"  {example}" for example in examples)]) if examples else None
    )
    parser: Parser = commands.add_parser(name, help=summary, **options)
    return parser


def parse(parser: Parser, argv: Sequence[str]) -> argparse.Namespace:
    """Parse `argv`; `run` of the result is the command. Raises: UsageError on anything unknown or missing.

    A command with the default `rest` gets there what it does not know, to hand it on.
    """
    arguments, unknown = parser.parse_known_args(argv)
    used: Parser = arguments.parser  # The innermost command's: its defaults were set last.
    if "rest" in arguments:
        arguments.rest = unknown
    elif unknown:
        refuse(used, unknown)
    if "run" not in arguments:
        used.missing_command()
    return arguments


def known_flags(command: Parser) -> list[str]:
    """The flags in a command's help, without dashes in front."""
    return re.findall(r"--([a-z_-]+)", command.format_help())


def refuse(used: Parser, unknown: Sequence[str], flags: Iterable[str] = ()) -> NoReturn:
    """Raises: UsageError about the first of words that a command does not know; it takes `flags`, too."""
    from wharf.model.flags import nearest

    word = unknown[0].split("=")[0]
    if not word.startswith("-"):
        used.error(f"unknown argument '{word}'")
    used.error(f"unknown flag '{word}'" + nearest(word, [f"--{flag}" for flag in (*known_flags(used), *flags)]))


def require(command: Parser, given: Mapping[str, str | None]) -> None:
    """Raises: UsageError as argparse's, if one of the flags is not given: by a command that looks at others first."""
    if missing := [flag for flag, value in given.items() if value is None]:
        command.error(f"the following arguments are required: {', '.join(missing)}")


def day(text: str) -> dt.date:
    """The type of a flag that takes a date."""
    try:
        return dt.date.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"'{text}' is not a date: write one like 2025-03-02") from error


def count(text: str) -> int:
    """The type of a flag that takes a number of things."""
    if not (text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"'{text}' is not a number above 0")
    return int(text)
