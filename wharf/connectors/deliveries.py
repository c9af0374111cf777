"""Runs that deliver files: what the metadata tables and the staging folder know of them, and how they end."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from wharf.connectors import bigquery
from wharf.connectors.endpoints import Endpoints
from wharf.connectors.ledger import SAME_EXPORT, RunLedger
from wharf.connectors.storage import Storage, open_storage, put
from wharf.model import selection
from wharf.model.config import SftpConfig
from wharf.model.delivery import DeliveryResult
from wharf.model.errors import RunInProgress, UsageError
from wharf.model.ledger import FILES, RUNS, SUCCESS, TIES
from wharf.model.manifest import Folder, Manifest, export_root, file_rows, outcome
from wharf.model.schema import TableId
from wharf.model.selection import Tied, Watermark

if TYPE_CHECKING:
    from google.cloud.bigquery import Client

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Deliveries:
    """The runs recorded in `metadata` and staged below `staging`. A plain value: clients are made where it is used."""

    endpoints: Endpoints
    project: str
    metadata: TableId
    files: TableId
    staging: str

    @property
    def ties(self) -> TableId:
        return self.metadata._replace(table=f"{self.metadata.table}_ties")

    @cached_property
    def client(self) -> Client:
        return self.endpoints.bigquery_client(self.project)

    @cached_property
    def ledger(self) -> RunLedger:
        return RunLedger(self.client, self.metadata, SAME_EXPORT)

    @cached_property
    def storage(self) -> Storage:
        return open_storage(self.staging, self.endpoints)

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("endpoints", "project", "metadata", "files", "staging")}

    def ensure_tables(self, location: str | None) -> None:
        """Make the metadata tables where missing, and add the columns that older ones lack.

        Raises: UsageError.
        """
        for table, shape in ((self.metadata, RUNS), (self.files, FILES), (self.ties, TIES)):
            bigquery.ensure_table(self.client, table, shape, location)

    def done(self, export_name: str, start: dt.datetime, end: dt.datetime) -> dict[str, Any] | None:
        """The run that exported this window already."""
        status = self.ledger.shape.name_of("status")
        found = bigquery.rows(
            self.client,
            f"SELECT export_id, completed_at, rows_exported, file_name FROM `{self.metadata}` "
            f"WHERE export_name = @name AND {status} = 'SUCCESS' AND window_from = @start AND window_to = @end "
            "ORDER BY completed_at DESC LIMIT 1",
            {"name": export_name, "start": start, "end": end},
        )
        return found[0] if found else None

    def watermark(self, export_name: str, type_: str) -> tuple[Watermark | None, str | None]:
        """The last committed watermark, of a column of type `type_`, and the run that left it.

        Rows that another tool wrote count as well; they may have no run id.

        Raises: UsageError for one that is no value of that type.
        """
        status = self.ledger.shape.name_of("status")
        found = bigquery.rows(
            self.client,
            f"SELECT export_id, last_exported_value, last_export_timestamp FROM `{self.metadata}` "
            f"WHERE export_name = @name AND {status} = 'SUCCESS' "
            "AND (last_exported_value IS NOT NULL OR last_export_timestamp IS NOT NULL) "
            "ORDER BY completed_at DESC LIMIT 1",
            {"name": export_name},
        )
        if not found:
            return None, None
        row = found[0]
        text = row["last_exported_value"] or str(row["last_export_timestamp"])
        return Watermark.parse(type_, text, where=f"{self.metadata}, export {export_name}"), row["export_id"]

    def tied(self, export_id: str | None, columns: Sequence[str]) -> Tied | None:
        """What is recorded of the rows that a run sent with its watermark's value; None if nothing that can be used.

        `columns` are those that the source has now.
        """
        if not export_id:
            return None
        found = bigquery.rows(
            self.client,
            f"SELECT columns FROM `{self.ties}` WHERE export_id = @export_id LIMIT 1",
            {"export_id": export_id},
        )
        if not found:
            return None
        recorded = tuple(found[0]["columns"].split(","))
        if gone := set(recorded) - set(columns):
            _LOG.warning(
                "columns %s are gone: rows that came with the watermark's own value after run %s are not noticed",
                ", ".join(sorted(gone)),
                export_id,
            )
            return None
        return Tied(self.ties, export_id, recorded)

    def record_ties(
        self, increment: TableId, export_id: str, columns: Sequence[str], at: Watermark, former: Tied | None
    ) -> None:
        """Record which rows a run sends with the watermark's value; repeating it changes nothing."""
        bigquery.execute(
            self.client, f"DELETE FROM `{self.ties}` WHERE export_id = @export_id", {"export_id": export_id}
        )
        bigquery.execute(self.client, selection.record_ties(increment, self.ties, export_id, columns, at, former), {})

    def manifests(self, export_name: str) -> list[Manifest]:
        """All runs of an export whose files are staged, the oldest first."""
        uris = [
            uri for uri in self.storage.list(export_root(self.staging, export_name)) if uri.endswith("/manifest.json")
        ]
        return sorted(map(self.manifest, uris), key=lambda manifest: manifest.started_at)

    def unfinished(self, export_name: str) -> list[Manifest]:
        """Deliveries that were begun and not completed, the oldest first; of dead runs as of living ones."""
        staged = self.manifests(export_name)
        succeeded = self._succeeded([manifest.export_id for manifest in staged])
        return [manifest for manifest in staged if manifest.export_id not in succeeded]

    def as_delivered(self, manifest: Manifest) -> Manifest:
        """The manifest with the names that its files got on the server: `overwrite: version` may have changed them."""
        found = bigquery.rows(
            self.client,
            f"SELECT file_uri, remote_path FROM `{self.files}` WHERE export_id = @export_id AND status = '{SUCCESS}'",
            {"export_id": manifest.export_id},
        )
        return manifest.renamed({row["file_uri"]: row["remote_path"] for row in found})

    def take_again(self, manifest: Manifest, lease: dt.timedelta, job_id: str, *, force: bool = False) -> None:
        """Record a run as RUNNING again, to send what it had staged.

        Raises: RunInProgress if it, or another run of its export, is alive.
        """
        if not force and self.ledger.living([manifest.export_id]):
            raise RunInProgress(f"run {manifest.export_id} is still alive: wait for it, or take over with --force")
        row = {"export_id": manifest.export_id, "export_name": manifest.export_name}
        row |= {"destination_uri": manifest.destination, "job_id": job_id}
        self.ledger.claim(row, lease, force=force, again=True)

    def is_staged(self, manifest: Manifest) -> bool:
        """Whether all files of a run are still in the staging folder."""
        folder = Folder(self.staging, manifest.export_name, manifest.export_id)
        return {file.uri for file in manifest.files} <= set(self.storage.list(f"{folder.files}/"))

    def manifest(self, uri: str) -> Manifest:
        """Raises: UsageError if there is none."""
        text = self.storage.read_all(uri)
        if text is None:
            raise UsageError(f"{uri} does not exist: the run has staged nothing, or its files have expired")
        return Manifest.from_json(text, where=uri)

    def seal(self, manifest: Manifest) -> None:
        """Write the manifest: from here on the run is completed, not begun again."""
        folder = Folder(self.staging, manifest.export_name, manifest.export_id)
        put(self.storage, folder.manifest, manifest.to_json().encode())
        self.storage.delete(self.storage.list(f"{folder.root}/spill-"))

    def discard(self, export_name: str, export_id: str) -> None:
        """Remove what a run staged, its manifest first: it cannot be completed any more."""
        folder = Folder(self.staging, export_name, export_id)
        self.storage.delete([folder.manifest])
        self.storage.delete(self.storage.list(f"{folder.root}/"))

    def sweep(self, export_name: str, now: dt.datetime) -> None:
        """Remove staged files that have expired, but for increments that are still to be delivered."""
        expired = [manifest for manifest in self.manifests(export_name) if manifest.expires_at < now]
        succeeded = self._succeeded([manifest.export_id for manifest in expired])
        for manifest in expired:
            if manifest.export_id in succeeded or not manifest.watermark:
                self.discard(export_name, manifest.export_id)

    def conclude(self, manifest: Manifest, results: Sequence[DeliveryResult]) -> dict[str, Any]:
        """Record what came of a run's files, then how the run ended. -> its row."""
        bigquery.merge_rows(self.client, self.files, FILES, file_rows(manifest, results, dt.datetime.now(dt.UTC)))
        self.end(outcome(manifest, results))
        return self.ledger.row(manifest.export_id)

    def end(self, ended: dict[str, Any]) -> None:
        """Record how a run ended: what `outcome` says."""
        self.ledger.end(ended)
        if not ended.get("error_message"):
            # The ties of runs before this one are history.
            bigquery.execute(
                self.client,
                f"DELETE FROM `{self.ties}` WHERE export_id IN (SELECT export_id FROM `{self.metadata}` "
                f"WHERE export_name = @name AND export_id != @export_id AND "
                f"{self.ledger.shape.name_of('status')} = 'SUCCESS')",
                {"name": self.ledger.row(ended["export_id"])["export_name"], "export_id": ended["export_id"]},
            )

    def _succeeded(self, export_ids: list[str]) -> set[str]:
        if not export_ids:
            return set()
        status = self.ledger.shape.name_of("status")
        found = bigquery.rows(
            self.client,
            f"SELECT export_id FROM `{self.metadata}` WHERE {status} = '{SUCCESS}' "
            "AND export_id IN (SELECT item FROM UNNEST(SPLIT(@ids, ' ')) AS item)",
            {"ids": " ".join(export_ids)},
        )
        return {row["export_id"] for row in found}


