"""`wharf config`: the JSON Schema of configurations, and what is wrong with one."""

from __future__ import annotations

import argparse
import json
from types import ModuleType
from typing import Any

from wharf.launch.parser import add_command, add_group

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
        kind, config = _read(arguments.file, arguments.client_name)
    except UsageError as error:
        if not arguments.json:
            raise
        mistakes = error.mistakes if isinstance(error, DocumentError) else [Mistake("", str(error))]
        print(json.dumps({"ok": False, "mistakes": [mistake._asdict() for mistake in mistakes]}, indent=2))
        return error.exit_code
    if arguments.json:
        print(json.dumps({"ok": True, **kind.facts(config), "warnings": list(config.warnings)}, indent=2))
        return 0
    warnings = [f"warning: {warning}" for warning in config.warnings]
    print(f"{arguments.file} is a valid configuration", *kind.summary(config), *warnings, sep="\n")
    return 0


def _read(file: str, client_name: str) -> tuple[ModuleType, Any]:
    """A file of any kind -> the module that tells of its kind, the configuration. Raises: UsageError."""
    from wharf.connectors.config import load_api_config, load_config, read_text
    from wharf.connectors.endpoints import Endpoints
    from wharf.connectors.launch_config import load_launches
    from wharf.launch.configs import api, launch, sftp
    from wharf.model.json_document import parse

    endpoints = Endpoints.resolve()
    document, _ = parse(read_text(file, endpoints), file)
    if _LAUNCH_KEYS & document.keys():
        return launch, load_launches(file, endpoints)
    if _API_KEYS & document.keys():
        return api, load_api_config(file, endpoints, client_name=client_name)
    return sftp, load_config(file, endpoints)
