"""Launches of one test: a stand-in for Dataflow, and for each pipeline something to do.

assert dataflow.run("bigquery_to_avro", "--max_num_workers=7").code == 0
assert dataflow.job["name"] == dataflow.name
assert b"a password" not in dataflow.everything()
"""

from __future__ import annotations

import bz2
import contextlib
import importlib
import json
import re
import uuid
import zlib
from base64 import b64decode
from binascii import Error
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from apache_beam.portability.api import beam_runner_api_pb2
from google.cloud.storage import Bucket

from tests.end_to_end.loads import captured
from tests.end_to_end.process import Finished
from tests.servers.dataflow_api import DataflowApi
from wharf.local.stack import LocalStack

SECRETS = {name: f"the-{name}-31337" for name in ("password", "webhook", "mailbox", "token", "variable")}
NOTIFICATIONS = {
    "slack": {"webhook": f"https://hooks.example.com/{SECRETS['webhook']}"},
    "email": {
        "host": "mail.example.com",
        "username": "wharf",
        "password": SECRETS["mailbox"],
        "from": "wharf@example.com",
        "to": ["people@example.com"],
    },
}
STREAMING = "files_to_bigquery --subscription"
PIPELINES = ["bigquery_to_avro", "files_to_bigquery", STREAMING, "bigquery_to_sftp", "api_to_bigquery"]


@dataclass
class Dataflow:
    """What one test launches, and what came of it; everything on Cloud Storage is below `gs://bucket/NAME/`."""

    api: DataflowApi
    bucket: Bucket
    project: str
    readings: str  # a table that bigquery_to_avro exports
    orders: str  # a table that bigquery_to_sftp delivers
    variables: dict[str, str]  # where all that is
    notifications: dict[str, Any] = field(default_factory=lambda: NOTIFICATIONS)
    name: str = field(default_factory=lambda: f"launch-{uuid.uuid4().hex[:8]}")  # of the job

    @property
    def dataset(self) -> str:
        return self.name.replace("-", "_")

    @property
    def table(self) -> str:
        """Where runs are recorded."""
        return f"{self.project}.ledger.{self.dataset}"

    def uri(self, path: str = "") -> str:
        return f"gs://{self.bucket.name}/{self.name}/{path}"

    def put(self, path: str, document: dict[str, Any]) -> str:
        """Write an object. -> where it is"""
        self.bucket.blob(f"{self.name}/{path}").upload_from_string(json.dumps(document), retry=None)
        return self.uri(path)

    def objects(self, prefix: str = "") -> dict[str, bytes]:
        """What is on Cloud Storage, by path."""
        start = f"{self.name}/"
        names = [blob.name for blob in self.bucket.list_blobs(prefix=start + prefix)]
        return {name.removeprefix(start): self.bucket.blob(name).download_as_bytes() for name in names}

    @property
    def flags(self) -> list[str]:
        """What every launch needs."""
        return [
            "--runner=DataflowRunner",
            f"--project={self.project}",
            "--region=europe-west1",
            f"--temp_location={self.uri('tmp')}",
            f"--job_name={self.name}",
            "--experiments=disable_logging_submission_environment",  # which asks pip, for a second
        ]

    def parameters(self, pipeline: str) -> list[str]:
        """The pipeline's own flags; secrets are where people put them."""
        if pipeline == "bigquery_to_avro":
            source = [f"--source_table={self.readings}", "--period=202503"]
            return [*source, f"--output={self.uri('out')}", f"--metadata_table={self.table}"]
        if pipeline == "bigquery_to_sftp":
            return [f"--config={self.put('exports.json', self.exports)}", "--export_name=all"]
        if pipeline == "api_to_bigquery":
            return [f"--config={self.put('api.json', self.endpoints)}"]
        told = self.put("notifications.json", self.notifications)
        files = [f"--load_state_table={self.table}", f"--wait_for={self.uri('go')}", f"--notifications={told}"]
        if pipeline == STREAMING:
            subscription = f"projects/{self.project}/subscriptions/landed"
            return [*files, f"--prefix={self.uri('in/')}", f"--subscription={subscription}"]
        return [*files, f"--input={self.uri('in/**')}"]

    @property
    def exports(self) -> dict[str, Any]:
        """A configuration of bigquery_to_sftp."""
        host_key = "SHA256:nThbg6kXUpJWGl7E1IGOCspRomTxdCARLviKw6E5SY8"
        login = {"username": "acme", "password": SECRETS["password"], "host_key": host_key}
        return {
            "project": self.project,
            "sftp": {"host": "sftp.example.com"} | login,
            "staging": self.uri("staging"),
            "metadata_table": self.table,
            "notifications": self.notifications,
            "exports": {"daily": {"source_table": self.orders}},
        }

    @property
    def endpoints(self) -> dict[str, Any]:
        """A configuration of api_to_bigquery."""
        return {
            "api": "shop",
            "client_name": "acme",
            "base_url": "https://api.shop.example/v1",
            "auth": {"kind": "bearer", "password": SECRETS["token"]},
            "bucket": self.uri("raw"),
            "dataset": self.dataset,
            "project": self.project,
            "metadata_table": self.table,
            "notifications": self.notifications,
            "endpoints": {"customers": {"records": "$.data[*]", "primary_key": ["id"]}},
        }

    def run(self, pipeline: str, *more: str) -> Finished:
        """The command of one of PIPELINES, in this process."""
        main = importlib.import_module(f"pipelines.{pipeline.split()[0]}").main
        return captured(lambda: main([*self.flags, *self.parameters(pipeline), *more]))

    @property
    def job(self) -> dict[str, Any]:
        """The one job that was posted."""
        (job,) = self.api.jobs
        return job.asked

    def graph(self, below: str = "tmp/") -> Any:
        """The one pipeline that was staged there."""
        (graph,) = (data for path, data in self.objects(below).items() if path.endswith("/pipeline.pb"))
        return beam_runner_api_pb2.Pipeline.FromString(graph)

    def steps(self, below: str = "tmp/") -> list[str]:
        """The full names of its steps, as an update of a running job compares them."""
        transforms = self.graph(below).components.transforms.values()
        return sorted(step.unique_name for step in transforms if not step.subtransforms)

    def everything(self) -> bytes:
        """The job and everything that was staged for it, with all that is packed in it."""
        staged = [path.encode() + data for path, data in self.objects("tmp/").items()]
        return b"\n".join(unpacked(b"\n".join([json.dumps([job.asked for job in self.api.jobs]).encode(), *staged])))


