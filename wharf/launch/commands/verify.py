"""`wharf verify`: whether what was delivered is on the SFTP server."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from wharf.launch.ledgers.deliveries import add_config, manifests_by_export, open_deliveries
from wharf.launch.parser import add_command
from wharf.model.errors import UsageError

if TYPE_CHECKING:
    from wharf.connectors.deliveries import Deliveries
    from wharf.model.config import SftpConfig
    from wharf.model.manifest import Manifest
    from wharf.model.verification import Difference


def register(commands: Any) -> None:
    """Add `verify` to the commands of a parser."""
    verify = add_command(
        commands,
        "verify",
        _verify,
        "compare what was sent with the SFTP server; exit 1 if it differs",
        examples=(
            "wharf verify --config exports.json",
            "wharf verify --config exports.json --export_name orders --json",
        ),
    )
    add_config(verify)
    verify.add_argument("--export_id", metavar="ID", help="this run (default: the newest run of each export)")
    verify.add_argument("--json", action="store_true", help="print one JSON object a line, for each run")


def _verify(arguments: argparse.Namespace) -> int:
    from wharf.model.report import counted

    config, deliveries = open_deliveries(arguments)
    manifests = [run for runs in manifests_by_export(arguments, config, deliveries).values() for run in runs[-1:]]
    if not manifests:
        raise UsageError(f"nothing to verify: no run has staged files below {deliveries.staging}")
    is_different = False
    for manifest in map(deliveries.as_delivered, manifests):
        found = _differences(manifest, config, deliveries)
        is_different |= bool(found)
        if arguments.json:
            facts: dict[str, Any] = {"export_id": manifest.export_id, "export_name": manifest.export_name}
            facts |= {"files": len(manifest.files), "rows": manifest.rows, "ok": not found}
            print(json.dumps(facts | {"differences": [each._asdict() for each in found]}))
            continue
        held = f"{counted(len(manifest.files), 'file')}, {counted(manifest.rows, 'row')}"
        print(f"{manifest.export_id}  {held}: {counted(len(found), 'difference') if found else 'all there'}")
        for difference in found:
            print(f"  {difference}")
    return int(is_different)


def _differences(manifest: Manifest, config: SftpConfig, deliveries: Deliveries) -> list[Difference]:
    """What is otherwise on the server than the manifest says."""
    from wharf.connectors.sftp import server as sftp
    from wharf.model.verification import differences, folders, unexpected

    sizes = sftp.look(config.sftp, [file.remote_path for file in manifest.files], endpoints=deliveries.endpoints)
    extra: set[str] = set()
    if export := config.exports.get(manifest.export_name):
        for folder in folders(manifest):
            there = sftp.listing(config.sftp, folder, endpoints=deliveries.endpoints)
            extra |= unexpected(manifest, export, folder, there)
    return differences(manifest, sizes, extra)
