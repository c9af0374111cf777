"""`wharf config`: the JSON Schema of configurations, and what is wrong with one."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from wharf.launch.parser import add_command, add_group

if TYPE_CHECKING:
    from wharf.model.config import SftpConfig
    from wharf.model.fetching.api import Endpoint
    from wharf.model.fetching.config import ApiConfig
    from wharf.model.launching.config import LaunchConfig
    from wharf.model.launching.environment import Job
    from wharf.model.sftp_export import SftpExport

_API_KEYS = {"api", "base_url", "endpoints"}
_LAUNCH_KEYS = {"jobs", "templates", "records"}
_KINDS = ("sftp", "api", "launch")


def register(commands: Any) -> None:
    """Add `config schema|check` to the commands of a parser."""
    config = add_group(
        commands, "config", "check the JSON files that describe exports to an SFTP server, APIs, and launches"
    )
    actions = config.add_subparsers()
    schema = add_command(
        actions,
        "schema",
        _schema,
        "print the JSON Schema of a kind of file, for editors",
        examples=("wharf config schema launch > launch.schema.json",),
    )
    schema.add_argument(
        "kind", metavar="KIND", nargs="?", choices=_KINDS, default=_KINDS[0], help="sftp (default), api or launch"
    )
    check = add_command(
        actions,
        "check",
        _check,
        "say what a file describes, or everything that is wrong with it",
        examples=("wharf config check exports.json", "wharf config check --client_name acme gs://my-bucket/xero.json"),
    )
    check.add_argument("file", metavar="FILE", help="a local path or gs://bucket/name")
    check.add_argument("--client_name", metavar="NAME", default="", help="an API's client, where there are several")
    check.add_argument("--json", action="store_true", help="print the answer as JSON")


def _schema(arguments: argparse.Namespace) -> int:
    from wharf.model.config_document import json_schema
    from wharf.model.fetching.document import json_schema as json_schema_of_apis
    from wharf.model.launching.document import json_schema as json_schema_of_launches

    schemas = {"sftp": json_schema, "api": json_schema_of_apis, "launch": json_schema_of_launches}
    print(json.dumps(schemas[arguments.kind](), indent=2))
    return 0


def _check(arguments: argparse.Namespace) -> int:
    from wharf.model.errors import UsageError
    from wharf.model.json_document import DocumentError, Mistake

    try:
        facts, text = _read(arguments.file, arguments.client_name)
    except UsageError as error:
        if not arguments.json:
            raise
        mistakes = error.mistakes if isinstance(error, DocumentError) else [Mistake("", str(error))]
        print(json.dumps({"ok": False, "mistakes": [mistake._asdict() for mistake in mistakes]}, indent=2))
        return error.exit_code
    print(json.dumps(facts, indent=2) if arguments.json else text)
    return 0


def _read(file: str, client_name: str) -> tuple[dict[str, Any], str]:
    """What a file of any kind describes, for machines and for people. Raises: UsageError."""
    from wharf.connectors.config import load_api_config, load_config, read_text
    from wharf.connectors.endpoints import Endpoints
    from wharf.connectors.launch_config import load_launches
    from wharf.model.json_document import parse

    endpoints = Endpoints.resolve()
    document, _ = parse(read_text(file, endpoints), file)
    if _LAUNCH_KEYS & document.keys():
        launches = load_launches(file, endpoints)
        return _launch_facts(launches), launch_summary(launches, file)
    if _API_KEYS & document.keys():
        api = load_api_config(file, endpoints, client_name=client_name)
        return _api_facts(api), api_summary(api, file)
    config = load_config(file, endpoints)
    return _facts(config), summary(config, file)


def summary(config: SftpConfig, name: str) -> str:
    """What a configuration describes, for people; `name` is the file's."""
    widest = max(map(len, config.exports))
    lines = [
        f"{name} is a valid configuration",
        f"server    {config.sftp}/{config.sftp.directory.lstrip('/')}",
        f"staging   {config.staging}",
        f"metadata  {config.metadata_table}, {config.files_table}",
        "exports",
        *(f"  {export.name:<{widest}}  {_line(export)}" for export in config.exports.values()),
    ]
    return "\n".join([*lines, *(f"warning: {warning}" for warning in config.warnings)])


def _line(export: SftpExport) -> str:
    if not export.enabled:
        return "switched off"
    which = {
        "date_range": f"{export.days_lookback} days by {export.date_column} of ",
        "incremental": f"what is new by {export.timestamp_column} of ",
    }
    source = " ".join(export.source.split())
    shown = source if len(source) <= 60 else f"{source[:57]}..."
    return f"{which.get(export.export_type, '')}{shown} -> {export.path_template}"


