"""`wharf demo`: a month of measurements from the embedded BigQuery into Avro files on the embedded Cloud Storage."""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
import time
from collections import defaultdict

from wharf.connectors import bigquery
from wharf.connectors.storage import open_storage
from wharf.local.demo_data import make_measurements
from wharf.local.stack import LocalStack
from wharf.model.errors import RunFailed
from wharf.model.report import size

_SHOWN = 4


def run_demo(arguments: argparse.Namespace) -> int:
    """Start the stack in `arguments.dir`, export `arguments.rows` rows, show what came out, stop the stack.

    Raises: RunFailed if the export failed, or its files hold other rows than the table.
    """
    say("starting the embedded stack: BigQuery (REST and Storage API) and Cloud Storage")
    with LocalStack(arguments.dir) as stack:
        client = stack.endpoints.bigquery_client(stack.project)
        table, output = f"{stack.project}.metering.measurements", f"gs://{stack.bucket}/events"
        say(f"making {arguments.rows:,} measurements in {table}")
        make_measurements(client, table, arguments.rows)
        flags = ["--source_table", table, "--output", output, "--period", "202503"]
        say(f"python -m pipelines.bigquery_to_avro {' '.join(flags)}")
        # Its own process, as it would be anywhere else; it finds the stack through the environment.
        variables = [f"{name}={value}" for name, value in stack.environment.items()]
        command = ["env", *variables, sys.executable, "-m", "pipelines.bigquery_to_avro", *flags]
        started = time.monotonic()
        if subprocess.run(command, check=False).returncode:
            raise RunFailed("the export failed; its message is above")
        say(f"the command took {time.monotonic() - started:.0f} s, start-up included; what is at {output} now:")
        _show_tree(stack, output)
        say("the run and its files, as recorded in wharf.exports and wharf.exports_files:")
        _show_ledger(client, stack.project)
        expected = bigquery.rows(client, f"SELECT COUNT(*) AS n, SUM(value) AS total FROM `{table}`")[0]
        _check(stack, output, expected["n"], expected["total"])
    return 0


def say(text: str) -> None:
    """A line of the demo's own."""
    print(f"\n=> {text}", flush=True)


def _show_tree(stack: LocalStack, output: str) -> None:
    uris = open_storage(output, stack.endpoints).list(f"{output}/")
    partitions = defaultdict(list)
    for uri in uris:
        folder, _, name = uri.removeprefix(f"{output}/").rpartition("/")
        partitions[folder].append(name)
    for folder in [*sorted(partitions)[:_SHOWN], "..."]:
        print(f"   {folder}/  {'  '.join(partitions[folder])}" if folder in partitions else "   ...")
    print(f"   {len(partitions) - 1:,} partitions, {sum(uri.endswith('.avro') for uri in uris):,} files")


def _show_ledger(client: object, project: str) -> None:
    run = bigquery.rows(
        client,  # type: ignore[arg-type]
        "SELECT export_id, status, rows_exported, files, partitions, bytes_exported, started_at, completed_at "
        f"FROM `{project}.wharf.exports`",
    )[0]
    for name, value in run.items():
        print(f"   {name:<15} {value}")
    files = bigquery.rows(
        client,  # type: ignore[arg-type]
        "SELECT partition_date, vendor, `rows`, bytes, crc32c, status "
        f"FROM `{project}.wharf.exports_files` ORDER BY partition_date, vendor LIMIT {_SHOWN}",
    )
    for row in files:
        print("   " + "  ".join(str(value) for value in row.values()))


def _check(stack: LocalStack, output: str, rows: int, total: float) -> None:
    """Read every file back with fastavro, which had no part in writing them."""
    import fastavro

    storage = open_storage(output, stack.endpoints)
    read, summed, held, example = 0, 0.0, 0, None
    for uri in storage.list(f"{output}/year="):
        if uri.endswith(".avro"):
            data = storage.read_all(uri) or b""
            held += len(data)
            for record in fastavro.reader(io.BytesIO(data)):
                read, summed, example = read + 1, summed + record["value"], record
    say("one record of the last file, read back with fastavro:")
    print(f"   {example}")
    same = read == rows and abs(summed - total) <= 1e-9 * abs(total)
    say(f"read back {read:,} rows ({size(held)}), sum of value {summed:,.3f}; BigQuery says {rows:,} and {total:,.3f}")
    if not same:
        raise RunFailed("the files do not hold what the table holds")
    print("   the same")
