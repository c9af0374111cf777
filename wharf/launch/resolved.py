"""What a run that is asked for will be: its window, the secrets that it needs, where it will be recorded."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Any

from wharf.launch.asked import DATAFLOW, Asked
from wharf.model.errors import UsageError

if TYPE_CHECKING:
    from wharf.model.launching.config import Tables
    from wharf.model.secrets import SecretRef


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """A run, checked as far as that goes without starting it."""

    asked: Asked
    windows: Mapping[str, str]  # by export
    secrets: Mapping[str, str]  # what was found, by reference
    tables: Tables
    project: str  # who pays
    warnings: tuple[str, ...] = ()

    @property
    def facts(self) -> dict[str, Any]:
        """All of it, for programs."""
        asked = self.asked
        return {
            "pipeline": asked.pipeline.name,
            "job": asked.job or None,
            "target": asked.target,
            "windows": dict(self.windows),
            "parameters": asked.all_parameters,
            "secrets": dict(self.secrets),
            "warnings": list(self.warnings),
        }

    @property
    def text(self) -> str:
        """The same for people."""
        asked = self.asked
        place = f": {asked.config.project}, {asked.config.region}" if asked.config and asked.target == DATAFLOW else ""
        lines = [
            ("pipeline", asked.pipeline.name + (f", job {asked.job}" if asked.job else "")),
            ("target", f"{asked.target}{place}"),
            *(("window", f"{name}: {window}") for name, window in self.windows.items()),
            *(("parameters", f"{name} = {' '.join(value.split())}") for name, value in asked.all_parameters.items()),
            *(("secrets", f"{reference}: {found}") for reference, found in self.secrets.items()),
        ]
        shown, last = [], ""
        for name, value in lines:
            shown.append(f"{name if name != last else '':<11} {value}")
            last = name
        return "\n".join([*shown, *(f"warning: {warning}" for warning in self.warnings)])


def resolve(asked: Asked) -> Resolved:
    """Read what a run reads before it begins, and look whether its secrets are there.

    Raises: UsageError for what would end it at once.
    """
    if asked.target == DATAFLOW:
        for flag in asked.pipeline.flags:
            if value := asked.all_parameters.get(flag.name):
                flag.check(value, remote=True)
    by_pipeline = {
        "bigquery_to_avro": _export,
        "bigquery_to_sftp": _delivery,
        "files_to_bigquery": _load,
        "api_to_bigquery": _fetch,
    }
    return by_pipeline[asked.pipeline.name](asked)


def _export(asked: Asked) -> Resolved:
    from wharf.model.avro_export import AvroExport

    export = AvroExport.from_flags(asked.values, project=asked.project, now=dt.datetime.now(dt.UTC))
    return Resolved(
        asked=asked,
        windows={export.export_name: str(export.window)},
        secrets={},
        tables=_tables(exports=export.metadata_table),
        project=export.project,
    )


def _delivery(asked: Asked) -> Resolved:
    from wharf.connectors.config import load_config
    from wharf.connectors.deliveries import deliveries_of
    from wharf.model import sftp_run
    from wharf.model.config import check_remote_secrets

    values, now = asked.values, dt.datetime.now(dt.UTC)
    config = load_config(_config(asked), asked.endpoints)
    exports = sftp_run.chosen(config.exports, values["export_name"])
    if asked.target == DATAFLOW:
        check_remote_secrets(config)
    windows = {}
    for export in exports:
        window = sftp_run.window(export, sftp_run.run_date(values["date"], export, now))
        windows[export.name] = str(window) if window else f"what is new by {export.timestamp_column}"
    deliveries = deliveries_of(config, asked.endpoints, asked.project)
    told = [export.notifications for export in exports]
    return Resolved(
        asked=asked,
        windows=windows,
        secrets=_checked(asked, needed=config.sftp, told=told),
        tables=_tables(deliveries=deliveries.metadata),
        project=deliveries.project,
        warnings=config.warnings,
    )


def _load(asked: Asked) -> Resolved:
    from wharf.connectors.config import load_notifications
    from wharf.connectors.endpoints import default_project, load_state_table
    from wharf.model.loading.settings import LoadSettings

    settings = LoadSettings.from_flags(
        asked.values,
        project=asked.project or default_project(),
        state_table=load_state_table(),
        now=dt.datetime.now(dt.UTC),
    )
    told = load_notifications(settings.notifications, asked.endpoints) if settings.notifications else None
    return Resolved(
        asked=asked,
        windows={},
        secrets=_checked(asked, needed=None, told=told),
        tables=_tables(loads=settings.state_table),
        project=settings.project,
    )


def _fetch(asked: Asked) -> Resolved:
    from wharf.connectors.config import load_api_config
    from wharf.model.fetching.config import check_remote_secrets, select
    from wharf.model.schema import TableId

    values = asked.values
    config = load_api_config(
        _config(asked), asked.endpoints, client_name=values["client_name"], project=asked.project or ""
    )
    select(config.api, [name.strip() for name in values["endpoints"].split(",") if name.strip()])
    if asked.target == DATAFLOW:
        check_remote_secrets(config)
    if not config.project:
        raise UsageError("which project pays? set project in the configuration, or give --project")
    table = TableId.parse(config.metadata_table, flag="metadata_table", project=config.project)
    return Resolved(
        asked=asked,
        windows={},
        secrets=_checked(asked, needed=config.api.auth, told=config.notifications),
        tables=_tables(fetches=table),
        project=config.project,
        warnings=config.warnings,
    )


def _config(asked: Asked) -> str:
    uri = asked.values["config"]
    if not uri:
        raise UsageError(f"--config is missing: name the file that says what {asked.pipeline.name} does")
    return uri


def _tables(**named: Any) -> Tables:
    from wharf.model.launching.config import Tables

    return Tables(**{"exports": None, "deliveries": None, "loads": None, "fetches": None, **named})


def _checked(asked: Asked, *, needed: Any, told: Any) -> dict[str, str]:
    """Look whether all secrets are there, without keeping one: those `needed`, and those to tell people with.

    Raises: UsageError for one that the run needs here and that is not there.
    """
    found = {}
    for reference in _references(needed):
        found[str(reference)] = _look(asked, reference, is_needed=True)
    for reference in _references(told):
        if str(reference) not in found:
            found[str(reference)] = _look(asked, reference, is_needed=False)
    return found


def _look(asked: Asked, reference: SecretRef, *, is_needed: bool) -> str:
    from google.api_core.exceptions import Forbidden
    from google.auth.exceptions import GoogleAuthError

    from wharf.connectors import secrets
    from wharf.model.errors import WharfError

    try:
        secrets.resolve(reference, asked.endpoints)
    except WharfError as error:
        if asked.target == DATAFLOW and isinstance(error.__cause__, Forbidden | GoogleAuthError):
            return "not checked: only the workers' account may read it"
        if is_needed:
            raise
        return str(error).removeprefix(f"{reference}: ")
    return "there"


def _references(value: Any) -> Iterator[SecretRef]:
    """All references to secrets in a configuration's value."""
    from wharf.model.secrets import SecretRef

    if isinstance(value, SecretRef):
        yield value
    elif is_dataclass(value):
        for each in fields(value):
            yield from _references(getattr(value, each.name))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _references(item)
