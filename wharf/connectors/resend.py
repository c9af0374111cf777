"""Sending staged files again, without a pipeline: what is missing of a run, or files that no manifest lists."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

from wharf.connectors import machine
from wharf.connectors.deliveries import Deliveries
from wharf.connectors.sftp import server as sftp
from wharf.connectors.storage import open_storage
from wharf.model.config import SftpConfig
from wharf.model.delivery import DeliveryResult, OutboundFile
from wharf.model.errors import UsageError
from wharf.model.ledger import SUCCESS
from wharf.model.manifest import Manifest

_LEASE = dt.timedelta(minutes=10)


def resend(
    manifest: Manifest,
    config: SftpConfig,
    deliveries: Deliveries,
    announce: Callable[[dict[str, Any], Manifest], None],
    *,
    wanted: set[str] | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """Send a run's files that are not on the server, and record how it ends. -> the run's row.

    `wanted`: names or paths of files to send in any case, and no others. A run that has succeeded stays so.

    Raises: RunInProgress, RunFailed.
    """
    ledger = deliveries.ledger
    files = manifest.outbound(again=wanted is None)
    if wanted is not None:
        files = [file for file in files if wanted & {file.remote_path, file.remote_path.rpartition("/")[2]}]
    if ledger.row(manifest.export_id)["status"] == SUCCESS:
        results = sftp.deliver(files, config.sftp, deliveries.endpoints)
        errors = [f"{result.file.remote_path}: {result.error}" for result in results if result.error]
        return ledger.row(manifest.export_id) | {"error_message": "; ".join(errors) or None}
    deliveries.take_again(manifest, _LEASE, machine.process(), force=force)
    try:
        with ledger.kept_alive([manifest.export_id], _LEASE):
            results = sftp.deliver(files, config.sftp, deliveries.endpoints)
            results += _present(manifest, {file.remote_path for file in files}, config, deliveries)
            row = deliveries.conclude(manifest, results)
    except BaseException as error:
        ledger.fail(manifest.export_id, str(error) or type(error).__name__)
        raise
    announce(row, manifest)
    return row


def send_unlisted(
    config: SftpConfig, deliveries: Deliveries, prefix: str, export_name: str | None
) -> list[DeliveryResult]:
    """Send all files below `prefix`, under their names there; into the folder of an export if one is named.

    Raises: UsageError if there are none.
    """
    root = prefix.rstrip("/") + "/"
    storage = open_storage(prefix, deliveries.endpoints)
    uris = [uri for uri in storage.list(root) if not uri.endswith("/manifest.json")]
    if not uris:
        raise UsageError(f"--gcs-prefix: there are no files below {root}")
    export = config.exports[export_name] if export_name else None
    folder = export.directory + "/" if export and export.directory else ""
    files = [OutboundFile(uri, f"{folder}{uri.removeprefix(root)}", *storage.describe(uri), again=True) for uri in uris]
    return sftp.deliver(files, config.sftp, deliveries.endpoints)


def _present(manifest: Manifest, sent: set[str], config: SftpConfig, deliveries: Deliveries) -> list[DeliveryResult]:
    """The files that were not sent just now, by whether they are on the server."""
    named = deliveries.as_delivered(manifest).outbound()
    others = [
        (file, there) for file, there in zip(manifest.outbound(), named, strict=True) if file.remote_path not in sent
    ]
    if not others:
        return []
    sizes = sftp.look(config.sftp, [there.remote_path for _, there in others], endpoints=deliveries.endpoints)
    return [
        DeliveryResult(
            file,
            there.remote_path,
            attempts=0,
            seconds=0.0,
            skipped=True,
            error="" if sizes[there.remote_path] == file.bytes else "it is not on the server, or has another size",
        )
        for file, there in others
    ]
