"""Reading the launch configuration: from a local file or Cloud Storage."""

from __future__ import annotations

from wharf.connectors.config import lasting, read_text
from wharf.connectors.endpoints import Endpoints
from wharf.model.launching.config import LaunchConfig, load_launch_config


def load_launches(uri: str, endpoints: Endpoints) -> LaunchConfig:
    """The launch configuration at `uri`, a local path or gs://.

    Raises: UsageError that lists every mistake. RunFailed if Cloud Storage gives no answer.
    """
    return load_launch_config(read_text(uri, endpoints), uri=lasting(uri))