def history(client: Client, table: TableId, since: dt.date, export_name: str | None) -> list[dict[str, Any]]:
    """The runs in a metadata table that began on `since` or later, the newest first.

    Raises: UsageError if there is no such table.
    """
    shape = bigquery.shape_of(client, table, RUNS)
    named = " AND export_name = @name" if export_name else ""
    with bigquery.translated(f"metadata table {table}"):
        found = bigquery.rows(
            client,
            f"SELECT * FROM `{table}` WHERE started_at >= @since{named} ORDER BY started_at DESC",
            {"since": dt.datetime.combine(since, dt.time(), dt.UTC)} | ({"name": export_name} if export_name else {}),
        )
    return [row | {"status": row[shape.name_of("status")]} for row in found]


def deliveries_of(config: SftpConfig, endpoints: Endpoints, project: str | None) -> Deliveries:
    """The runs of a configuration.

    Raises: UsageError if nothing says which project pays.
    """
    project = config.project or project
    if not project:
        tables = [export.source_table for export in config.exports.values()] + [config.metadata_table]
        named = [table for table in tables if table.count(".") >= 2]
        if not named:
            raise UsageError("which project pays? set project in the configuration, or give --project")
        project = TableId.parse(named[0], flag="source_table").project
    return Deliveries(
        endpoints=endpoints,
        project=project,
        metadata=TableId.parse(config.metadata_table, flag="metadata_table", project=project),
        files=TableId.parse(config.files_table, flag="files_table", project=project),
        staging=config.staging,
    )
