"""A configuration of exports to an SFTP server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wharf.model.config import SftpConfig
    from wharf.model.sftp_export import SftpExport


def facts(config: SftpConfig) -> dict[str, Any]:
    """What a configuration describes, for machines."""
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
        "server": str(config.sftp),
        "staging": config.staging,
        "metadata_table": config.metadata_table,
        "files_table": config.files_table,
        "exports": exports,
    }


def summary(config: SftpConfig) -> list[str]:
    """What a configuration describes, for people, a line each."""
    widest = max(map(len, config.exports))
    return [
        f"server    {config.sftp}/{config.sftp.directory.lstrip('/')}",
        f"staging   {config.staging}",
        f"metadata  {config.metadata_table}, {config.files_table}",
        "exports",
        *(f"  {export.name:<{widest}}  {_line(export)}" for export in config.exports.values()),
    ]


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
