"""`wharf demo`: a pipeline on the embedded stack, from made-up rows to a checked result."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from wharf.launch.parser import add_command, count


def register(commands: Any) -> None:
    """Add `demo` to the commands of a parser."""
    demo = add_command(
        commands,
        "demo",
        _demo,
        "run a pipeline on the embedded stack, without a cloud",
        examples=("wharf demo", "wharf demo sftp --rows 10000"),
    )
    demo.add_argument(
        "pipeline",
        metavar="PIPELINE",
        nargs="?",
        choices=("api", "avro", "load", "sftp"),
        default="avro",
        help="avro (default): partitioned Avro files; load: files that become partitions; sftp: files sent to a "
        "server; api: an API's records in raw tables",
    )
    demo.add_argument("--rows", metavar="N", type=count, default=1_000_000, help="rows (default 1000000)")
    demo.add_argument("--dir", metavar="DIR", type=Path, help="work there (default: a temporary directory)")
    demo.add_argument("--keep", action="store_true", help="do not remove the temporary directory")


def _demo(arguments: argparse.Namespace) -> int:
    if arguments.pipeline == "sftp":
        from wharf.local.demo_sftp import run_demo
    elif arguments.pipeline == "api":
        from wharf.local.demo_api import run_demo
    elif arguments.pipeline == "load":
        from wharf.local.demo_load import run_demo
    else:
        from wharf.local.demo import run_demo

    if arguments.dir:
        return run_demo(arguments)
    arguments.dir = Path(tempfile.mkdtemp(prefix="wharf-demo-"))
    try:
        return run_demo(arguments)
    finally:
        if arguments.keep:
            print(f"kept {arguments.dir}", file=sys.stderr)
        else:
            shutil.rmtree(arguments.dir, ignore_errors=True)
