"""The runs of all pipelines, in the ledgers that `--launch_config` or `--project` names."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from wharf.launch.launch_config import named_launch_config
from wharf.model.errors import UsageError

if TYPE_CHECKING:
    from wharf.connectors.run_history import RunHistory


def open_history(arguments: argparse.Namespace) -> RunHistory:
    """The runs in the ledgers of the launch configuration, or in the default ones of `--project`.

    Raises: UsageError if nothing says which.
    """
    from wharf.connectors.endpoints import Endpoints, default_project
    from wharf.connectors.run_history import RunHistory
    from wharf.model.launching.config import default_tables

    endpoints = Endpoints.resolve()
    if config := named_launch_config(arguments, endpoints):
        return RunHistory(endpoints.bigquery_client(arguments.project or config.project), config.tables)
    project = arguments.project or default_project()
    if not project:
        raise UsageError(
            "where are runs recorded? name a launch configuration with --launch_config or WHARF_LAUNCH_CONFIG, or "
            "give --project for the default tables of that project"
        )
    return RunHistory(endpoints.bigquery_client(project), default_tables(project))
