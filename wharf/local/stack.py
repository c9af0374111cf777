"""The embedded stack: BigQuery (REST and Storage API) and Cloud Storage on this machine, from PyPI alone.

Where gcloud is installed there can be Pub/Sub too (see wharf.local.pubsub_server).

    DIR/bigquery   tables          DIR/logs        what the emulators print
    DIR/storage    objects         DIR/duckdb      DuckDB's extensions
    DIR/sftp       files           DIR/sftp_*      key and password of the SFTP server, if there is one
    DIR/pubsub     scratch files of the Pub/Sub emulator, if there is one
    DIR/stack.json who runs it (see wharf.local.claim)

Nothing is downloaded, and nothing outside DIR is written.
"""

from __future__ import annotations

import os
import site
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from wharf.connectors.endpoints import Endpoints
from wharf.local import claim, pubsub_server
from wharf.local.emulator import Emulator, free_ports, http_answers, port_answers
from wharf.local.pubsub_server import PubSub
from wharf.model.delivery import SftpTarget
from wharf.model.errors import UsageError

if TYPE_CHECKING:
    from wharf.local.sftp_server import SftpAccount

_MODULES = (
    "bqemulator",
    "duckdb",
    "duckdb_extensions",
    "duckdb_extension_avro",
    "duckdb_extension_spatial",
    "gcp_storage_emulator",
)