@contextlib.contextmanager
def dataflow_of(stack: LocalStack, readings: str, orders: str) -> Iterator[Dataflow]:
    """Within the block, runs in this process are launched on a Dataflow of their own."""
    bucket = stack.endpoints.storage_client().bucket(stack.bucket)
    with DataflowApi() as api, pytest.MonkeyPatch.context() as patch:
        variables = {**stack.environment, "DATAFLOW_EMULATOR_HOST": api.url}
        for name, value in {**variables, "SHOP_PASSWORD": SECRETS["variable"]}.items():
            patch.setenv(name, value)
        yield Dataflow(api, bucket, stack.project, readings, orders, variables)


@pytest.fixture
def dataflow(stack: LocalStack, readings: str, orders: Callable[[int], str]) -> Iterator[Dataflow]:
    with dataflow_of(stack, readings, orders(20)) as made:
        yield made


def unpacked(data: bytes) -> Iterator[bytes]:
    """`data`, and what Beam has pickled, compressed and written in base64 within it."""
    yield data
    for begins in re.finditer(rb"(?=((?:QlpoO|eJ|eN|eA)[A-Za-z0-9+/]{20,}={0,2}))", data):
        text = begins[1]
        try:
            packed = b64decode(text[: len(text) // 4 * 4])
            inner = (
                bz2.BZ2Decompressor().decompress(packed)
                if text[:1] == b"Q"
                else zlib.decompressobj().decompress(packed)
            )
        except (Error, OSError, zlib.error):
            continue  # it only looked like it
        yield from unpacked(inner)
