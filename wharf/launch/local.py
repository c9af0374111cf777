"""`wharf local`: the embedded stack as a command, for shells and for other programs.

Only `export NAME=value` lines go to standard output, for `eval "$(wharf local up --background)"`.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from wharf.launch.parser import add_command
from wharf.model.errors import UsageError, WharfError

_DIR = Path(".wharf/local")
_DOWN_SECONDS = 30.0


def register(commands: Any) -> None:
    """Add `local up|down|env` to the commands of a parser."""
    local = commands.add_parser("local", help="the embedded stack: BigQuery and Cloud Storage, here")
    actions = local.add_subparsers()
    up = add_command(actions, "up", _up, "start it, print the variables that lead to it, stay until Ctrl-C")
    up.add_argument("--sftp", action="store_true", help="with an SFTP server, whose files are in DIR/sftp")
    up.add_argument("--background", action="store_true", help="return once it is ready and leave it running")
    down = add_command(actions, "down", _down, "stop the one that runs in DIR")
    env = add_command(actions, "env", _env, "print the variables that lead to the one that runs in DIR")
    for action in (up, down, env):
        action.add_argument("--dir", metavar="DIR", type=Path, default=_DIR, help=f"its data (default {_DIR})")


def _up(arguments: argparse.Namespace) -> int:
    if arguments.background:
        return _up_in_background(arguments.dir, sftp=arguments.sftp)
    from wharf.local.stack import LocalStack

    try:
        _say(f"starting the local stack in {arguments.dir}")
        with LocalStack(arguments.dir, sftp=arguments.sftp) as stack:
            _print_exports(stack.environment)
            _say("ready; Ctrl-C stops it")
            while True:
                time.sleep(0.5)
                stack.check()
    except KeyboardInterrupt:
        _say("stopped")
        return 0


def _up_in_background(directory: Path, *, sftp: bool) -> int:
    from wharf.local import claim

    log = directory / "logs" / "supervisor.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    os.close(claim.take(directory))  # Refuses a second stack here, where the message is seen.
    with log.open("w") as output:
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "wharf", "local", "up", "--dir", str(directory), *(["--sftp"] if sftp else [])],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # Not ours: `$(...)` waits until everyone has closed it.
            stderr=output,
            start_new_session=True,
        )
    try:
        while True:
            facts = claim.holder(directory) or {}
            if facts.get("pid") == supervisor.pid and "environment" in facts:
                break
            if supervisor.poll() is not None:
                kind = UsageError if supervisor.returncode == UsageError.exit_code else WharfError
                raise kind(f"the local stack did not start; {log} says:\n{log.read_text().rstrip()}")
            time.sleep(0.05)
    except KeyboardInterrupt:
        supervisor.terminate()
        supervisor.wait()
        raise
    _print_exports(facts["environment"])
    _say(f"ready; `wharf local down --dir {directory}` stops it")
    return 0


def _down(arguments: argparse.Namespace) -> int:
    from wharf.local import claim

    facts = claim.holder(arguments.dir)
    if facts is None:
        _say(f"no local stack is running in {arguments.dir}")
        return 0
    if "pid" not in facts:
        raise UsageError(f"the local stack in {arguments.dir} is still starting: try again in a few seconds")
    pid = facts["pid"]
    with suppress(ProcessLookupError):  # Killed: its children are about to go by themselves.
        os.kill(pid, signal.SIGTERM)
    if not _soon(lambda: claim.holder(arguments.dir) is None, _DOWN_SECONDS):
        raise WharfError(f"the local stack in {arguments.dir} (process {pid}) does not stop")
    # Its data is at rest; the process itself ends a moment later, or stays as a zombie nobody collects.
    _soon(lambda: not _exists(pid), 2.0)
    _say(f"stopped the local stack in {arguments.dir}")
    return 0


def _env(arguments: argparse.Namespace) -> int:
    from wharf.local import claim

    facts = claim.holder(arguments.dir)
    if facts is None:
        raise UsageError(
            f"no local stack is running in {arguments.dir}: `wharf local up --dir {arguments.dir}` starts one"
        )
    if "environment" not in facts:
        raise UsageError(f"the local stack in {arguments.dir} is still starting: try again in a few seconds")
    _print_exports(facts["environment"])
    return 0


def _soon(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def _print_exports(environment: Mapping[str, str]) -> None:
    for name, value in environment.items():
        print(f"export {name}={shlex.quote(value)}", flush=True)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
