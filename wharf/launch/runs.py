"""`wharf verify` and `wharf retry`: whether what was delivered is there, and repeating what failed."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wharf.launch import loads
from wharf.launch.asked import DATAFLOW, LOCAL, add_launch_config
from wharf.launch.parser import Parser, add_command
from wharf.model.errors import UsageError

if TYPE_CHECKING:
    from wharf.connectors.deliveries import Deliveries
    from wharf.model.config import SftpConfig
    from wharf.model.manifest import Manifest


def register(commands: Any) -> None:
    """Add `verify` and `retry` to the commands of a parser."""
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
    _add_config(verify)
    verify.add_argument("--export_id", metavar="ID", help="this run (default: the newest run of each export)")
    verify.add_argument("--json", action="store_true", help="print one JSON object a line, for each run")
    retry = add_command(
        commands,
        "retry",
        _retry,
        "repeat or complete a failed run: what its pipeline needs for that",
        usage="wharf retry RUN_ID [options]\n       wharf retry --config FILE [options]\n"
        "       wharf retry --load_state_table TABLE [options]",
        examples=(
            "wharf retry orders-20250302-0a1b2c3d --launch_config prod.json   # any run of `wharf status`",
            "wharf retry --config exports.json                             # all unfinished deliveries",
            "wharf retry --config exports.json --missing-files lost.txt    # what the partner has lost",
            "wharf retry --load_state_table my-project.loads.batches       # all batches that are not loaded",
        ),
    )
    retry.add_argument("run_id", metavar="RUN_ID", nargs="?", help="the run, as `wharf status` shows it")
    retry.add_argument("--target", choices=(LOCAL, DATAFLOW), help="repeat it there (default: where it was)")
    add_launch_config(retry)
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
        "--load_state_table",
        metavar="TABLE",
        help="load the batches of files that are not DONE in this project.dataset.table",
    )
    retry.add_argument("--directory", metavar="URI", help="with --load_state_table: in this directory only")
    retry.add_argument("--json", action="store_true", help="print one JSON object a line, for each run")


def _add_config(command: Parser) -> None:
    command.add_argument("--config", metavar="FILE", help="the exports' configuration: a path or gs://")
    command.add_argument("--export_name", metavar="NAME", help="of this export only (default: of all)")
    command.add_argument("--project", metavar="PROJECT", help="who pays, if the configuration does not say")


def _verify(arguments: argparse.Namespace) -> int:
    from wharf.connectors import sftp
    from wharf.model.report import counted
    from wharf.model.verification import differences, folders, unexpected

    config, deliveries = open_deliveries(arguments)
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
        different += bool(found)
        if arguments.json:
            facts: dict[str, Any] = {"export_id": manifest.export_id, "export_name": manifest.export_name}
            facts |= {"files": len(manifest.files), "rows": manifest.rows, "ok": not found}
            print(json.dumps(facts | {"differences": [each._asdict() for each in found]}))
            continue
        held = f"{counted(len(manifest.files), 'file')}, {counted(manifest.rows, 'row')}"
        print(f"{manifest.export_id}  {held}: {counted(len(found), 'difference') if found else 'all there'}")
        for difference in found:
            print(f"  {difference}")
    return 1 if different else 0


def _retry(arguments: argparse.Namespace) -> int:
    if arguments.run_id:
        return _retry_run(arguments)
    if arguments.load_state_table:
        return loads.retry(arguments)
    from wharf.connectors.announce import Announcer
    from wharf.connectors.resend import resend
    from wharf.model.ledger import SUCCESS
    from wharf.model.report import delivery_table

    if not arguments.config:
        raise UsageError("which run? give RUN_ID, --config for deliveries, or --load_state_table for batches of files")
    config, deliveries = open_deliveries(arguments)
    if arguments.gcs_prefix:
        return _send_unlisted(arguments, config, deliveries)
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
    if not manifests and not arguments.json:
        print("nothing to send: every run that staged files has delivered them")
    settings = {export.name: export.notifications for export in config.exports.values()}
    failed = 0
    for manifest in manifests:
        announcer = Announcer(deliveries, arguments.config, settings)
        row = resend(manifest, config, deliveries, announcer, wanted=wanted, force=arguments.force)
        print(json.dumps(row, default=str) if arguments.json else delivery_table(row))
        if row["status"] != SUCCESS or row["error_message"]:
            print(f"error: run {row['export_id']}: {row['error_message']}", file=sys.stderr)
            failed += 1
    return 1 if failed else 0


def _retry_run(arguments: argparse.Namespace) -> int:
    """Carry out the command that repeats or completes a run."""
    from wharf.launch.cli import carry_out
    from wharf.launch.status import history
    from wharf.model.errors import RunInProgress
    from wharf.model.launching.retries import CONFIG
    from wharf.model.launching.runs import RUNNING

    run = history(arguments).run(arguments.run_id)
    if not run:
        raise UsageError(f"there is no run {arguments.run_id!r} in these ledgers; `wharf status` lists them")
    if run.status == RUNNING:
        raise RunInProgress(f"run {run.run_id} is at work, as {run.job_id}: wait for it, or `wharf cancel` it")
    if not run.retry:
        print(f"nothing to do: run {run.run_id} is {run.status}", file=sys.stderr)
        return 0
    words = [arguments.config if word == CONFIG and arguments.config else word for word in shlex.split(run.retry)]
    if CONFIG in words:
        raise UsageError(f"run {run.run_id} does not say which file it was configured by: name it with --config")
    if words[1] == "run":
        words += [f"--{name}={value}" for name in ("target", "launch_config") if (value := getattr(arguments, name))]
    words += [f"--{name}" for name in ("force", "json") if getattr(arguments, name)]
    print(f"=> {shlex.join(words)}", file=sys.stderr)
    return carry_out(words[1:])


def _send_unlisted(arguments: argparse.Namespace, config: SftpConfig, deliveries: Deliveries) -> int:
    from wharf.connectors.resend import send_unlisted

    results = send_unlisted(config, deliveries, arguments.gcs_prefix, arguments.export_name)
    for result in results:
        if arguments.json:
            print(json.dumps({"file": result.remote_path, "ok": not result.error, "error": result.error}))
        else:
            print(f"{'failed' if result.error else 'sent':<7} {result.remote_path}  {result.error}".rstrip())
    return int(any(result.error for result in results))


def open_deliveries(arguments: argparse.Namespace) -> tuple[SftpConfig, Deliveries]:
    """What `--config` describes, and the runs of it.

    Raises: UsageError.
    """
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
