"""The service over real HTTP, before stand-ins of Dataflow and Cloud Storage.

with serving(config, endpoints) as url:      # in a thread of this process
with Process(config, endpoints, tmp_path):   # `wharf serve` in one of its own, which can be killed
"""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import uvicorn

from tests.launches import DOCUMENT, JOBS
from wharf.connectors.endpoints import Endpoints
from wharf.launch.service.app import make_app
from wharf.launch.service.connections import Connection
from wharf.launch.service.identity_tokens import IdentityTokens
from wharf.local.emulator import free_ports, http_answers
from wharf.model.launching.config import LaunchConfig

ROOT = Path(__file__).parent.parent
SERVED: dict[str, Any] = {
    **DOCUMENT,
    "jobs": {
        **JOBS,
        "default": {
            "pipeline": "bigquery_to_sftp",
            "parameters": {"config": "gs://my-bucket/exports.json", "export_name": "all"},
        },
    },
}
# Nobody listens there.
NO_BIGQUERY: dict[str, Any] = {
    "bigquery": "http://127.0.0.1:9",
    "bigquery_emulated": True,
    "bigquery_storage": "127.0.0.1:9",
    "bigquery_storage_emulated": True,
}


@contextmanager
def serving(config: LaunchConfig, endpoints: Endpoints, tokens: IdentityTokens | None = None) -> Iterator[str]:
    """The service's URL."""
    app = make_app(config, endpoints, tokens)
    settings = uvicorn.Config(
        app, host="127.0.0.1", port=0, http=Connection, log_config=None, access_log=False, ws="none"
    )
    server = uvicorn.Server(settings)
    thread = threading.Thread(target=server.run, name="service")
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the service does not start"
            time.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


class Process:
    """`wharf serve` as a child; its log lines are in `lines`."""

    def __init__(
        self,
        config: Mapping[str, Any] | str,
        endpoints: Endpoints,
        folder: Path,
        *flags: str,
        command: Sequence[str] = (sys.executable, "-m", "wharf"),
    ) -> None:
        """`config` is the document, or where it is already; `command` stands for `wharf`."""
        (port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{port}"
        self._log = folder / f"service-{port}.log"
        uri = config if isinstance(config, str) else str(folder / "launch.json")
        if not isinstance(config, str):
            Path(uri).write_text(json.dumps(config))
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                [*command, "serve", "--launch_config", uri, "--host", "127.0.0.1", "--port", str(port), *flags],
                cwd=ROOT,
                env={**os.environ, **endpoints.environment()},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def __enter__(self) -> Self:
        deadline = time.monotonic() + 60
        while not http_answers(f"{self.url}/health"):
            assert self.process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Ask it to end, as Cloud Run does; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def kill(self) -> None:
        """End it at once, as a machine that fails does."""
        self.process.kill()
        self.process.wait()

    @property
    def lines(self) -> list[dict[str, Any]]:
        """What it has logged so far."""
        return [json.loads(line) for line in self._log.read_text().splitlines()]


def push(data: Any, message_id: str = "1", **attributes: str) -> dict[str, Any]:
    """What Pub/Sub posts for a message; `data` as JSON, unless it is bytes, and None for none."""
    message: dict[str, Any] = {"messageId": message_id, "message_id": message_id}
    message |= {"publishTime": "2025-03-02T02:00:00.123Z", "publish_time": "2025-03-02T02:00:00.123Z"}
    if data is not None:
        raw = data if isinstance(data, bytes) else json.dumps(data).encode()
        message["data"] = base64.b64encode(raw).decode()
    if attributes:
        message["attributes"] = attributes
    return {"message": message, "subscription": "projects/my-project/subscriptions/requests", "deliveryAttempt": 1}


def status_changed(job_id: str, name: str, state: str) -> dict[str, Any]:
    """A CloudEvent of Dataflow's in structured mode, as Eventarc logs one."""
    job = {
        "id": job_id,
        "name": name,
        "projectId": "my-project",
        "location": "europe-west1",
        "type": "JOB_TYPE_BATCH",
        "currentState": state,
        "currentStateTime": "2025-03-02T03:00:00.106560Z",
        "createTime": "2025-03-02T02:00:00.106560Z",
        "environment": {"version": {"major": "8"}},
    }
    return {
        "specversion": "1.0",
        "id": f"{job_id}-{state}",
        "source": "//dataflow.googleapis.com/projects/my-project/locations/europe-west1",
        "type": "google.cloud.dataflow.job.v1beta3.statusChanged",
        "subject": f"jobs/{name}",
        "datacontenttype": "application/json; charset=utf-8",
        "job": name,
        "data": {"@type": "type.googleapis.com/google.events.cloud.dataflow.v1beta3.JobEventData", "payload": job},
    }