class LocalStack:
    """Runs the emulators inside a `with` block; their data stays in `directory` for the next time.

        with LocalStack(Path(".wharf/local")) as stack:
            client = stack.endpoints.bigquery_client(stack.project)

    The emulators end with the block, and with this process, however it ends. With `sftp` there is an SFTP server too,
    with `pubsub` a topic and a subscription for Cloud Storage's notifications, both named `wharf-files`.

    Raises on entering: UsageError if the `local` extra or, with `pubsub`, gcloud's emulator is missing, or if a stack
    already runs in `directory`; WharfError if an emulator does not come up.
    """

    def __init__(
        self,
        directory: Path | str,
        project: str = "demo-project",
        bucket: str = "demo-bucket",
        *,
        sftp: bool = False,
        pubsub: bool = False,
    ) -> None:
        self.directory = Path(directory).resolve()
        self.project = project
        self.bucket = bucket
        self._wants_sftp = sftp
        self._wants_pubsub = pubsub
        self._sftp: SftpAccount | None = None
        self._pubsub: PubSub | None = None
        self._claim: int | None = None
        self._emulators: list[Emulator] = []
        self._endpoints: Endpoints | None = None

    @property
    def endpoints(self) -> Endpoints:
        """Where the emulators listen."""
        if self._endpoints is None:
            raise UsageError("the local stack is not running: enter its `with` block first")
        return self._endpoints

    @property
    def environment(self) -> dict[str, str]:
        """The variables that send Wharf, Beam and Google's own clients to this stack."""
        sftp = self._sftp.environment() if self._sftp else {}
        return {**self.endpoints.environment(), "GOOGLE_CLOUD_PROJECT": self.project, **sftp}

    def sftp_target(self) -> SftpTarget:
        """The account at the SFTP server; its files are in `directory / "sftp"`.

        Raises: UsageError if the stack has no SFTP server, or does not run.
        """
        if self._sftp is None:
            raise UsageError("the local stack has no SFTP server: start it with sftp=True (`wharf local up --sftp`)")
        return self._sftp.target()

    @property
    def pubsub(self) -> PubSub:
        """Where notifications of Cloud Storage are published and read.

        Raises: UsageError if the stack has no Pub/Sub emulator, or does not run.
        """
        if self._pubsub is None:
            raise UsageError("the local stack has no Pub/Sub: start it with pubsub=True (`wharf local up --pubsub`)")
        return self._pubsub

    def __enter__(self) -> Self:
        _require_extra([*_MODULES, *(["asyncssh"] if self._wants_sftp else [])])
        if self._wants_pubsub:
            pubsub_server.find()
        self.directory.mkdir(parents=True, exist_ok=True)
        self._claim = claim.take(self.directory)
        try:
            self._start(self._claim)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop()

    def check(self) -> None:
        """Raises: WharfError if an emulator has ended."""
        for emulator in self._emulators:
            emulator.check()

    def _start(self, claimed: int) -> None:
        logs, storage, home = (self.directory / name for name in ("logs", "storage", "duckdb"))
        objects = storage / ".cloudstorage"
        for directory in (logs, objects, home):
            directory.mkdir(parents=True, exist_ok=True)
        _install_extensions(home, ["spatial", "avro"])

        rest, grpc, http = free_ports(3)
        endpoints = Endpoints(
            bigquery=f"http://127.0.0.1:{rest}",
            bigquery_storage=f"127.0.0.1:{grpc}",
            storage=f"http://127.0.0.1:{http}",
            bigquery_emulated=True,
            bigquery_storage_emulated=True,
        )
        # bqemulator resolves gs:// in the folder where the storage emulator keeps objects as plain files.
        # DuckDB looks for extensions below HOME and would download one that is missing.
        variables = {
            "BQEMU_ENABLE_FORMAT_EXTENSIONS": "true",  # Avro files
            "BQEMU_GCS_LOCAL_ROOT": str(objects),
            "HOME": str(home),
            "PYTHONUSERBASE": site.getuserbase(),  # Python's default for it hangs on HOME.
        }
        child = partial(Emulator, parent=os.getpid(), claim=claimed, variables=variables)
        bigquery = child(
            "BigQuery",
            "bqemulator",
            [
                *["start", "--persistent", f"--data-dir={self.directory / 'bigquery'}"],
                *[f"--project={self.project}", "--rest-host=127.0.0.1", f"--rest-port={rest}"],
                *["--grpc-host=127.0.0.1", f"--grpc-port={grpc}"],
            ],
            log=logs / "bigquery.log",
            answers=[
                partial(http_answers, f"{endpoints.bigquery}/bigquery/v2/projects/{self.project}/datasets"),
                partial(port_answers, grpc),
            ],
        )
        self._emulators.append(bigquery)
        cloud_storage = child(
            "Cloud Storage",
            "gcp_storage_emulator",
            [f"--data-dir={storage}", "start", "--host=127.0.0.1", f"--port={http}"],
            log=logs / "storage.log",
            answers=[partial(http_answers, f"{endpoints.storage}/storage/v1/b?project={self.project}")],
        )
        self._emulators.append(cloud_storage)
        sftp = self._start_sftp(child, logs) if self._wants_sftp else None
        pubsub = None
        if self._wants_pubsub:
            emulator, pubsub = pubsub_server.start(
                self.directory / "pubsub", self.project, claim=claimed, log=logs / "pubsub.log"
            )
            self._emulators.append(emulator)
        for emulator in self._emulators:
            emulator.wait()
        _make_bucket(endpoints, self.bucket)
        if pubsub:
            pubsub.make()
            endpoints = replace(endpoints, pubsub=pubsub.host)
        self._endpoints, self._sftp, self._pubsub = endpoints, sftp, pubsub
        os.fchmod(claimed, 0o600)  # The environment may hold a password.
        claim.note(claimed, {"pid": os.getpid(), "environment": self.environment})

    def _start_sftp(self, child: Callable[..., Emulator], logs: Path) -> SftpAccount:
        from wharf.local.sftp_server import SftpAccount

        (port,) = free_ports(1)
        account = SftpAccount(self.directory, port)
        account.prepare()
        self._emulators.append(
            child(
                "SFTP",
                "wharf.local.sftp_server",
                [str(self.directory), str(port)],
                log=logs / "sftp.log",
                answers=[partial(port_answers, port)],
            )
        )
        return account

    def _stop(self) -> None:
        for emulator in self._emulators:
            emulator.ask_to_stop()
        for emulator in self._emulators:
            emulator.stop()
        self._emulators.clear()
        self._endpoints = self._sftp = self._pubsub = None
        if self._claim is not None:
            os.close(self._claim)
            self._claim = None


def _make_bucket(endpoints: Endpoints, name: str) -> None:
    """Make the bucket where missing, without soft delete: the emulator rewrites its list of all objects, those
    deleted within a week included, whenever one changes."""
    from google.api_core.exceptions import Conflict

    bucket = endpoints.storage_client().bucket(name)
    bucket.soft_delete_policy.retention_duration_seconds = 0
    try:
        bucket.create()
    except Conflict:
        pass  # kept from an earlier start


def _require_extra(modules: list[str]) -> None:
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        raise UsageError(f"the local stack needs {', '.join(missing)}: pip install 'wharf[local]'")


def _install_extensions(home: Path, names: list[str]) -> None:
    """Copy DuckDB extensions from their PyPI packages to where a DuckDB with `home` as HOME looks."""
    import duckdb
    from duckdb_extensions import import_extension

    with duckdb.connect() as connection:
        connection.execute("SET extension_directory = ?", [str(home / ".duckdb" / "extensions")])
        for name in names:
            import_extension(name, con=connection)
