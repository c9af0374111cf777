"""`wharf demo sftp`: exports to an SFTP server on this machine: delivered, verified, one lost and sent again."""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from wharf.connectors import bigquery
from wharf.local.demo import say
from wharf.local.demo_data import make_measurements
from wharf.local.stack import LocalStack
from wharf.model.errors import RunFailed


def run_demo(arguments: argparse.Namespace) -> int:
    """Start the stack with an SFTP server in `arguments.dir`, and walk through a delivery of `arguments.rows` rows.

    Raises: RunFailed if a step does not end as it should, or the files hold other rows than the table.
    """
    say("starting the embedded stack: BigQuery, Cloud Storage and an SFTP server")
    with LocalStack(arguments.dir, sftp=True) as stack:
        client = stack.endpoints.bigquery_client(stack.project)
        table, remote = f"{stack.project}.metering.measurements", arguments.dir / "sftp"
        say(f"making {arguments.rows:,} measurements in {table}")
        make_measurements(client, table, arguments.rows)
        config = arguments.dir / "exports.json"
        config.write_text(json.dumps(_config(stack, table, arguments.rows), indent=2) + "\n")
        say(f"{config}, without the server, which comes from the environment:")
        print(config.read_text())

        run = Steps(stack)
        everything = ["--config", str(config), "--export_name", "all"]
        run("python", "-m", "pipelines.bigquery_to_sftp", *everything)
        say("on the server now:")
        _show(remote)
        say("200 more rows come; the next run sends these, and what is complete is not sent again")
        client.query(
            f"INSERT INTO `{table}` (device_id, vendor, unit, when_read, value, valid) SELECT 'late', vendor, unit, "
            f"TIMESTAMP '2025-04-01 00:00:00+00', value, valid FROM `{table}` LIMIT 200"
        ).result()
        run("python", "-m", "pipelines.bigquery_to_sftp", *everything)
        lost = sorted(remote.rglob("*.csv.gz"))[0]
        say(f"{lost.name} is lost on the server")
        lost.unlink()
        run("wharf", "verify", "--config", str(config), expected=1)
        names = arguments.dir / "missing.txt"
        names.write_text(f"{lost.name}\n")
        run("wharf", "retry", "--config", str(config), "--missing-files", str(names))
        run("wharf", "verify", "--config", str(config))
        run("wharf", "status", "--config", str(config))
        say("what the partner has of readings_new, against BigQuery:")
        _check(remote, bigquery.rows(client, f"SELECT COUNT(*) AS n FROM `{table}`")[0]["n"])
    return 0


class Steps:
    """Runs commands of the demo as a user would, in processes of their own that find the stack by the environment.

    `variables`: what else is in it.
    """

    def __init__(self, stack: LocalStack, **variables: str) -> None:
        self._variables = [f"{name}={value}" for name, value in {**stack.environment, **variables}.items()]

    def __call__(self, *words: str, expected: int = 0) -> None:
        say(" ".join(words))
        program = [sys.executable, *words[1:]] if words[0] == "python" else [sys.executable, "-m", *words]
        code = subprocess.run(["env", *self._variables, *program], check=False).returncode
        if code != expected:
            raise RunFailed(f"that ended with exit code {code}, not {expected}; its message is above")


def _config(stack: LocalStack, table: str, rows: int) -> dict[str, object]:
    return {
        "gcs": {"bucket": stack.bucket},
        "metadata": {"export_metadata_table": f"{stack.project}.wharf.exports"},
        "exports": {
            "acme_daily": {
                "query": f"SELECT * FROM `{table}` WHERE vendor = 'acme' AND when_read < '{{date}}'",
                "compress": True,
                "max_rows_per_file": max(rows // 8, 1),
            },
            "readings_new": {
                "source_table": table,
                "timestamp_column": "when_read",
                "columns": ["device_id", "when_read", "value", "valid"],
                "destination_filename": "readings/NEW_{datetime}.csv",
            },
        },
    }


def _show(remote: Path) -> None:
    for path in sorted(path for path in remote.rglob("*") if path.is_file()):
        print(f"   {path.stat().st_size:>12,}  {path.relative_to(remote)}")


def _check(remote: Path, expected: int) -> None:
    """Count the delivered rows with Python's own reader."""
    counted = 0
    header: Sequence[str] = ()
    for path in sorted((remote / "readings").iterdir()):
        with path.open(newline="") as file:
            reader = csv.reader(file)
            header = next(reader)
            counted += sum(1 for _ in reader)
    print(f"   {counted:,} rows of {', '.join(header)}; BigQuery has {expected:,}")
    if counted != expected:
        raise RunFailed("the delivered files do not hold what the table holds")
    print("   the same")
