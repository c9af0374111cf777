"""The launch configuration that a command line names, or the environment where it does not."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from wharf.launch.parser import Parser

if TYPE_CHECKING:
    from wharf.connectors.endpoints import Endpoints
    from wharf.model.launching.config import LaunchConfig


def add_launch_config(command: Parser) -> None:
    """`--launch_config`."""
    command.add_argument(
        "--launch_config", metavar="FILE", help="jobs, and how they are launched: a path or gs:// (WHARF_LAUNCH_CONFIG)"
    )


def named_launch_config(arguments: argparse.Namespace, endpoints: Endpoints) -> LaunchConfig | None:
    """The launch configuration that a flag or the environment names; None if neither does.

    Raises: UsageError that lists every mistake in it.
    """
    from wharf.connectors.endpoints import launch_config
    from wharf.connectors.launch_config import load_launches

    uri = arguments.launch_config or launch_config()
    return load_launches(uri, endpoints) if uri else None
