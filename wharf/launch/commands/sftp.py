"""`wharf sftp probe`: what a server can do, and the delivery profile that follows from it."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from wharf.launch.parser import add_command, add_group
from wharf.model.errors import UsageError

if TYPE_CHECKING:
    from wharf.connectors.endpoints import Endpoints
    from wharf.connectors.sftp.probe import Probe
    from wharf.model.delivery import SftpTarget

_SECRETS = {"password": "password", "private_key": "private key", "passphrase": "private key's passphrase"}
_SETTINGS = ("write", "overwrite", "verify", "max_connections", "open_files", "stripes", "resume")


def register(commands: Any) -> None:
    """Add `sftp probe` to the commands of a parser."""
    sftp = add_group(commands, "sftp", "look at SFTP servers that files are delivered to")
    actions = sftp.add_subparsers()
    probe = add_command(
        actions,
        "probe",
        _probe,
        "try what a server can do, and print the profile for the configuration",
        examples=(
            "wharf sftp probe --config exports.json",
            "wharf sftp probe --host sftp.partner.example --username acme --password-ref env:PARTNER_PASSWORD",
        ),
    )
    probe.add_argument(
        "--config", metavar="FILE", help="take the server from a configuration; the flags below go first"
    )
    probe.add_argument("--host", metavar="HOST", help="the server")
    probe.add_argument("--port", metavar="N", type=int, help="its port (default 22)")
    probe.add_argument("--username", metavar="NAME", help="the account there")
    for name, what in _SECRETS.items():
        flag = f"--{name.replace('_', '-')}-ref"
        probe.add_argument(flag, metavar="REF", help=f"reference to the {what}: file:PATH, env:NAME or projects/...")
    probe.add_argument(
        "--host-key", metavar="SHA256:...", help="the server's fingerprint, as `ssh-keygen -lf` prints it"
    )
    probe.add_argument("--known-hosts", metavar="FILE", help="file of host keys (default ~/.ssh/known_hosts)")
    probe.add_argument("--directory", metavar="DIR", help="try below this folder there")
    probe.add_argument("--json", action="store_true", help="print all of it as JSON")


def _probe(arguments: argparse.Namespace) -> int:
    from wharf.connectors.endpoints import Endpoints
    from wharf.connectors.sftp.probe import probe

    endpoints = Endpoints.resolve()
    target = _target(arguments, endpoints)
    found = probe(target, endpoints)
    print(json.dumps(facts(found), indent=2) if arguments.json else report(found, target))
    return 0


def _target(arguments: argparse.Namespace, endpoints: Endpoints) -> SftpTarget:
    """The server that the flags and the configuration name. Raises: UsageError."""
    from dataclasses import replace

    from wharf.connectors.config import load_config
    from wharf.model.delivery import SftpTarget
    from wharf.model.secrets import SecretRef

    plain = {name: getattr(arguments, name) for name in ("host", "port", "username", "host_key", "known_hosts")}
    plain["directory"] = arguments.directory
    secrets = {name: getattr(arguments, f"{name}_ref") for name in _SECRETS}
    changes: dict[str, Any] = {name: value for name, value in plain.items() if value is not None}
    changes |= {name: SecretRef(value) for name, value in secrets.items() if value is not None}
    if arguments.config:
        return replace(load_config(arguments.config, endpoints).sftp, **changes)
    for name in ("host", "username"):
        if name not in changes:
            raise UsageError(f"which server? give --config, or --host and --username; --{name} is missing")
    if not {"password", "private_key"} & set(changes):
        raise UsageError("how to log in? give --password-ref or --private-key-ref: a reference, not the secret itself")
    return SftpTarget(**changes)


def report(found: Probe, target: SftpTarget) -> str:
    """What was found, for people."""
    widest = max(len(finding.ability) for finding in found.findings)
    lines = [f"{target}"]
    for finding in found.findings:
        said = f"  {'yes' if finding.works else 'no ':3}  {finding.ability:<{widest}}  {finding.detail}"
        lines.append(said.rstrip())
    lines += [f"the server does not let this be removed: {path}" for path in found.left]
    delivery = json.dumps({"delivery": facts(found)["delivery"]}, indent=2)
    return "\n".join([*lines, "", 'for "sftp" in the configuration:', delivery])


def facts(found: Probe) -> dict[str, Any]:
    """The same for programs."""
    return {
        "findings": [
            {"ability": finding.ability, "works": finding.works, "detail": finding.detail} for finding in found.findings
        ],
        "delivery": {name: getattr(found.profile, name) for name in _SETTINGS},
        "left": list(found.left),
    }
