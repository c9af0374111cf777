"""The launch configuration, as typed values; validated once, at the edge.

    text -> LaunchConfig

`wharf.model.launching.document` says what each key may hold; here and in `config_jobs` stands what keys mean together.
A mistake does not hide another one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from wharf.model.config import METADATA_TABLE as DELIVERIES_TABLE
from wharf.model.config_mistakes import Findings
from wharf.model.config_notifications import level, settings
from wharf.model.errors import UsageError
from wharf.model.fetching.config import METADATA_TABLE as FETCHES_TABLE
from wharf.model.flags import nearest
from wharf.model.json_document import parse
from wharf.model.launching import document as written
from wharf.model.launching.config_jobs import environment_of, jobs_of
from wharf.model.launching.environment import Environment, Job
from wharf.model.loading.settings import STATE_TABLE as LOADS_TABLE
from wharf.model.notification import Notifications
from wharf.model.schema import TableId

# What a table's default comes from: the pipeline, its flag, and where it records if the flag does not say.
_DEFAULTS = {
    "exports": ("bigquery_to_avro", "metadata_table", "wharf.exports"),
    "deliveries": ("bigquery_to_sftp", "", DELIVERIES_TABLE),
    "loads": ("files_to_bigquery", "load_state_table", LOADS_TABLE),
    "fetches": ("api_to_bigquery", "", FETCHES_TABLE),
}


@dataclass(frozen=True, kw_only=True)
class Tables:
    """Where each kind of run is recorded; None: not looked at."""

    exports: TableId | None
    deliveries: TableId | None
    loads: TableId | None
    fetches: TableId | None


def default_tables(project: str) -> Tables:
    """Where the pipelines record their runs if nobody says otherwise."""
    return Tables(**{key: TableId.parse(table, flag=key, project=project) for key, (_, _, table) in _DEFAULTS.items()})


@dataclass(frozen=True, kw_only=True)
class LaunchConfig:
    """A whole configuration, complete and checked; holds references to secrets and no secret."""

    uri: str  # where it was read from
    project: str
    region: str
    templates: str  # gs://..., without a slash at its end; <pipeline>.json below it
    records: str  # gs://... or a local folder, without a slash at its end
    environment: Environment  # of jobs that say nothing else
    jobs: Mapping[str, Job]  # by name, in the document's order
    tables: Tables
    notifications: Notifications = field(default_factory=Notifications)
    warnings: tuple[str, ...] = ()

    def job(self, name: str) -> Job:
        """The job called `name`.

        Raises: UsageError.
        """
        if name not in self.jobs:
            raise UsageError(f"there is no job {name!r}{nearest(name, self.jobs)}; there are {', '.join(self.jobs)}")
        return self.jobs[name]

    def template(self, pipeline: str) -> str:
        """Where the template of a pipeline is."""
        return f"{self.templates}/{pipeline}.json"


def load_launch_config(text: str, *, uri: str) -> LaunchConfig:
    """The configuration that `text`, read from `uri`, describes.

    Raises: DocumentError, a UsageError, that lists every mistake by its path.
    """
    data, repeated = parse(text, uri)
    findings = Findings({})
    for place in repeated:
        findings.wrong(place, "is given more than once: keep one")
    # Jobs are checked one by one, so that one with a mistake does not hide another one's.
    document = findings.check({**data, "jobs": {}}, written.Document, ())
    for key, remedy in (
        ("project", "the project that the jobs run in"),
        ("region", "the region that the jobs run in, such as europe-west1"),
        ("templates", "the folder of the templates, such as gs://my-bucket/templates/1.0.0"),
        ("records", "the folder where launches are recorded, such as gs://my-bucket/launches"),
    ):
        if not getattr(document, key) and findings.sound((), key):
            findings.wrong((key,), f"is missing: {remedy}")
    environment = environment_of(document.environment, ("environment",), Environment(), findings)
    jobs = jobs_of(data.get("jobs"), environment, document.project, findings)
    said = level(document.notifications, ("notifications",), uri, findings)
    config = LaunchConfig(
        uri=uri,
        project=document.project,
        region=document.region,
        templates=(document.templates or "").rstrip("/"),
        records=_records(document.records, findings),
        environment=environment,
        jobs=jobs,
        tables=_tables(document, jobs, findings),
        notifications=settings(
            said, {"slack": ("notifications", "slack"), "email": ("notifications", "email")}, findings
        ),
        warnings=findings.warnings,
    )
    findings.raise_if_any(uri)
    return config


def _records(folder: str, findings: Findings) -> str:
    if re.match(r"gs:(?!//[^/])|(?!gs:)[A-Za-z][A-Za-z0-9+.-]*://", folder):
        findings.wrong(("records",), "is neither gs://bucket/prefix nor a local folder")
    return folder.rstrip("/") or "/"


def _tables(document: written.Document, jobs: Mapping[str, Job], findings: Findings) -> Tables:
    found: dict[str, Any] = {}
    for key, (pipeline, flag, default) in _DEFAULTS.items():
        named = {
            job.parameters[flag]: job.name
            for job in jobs.values()
            if job.pipeline == pipeline and job.parameters.get(flag)
        }
        text = getattr(document.tables, key) or next(iter(named), default)
        if document.tables.has(key) and getattr(document.tables, key) is None:
            found[key] = None
            continue
        try:
            found[key] = TableId.parse(text, flag=key, project=document.project or "project")
        except UsageError:
            findings.wrong(("tables", key), "is not a table's name: write project.dataset.table")
            continue
        for table, name in named.items():
            if _full(table, document.project) != str(found[key]):
                findings.doubtful(
                    ("jobs", name, "parameters", flag), f"is not {found[key]}, tables.{key}: its runs are not shown"
                )
    return Tables(**{key: found.get(key) for key in _DEFAULTS})


def _full(table: str, project: str) -> str:
    try:
        return str(TableId.parse(table, flag="table", project=project))
    except UsageError:
        return table
