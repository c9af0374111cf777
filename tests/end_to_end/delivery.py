"""Exports of one test: a configuration, a folder on an SFTP server and metadata tables of its own.

delivery.write({"orders": {"source_table": table}})
assert delivery.run("--export_name=orders").code == 0
assert delivery.rows() == [...]
"""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.bigquery_to_sftp import main
from tests.end_to_end.process import Finished, Started
from wharf.launch.cli import main as wharf_main
from wharf.model.delivery import SftpTarget


def as_config(target: SftpTarget) -> dict[str, Any]:
    """How a configuration names a server."""
    secrets = {name: getattr(target, name) for name in ("password", "private_key")}
    return {
        "host": target.host,
        "port": target.port,
        "username": target.username,
        "host_key": target.host_key,
        "directory": target.directory,
        **{name: f"{secret.scheme}:{secret.rest}" for name, secret in secrets.items() if secret},
    }


@dataclass
class Delivery:
    """What one test exports, and what came of it."""

    folder: Path  # of the test
    remote: Path  # where the files of `sftp` arrive
    sftp: dict[str, Any]
    project: str
    sql: Callable[[str], list[dict[str, Any]]]
    metadata: str  # project.dataset.table
    variables: dict[str, str]  # where the emulators are
    started: list[Started] = field(default_factory=list)

    @property
    def config(self) -> Path:
        return self.folder / "exports.json"

    @property
    def staging(self) -> Path:
        return self.folder / "staging"

    def write(self, exports: Any, **others: Any) -> None:
        """Write the configuration; `others` replace what a test's own has at its top."""
        document = {
            "project": self.project,
            "sftp": self.sftp,
            "staging": str(self.staging),
            "metadata_table": self.metadata,
            "exports": exports,
            **others,
        }
        self.config.write_text(json.dumps({key: value for key, value in document.items() if value is not None}))

    def run(self, *words: str) -> Finished:
        """The pipeline, in this process."""
        return _captured(lambda: main(["--config", str(self.config), *words]))

    def wharf(self, command: str, *words: str) -> Finished:
        """`wharf COMMAND --config ... WORDS`, in this process."""
        return _captured(lambda: wharf_main([command, "--config", str(self.config), *words]))

    def start(self, *words: str) -> Started:
        """The pipeline, in a process that can be killed."""
        folder = self.folder / f"process-{len(self.started)}"
        folder.mkdir()
        words = ("--config", str(self.config), *words)
        self.started.append(Started(words, self.variables, folder, "bigquery_to_sftp"))
        return self.started[-1]

    @property
    def files(self) -> dict[str, bytes]:
        """Everything on the server, by path below the folder."""
        found = sorted(path for path in self.remote.rglob("*") if path.is_file())
        return {str(path.relative_to(self.remote)): path.read_bytes() for path in found}

    @property
    def tables(self) -> dict[str, list[list[str]]]:
        """The CSV files on the server as Python reads them, headers included."""
        return {name: read_csv(name, data) for name, data in self.files.items()}

    def column(self, name: str = "id") -> list[str]:
        """The values of a column in all CSV files on the server, sorted as numbers where they are."""
        found = [row[table[0].index(name)] for table in self.tables.values() for row in table[1:]]
        return sorted(found, key=lambda text: (len(text), text))

    def runs(self, export_name: str = "") -> list[dict[str, Any]]:
        """Recorded runs, the oldest first."""
        where = f"WHERE export_name = '{export_name}' " if export_name else ""
        return self.sql(f"SELECT * FROM `{self.metadata}` {where}ORDER BY started_at")

    def file_rows(self) -> list[dict[str, Any]]:
        return self.sql(f"SELECT * FROM `{self.metadata}_files` ORDER BY started_at, remote_path")

    def manifests(self) -> Iterator[dict[str, Any]]:
        """What is staged, as the manifests say."""
        for path in sorted(self.staging.glob("*/*/manifest.json")):
            yield json.loads(path.read_text())

    def move_to_another_machine(self) -> None:
        """Let whatever runs, or ran, be a process of another machine, of which nobody knows here whether it lives."""
        self.sql(f"UPDATE `{self.metadata}` SET job_id = 'another-machine:1' WHERE TRUE")

    def expire_lease(self) -> None:
        """Let the lease of each run that is at work, or was killed, have ended."""
        self.sql(f"UPDATE `{self.metadata}` SET lease_until = TIMESTAMP '2025-01-01 00:00:00+00' WHERE TRUE")


def read_csv(name: str, data: bytes) -> list[list[str]]:
    text = gzip.decompress(data) if name.endswith(".gz") else data
    return list(csv.reader(io.StringIO(text.decode(), newline="")))


def numbers(first: int, last: int) -> list[str]:
    """`first` to `last` as a CSV file has them."""
    return [str(number) for number in range(first, last + 1)]


def _captured(command: Callable[[], int]) -> Finished:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = command()
    return Finished(code, out.getvalue(), err.getvalue())
