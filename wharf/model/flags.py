"""Flags as values: declared once per pipeline, from which come parser, help, README table and template JSON."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from wharf.model.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Flag:
    """One flag of a pipeline; its value is text, as a template's parameters are.

    `pattern` is a regular expression for the whole value; `choices` the only values there are. `is_switch` flags
    take no value on a command line (`--plan`), or `true` and `false`.
    """

    name: str
    help: str
    example: str = ""
    default: str = ""
    choices: tuple[str, ...] = ()
    pattern: str = ""
    is_switch: bool = False

    def check(self, value: str) -> str:
        """`value` if the declaration allows it.

        Raises: UsageError naming flag, value and remedy.
        """
        if self.choices and value not in self.choices:
            raise UsageError(
                f"--{self.name}: {value!r} is not one of {', '.join(self.choices)}{nearest(value, self.choices)}"
            )
        if self.pattern and value and not re.fullmatch(self.pattern, value):
            raise UsageError(
                f"--{self.name}: {value!r} is not understood: write one like {self.example or self.default}"
            )
        return value


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message)


def parser(flags: Sequence[Flag], *, prog: str, description: str) -> argparse.ArgumentParser:
    """A command-line parser of `flags`."""
    usage = f"{prog} [flags] [Beam's options]"
    made = _Parser(prog=prog, usage=usage, description=description, allow_abbrev=False, formatter_class=_help_formatter)
    for flag in flags:
        text = flag.help.replace("%", "%%") + (f" (default: {flag.default})" if flag.default else "")
        if flag.is_switch:
            made.add_argument(
                f"--{flag.name}", nargs="?", const="true", default="false", help=text, choices=("true", "false")
            )
        else:
            made.add_argument(
                f"--{flag.name}",
                default=flag.default,
                help=text,
                metavar=flag.example or "|".join(flag.choices) or "VALUE",
            )
    return made


def parse(
    flags: Sequence[Flag], argv: Sequence[str], *, prog: str, description: str
) -> tuple[dict[str, str], list[str]]:
    """Command-line words -> (value by flag name, the words that are none of these flags).

    Raises: UsageError for a value the declaration refuses. SystemExit(0) after `--help`.
    """
    known, rest = parser(flags, prog=prog, description=description).parse_known_args(list(argv))
    return {flag.name: flag.check(getattr(known, flag.name)) for flag in flags}, rest


def nearest(word: str, known: Iterable[str]) -> str:
    """` (did you mean X?)`, or nothing where no known word is near."""
    found = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean {found[0]}?)" if found else ""


def markdown_table(flags: Sequence[Flag]) -> str:
    """The README's table of `flags`."""

    def row(flag: Flag) -> str:
        values = f" One of {', '.join(f'`{choice}`' for choice in flag.choices)}." if flag.choices else ""
        default = f" Default `{flag.default}`." if flag.default else ""
        example = f" Such as `{flag.example}`." if flag.example else ""
        return f"| `--{flag.name}` | {flag.help.replace('|', chr(92) + '|')}.{values}{default}{example} |"

    return "\n".join(["| flag | meaning |", "|---|---|", *map(row, flags)])


def as_switch(values: Mapping[str, str], name: str) -> bool:
    """The value of an `is_switch` flag."""
    return values[name] == "true"


def _help_formatter(prog: str) -> argparse.HelpFormatter:
    return argparse.HelpFormatter(prog, max_help_position=32, width=110)
