"""`wharf config`: the JSON Schema of configurations, and what is wrong with one."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from wharf.launch.parser import add_command

if TYPE_CHECKING:
    from wharf.model.config import SftpConfig
    from wharf.model.sftp_export import SftpExport


def register(commands: Any) -> None:
    """Add `config schema|check` to the commands of a parser."""
    config = commands.add_parser("config", help="the JSON file that describes exports to an SFTP server")
    actions = config.add_subparsers()
    add_command(actions, "schema", _schema, "print its JSON Schema, for editors and other tools")
    check = add_command(actions, "check", _check, "say what a file describes, or everything that is wrong with it")
    check.add_argument("file", metavar="FILE", help="a local path or gs://bucket/name")
    check.add_argument("--json", action="store_true", help="print the answer as JSON")


def _schema(arguments: argparse.Namespace) -> int:
    from wharf.model.config_document import json_schema

    print(json.dumps(json_schema(), indent=2))
    return 0


def _check(arguments: argparse.Namespace) -> int:
    from wharf.connectors.config import load_config
    from wharf.connectors.endpoints import Endpoints
    from wharf.model.errors import UsageError
    from wharf.model.json_document import DocumentError, Mistake

    try:
        config = load_config(arguments.file, Endpoints.resolve())
    except UsageError as error:
        if not arguments.json:
            raise
        mistakes = error.mistakes if isinstance(error, DocumentError) else [Mistake("", str(error))]
        print(json.dumps({"ok": False, "mistakes": [mistake._asdict() for mistake in mistakes]}, indent=2))
        return error.exit_code
    print(json.dumps(_facts(config), indent=2) if arguments.json else summary(config, arguments.file))
    return 0


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
