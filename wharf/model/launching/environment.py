"""What the workers of jobs are, and as whom they work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from wharf.model.launching import document as written

# https://cloud.google.com/dataflow/docs/reference/rest/v1b3/projects.locations.flexTemplates/launch
_NAMES = {
    "service_account": "serviceAccountEmail",
    "temp_location": "tempLocation",
    "image": "sdkContainerImage",
    "machine_type": "machineType",
    "max_workers": "maxWorkers",
    "disk_gb": "diskSizeGb",
    "network": "network",
    "subnetwork": "subnetwork",
    "kms_key": "kmsKeyName",
    "experiments": "additionalExperiments",
    "labels": "additionalUserLabels",
}


@dataclass(frozen=True, kw_only=True)
class Environment:
    """Empty, None and 0 leave it to Dataflow."""

    service_account: str = ""
    temp_location: str = ""  # gs://...
    image: str = ""
    machine_type: str = ""
    max_workers: int = 0
    disk_gb: int = 0
    network: str = ""
    subnetwork: str = ""
    private_workers: bool | None = None
    kms_key: str = ""
    experiments: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)

    def with_changes(self, document: written.Environment) -> Environment:
        """This, with what a document says before it; labels are added."""
        said = {each.name: getattr(document, each.name) for each in fields(self) if document.has(each.name)}
        said = {name: value for name, value in said.items() if value is not None}
        if "experiments" in said:
            said["experiments"] = tuple(said["experiments"])
        if "labels" in said:
            said["labels"] = {**self.labels, **said["labels"]}
        return replace(self, **said)

    @property
    def as_request(self) -> dict[str, Any]:
        """A FlexTemplateRuntimeEnvironment of Dataflow's API."""
        found = {theirs: getattr(self, ours) for ours, theirs in _NAMES.items() if getattr(self, ours)}
        if self.temp_location:
            found["stagingLocation"] = self.temp_location  # else Dataflow stages in a bucket of its own
        if self.private_workers is not None:
            found["ipConfiguration"] = "WORKER_IP_PRIVATE" if self.private_workers else "WORKER_IP_PUBLIC"
        return found


@dataclass(frozen=True, kw_only=True)
class Job:
    """One kind of run: a pipeline, what its flags are, and its workers."""

    name: str
    pipeline: str
    parameters: Mapping[str, str]
    environment: Environment = field(default_factory=Environment)
