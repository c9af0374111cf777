"""`wharf completion`: scripts that let a shell complete commands, pipelines and flags."""

from __future__ import annotations

import argparse
from typing import Any

from wharf.launch.parser import Parser, add_command

_SHELLS = ("bash", "zsh", "fish")


def register(commands: Any) -> None:
    """Add `completion` to the commands of a parser."""
    command = add_command(
        commands,
        "completion",
        _completion,
        "print the script that makes a shell complete commands, pipelines and flags",
        examples=(
            "bash:  echo 'eval \"$(wharf completion bash)\"' >> ~/.bashrc",
            "zsh:   wharf completion zsh > ~/.zfunc/_wharf     # a folder of $fpath, before compinit",
            "fish:  wharf completion fish > ~/.config/fish/completions/wharf.fish",
        ),
    )
    command.add_argument("shell", metavar="SHELL", choices=_SHELLS, help=f"one of {', '.join(_SHELLS)}")


def _completion(arguments: argparse.Namespace) -> int:
    import shtab

    from wharf.launch.cli import make_parser

    parser = make_parser()
    _fill(parser)
    print(shtab.complete(parser, shell=arguments.shell))
    return 0


def _fill(parser: Parser) -> None:
    """Let every command have its flags, also those that are added when it is used; files are completed as such."""
    import shtab

    for action in parser._actions:
        if action.metavar in ("FILE", "DIR"):
            action.complete = shtab.FILE if action.metavar == "FILE" else shtab.DIR  # type: ignore[attr-defined]
        elif isinstance(action.metavar, str) and "|" in action.metavar and action.option_strings:
            action.choices = action.metavar.split("|")
    for name, command in list(parser.commands.items()):
        if name.isupper():  # it stands for names that only a configuration knows
            del parser.commands[name]  # type: ignore[attr-defined]
        else:
            _fill(command)
