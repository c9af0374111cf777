"""Deliveries to an SFTP server: the runs of the exports that `--config` describes."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from wharf.launch.parser import Parser
from wharf.model.errors import UsageError

if TYPE_CHECKING:
    from wharf.connectors.deliveries import Deliveries
    from wharf.model.config import SftpConfig
    from wharf.model.manifest import Manifest


def add_config(command: Parser) -> None:
    """The flags that say which exports."""
    command.add_argument("--config", metavar="FILE", help="the exports' configuration: a path or gs://")
    command.add_argument("--export_name", metavar="NAME", help="of this export only (default: of all)")
    command.add_argument("--project", metavar="PROJECT", help="who pays, if the configuration does not say")


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


def manifests_by_export(
    arguments: argparse.Namespace, config: SftpConfig, deliveries: Deliveries
) -> dict[str, list[Manifest]]:
    """The runs that have staged files, the newest of each export last; with `--export_id` that one alone.

    Raises: UsageError if there is no such run.
    """
    names = [arguments.export_name] if arguments.export_name else list(config.exports)
    found = {name: deliveries.manifests(name) for name in names}
    if arguments.export_id:
        found = {name: [run for run in runs if run.export_id == arguments.export_id] for name, runs in found.items()}
        if not any(found.values()):
            raise UsageError(f"--export_id: no run {arguments.export_id} has staged files below {deliveries.staging}")
    return found
