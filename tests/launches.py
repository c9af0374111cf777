"""Launch configurations to test with, and a launcher that uses stand-ins for Dataflow and Cloud Storage."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from tests.servers.dataflow_api import DataflowApi
from tests.servers.storage_api import StorageApi
from wharf.connectors.endpoints import Endpoints
from wharf.connectors.launcher import Launched, Launcher
from wharf.model.launching.config import LaunchConfig, load_launch_config
from wharf.model.launching.launch import Launch
from wharf.model.launching.record import LaunchRecord

T = TypeVar("T")
JOBS: dict[str, Any] = {
    "measurements": {
        "pipeline": "bigquery_to_avro",
        "parameters": {"source_table": "my-project.metering.measurements", "output": "gs://my-bucket/events"},
    },
    "deliveries": {"pipeline": "bigquery_to_sftp", "parameters": {"config": "gs://my-bucket/exports.json"}},
    "landed": {"pipeline": "files_to_bigquery", "parameters": {"prefix": "gs://in/"}},
    "xero-acme": {
        "pipeline": "api_to_bigquery",
        "parameters": {"config": "gs://my-bucket/xero.json", "client_name": "acme"},
    },
}
DOCUMENT: dict[str, Any] = {
    "project": "my-project",
    "region": "europe-west1",
    "templates": "gs://my-bucket/templates/1.0.0",
    "records": "gs://my-bucket/launches",
    "environment": {"service_account": "w@my-project.iam.gserviceaccount.com", "max_workers": 5},
    "jobs": JOBS,
}
MARCH = Launch(pipeline="bigquery_to_avro", name="measurements", parameters={"a": "b"}, window="20250301-20250401")


def launch_config(**changes: Any) -> LaunchConfig:
    """The configuration of DOCUMENT with other keys."""
    return load_launch_config(json.dumps({**DOCUMENT, **changes}), uri="launch.json")


def launcher(dataflow: DataflowApi, storage: StorageApi, **options: float) -> Launcher:
    """A launcher with its records on the stand-in for Cloud Storage."""
    return Launcher(launch_config(), Endpoints(dataflow=dataflow.url, storage=storage.url), **options)


@dataclass
class Cloud:
    """Both stand-ins; each launch is one of a launcher of its own, as after a restart."""

    dataflow: DataflowApi
    storage: StorageApi

    def use(self, work: Callable[[Launcher], Awaitable[T]], **options: float) -> T:
        async def with_launcher() -> T:
            async with launcher(self.dataflow, self.storage, **options) as made:
                return await work(made)

        return asyncio.run(with_launcher())

    def launch(self, launch: Launch = MARCH, **options: float) -> Launched:
        return self.use(lambda made: made.launch(launch), **options)

    def record(self, launch: Launch = MARCH) -> LaunchRecord:
        """What is on Cloud Storage."""
        return LaunchRecord.from_json(self.storage.objects[self._place(launch)].data)

    def put(self, record: LaunchRecord) -> None:
        """Change what is there behind everybody's back."""
        self.storage.put(*self._place(record.launch), record.as_json())

    def _place(self, launch: Launch) -> tuple[str, str]:
        return "my-bucket", f"launches/{launch.run_id}.json"


@contextmanager
def cloud() -> Iterator[Cloud]:
    with DataflowApi() as dataflow, StorageApi() as storage:
        yield Cloud(dataflow, storage)
