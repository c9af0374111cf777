"""Cloud Storage's notifications, as messages of Pub/Sub carry them.

https://cloud.google.com/storage/docs/pubsub-notifications
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wharf.model.loading.landing import NO_MARKER, is_hidden, split

FINALIZED = "OBJECT_FINALIZE"  # an object was written, or written anew; also by a copy


@dataclass(frozen=True)
class Notification:
    """Something happened to one generation of an object; `bytes` is None where the message does not tell."""

    event: str
    uri: str
    generation: int
    bytes: int | None

    def completes(self, prefix: str, marker: str) -> bool:
        """Whether this is a batch's marker below `prefix`: a file of that name, or with `none` any file of data."""
        directory, name = split(self.uri)
        if self.event != FINALIZED or not self.uri.startswith(prefix) or is_hidden(directory, prefix):
            return False
        if marker != NO_MARKER:
            return name == marker
        return bool(name) and not name.startswith(("_", ".")) and self.bytes != 0


def parse(attributes: Mapping[str, str], data: bytes) -> Notification:
    """Read a message.

    Raises: ValueError with the reason, for a message that is no such notification.
    """
    names = ("eventType", "bucketId", "objectId", "objectGeneration")
    if missing := [name for name in names if not attributes.get(name)]:
        raise ValueError(f"no notification of Cloud Storage: it has no attribute {', '.join(missing)}")
    event, bucket, path, generation = (attributes[name] for name in names)
    if not (generation.isascii() and generation.isdecimal()):
        raise ValueError("no notification of Cloud Storage: its objectGeneration is no number")
    described = attributes.get("payloadFormat") == "JSON_API_V1"
    return Notification(event, f"gs://{bucket}/{path}", int(generation), _bytes(data) if described else None)


def _bytes(data: bytes) -> int | None:
    try:
        resource: Any = json.loads(data)
        return int(resource["size"])
    except (ValueError, KeyError, TypeError):
        return None  # the attributes alone say which object it is
