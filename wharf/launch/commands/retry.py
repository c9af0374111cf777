"""`wharf retry`: repeats or completes what failed, a run of any pipeline, deliveries, or batches of files."""

from __future__ import annotations

import argparse
import json
import shlex
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from wharf.launch.launch_config import add_launch_config
from wharf.launch.ledgers import batches
from wharf.launch.ledgers.deliveries import add_config, manifests_by_export, open_deliveries
from wharf.launch.ledgers.launches import launches_alone
from wharf.launch.ledgers.run_history import open_history
from wharf.launch.output import say
from wharf.launch.parser import add_command
from wharf.launch.running.request import DATAFLOW, LOCAL
from wharf.model.errors import UsageError

if TYPE_CHECKING:
    from wharf.connectors.deliveries import Deliveries
    from wharf.model.config import SftpConfig
    from wharf.model.manifest import Manifest


def register(commands: Any) -> None:
    """Add `retry` to the commands of a parser."""
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
    retry.add_argument(
        "--target",
        choices=(LOCAL, DATAFLOW),
        help="repeat it there (default: where it was; deliveries and batches: here)",
    )
    add_launch_config(retry)
    add_config(retry)
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


def _retry(arguments: argparse.Namespace) -> int:
    if arguments.run_id:
        return _retry_run(arguments)
    if arguments.load_state_table:
        return batches.load_again(arguments)
    if not arguments.config:
        raise UsageError("which run? give RUN_ID, --config for deliveries, or --load_state_table for batches of files")
    if arguments.target == DATAFLOW:
        _refuse_on_dataflow(arguments)
    config, deliveries = open_deliveries(arguments)
    if arguments.gcs_prefix:
        return _send_unlisted(arguments, config, deliveries)
    return _send_again(arguments, config, deliveries)


def _retry_run(arguments: argparse.Namespace) -> int:
    """Carry out the command that repeats or completes a run."""
    from wharf.launch.cli import carry_out
    from wharf.model.errors import RunInProgress
    from wharf.model.history.retries import CONFIG
    from wharf.model.history.runs import RUNNING

    history = open_history(arguments)
    run = history.run(arguments.run_id) or next(
        (launch for launch in launches_alone(arguments, history) if launch.run_id == arguments.run_id), None
    )
    if not run:
        raise UsageError(f"there is no run {arguments.run_id!r} in these ledgers; `wharf status` lists them")
    if run.status == RUNNING:
        raise RunInProgress(f"run {run.run_id} is at work, as {run.job_id}: wait for it, or `wharf cancel` it")
    if not run.retry:
        say(f"nothing to do: run {run.run_id} is {run.status}")
        return 0
    words = [arguments.config if word == CONFIG and arguments.config else word for word in shlex.split(run.retry)]
    if CONFIG in words:
        raise UsageError(f"run {run.run_id} does not say which file it was configured by: name it with --config")
    handed_on = ["target", "launch_config"]
    if words[1] == "retry" or arguments.target == LOCAL or not (arguments.target or "--target" in words):
        handed_on.append("project")  # on Dataflow the launch configuration says who pays
    words += [f"--{name}={value}" for name in handed_on if (value := getattr(arguments, name))]
    words += [f"--{name}" for name in ("force", "json") if getattr(arguments, name)]
    say(f"=> {shlex.join(words)}")
    return carry_out(words[1:])


def _refuse_on_dataflow(arguments: argparse.Namespace) -> NoReturn:
    """Raises: UsageError that names the command for it: there a run completes what its window has left unfinished."""
    from wharf.model.history.retries import repeat
    from wharf.model.sftp_run import PIPELINE, date_of

    flags = {"config": arguments.config, "export_name": arguments.export_name or "all"}
    with suppress(ValueError, IndexError):  # no run is named, or not by Wharf
        flags["date"] = date_of(arguments.export_id or "").isoformat()
    raise UsageError(
        f"--target {DATAFLOW}: staged files are sent again from this machine alone; there "
        f"`{repeat(PIPELINE, flags, on_dataflow=True)}` sends what is unfinished"
    )


def _send_again(arguments: argparse.Namespace, config: SftpConfig, deliveries: Deliveries) -> int:
    """Send what is missing of runs that have staged their files."""
    from wharf.connectors.announce import Announcer
    from wharf.connectors.resend import resend
    from wharf.model.ledger import SUCCESS
    from wharf.model.report import delivery_table

    wanted = _listed(arguments.missing_files) if arguments.missing_files else None
    manifests = _manifests(arguments, config, deliveries, wanted)
    if not manifests and not arguments.json:
        print("nothing to send: every run that staged files has delivered them")
    announcer = Announcer(
        deliveries, arguments.config, {export.name: export.notifications for export in config.exports.values()}
    )
    failed = 0
    for manifest in manifests:
        row = resend(manifest, config, deliveries, announcer, wanted=wanted, force=arguments.force)
        print(json.dumps(row, default=str) if arguments.json else delivery_table(row))
        if row["status"] != SUCCESS or row["error_message"]:
            say(f"error: run {row['export_id']}: {row['error_message']}")
            failed += 1
    return 1 if failed else 0


def _manifests(
    arguments: argparse.Namespace, config: SftpConfig, deliveries: Deliveries, wanted: set[str] | None
) -> list[Manifest]:
    """The runs to complete: those that have `wanted` files, the one that is named, or all that are unfinished."""
    if wanted is None and not arguments.export_id:
        names = [arguments.export_name] if arguments.export_name else list(config.exports)
        return [manifest for name in names for manifest in deliveries.unfinished(name)]
    found = [run for runs in manifests_by_export(arguments, config, deliveries).values() for run in runs]
    if wanted is None:
        return found
    manifests = [manifest for manifest in found if wanted & _names(manifest)]
    if unknown := wanted - set().union(*map(_names, manifests)):
        raise UsageError(
            f"{arguments.missing_files}: {min(unknown)} is in no manifest below {deliveries.staging}; "
            "--gcs-prefix sends files that no manifest lists"
        )
    return manifests


def _send_unlisted(arguments: argparse.Namespace, config: SftpConfig, deliveries: Deliveries) -> int:
    from wharf.connectors.resend import send_unlisted

    results = send_unlisted(config, deliveries, arguments.gcs_prefix, arguments.export_name)
    for result in results:
        if arguments.json:
            print(json.dumps({"file": result.remote_path, "ok": not result.error, "error": result.error}))
        else:
            print(f"{'failed' if result.error else 'sent':<7} {result.remote_path}  {result.error}".rstrip())
    return int(any(result.error for result in results))


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
