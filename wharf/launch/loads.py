"""`wharf backfill ingest`, and what `wharf status` and `wharf retry` do with batches of files."""

from __future__ import annotations

import argparse
import datetime as dt
import importlib
import json
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, redirect_stdout
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from wharf.launch.parser import add_command
from wharf.model.errors import UsageError

if TYPE_CHECKING:
    from wharf.connectors.loading.state import LoadState
    from wharf.model.schema import TableId

_NAME = "files_to_bigquery"
_PIPELINE = f"pipelines.{_NAME}"  # by name: this command works where Beam is not installed


def add_ingest(commands: Any) -> None:
    """Add `ingest` to the commands of `wharf backfill`."""
    ingest = add_command(
        commands,
        "ingest",
        _ingest,
        "load what lies complete under a pattern and is not loaded",
        usage="wharf backfill ingest --input PATTERN [options] [flags] [Beam's options]",
        description="Load what lies complete under a pattern and is not loaded. Flags are those of files_to_bigquery.",
        examples=("wharf backfill ingest --input 'gs://my-bucket/in/shop/**' --project my-project",),
    )
    ingest.add_argument("--input", metavar="PATTERN", required=True, help="the files, such as gs://bucket/in/**")
    ingest.add_argument("--since", metavar="TIME", help="only what was complete at this time (UTC) or later")
    ingest.add_argument("--until", metavar="TIME", help="only what was complete before this time (UTC)")
    ingest.add_argument("--only", metavar="failed", help="only what has been tried and failed")
    ingest.add_argument("--json", action="store_true", help="print the batches as JSON; all else goes to stderr")
    ingest.set_defaults(rest=[])


def status(arguments: argparse.Namespace, since: dt.date) -> int:
    """Show the batches in `arguments.load_state_table` that were seen on `since` or later."""
    from wharf.connectors.bigquery import translated
    from wharf.model.report import loads_table

    state = _open(arguments)
    with translated(f"load-state table {state.table}"):
        rows = state.history(since)
    if arguments.json:
        for row in rows:
            print(json.dumps(row, default=str))
    else:
        print(loads_table(rows) if rows else f"no batches since {since}")
    return 0


def retry(arguments: argparse.Namespace) -> int:
    """Load the batches that are not DONE, with the flags they were to be loaded with. -> the worst exit code."""
    from wharf.connectors.bigquery import translated
    from wharf.model.loading.state import LIVING

    state = _open(arguments)
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
        code = max((_run(words) for words in again(left, state.table, arguments.project)), default=0)
    if arguments.json:
        for row in state.rows(row["batch_id"] for row in left).values():
            print(json.dumps(row, default=str))
    return code


def again(rows: Sequence[Mapping[str, Any]], state_table: TableId, project: str | None = None) -> list[list[str]]:
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


def _ingest(arguments: argparse.Namespace) -> int:
    given = {name: getattr(arguments, name) for name in ("input", "since", "until", "only")}
    words = [f"--{name}={value}" for name, value in given.items() if value is not None] + arguments.rest
    if arguments.json:
        from wharf.launch.cli import carry_out

        return carry_out(["run", _NAME, *words, "--json"])
    return _run(words)


def _run(words: Sequence[str]) -> int:
    code: int = importlib.import_module(_PIPELINE).main(list(words))
    return code


def _open(arguments: argparse.Namespace) -> LoadState:
    from wharf.connectors.endpoints import Endpoints
    from wharf.connectors.loading.state import LoadState
    from wharf.model.schema import TableId

    if arguments.config or arguments.export_name:
        raise UsageError("--load_state_table is about files that are loaded, --config about exports: give one of them")
    table = TableId.parse(arguments.load_state_table, flag="load_state_table", project=arguments.project)
    return LoadState(Endpoints.resolve().bigquery_client(arguments.project or table.project), table)
