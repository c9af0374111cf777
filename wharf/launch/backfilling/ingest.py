"""`wharf backfill ingest`: files_to_bigquery has no periods; what lies there and is not loaded is its backfill."""

from __future__ import annotations

import argparse
from typing import Any

from wharf.launch.parser import add_command, require
from wharf.launch.running.in_process import run_in_process
from wharf.launch.running.unknown_flags import unknown_flags_first

_PIPELINE = "files_to_bigquery"


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
    ingest.add_argument("--input", metavar="PATTERN", help="the files, such as gs://bucket/in/**")
    ingest.add_argument("--since", metavar="TIME", help="only what was complete at this time (UTC) or later")
    ingest.add_argument("--until", metavar="TIME", help="only what was complete before this time (UTC)")
    ingest.add_argument("--only", metavar="failed", help="only what has been tried and failed")
    ingest.add_argument("--json", action="store_true", help="print the batches as JSON; all else goes to stderr")
    ingest.set_defaults(rest=[])


def _ingest(arguments: argparse.Namespace) -> int:
    with unknown_flags_first(arguments):
        require(arguments.parser, {"--input": arguments.input})
    given = {name: getattr(arguments, name) for name in ("input", "since", "until", "only")}
    words = [f"--{name}={value}" for name, value in given.items() if value is not None] + arguments.rest
    if arguments.json:
        from wharf.launch.cli import carry_out

        return carry_out(["run", _PIPELINE, *words, "--json"])
    return run_in_process(_PIPELINE, words)
