"""The Pub/Sub emulator beside a stack that runs already, and what a subscription holds."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from wharf.local import claim, pubsub_server
from wharf.local.pubsub_server import PubSub
from wharf.model.errors import UsageError


def _missing() -> str:
    try:
        pubsub_server.find()
    except UsageError as error:
        return str(error)
    return ""


missing_pubsub = _missing()  # the reason to skip, or nothing
needs_pubsub = pytest.mark.skipif(bool(missing_pubsub), reason=missing_pubsub)


@contextmanager
def pubsub_emulator(directory: Path, project: str) -> Iterator[PubSub]:
    """Runs one inside a `with` block."""
    claimed = claim.take(directory)
    emulator, pubsub = pubsub_server.start(directory, project, claim=claimed, log=directory / "pubsub.log")
    try:
        emulator.wait()
        yield pubsub
    finally:
        emulator.stop()
        os.close(claimed)


def pull(pubsub: PubSub) -> list[tuple[dict[str, str], bytes]]:
    """Take what waits in the subscription: attributes and data of each message."""
    with requests.Session() as session:
        session.trust_env = False
        url = f"http://{pubsub.host}/v1/{pubsub.subscription}"
        answer = session.post(f"{url}:pull", json={"maxMessages": 100, "returnImmediately": True}, timeout=30).json()
        received = answer.get("receivedMessages", [])
        if received:
            session.post(f"{url}:acknowledge", json={"ackIds": [each["ackId"] for each in received]}, timeout=30)
    messages = [each["message"] for each in received]
    return [(message["attributes"], base64.b64decode(message.get("data", ""))) for message in messages]
