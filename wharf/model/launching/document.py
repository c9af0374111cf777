"""The launch configuration as it is written: what each key may hold, and its JSON Schema.

As in `wharf.model.config_document`, these models check one key at a time; what keys mean together stands in
`wharf.model.launching.config` and beside it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from wharf.model.config_document import Line, Notifications, Table, _Model, _without_titles
from wharf.model.launching.pipelines import PIPELINES

JOB_NAME = r"^[a-z][a-z0-9-]{0,39}$"
LABEL, LABEL_VALUE = r"^[a-z][a-z0-9_-]{0,62}$", r"^[a-z0-9_-]{0,63}$"

Folder = Annotated[str, Field(pattern=r"^gs://[^/]+(/.*)?$", examples=["gs://my-bucket/folder"])]


class Environment(_Model):
    """What workers are, and as whom they work."""

    service_account: Line = Field(default="", description="the workers' service account, by its e-mail address")
    temp_location: Folder | None = Field(default=None, description="where Dataflow keeps temporary files")
    image: Line = Field(default="", description="the workers' container image; by default the template's own")
    machine_type: Line = Field(default="", description="of the workers", examples=["n2-standard-2"])
    max_workers: int | None = Field(default=None, ge=1, le=1000, description="the most workers of a job")
    disk_gb: int | None = Field(default=None, ge=10, description="the disk of a worker")
    network: Line = Field(default="", description="the workers' network")
    subnetwork: Line = Field(default="", description="regions/REGION/subnetworks/NAME, or its URL if it is shared")
    private_workers: bool | None = Field(default=None, description="true: workers have no public addresses")
    kms_key: Line = Field(default="", description="the key that encrypts what Dataflow keeps: projects/P/...")
    experiments: list[Line] = Field(default=[], description="Dataflow's experiments", min_length=1)
    labels: dict[str, str] = Field(
        default={},
        description="labels of the jobs, for costs",
        json_schema_extra={
            "propertyNames": {"pattern": LABEL},
            "additionalProperties": {"type": "string", "pattern": LABEL_VALUE},
        },
    )


class Job(_Model):
    """One kind of run, with a name of its own."""

    pipeline: Literal[tuple(PIPELINES)] | None = Field(default=None, description="which pipeline")  # type: ignore[valid-type]
    parameters: dict[str, str | bool | int] = Field(default={}, description="the pipeline's flags, without dashes")
    environment: Environment = Field(
        default_factory=Environment, description="key by key before the environment of all jobs"
    )


class Tables(_Model):
    exports: Table | None = Field(default=None, description="runs of bigquery_to_avro; null: they are not looked at")
    deliveries: Table | None = Field(default=None, description="runs of bigquery_to_sftp")
    loads: Table | None = Field(default=None, description="batches of files_to_bigquery")
    fetches: Table | None = Field(default=None, description="fetches of api_to_bigquery")


class Document(_Model):
    """What an environment launches: templates, the jobs made from them, and where it is recorded."""

    schema_: str = Field(default="", alias="$schema", description="for editors; ignored")
    project: Line = Field(default="", description="the project that the jobs run in")
    region: Line = Field(default="", description="the region that the jobs run in", examples=["europe-west1"])
    templates: Folder | None = Field(default=None, description="the folder of the templates, one PIPELINE.json each")
    records: Line = Field(default="", description="the folder where launches are recorded: gs://, or a local one")
    environment: Environment = Field(default_factory=Environment, description="what the workers of all jobs are")
    jobs: dict[str, Job] = Field(
        default={},
        description="what can be launched, by name",
        json_schema_extra={"propertyNames": {"pattern": JOB_NAME}},
    )
    tables: Tables = Field(
        default_factory=Tables, description="where runs are recorded; by default where the pipelines do"
    )
    notifications: Notifications = Field(default_factory=Notifications, description="who is told of jobs that die")
    deploy: dict[str, Any] = Field(default={}, description="what deploy/terraform makes of the environment; ignored")


def json_schema() -> dict[str, Any]:
    """The JSON Schema, draft 2020-12, of a launch configuration."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Wharf: launches",
        **_without_titles(Document.model_json_schema(by_alias=True)),
        "required": ["project", "region", "templates", "records", "jobs"],
    }
