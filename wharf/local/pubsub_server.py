"""Google's own Pub/Sub emulator, a Java program that comes with gcloud, and what the stack keeps there.

It holds everything in memory: topic, subscription and messages are gone when it ends.
`python -m wharf.local.pubsub_server COMMAND...` runs it, and does not let it outlive the process that does.
"""

from __future__ import annotations

import base64
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from wharf.local.emulator import Emulator, free_ports, http_answers
from wharf.model.errors import UsageError, WharfError

_SCRIPT = "platform/pubsub-emulator/bin/cloud-pubsub-emulator"
# The shell becomes the program; what it leaves behind reads from us, and kills the program when we are gone.
_TIED = 'exec 3<&0; { read _ <&3; kill -9 $$; } & exec "$@" </dev/null 3<&- >&2'


@dataclass(frozen=True)
class PubSub:
    """A topic and its one subscription, both of the same name, at an emulator."""

    host: str  # with the port
    project: str
    name: str = "wharf-files"

    @property
    def topic(self) -> str:
        return f"projects/{self.project}/topics/{self.name}"

    @property
    def subscription(self) -> str:
        return f"projects/{self.project}/subscriptions/{self.name}"

    def make(self) -> None:
        """Make topic and subscription. Raises: WharfError."""
        self._send("PUT", self.topic, {})
        self._send("PUT", self.subscription, {"topic": self.topic, "ackDeadlineSeconds": 60})

    def publish(self, attributes: Mapping[str, str], data: bytes = b"") -> None:
        """Publish one message to the topic. Raises: WharfError."""
        message = {"attributes": dict(attributes), "data": base64.b64encode(data).decode()}
        self._send("POST", f"{self.topic}:publish", {"messages": [message]})

    def _send(self, method: str, path: str, document: Mapping[str, Any]) -> None:
        import requests

        with requests.Session() as session:
            session.trust_env = False  # The emulator is on this machine, whatever proxy the environment names.
            try:
                url = f"http://{self.host}/v1/{path}"
                session.request(method, url, json=document, timeout=30).raise_for_status()
            except requests.RequestException as error:
                raise WharfError(f"the Pub/Sub emulator at {self.host} does not do its work: {error}") from error


def find() -> Path:
    """The script that starts the emulator. Raises: UsageError if it is not installed."""
    gcloud = shutil.which("gcloud")
    script = Path(gcloud).resolve().parents[1] / _SCRIPT if gcloud else None
    if script and script.exists():
        return script
    raise UsageError(
        "the Pub/Sub emulator is not installed: "
        + ("" if gcloud else "install the Google Cloud CLI (https://cloud.google.com/sdk/docs/install), then ")
        + "gcloud components install pubsub-emulator, or apt-get install google-cloud-cli-pubsub-emulator"
    )


def start(directory: Path, project: str, *, claim: int, log: Path) -> tuple[Emulator, PubSub]:
    """Start the emulator with `directory` for its scratch files; once it answers, topic and subscription can be made.

    Raises: UsageError if it is not installed.
    """
    script = find()
    directory.mkdir(parents=True, exist_ok=True)
    (port,) = free_ports(1)
    pubsub = PubSub(f"127.0.0.1:{port}", project)
    # Java is up a second sooner this way, and writes nothing elsewhere.
    java = ["-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", f"-Djava.io.tmpdir={directory}"]
    emulator = Emulator(
        "Pub/Sub",
        "wharf.local.pubsub_server",
        [str(script), "--host=127.0.0.1", f"--port={port}"],
        parent=os.getpid(),
        claim=claim,
        log=log,
        variables={"JAVA_OPTS": shlex.join(java)},
        answers=[partial(http_answers, f"http://{pubsub.host}/v1/projects/{project}/topics")],
    )
    return emulator, pubsub


def main() -> None:
    tied = subprocess.Popen(["sh", "-c", _TIED, "sh", *sys.argv[1:]], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    signal.signal(signal.SIGTERM, lambda *_: tied.kill())  # There is nothing to put in order.
    tied.wait()
    tied.communicate()  # Until the watcher has gone too.
    sys.exit(1)


if __name__ == "__main__":
    main()
