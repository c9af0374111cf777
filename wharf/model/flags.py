"""Flags as values: declared once per pipeline, from which come parser, help, README table and template JSON."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

from wharf.model.errors import UsageError

_LONGEST_WORD = 200


@dataclass(frozen=True, kw_only=True)
class Flag:
    """One flag of a pipeline; its value is text, as a template's parameters are.

    `pattern` is a regular expression for the whole value, written as `wharf.model.patterns` says; `remote` is the one
    that counts where another machine does the work, which does not see this one's files. `choices` are the only
    values there are. `is_switch` flags take no value on a command line (`--plan`), or `true` and `false`. A run is
    refused without a `required` flag.

    The rest is for the forms that people fill in to launch a template, in the terms of its metadata: `parent` is the
    flag that this one belongs to, and is asked for only if that has a value, or one of `parent_values`.
    """

    name: str
    help: str
    example: str = ""
    default: str = ""
    choices: tuple[str, ...] = ()
    pattern: str = ""
    remote: str = ""
    is_switch: bool = False
    required: bool = False
    label: str = ""  # by default made of the name
    group: str = ""
    parent: str = ""
    parent_values: tuple[str, ...] = ()
    param_type: str = ""  # by default TEXT, ENUM for choices and BOOLEAN for switches
    in_template: bool = True

    @property
    def values(self) -> tuple[str, ...]:
        """The only values there are; empty where there are others."""
        return ("true", "false") if self.is_switch else self.choices

    @property
    def may_be_empty(self) -> bool:
        """Whether an empty value is allowed, and means that the flag is not given."""
        return not (self.default or self.is_switch or self.required)

    @property
    def meaning(self) -> str:
        """The help on a command line, where files may be this machine's."""
        may_be_local = self.remote and self.param_type.startswith("GCS_")
        return f"{self.help}; gs:// or a local path" if may_be_local else self.help

    def check(self, value: str, *, remote: bool = False) -> str:
        """`value` if the declaration allows it; `remote`: for work that is done on another machine.

        That a required flag is missing is for the pipeline to say.

        Raises: UsageError naming flag, value and remedy.
        """
        if not value and not (self.default or self.is_switch):
            return value
        if self.values and value not in self.values:
            raise UsageError(
                f"--{self.name}: {value!r} is not one of {', '.join(self.values)}{nearest(value, self.values)}"
            )
        like = f"write one like {self.example or self.default}"
        if self.pattern and not re.fullmatch(self.pattern, value):
            raise UsageError(f"--{self.name}: {value!r} is not understood: {like}")
        if remote and self.remote and not re.fullmatch(self.remote, value):
            raise UsageError(f"--{self.name}: {value!r} is nothing that other machines can reach: {like}")
        return value


def grouped(group: str, *flags: Flag) -> tuple[Flag, ...]:
    """`flags` under a heading."""
    return tuple(replace(flag, group=group) for flag in flags)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message)


def parser(flags: Sequence[Flag], *, prog: str, description: str) -> argparse.ArgumentParser:
    """A command-line parser of `flags`."""
    usage = f"{prog} [flags] [Beam's options]"
    made = _Parser(prog=prog, usage=usage, description=description, allow_abbrev=False, formatter_class=_help_formatter)
    add_flags(made, flags)
    return made


def add_flags(made: argparse._ActionsContainer, flags: Sequence[Flag], *, given_only: bool = False) -> None:
    """Add `flags` to a parser, or to a group of one; `given_only`: what is not given is no attribute of the result."""
    for flag in flags:
        text = flag.meaning.replace("%", "%%") + (f" (default: {flag.default})" if flag.default else "")
        if flag.is_switch:
            action = made.add_argument(
                f"--{flag.name}", nargs="?", const="true", default="false", help=text, choices=("true", "false")
            )
        else:
            action = made.add_argument(
                f"--{flag.name}",
                default=flag.default,
                help=text,
                metavar=flag.example or "|".join(flag.choices) or "VALUE",
            )
        if given_only:
            action.default = argparse.SUPPRESS


def parse(
    flags: Sequence[Flag], argv: Sequence[str], *, prog: str, description: str
) -> tuple[dict[str, str], list[str]]:
    """Command-line words -> (value by flag name, the words that are none of these flags).

    Raises: UsageError for a value the declaration refuses. SystemExit(0) after `--help`.
    """
    known, rest = parser(flags, prog=prog, description=description).parse_known_args(list(argv))
    return {flag.name: flag.check(getattr(known, flag.name)) for flag in flags}, rest


def given(flags: Sequence[Flag], values: Mapping[str, str]) -> dict[str, str]:
    """The values that say something else than the defaults do: with them a command is written again."""
    return {flag.name: value for flag in flags if (value := values[flag.name]) not in (flag.default, "", "false")}


def nearest(word: str, known: Iterable[str]) -> str:
    """` (did you mean X?)`, or nothing where no known word is near."""
    if len(word) > _LONGEST_WORD:  # comparing takes time that grows with its square
        return ""
    found = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean {found[0]}?)" if found else ""


def markdown_table(flags: Sequence[Flag]) -> str:
    """The README's table of `flags`."""

    def row(flag: Flag) -> str:
        values = f" One of {', '.join(f'`{choice}`' for choice in flag.choices)}." if flag.choices else ""
        default = f" Default `{flag.default}`." if flag.default else ""
        example = f" Such as `{flag.example}`." if flag.example else ""
        return f"| `--{flag.name}` | {flag.meaning.replace('|', chr(92) + '|')}.{values}{default}{example} |"

    return "\n".join(["| flag | meaning |", "|---|---|", *map(row, flags)])


def as_switch(values: Mapping[str, str], name: str) -> bool:
    """The value of an `is_switch` flag."""
    return values[name] == "true"


def _help_formatter(prog: str) -> argparse.HelpFormatter:
    return argparse.HelpFormatter(prog, max_help_position=32, width=110)
