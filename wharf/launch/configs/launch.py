"""A launch configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wharf.model.launching.config import LaunchConfig
    from wharf.model.launching.environment import Job


def facts(config: LaunchConfig) -> dict[str, Any]:
    """What a configuration describes, for machines."""
    jobs = [
        {
            "name": job.name,
            "pipeline": job.pipeline,
            "parameters": dict(job.parameters),
            "environment": job.environment.as_request,
        }
        for job in config.jobs.values()
    ]
    return {
        "project": config.project,
        "region": config.region,
        "templates": config.templates,
        "records": config.records,
        "tables": {key: str(table) if table else None for key, table in vars(config.tables).items()},
        "jobs": jobs,
    }


def summary(config: LaunchConfig) -> list[str]:
    """What a configuration describes, for people, a line each."""
    widest, told = max(map(len, config.jobs)), config.notifications
    kinds = max(len(job.pipeline) for job in config.jobs.values())
    channels = " and ".join(kind for kind, channel in (("Slack", told.slack), ("e-mail", told.email)) if channel)
    return [
        f"project    {config.project}, {config.region}",
        f"templates  {config.templates}",
        f"records    {config.records}",
        *(f"{key:<10} {table or 'not looked at'}" for key, table in vars(config.tables).items()),
        f"told of    {f'jobs that die, by {channels}' if channels else 'nothing: notifications names nobody'}",
        "jobs",
        *(f"  {job.name:<{widest}}  {job.pipeline:<{kinds}}  {_line(job)}" for job in config.jobs.values()),
    ]


def _line(job: Job) -> str:
    account = job.environment.service_account or "the default account"
    shown = {key: value if len(value) <= 60 else f"{value[:57]}..." for key, value in job.parameters.items()}
    return f"{', '.join(f'{key}={value}' for key, value in shown.items())}; as {account}"
