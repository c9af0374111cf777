"""Batches of files, in the table that `--load_state_table` names: what became of them, and loading them again."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, redirect_stdout
from functools import partial
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from wharf.launch.launch_config import named_launch_config
from wharf.launch.output import print_lines, say
from wharf.launch.running.in_process import run_in_process
from wharf.launch.running.request import DATAFLOW
from wharf.model.errors import UsageError, WharfError

if TYPE_CHECKING:
    from wharf.connectors.loading.state import LoadState
    from wharf.model.schema import TableId

_PIPELINE = "files_to_bigquery"
_INTERRUPTED = 130


def show_batches(arguments: argparse.Namespace, since: dt.date) -> int:
    """Show the batches in `arguments.load_state_table` that were seen on `since` or later."""
    from wharf.connectors.bigquery import translated
    from wharf.model.report import loads_table

    state = _open_load_state(arguments)
    with translated(f"load-state table {state.table}"):
        rows = state.history(since)
    if arguments.json:
        print_lines(rows)
    else:
        print(loads_table(rows) if rows else f"no batches since {since}")
    return 0


def load_again(arguments: argparse.Namespace) -> int:
    """Load the batches that are not DONE, with the flags they were to be loaded with. -> the worst exit code.

    They are loaded in this process, or with `--target dataflow` by a job for all that are loaded alike.
    """
    from wharf.connectors.bigquery import translated
    from wharf.model.loading.state import LIVING

    state = _open_load_state(arguments)
    with translated(f"load-state table {state.table}"):
        rows = state.unfinished(below=(arguments.directory or "").rstrip("/"))
    if arguments.directory:
        wanted = arguments.directory.rstrip("/") + "/"
        rows = [row for row in rows if f"{row['directory']}/".startswith(wanted)]
    now = dt.datetime.now(dt.UTC)
    left = [row for row in rows if row["status"] not in LIVING or row["lease_until"] <= now]
    with redirect_stdout(sys.stderr) if arguments.json else nullcontext():
        for row in rows:
            if row not in left:
                print(f"{row['directory']} is being loaded, by {row['claimed_by']}")
        if not left:
            print(f"nothing to load: no batch in {state.table} has failed or waits")
        is_remote = arguments.target == DATAFLOW
        load = partial(_load_on_dataflow, arguments) if is_remote else partial(run_in_process, _PIPELINE)
        code = _run_each(command_lines(left, state.table, arguments.project), load)
    if arguments.json:
        print_lines(state.rows(row["batch_id"] for row in left).values())
    return code


def command_lines(
    rows: Sequence[Mapping[str, Any]], state_table: TableId, project: str | None = None
) -> list[list[str]]:
    """Rows of batches -> the command lines that load them, one for all that are loaded alike.

    `project` pays; by default it is that of the tables they go to, which paths do not name.
    """
    from wharf.model.loading.state import FAILED

    alike: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        bucket = "/".join(row["success_uri"].split("/")[:3]) + "/"
        pays = project or (row["destination_table"] or "").partition(".")[0] or state_table.project
        alike.setdefault((pays, bucket, row["settings"]), []).append(row)
    commands = []
    for (pays, bucket, settings), batches in alike.items():
        # Where notifications come from anywhere in a bucket, paths name tables from its root on.
        flags = {"prefix": bucket} | json.loads(settings) | {"load_state_table": str(state_table), "project": pays}
        flags["input"] = _pattern([row["success_uri"] for row in batches])
        if all(row["status"] == FAILED for row in batches):
            flags["only"] = "failed"
        commands.append([f"--{name}={value}" for name, value in flags.items()])
    return commands


def _pattern(uris: Sequence[str]) -> str:
    """What matches one URI, or all that is below the directory that several share."""
    steps = zip(min(uris).split("/"), max(uris).split("/"), strict=False)
    shared = [step for step, _ in takewhile(lambda pair: pair[0] == pair[1], steps)]
    return re.sub(r"([*?\[])", r"[\1]", "/".join(shared)) + ("" if len(uris) == 1 else "/**")


def _run_each(commands: Sequence[Sequence[str]], load: Callable[[Sequence[str]], int]) -> int:
    """Run the pipeline with each of these words; one that fails keeps no other back, Ctrl-C does. -> the worst code."""
    worst = 0
    for words in commands:
        try:
            worst = max(worst, load(words))
        except WharfError as error:
            say(f"error: {error}")
            worst = max(worst, error.exit_code)
        if worst == _INTERRUPTED:  # the pipeline makes an exit code of it
            break
    return worst


def _load_on_dataflow(arguments: argparse.Namespace, words: Sequence[str]) -> int:
    from wharf.connectors.endpoints import Endpoints
    from wharf.launch.cli import carry_out

    config = named_launch_config(arguments, Endpoints.resolve())
    pays = next(word for word in words if word.startswith("--project="))
    if config and pays != f"--project={config.project}":  # where the tables are that paths name
        raise UsageError(
            f"--target {DATAFLOW}: {config.uri} launches in {config.project}, and these batches load with {pays}: "
            "name that project's launch configuration, or load them here without --target"
        )
    named = [f"--launch_config={config.uri}"] if config else []
    flags = [word for word in words if word != pays]
    return carry_out(["run", _PIPELINE, *flags, f"--target={DATAFLOW}", *named])


def _open_load_state(arguments: argparse.Namespace) -> LoadState:
    from wharf.connectors.endpoints import Endpoints
    from wharf.connectors.loading.state import LoadState
    from wharf.model.schema import TableId

    if arguments.config or arguments.export_name:
        raise UsageError("--load_state_table is about files that are loaded, --config about exports: give one of them")
    table = TableId.parse(arguments.load_state_table, flag="load_state_table", project=arguments.project)
    return LoadState(Endpoints.resolve().bigquery_client(arguments.project or table.project), table)
