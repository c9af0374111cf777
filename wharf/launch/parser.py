"""An argument parser that refuses what it does not know, naming the nearest thing it does."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from wharf.model.errors import UsageError
from wharf.model.flags import nearest


class Parser(argparse.ArgumentParser):
    """argparse without abbreviated flags, and with UsageError where it prints its usage and exits.

    `add_subparsers` makes the parsers of commands from this class too.
    """

    _commands: Any = None

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)
        self.set_defaults(parser=self)

    def add_subparsers(self, **options: Any) -> Any:
        """Remember the commands, for `error` to suggest one."""
        self._commands = super().add_subparsers(title="commands", metavar="COMMAND", **options)
        return self._commands

    def error(self, message: str) -> NoReturn:
        """Raises: UsageError, always."""
        wrong = re.search(r"invalid choice: '(.*?)'", message)
        if wrong and self._commands:
            message = f"unknown command '{wrong[1]}'" + nearest(wrong[1], self._commands.choices)
        raise UsageError(f"{message}; see `{self.prog} --help`")

    def missing_command(self) -> NoReturn:
        """Raises: UsageError that lists the commands."""
        self.error(f"which command? one of: {', '.join(self._commands.choices)}")


def add_command(commands: Any, name: str, run: Callable[[argparse.Namespace], int], summary: str) -> Parser:
    """Add a command that `run` carries out; `summary` is its line in the help."""
    parser: Parser = commands.add_parser(name, help=summary, description=summary)
    parser.set_defaults(run=run)
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
        word = unknown[0].split("=")[0]
        if not word.startswith("-"):
            used.error(f"unknown argument '{word}'")
        used.error(f"unknown flag '{word}'" + nearest(word, re.findall(r"--[a-z-]+", used.format_help())))
    if "run" not in arguments:
        used.missing_command()
    return arguments
