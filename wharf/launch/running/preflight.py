"""What is looked at before a run begins: its window, the secrets that it needs, where it will be recorded."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Any

from wharf.launch.running.request import DATAFLOW, RunRequest
from wharf.model.errors import UsageError

if TYPE_CHECKING:
    from wharf.model.launching.config import Tables
    from wharf.model.secrets import SecretRef


@dataclass(frozen=True, kw_only=True)
class Preflight:
    """A request, checked as far as that goes without starting it."""

    request: RunRequest
    windows: Mapping[str, str]  # by export
    secrets: Mapping[str, str]  # what was found, by reference
    tables: Tables
    project: str  # who pays
    warnings: tuple[str, ...] = ()

    @property
    def facts(self) -> dict[str, Any]:
        """All of it, for programs."""
        request = self.request
        return {
            "pipeline": request.pipeline.name,
            "job": request.job or None,
            "target": request.target,
            "windows": dict(self.windows),
            "parameters": request.all_parameters,
            "secrets": dict(self.secrets),
            "warnings": list(self.warnings),
        }

    @property
    def text(self) -> str:
        """The same for people."""
        request = self.request
        place = (
            f": {request.config.project}, {request.config.region}"
            if request.config and request.target == DATAFLOW
            else ""
        )
        lines = [
            ("pipeline", request.pipeline.name + (f", job {request.job}" if request.job else "")),
            ("target", f"{request.target}{place}"),
            *(("window", f"{name}: {window}") for name, window in self.windows.items()),
            *(("parameters", f"{name} = {' '.join(value.split())}") for name, value in request.all_parameters.items()),
            *(("secrets", f"{reference}: {found}") for reference, found in self.secrets.items()),
        ]
        shown, last = [], ""
        for name, value in lines:
            shown.append(f"{name if name != last else '':<11} {value}")
            last = name
        return "\n".join([*shown, *(f"warning: {warning}" for warning in self.warnings)])


def preflight(request: RunRequest) -> Preflight:
    """Read what a run reads before it begins, and look whether its secrets are there.

    Raises: UsageError for what would end it at once.
    """
    if request.target == DATAFLOW:
        for flag in request.pipeline.flags:
            if value := request.all_parameters.get(flag.name):
                flag.check(value, remote=True)
    by_pipeline = {
        "bigquery_to_avro": _export,
        "bigquery_to_sftp": _delivery,
        "files_to_bigquery": _load,
        "api_to_bigquery": _fetch,
    }
    return by_pipeline[request.pipeline.name](request)


def _export(request: RunRequest) -> Preflight:
    from wharf.model.avro_export import AvroExport

    export = AvroExport.from_flags(request.values, project=request.project, now=dt.datetime.now(dt.UTC))
    return Preflight(
        request=request,
        windows={export.export_name: str(export.window)},
        secrets={},
        tables=_tables(exports=export.metadata_table),
        project=export.project,
    )


def _delivery(request: RunRequest) -> Preflight:
    from wharf.connectors.config import load_config
    from wharf.connectors.deliveries import deliveries_of
    from wharf.model import sftp_run
    from wharf.model.config import check_remote_secrets

    values, now = request.values, dt.datetime.now(dt.UTC)
    config = load_config(_config(request), request.endpoints)
    exports = sftp_run.chosen(config.exports, values["export_name"])
    if request.target == DATAFLOW:
        check_remote_secrets(config)
    windows = {}
    for export in exports:
        window = sftp_run.window(export, sftp_run.run_date(values["date"], export, now))
        windows[export.name] = str(window) if window else f"what is new by {export.timestamp_column}"
    deliveries = deliveries_of(config, request.endpoints, request.project)
    told = [export.notifications for export in exports]
    return Preflight(
        request=request,
        windows=windows,
        secrets=_checked(request, needed=config.sftp, told=told),
        tables=_tables(deliveries=deliveries.metadata),
        project=deliveries.project,
        warnings=config.warnings,
    )


def _load(request: RunRequest) -> Preflight:
    from wharf.connectors.config import load_notifications
    from wharf.connectors.endpoints import default_project, load_state_table
    from wharf.model.loading.settings import LoadSettings

    settings = LoadSettings.from_flags(
        request.values,
        project=request.project or default_project(),
        state_table=load_state_table(),
        now=dt.datetime.now(dt.UTC),
    )
    told = load_notifications(settings.notifications, request.endpoints) if settings.notifications else None
    return Preflight(
        request=request,
        windows={},
        secrets=_checked(request, needed=None, told=told),
        tables=_tables(loads=settings.state_table),
        project=settings.project,
    )


def _fetch(request: RunRequest) -> Preflight:
    from wharf.connectors.config import load_api_config
    from wharf.model.fetching.config import check_remote_secrets, select
    from wharf.model.schema import TableId

    values = request.values
    config = load_api_config(
        _config(request), request.endpoints, client_name=values["client_name"], project=request.project or ""
    )
    select(config.api, [name.strip() for name in values["endpoints"].split(",") if name.strip()])
    if request.target == DATAFLOW:
        check_remote_secrets(config)
    if not config.project:
        raise UsageError("which project pays? set project in the configuration, or give --project")
    table = TableId.parse(config.metadata_table, flag="metadata_table", project=config.project)
    return Preflight(
        request=request,
        windows={},
        secrets=_checked(request, needed=config.api.auth, told=config.notifications),
        tables=_tables(fetches=table),
        project=config.project,
        warnings=config.warnings,
    )


def _config(request: RunRequest) -> str:
    uri = request.values["config"]
    if not uri:
        raise UsageError(f"--config is missing: name the file that says what {request.pipeline.name} does")
    return uri


def _tables(**named: Any) -> Tables:
    from wharf.model.launching.config import Tables

    return Tables(**{"exports": None, "deliveries": None, "loads": None, "fetches": None, **named})


def _checked(request: RunRequest, *, needed: Any, told: Any) -> dict[str, str]:
    """Look whether all secrets are there, without keeping one: those `needed`, and those to tell people with.

    Raises: UsageError for one that the run needs here and that is not there.
    """
    found = {}
    for reference in _references(needed):
        found[str(reference)] = _look(request, reference, is_needed=True)
    for reference in _references(told):
        if str(reference) not in found:
            found[str(reference)] = _look(request, reference, is_needed=False)
    return found


def _look(request: RunRequest, reference: SecretRef, *, is_needed: bool) -> str:
    from google.api_core.exceptions import Forbidden
    from google.auth.exceptions import GoogleAuthError

    from wharf.connectors import secrets
    from wharf.model.errors import WharfError

    try:
        secrets.resolve(reference, request.endpoints)
    except WharfError as error:
        if request.target == DATAFLOW and isinstance(error.__cause__, Forbidden | GoogleAuthError):
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
