"""The configuration of an API, for one of its clients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wharf.model.fetching.api import Endpoint
    from wharf.model.fetching.config import ApiConfig


def facts(config: ApiConfig) -> dict[str, Any]:
    """What a configuration describes for its client, for machines."""
    api = config.api
    endpoints = [
        {
            "name": endpoint.name,
            "path": endpoint.path,
            "paging": endpoint.paging.kind,
            "incremental": endpoint.incremental is not None,
            "primary_key": list(endpoint.primary_key),
            "parent": endpoint.parent,
        }
        for endpoint in api.endpoints
    ]
    return {
        "api": api.name,
        "client_name": api.client_name,
        "base_url": api.base_url,
        "tenants": [tenant for tenant in api.tenants if tenant],
        "bucket": config.bucket,
        "dataset": config.dataset,
        "metadata_table": config.metadata_table,
        "endpoints": endpoints,
    }


def summary(config: ApiConfig) -> list[str]:
    """What a configuration describes for its client, for people, a line each."""
    api, limits = config.api, config.api.limits
    widest = max(len(endpoint.name) for endpoint in api.endpoints)
    said = {"a minute": limits.per_minute, "a day": limits.per_day, "a minute for all tenants": limits.app_per_minute}
    return [
        f"api       {api.name} at {api.base_url}, auth {api.auth.kind}",
        f"client    {api.client_name}" + (f", tenants {', '.join(api.tenants)}" if any(api.tenants) else ""),
        f"limits    {', '.join([f'{limits.concurrent} at once', *(f'{n:,} {per}' for per, n in said.items() if n)])}",
        f"files     {config.bucket}/{api.client_name}/{api.name}",
        f"tables    {config.dataset}, {config.raw_mode}",
        f"metadata  {config.metadata_table}",
        "endpoints",
        *(f"  {endpoint.name:<{widest}}  {_line(endpoint)}" for endpoint in api.endpoints),
    ]


def _line(endpoint: Endpoint) -> str:
    paged = {"none": "one page"}.get(endpoint.paging.kind, f"paged by {endpoint.paging.kind}")
    new = endpoint.incremental
    which = f"what is new by {new.header or new.param}" if new else "everything"
    return f"{which}, {paged}" + (f", for each of {endpoint.parent}" if endpoint.parent else "")
