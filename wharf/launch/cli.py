"""The `wharf` command: finds the command, runs it, turns errors into one line and an exit code.

A module of `wharf.launch.commands` adds its commands with `register(commands)`. It imports the standard
library only, and what a command needs inside the function that runs it: `wharf --help` stays instant, and a
command works without the packages of another.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence

from wharf import __version__
from wharf.launch.commands import (
    backfill,
    cancel,
    completion,
    config,
    demo,
    local,
    retry,
    run,
    serve,
    sftp,
    status,
    templates,
    verify,
)
from wharf.launch.parser import Parser, add_command, parse
from wharf.model.errors import UsageError, WharfError

_GROUPS = (run, cancel, status, verify, retry, backfill, config, sftp, serve, templates, local, demo, completion)


def main(argv: Sequence[str] | None = None) -> int:
    """Run `wharf argv`; returns the exit code: 0 done, 1 failed, 2 wrong usage, 3 busy, 130 interrupted."""
    _unwind_on_signals()
    try:
        code = carry_out(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()
    except WharfError as error:
        print(f"wharf: error: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # `| head` has what it wanted; Python would complain once more when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130
    except ModuleNotFoundError as error:  # the service is installed without what pipelines need
        print(f"wharf: error: this installation goes without {error.name}, which the command needs", file=sys.stderr)
        return UsageError.exit_code
    except Exception as error:
        remedy = _remedy(error)
        if not remedy:
            raise
        print(f"wharf: error: {(str(error).splitlines() or [type(error).__name__])[0]}; {remedy}", file=sys.stderr)
        return 1
    return code


def carry_out(words: Sequence[str]) -> int:
    """Run a command, also one that another one comes down to. -> exit code.

    Raises: WharfError.
    """
    arguments = parse(make_parser(), words)
    code: int = arguments.run(arguments)
    return code


def make_parser() -> Parser:
    """The parser of the whole command line."""
    parser = Parser(
        prog="wharf",
        description="Load and unload BigQuery with Apache Beam: run pipelines here or on Dataflow, and watch them.",
        epilog="`wharf COMMAND --help` tells more of each. Begin with `wharf demo`, which needs no cloud.",
    )
    parser.add_argument("--version", action="version", version=f"wharf {__version__}")
    commands = parser.add_subparsers()
    for group in _GROUPS:
        group.register(commands)
    add_command(commands, "version", _print_version, "print the version")
    return parser


def _print_version(arguments: argparse.Namespace) -> int:
    print(f"wharf {__version__}")
    return 0


def _remedy(error: Exception) -> str:
    """What to do about an error of Google's clients, whose packages are imported if it is one; else nothing."""
    remedies = {
        ("google.auth.exceptions", "GoogleAuthError"): "run gcloud auth application-default login",
        ("google.api_core.exceptions", "GoogleAPIError"): "try again when the service answers",
    }
    for (module, name), remedy in remedies.items():
        kind = getattr(sys.modules.get(module), name, None)
        if kind and isinstance(error, kind):
            return remedy
    return ""


def _unwind_on_signals() -> None:
    """Let `kill` and a closed terminal end a command like Ctrl-C does: `with` blocks clean up behind them."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup's wish is kept.
        signal.signal(signal.SIGHUP, signal.default_int_handler)
