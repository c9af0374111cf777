"""Loads of one test: a prefix on Cloud Storage, a dataset and a load-state table of its own.

loads.drop("orders/2025/03/01", {"part-0.csv": csv_of("id", (1,), (2,))})
assert loads.run().code == 0
assert loads.rows("orders", "id") == [(1,), (2,)]
assert loads.statuses() == {"orders/2025/03/01": "DONE"}
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from google.cloud.bigquery import SchemaField, Table
from google.cloud.storage import Bucket

from pipelines.files_to_bigquery import execute, job_of, main
from tests.end_to_end.process import Finished, Started
from wharf.launch.cli import main as wharf_main
from wharf.local.stack import LocalStack


@dataclass
class Loads:
    """What one test drops and loads, and what came of it.

    Paths are below the test's dataset, `gs://bucket/PREFIX/DATASET/`, whose folders are the names of tables.
    """

    client: Any
    bucket: Bucket
    prefix: str  # of objects, with its slash
    dataset: str
    folder: Path  # of the test
    variables: dict[str, str]  # where the emulators are
    started: list[Started] = field(default_factory=list)

    @property
    def project(self) -> str:
        return str(self.client.project)

    @property
    def state_table(self) -> str:
        return f"{self.project}.{self.dataset}.loads"

    @property
    def input(self) -> str:
        """Everything the test has dropped, as a pattern."""
        return f"gs://{self.bucket.name}/{self.prefix}**"

    @property
    def flags(self) -> list[str]:
        """What every run is given, besides where the files are."""
        return [f"--project={self.project}", f"--load_state_table={self.state_table}", "--skip_leading_rows=1"]

    @property
    def storage_endpoint(self) -> str:
        return self.variables["BIGQUERY_STORAGE_EMULATOR_HOST"]

    def uri(self, path: str = "") -> str:
        return f"gs://{self.bucket.name}/{self.prefix}{self.dataset}/{path}"

    def put(self, path: str, content: str | bytes | Mapping[str, Any] | list[Any] = "") -> None:
        """Write an object; a mapping or a list as JSON."""
        text = content if isinstance(content, str | bytes) else json.dumps(content)
        self.bucket.blob(self.uri(path).removeprefix(f"gs://{self.bucket.name}/")).upload_from_string(text, retry=None)

    def drop(self, directory: str, files: Mapping[str, str | bytes], marker: str | None = "_SUCCESS") -> None:
        """Write files into a directory, and then its marker."""
        for name, content in files.items():
            self.put(f"{directory}/{name}", content)
        if marker:
            self.put(f"{directory}/{marker}")

    def delete(self, directory: str) -> None:
        """Remove a directory, and all that is in it."""
        prefix = self.uri(directory).removeprefix(f"gs://{self.bucket.name}/") + "/"
        for name in [blob.name for blob in self.bucket.list_blobs(prefix=prefix)]:
            self.bucket.blob(name).delete()

    def run(self, *words: str) -> Finished:
        """The pipeline, in this process; over everything dropped unless `words` say otherwise."""
        given = (
            [] if any(word.startswith(("--input", "--subscription")) for word in words) else [f"--input={self.input}"]
        )
        return captured(lambda: main([*self.flags, *given, *words]))

    def run_with_jobs_of(self, most_files: int, *words: str) -> Finished:
        """The same where a load job takes so many files at most."""
        job, _ = job_of([*self.flags, f"--input={self.input}", *words])
        return captured(lambda: execute(replace(job, spec=replace(job.spec, most_files=most_files))))

    def wharf(self, *words: str) -> Finished:
        """`wharf WORDS`, in this process."""
        return captured(lambda: wharf_main([*words]))

    def start(self, *words: str, **variables: str) -> Started:
        """The pipeline, in a process that can be killed; it runs over nothing that `words` do not say."""
        folder = self.folder / f"process-{len(self.started)}"
        folder.mkdir()
        environment = self.variables | variables
        self.started.append(Started([*self.flags, *words], environment, folder, "files_to_bigquery"))
        return self.started[-1]

    def sql(self, statement: str) -> list[dict[str, Any]]:
        job = self.client.query(statement, retry=None, job_retry=None, timeout=60)
        return [dict(row.items()) for row in job.result(retry=None, job_retry=None, timeout=60)]

    def rows(self, table: str, columns: str = "*") -> list[tuple[Any, ...]]:
        """A table's rows in the order of their columns."""
        found = self.sql(f"SELECT {columns} FROM `{self.project}.{self.dataset}.{table}` ORDER BY ALL")
        return [tuple(row.values()) for row in found]

    def table(self, name: str) -> Table:
        """A table as the API describes it."""
        return self.client.get_table(f"{self.project}.{self.dataset}.{name}", retry=None)

    def tables(self) -> set[str]:
        """The names of the dataset's tables, without those that record."""
        found = {table.table_id for table in self.client.list_tables(self.dataset, retry=None)}
        return {name for name in found if not name.startswith("loads")}

    def make_table(self, name: str, *columns: SchemaField, **properties: Any) -> None:
        """Make a table that is there before anything is loaded."""
        made = Table(f"{self.project}.{self.dataset}.{name}", list(columns))
        for key, value in properties.items():
            setattr(made, key, value)
        self.client.create_table(made, retry=None)

    def states(self) -> list[dict[str, Any]]:
        """Rows of the load-state table, by directory and then by age; directories as the test wrote them."""
        found = self.sql(f"SELECT * FROM `{self.state_table}` ORDER BY directory, success_generation")
        return [row | {"directory": self._short(row["directory"])} for row in found]

    def statuses(self) -> dict[str, str]:
        """How each directory's newest batch stands."""
        return {row["directory"]: row["status"] for row in self.states()}

    def errors(self) -> dict[str, str]:
        """Why directories were not loaded."""
        return {row["directory"]: row["error_message"] for row in self.states() if row["error_message"]}

    def file_rows(self) -> list[dict[str, Any]]:
        found = self.sql(f"SELECT * FROM `{self.state_table}_files` ORDER BY file_uri, generation")
        return [row | {"file_uri": self._short(row["file_uri"])} for row in found]

    def rejects(self) -> list[dict[str, Any]]:
        found = self.sql(f"SELECT * FROM `{self.state_table}_rejects` ORDER BY directory, file_uri, message")
        return [row | {name: self._short(row[name]) for name in ("directory", "file_uri")} for row in found]

    def objects(self, prefix: str) -> dict[str, bytes]:
        """What is below a prefix of the test's own, `gs://...`, by path."""
        start = prefix.removeprefix(f"gs://{self.bucket.name}/")
        # By name: the address that the emulator lists for an object is not escaped.
        names = [blob.name for blob in self.bucket.list_blobs(prefix=start)]
        return {name.removeprefix(start): self.bucket.blob(name).download_as_bytes() for name in names}

    def staged(self, staging_dataset: str) -> set[str]:
        """What is left in a staging dataset."""
        return {table.table_id for table in self.client.list_tables(staging_dataset, retry=None)}

    def expire_leases(self) -> None:
        """Let the lease of each batch that somebody is at work on, or was, have ended."""
        self.sql(f"UPDATE `{self.state_table}` SET lease_until = TIMESTAMP '2025-01-01 00:00:00+00' WHERE TRUE")

    def _short(self, uri: str) -> str:
        return uri.removeprefix(self.uri()).rstrip("/")


@contextlib.contextmanager
def loads_of(stack: LocalStack, client: Any, folder: Path) -> Iterator[Loads]:
    """With a dataset that is there; processes that were started end with the block."""
    name = f"loads_{uuid.uuid4().hex[:8]}"
    client.create_dataset(name, retry=None)
    bucket = stack.endpoints.storage_client().bucket(stack.bucket)
    made = Loads(client, bucket, f"{name}/in/", name, folder, stack.environment)
    try:
        yield made
    finally:
        for one in made.started:
            one.process.kill()
            one.process.join()


def csv_of(columns: str, *rows: tuple[Any, ...], delimiter: str = ",") -> str:
    """A CSV file with a header; `columns` are separated by commas."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    writer.writerow(columns.split(","))
    writer.writerows(rows)
    return text.getvalue()


def jsonl_of(*rows: Mapping[str, Any]) -> str:
    """Newline-delimited JSON."""
    return "".join(json.dumps(row) + "\n" for row in rows)


def captured(command: Callable[[], int]) -> Finished:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = command()
    return Finished(code, out.getvalue(), err.getvalue())
