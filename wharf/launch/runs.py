"""`wharf status`, `wharf verify`, `wharf retry`: what was delivered, whether it is there, sending what is not."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wharf.launch import loads
from wharf.launch.parser import Parser, add_command
from wharf.model.errors import UsageError

if TYPE_CHECKING:
    from wharf.connectors.deliveries import Deliveries
    from wharf.model.config import SftpConfig
    from wharf.model.manifest import Manifest


def register(commands: Any) -> None:
    """Add `status`, `verify` and `retry` to the commands of a parser."""
    status = add_command(commands, "status", _status, "show the history of runs")
    _add_config(status)
    status.add_argument("--metadata_table", metavar="project.dataset.table", help="instead of --config: its table")
    status.add_argument("--load_state_table", metavar="project.dataset.table", help="show the batches of files there")
    status.add_argument("--since", metavar="DATE", type=_date, help="runs from this day on (default: a week ago)")
    status.add_argument("--json", action="store_true", help="one JSON object a line")
    verify = add_command(
        commands, "verify", _verify, "compare what was sent with the SFTP server; exit 1 if it differs"
    )
    _add_config(verify)
    verify.add_argument("--export_id", metavar="ID", help="this run (default: the newest run of each export)")
    retry = add_command(commands, "retry", _retry, "send what is missing of a failed run, from its staged files")
    _add_config(retry)
    retry.add_argument("--export_id", metavar="ID", help="this run (default: every unfinished one)")
    retry.add_argument(
        "--missing-files",
        metavar="FILE",
        type=Path,
        help="send the files listed there, a name, or a path below the server's directory, a line",
    )
    retry.add_argument("--gcs-prefix", metavar="URI", help="send the files below URI, which no manifest lists")
    retry.add_argument("--force", action="store_true", help="take over from a run that is still recorded as running")
    retry.add_argument(
        "--load_state_table", metavar="project.dataset.table", help="load the batches of files that are not DONE there"
    )
    retry.add_argument("--directory", metavar="URI", help="with --load_state_table: in this directory only")


def _add_config(command: Parser) -> None:
    command.add_argument("--config", metavar="FILE", help="the exports' configuration: a path or gs://")
    command.add_argument("--export_name", metavar="NAME", help="of this export only (default: of all)")
    command.add_argument("--project", metavar="PROJECT", help="who pays, if the configuration does not say")


def _status(arguments: argparse.Namespace) -> int:
    if arguments.load_state_table:
        return loads.status(arguments)
    from wharf.connectors.deliveries import history
    from wharf.connectors.endpoints import Endpoints
    from wharf.model.report import history_table
    from wharf.model.schema import TableId

    endpoints = Endpoints.resolve()
    if arguments.metadata_table:
        table = TableId.parse(arguments.metadata_table, flag="metadata_table", project=arguments.project)
        client = endpoints.bigquery_client(arguments.project or table.project)
    else:
        _, deliveries = _open(arguments)
        table, client = deliveries.metadata, deliveries.client
    since = arguments.since or dt.datetime.now(dt.UTC).date() - dt.timedelta(days=7)
    rows = history(client, table, since, arguments.export_name)
    if arguments.json:
        for row in rows:
            print(json.dumps(row, default=str))
    else:
        print(history_table(rows) if rows else f"no runs since {since}")
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    from wharf.connectors import sftp
    from wharf.model.report import counted
    from wharf.model.verification import differences, folders, unexpected

    config, deliveries = _open(arguments)
    different = 0
    manifests = _manifests(arguments, config, deliveries)
    if not manifests:
        raise UsageError(f"nothing to verify: no run has staged files below {deliveries.staging}")
    for manifest in map(deliveries.as_delivered, manifests):
        sizes = sftp.look(config.sftp, [file.remote_path for file in manifest.files], endpoints=deliveries.endpoints)
        extra: set[str] = set()
        if export := config.exports.get(manifest.export_name):
            for folder in folders(manifest):
                there = sftp.listing(config.sftp, folder, endpoints=deliveries.endpoints)
                extra |= unexpected(manifest, export, folder, there)
        found = differences(manifest, sizes, extra)
        held = f"{counted(len(manifest.files), 'file')}, {counted(manifest.rows, 'row')}"
        print(f"{manifest.export_id}  {held}: {counted(len(found), 'difference') if found else 'all there'}")
        for line in found:
            print(f"  {line}")
        different += bool(found)
    return 1 if different else 0


def _retry(arguments: argparse.Namespace) -> int:
    if arguments.load_state_table:
        return loads.retry(arguments)
    from wharf.connectors.announce import Announcer
    from wharf.connectors.resend import resend, send_unlisted
    from wharf.model.ledger import SUCCESS
    from wharf.model.report import delivery_table

    config, deliveries = _open(arguments)
    if arguments.gcs_prefix:
        results = send_unlisted(config, deliveries, arguments.gcs_prefix, arguments.export_name)
        for result in results:
            print(f"{'failed' if result.error else 'sent':<7} {result.remote_path}  {result.error}".rstrip())
        return int(any(result.error for result in results))
    wanted = _listed(arguments.missing_files) if arguments.missing_files else None
    unfinished = not arguments.export_id and wanted is None
    manifests = _manifests(arguments, config, deliveries, unfinished=unfinished)
    if wanted is not None:
        manifests = [manifest for manifest in manifests if wanted & _names(manifest)]
        if unknown := wanted - set().union(*map(_names, manifests)):
            raise UsageError(
                f"{arguments.missing_files}: {min(unknown)} is in no manifest below {deliveries.staging}; "
                "--gcs-prefix sends files that no manifest lists"
            )
    if not manifests:
        print("nothing to send: every run that staged files has delivered them")
        return 0
    settings = {export.name: export.notifications for export in config.exports.values()}
    failed = 0
    for manifest in manifests:
        announcer = Announcer(deliveries, arguments.config, settings)
        row = resend(manifest, config, deliveries, announcer, wanted=wanted, force=arguments.force)
        print(delivery_table(row))
        if row["status"] != SUCCESS or row["error_message"]:
            print(f"error: run {row['export_id']}: {row['error_message']}", file=sys.stderr)
            failed += 1
    return 1 if failed else 0


def _open(arguments: argparse.Namespace) -> tuple[SftpConfig, Deliveries]:
    from wharf.connectors.config import load_config
    from wharf.connectors.deliveries import deliveries_of
    from wharf.connectors.endpoints import Endpoints

    if not arguments.config:
        raise UsageError("--config is missing: name the file that describes the exports")
    endpoints = Endpoints.resolve()
    config = load_config(arguments.config, endpoints)
    if arguments.export_name and arguments.export_name not in config.exports:
        raise UsageError(f"--export_name: {arguments.config} has no export {arguments.export_name!r}")
    return config, deliveries_of(config, endpoints, arguments.project)


def _manifests(
    arguments: argparse.Namespace, config: SftpConfig, deliveries: Deliveries, *, unfinished: bool = False
) -> list[Manifest]:
    """The runs that a command is about: one, all that are unfinished, or the newest of each export."""
    names = [arguments.export_name] if arguments.export_name else list(config.exports)
    if unfinished:
        return [manifest for name in names for manifest in deliveries.unfinished(name)]
    found = {name: deliveries.manifests(name) for name in names}
    if arguments.export_id:
        runs = [run for runs in found.values() for run in runs if run.export_id == arguments.export_id]
        if not runs:
            raise UsageError(f"--export_id: no run {arguments.export_id} has staged files below {deliveries.staging}")
        return runs
    if getattr(arguments, "missing_files", None):
        return [run for runs in found.values() for run in runs]
    return [runs[-1] for runs in found.values() if runs]


def _names(manifest: Manifest) -> set[str]:
    paths = [file.remote_path for file in manifest.files]
    return {name for path in paths for name in (path, path.rpartition("/")[2])}


def _listed(file: Path) -> set[str]:
    try:
        lines = file.read_text().splitlines()
    except OSError as error:
        raise UsageError(f"--missing-files: {file}: {error.strerror}") from error
    found = {line.strip() for line in lines if line.strip()}
    if not found:
        raise UsageError(f"--missing-files: {file} lists no file")
    return found


def _date(text: str) -> dt.date:
    try:
        return dt.date.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"'{text}' is not a date: write one like 2025-03-02") from error
