"""Launches, as their records tell of them: of a job that died early no ledger does."""

from __future__ import annotations

import argparse
import asyncio
from typing import TYPE_CHECKING

from wharf.launch.launch_config import named_launch_config
from wharf.launch.output import say
from wharf.model.errors import WharfError

if TYPE_CHECKING:
    from wharf.connectors.endpoints import Endpoints
    from wharf.connectors.run_history import RunHistory
    from wharf.model.history.runs import Run
    from wharf.model.launching.config import LaunchConfig
    from wharf.model.launching.record import LaunchRecord

_RECENT = 50  # launches that are looked at


def launch_of(config: LaunchConfig, endpoints: Endpoints, name: str) -> LaunchRecord | None:
    """The launch of a run's id, or of the name of one of its jobs."""
    from wharf.connectors.launcher import Launcher

    async def ask() -> LaunchRecord | None:
        async with Launcher(config, endpoints) as launcher:
            return await launcher.record_of_job(name)

    return asyncio.run(ask())


def launches_alone(arguments: argparse.Namespace, history: RunHistory) -> list[Run]:
    """Launches that no ledger tells of, as runs: under way, or dead before they recorded anything.

    There are none without a launch configuration, which says where their records are.
    """
    from wharf.connectors.endpoints import Endpoints
    from wharf.connectors.launcher import Launcher
    from wharf.model.history.unsettled import as_run, unsettled

    endpoints = Endpoints.resolve()
    config = named_launch_config(arguments, endpoints)
    if not config:
        return []

    async def ask() -> list[LaunchRecord]:
        async with Launcher(config, endpoints) as launcher:
            return await launcher.recent(_RECENT)

    try:
        records = unsettled(asyncio.run(ask()))
    except WharfError as error:
        say(f"warning: launches are not shown: {error}")
        return []
    known = history.known_jobs({record.job_id for record in records if record.job_id})
    return [as_run(record) for record in records if record.job_id not in known]
