"""Telling people how the run of an export ended, and recording whom we could not tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wharf.connectors import secrets
from wharf.connectors.deliveries import Deliveries
from wharf.connectors.notify import notify
from wharf.model.history import retries
from wharf.model.ledger import SUCCESS
from wharf.model.manifest import Manifest
from wharf.model.notification import Notifications, Outcome
from wharf.model.sftp_run import PIPELINE, date_of


@dataclass(frozen=True)
class Announcer:
    """Called with a run's row, and its manifest if it got that far. It never raises."""

    deliveries: Deliveries
    config_uri: str
    notifications: Mapping[str, Notifications]  # by export

    def __call__(self, row: Mapping[str, Any], manifest: Manifest | None) -> None:
        settings = self.notifications.get(row["export_name"])
        if not settings:
            return
        outcome = self.outcome(row, manifest)
        endpoints = self.deliveries.endpoints
        failures = notify(outcome, settings, lambda reference: secrets.resolve(reference, endpoints))
        if failures:
            self.deliveries.ledger.note(row["export_id"], "notification_error", "; ".join(failures))

    def outcome(self, row: Mapping[str, Any], manifest: Manifest | None) -> Outcome:
        """What is told."""
        seconds = (row["completed_at"] - row["started_at"]).total_seconds()
        return Outcome(
            pipeline=PIPELINE,
            export_name=row["export_name"],
            export_id=row["export_id"],
            status=row["status"],
            date=date_of(row["export_id"]).isoformat(),
            rows=row["rows_exported"] or 0,
            files=tuple((file.remote_path, file.bytes) for file in manifest.files) if manifest else (),
            bytes=row["bytes_exported"] or 0,
            seconds=seconds,
            destination=row["destination_uri"] or "",
            error=row["error_message"] or "",
            retry_command="" if row["status"] == SUCCESS else self.retry_command(row, manifest),
        )

    def retry_command(self, row: Mapping[str, Any], manifest: Manifest | None) -> str:
        """What completes a failed run: from its staged files if there are any, else as a run of its own."""
        if manifest:
            return retries.resend(self.config_uri, row["export_name"], row["export_id"])
        date = date_of(row["export_id"]).isoformat()
        flags = {"config": self.config_uri, "export_name": row["export_name"], "date": date}
        return retries.repeat(PIPELINE, flags, on_dataflow=retries.is_on_dataflow(row["job_id"] or ""))