def _facts(config: SftpConfig) -> dict[str, Any]:
    exports = [
        {
            "name": export.name,
            "enabled": export.enabled,
            "export_type": export.export_type,
            "source": export.source,
            "format": export.format,
            "file_names": export.path_template,
        }
        for export in config.exports.values()
    ]
    return {
        "ok": True,
        "server": str(config.sftp),
        "staging": config.staging,
        "metadata_table": config.metadata_table,
        "files_table": config.files_table,
        "exports": exports,
        "warnings": list(config.warnings),
    }


def api_summary(config: ApiConfig, name: str) -> str:
    """What the configuration of an API describes for its client, for people; `name` is the file's."""
    api, limits = config.api, config.api.limits
    widest = max(len(endpoint.name) for endpoint in api.endpoints)
    said = {"a minute": limits.per_minute, "a day": limits.per_day, "a minute for all tenants": limits.app_per_minute}
    lines = [
        f"{name} is a valid configuration",
        f"api       {api.name} at {api.base_url}, auth {api.auth.kind}",
        f"client    {api.client_name}" + (f", tenants {', '.join(api.tenants)}" if any(api.tenants) else ""),
        f"limits    {', '.join([f'{limits.concurrent} at once', *(f'{n:,} {per}' for per, n in said.items() if n)])}",
        f"files     {config.bucket}/{api.client_name}/{api.name}",
        f"tables    {config.dataset}, {config.raw_mode}",
        f"metadata  {config.metadata_table}",
        "endpoints",
        *(f"  {endpoint.name:<{widest}}  {_endpoint_line(endpoint)}" for endpoint in api.endpoints),
    ]
    return "\n".join([*lines, *(f"warning: {warning}" for warning in config.warnings)])


def _endpoint_line(endpoint: Endpoint) -> str:
    paged = {"none": "one page"}.get(endpoint.paging.kind, f"paged by {endpoint.paging.kind}")
    new = endpoint.incremental
    which = f"what is new by {new.header or new.param}" if new else "everything"
    return f"{which}, {paged}" + (f", for each of {endpoint.parent}" if endpoint.parent else "")


def _api_facts(config: ApiConfig) -> dict[str, Any]:
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
        "ok": True,
        "api": api.name,
        "client_name": api.client_name,
        "base_url": api.base_url,
        "tenants": [tenant for tenant in api.tenants if tenant],
        "bucket": config.bucket,
        "dataset": config.dataset,
        "metadata_table": config.metadata_table,
        "endpoints": endpoints,
        "warnings": list(config.warnings),
    }


def launch_summary(config: LaunchConfig, name: str) -> str:
    """What a launch configuration describes, for people; `name` is the file's."""
    widest, told = max(map(len, config.jobs)), config.notifications
    kinds = max(len(job.pipeline) for job in config.jobs.values())
    channels = " and ".join(kind for kind, channel in (("Slack", told.slack), ("e-mail", told.email)) if channel)
    lines = [
        f"{name} is a valid configuration",
        f"project    {config.project}, {config.region}",
        f"templates  {config.templates}",
        f"records    {config.records}",
        *(f"{key:<10} {table}" for key, table in _tables(config).items()),
        f"told of    {f'jobs that die, by {channels}' if channels else 'nothing: notifications names nobody'}",
        "jobs",
        *(f"  {job.name:<{widest}}  {job.pipeline:<{kinds}}  {_job_line(job)}" for job in config.jobs.values()),
    ]
    return "\n".join([*lines, *(f"warning: {warning}" for warning in config.warnings)])


def _job_line(job: Job) -> str:
    account = job.environment.service_account or "the default account"
    shown = {key: value if len(value) <= 60 else f"{value[:57]}..." for key, value in job.parameters.items()}
    return f"{', '.join(f'{key}={value}' for key, value in shown.items())}; as {account}"


def _tables(config: LaunchConfig) -> dict[str, str]:
    return {key: str(table) if table else "not looked at" for key, table in vars(config.tables).items()}


def _launch_facts(config: LaunchConfig) -> dict[str, Any]:
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
        "ok": True,
        "project": config.project,
        "region": config.region,
        "templates": config.templates,
        "records": config.records,
        "tables": {key: str(table) if table else None for key, table in vars(config.tables).items()},
        "jobs": jobs,
        "warnings": list(config.warnings),
    }
