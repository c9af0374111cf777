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

from wharf.launch.output import print_lines, say
from wharf.launch.parser import add_command, add_group
from wharf.model.errors import UsageError, WharfError

_DIR = Path(".wharf/local")
_DOWN_SECONDS = 30.0


def register(commands: Any) -> None:
    """Add `local up|down|env|put|sql` to the commands of a parser."""
    local = add_group(
        commands,
        "local",
        "run the embedded stack: BigQuery and Cloud Storage, on this machine",
        examples=(
            'eval "$(wharf local up --background)"      # this shell\'s commands find it from now on',
            "wharf local sql 'SELECT 1 AS one'",
            "wharf local down",
        ),
    )
    actions = local.add_subparsers()
    up = add_command(actions, "up", _up, "start the stack, print the variables that lead to it, stay until Ctrl-C")
    up.add_argument("--sftp", action="store_true", help="with an SFTP server, whose files are in DIR/sftp")
    up.add_argument(
        "--pubsub",
        action="store_true",
        help="with Pub/Sub: topic and subscription wharf-files; gcloud's emulator runs it",
    )
    up.add_argument("--background", action="store_true", help="return once it is ready and leave it running")
    down = add_command(actions, "down", _down, "stop the stack that runs in DIR")
    env = add_command(actions, "env", _env, "print the variables that lead to the stack that runs in DIR")
    put = add_command(
        actions,
        "put",
        _put,
        "upload files to the stack that runs in DIR, those named _SUCCESS last",
        examples=("wharf local put part-0.csv _SUCCESS gs://demo-bucket/in/shop/sales/2025/03/01/",),
    )
    put.add_argument("files", metavar="FILE", nargs="+", type=Path, help="a file, or a directory with all below it")
    put.add_argument("target", metavar="gs://BUCKET/PREFIX/", help="where they go; a directory keeps its name")
    put.add_argument(
        "--notify",
        action=argparse.BooleanOptionalAction,
        help="publish each on the topic wharf-files, as Cloud Storage does (default: if it runs with --pubsub)",
    )
    sql = add_command(actions, "sql", _sql, "run SQL on the emulated BigQuery of the stack that runs in DIR")
    sql.add_argument("statement", metavar="SQL", help="such as 'SELECT * FROM dataset.table'")
    sql.add_argument("--json", action="store_true", help="print one JSON object a line")
    for action in (up, down, env, put, sql):
        action.add_argument("--dir", metavar="DIR", type=Path, default=_DIR, help=f"its data (default {_DIR})")


def _up(arguments: argparse.Namespace) -> int:
    if arguments.background:
        return _up_in_background(arguments)
    from wharf.local.stack import LocalStack

    try:
        say(f"starting the local stack in {arguments.dir}")
        with LocalStack(arguments.dir, sftp=arguments.sftp, pubsub=arguments.pubsub) as stack:
            _print_exports(stack.environment)
            say("ready; Ctrl-C stops it")
            while True:
                time.sleep(0.5)
                stack.check()
    except KeyboardInterrupt:
        say("stopped")
        return 0


def _up_in_background(arguments: argparse.Namespace) -> int:
    from wharf.local import claim

    directory: Path = arguments.dir
    switches = [f"--{name}" for name in ("sftp", "pubsub") if getattr(arguments, name)]
    log = directory / "logs" / "supervisor.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    os.close(claim.take(directory))  # Refuses a second stack here, where the message is seen.
    with log.open("w") as output:
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "wharf", "local", "up", "--dir", str(directory), *switches],
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
    say(f"ready; `wharf local down --dir {directory}` stops it")
    return 0


def _down(arguments: argparse.Namespace) -> int:
    from wharf.local import claim

    facts = claim.holder(arguments.dir)
    if facts is None:
        say(f"no local stack is running in {arguments.dir}")
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
    say(f"stopped the local stack in {arguments.dir}")
    return 0


def _env(arguments: argparse.Namespace) -> int:
    _print_exports(_environment(arguments.dir))
    return 0


def _sql(arguments: argparse.Namespace) -> int:
    environment = _environment(arguments.dir)
    from wharf.connectors import bigquery
    from wharf.connectors.endpoints import Endpoints

    client = Endpoints.resolve(environ=environment).bigquery_client(environment["GOOGLE_CLOUD_PROJECT"])
    with bigquery.translated("the emulator"):
        rows = bigquery.rows(client, arguments.statement)
    if arguments.json:
        print_lines(rows)
        return 0
    cells = [list(rows[0]), *([str(value) for value in row.values()] for row in rows)] if rows else []
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    return 0


def _put(arguments: argparse.Namespace) -> int:
    environment = _environment(arguments.dir)
    from wharf.connectors.endpoints import Endpoints
    from wharf.local.pubsub_server import PubSub
    from wharf.local.put import put

    endpoints = Endpoints.resolve(environ=environment)
    pubsub = None
    if arguments.notify is not False and endpoints.pubsub:
        pubsub = PubSub(endpoints.pubsub, environment["GOOGLE_CLOUD_PROJECT"])
    if arguments.notify and not pubsub:
        raise UsageError(f"the local stack in {arguments.dir} has no Pub/Sub: start it with `wharf local up --pubsub`")
    for uri in put(arguments.files, arguments.target, endpoints.storage_client(), pubsub):
        say(uri)
    return 0


def _environment(directory: Path) -> dict[str, str]:
    """The variables that lead to the stack of `directory`. Raises: UsageError if none runs there."""
    from wharf.local import claim

    facts = claim.holder(directory)
    if facts is None:
        raise UsageError(f"no local stack is running in {directory}: `wharf local up --dir {directory}` starts one")
    if "environment" not in facts:
        raise UsageError(f"the local stack in {directory} is still starting: try again in a few seconds")
    environment: dict[str, str] = facts["environment"]
    return environment


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
