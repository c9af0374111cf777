"""The `wharf` command: finds the command, runs it, turns errors into one line and an exit code.

A command group is a module of this package with `register(commands)`. Such a module imports the standard
library only, and what a command needs inside the function that runs it: `wharf --help` stays instant, and a
command works without the packages of another.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence

from wharf import __version__
from wharf.launch import config, demo, loads, local, runs, sftp
from wharf.launch.parser import Parser, add_command, parse
from wharf.model.errors import WharfError

_GROUPS = (demo, local, config, runs, loads, sftp)


def main(argv: Sequence[str] | None = None) -> int:
    """Run `wharf argv`; returns the exit code: 0 done, 1 failed, 2 wrong usage, 3 busy, 130 interrupted."""
    _unwind_on_signals()
    try:
        arguments = parse(_parser(), sys.argv[1:] if argv is None else argv)
        code: int = arguments.run(arguments)
    except WharfError as error:
        print(f"wharf: error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return code


def _parser() -> Parser:
    parser = Parser(prog="wharf", description="Load and unload BigQuery with Apache Beam.")
    parser.add_argument("--version", action="version", version=f"wharf {__version__}")
    commands = parser.add_subparsers()
    for group in _GROUPS:
        group.register(commands)
    add_command(commands, "version", _print_version, "print the version")
    return parser


def _print_version(arguments: argparse.Namespace) -> int:
    print(f"wharf {__version__}")
    return 0


def _unwind_on_signals() -> None:
    """Let `kill` and a closed terminal end a command like Ctrl-C does: `with` blocks clean up behind them."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup's wish is kept.
        signal.signal(signal.SIGHUP, signal.default_int_handler)
