"""Files of this machine -> Cloud Storage of the local stack, announced on Pub/Sub as Cloud Storage announces them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from google.api_core.exceptions import NotFound

from wharf.connectors.retry import POLICY
from wharf.local.pubsub_server import PubSub
from wharf.model.errors import UsageError
from wharf.model.loading.notifications import FINALIZED

if TYPE_CHECKING:
    from google.cloud.storage import Blob, Client

_MARKER = "_SUCCESS"


def put(paths: Iterable[Path], target: str, client: Client, pubsub: PubSub | None) -> Iterator[str]:
    """Upload files and directories below `target`, `_SUCCESS` files last, and give each object's URI.

    A directory keeps its name: the file `day/a.csv` of `day` becomes `gs://bucket/prefix/day/a.csv`. With `pubsub` each
    object is announced as soon as it is there.

    Raises: UsageError for a path or bucket that is not there.
    """
    bucket_name, _, prefix = target.removeprefix("gs://").rstrip("/").partition("/")
    if not target.startswith("gs://") or not bucket_name:
        raise UsageError(f"{target}: files are put below gs://bucket/prefix/")
    files = [(path, name) for given in paths for path, name in _files(given)]
    bucket = client.bucket(bucket_name)
    for path, name in sorted(files, key=lambda file: (file[0].name == _MARKER, file[1])):
        blob = bucket.blob(f"{prefix}/{name}" if prefix else name)
        before = bucket.get_blob(blob.name, retry=POLICY) if pubsub else None
        try:
            blob.upload_from_filename(str(path), retry=POLICY)
        except NotFound as error:
            raise UsageError(
                f"gs://{bucket_name}: the local stack has no such bucket; `wharf local up` makes gs://demo-bucket"
            ) from error
        if pubsub:
            pubsub.publish(*announcement(blob, before.generation if before else None))
        yield f"gs://{bucket_name}/{blob.name}"


def announcement(blob: Blob, overwrote: int | None = None) -> tuple[dict[str, str], bytes]:
    """The message, attributes and data, that Cloud Storage sends when this object was written.

    `overwrote` is the generation that was there before. https://cloud.google.com/storage/docs/pubsub-notifications
    """
    attributes = {
        "notificationConfig": f"projects/_/buckets/{blob.bucket.name}/notificationConfigs/1",
        "eventType": FINALIZED,
        "payloadFormat": "JSON_API_V1",
        "bucketId": blob.bucket.name,
        "objectId": blob.name,
        "objectGeneration": str(blob.generation),
        "eventTime": blob._properties["updated"],
    }
    if overwrote:
        attributes["overwroteGeneration"] = str(overwrote)
    return attributes, json.dumps(blob._properties).encode()  # the resource as the API gave it


def _files(given: Path) -> list[tuple[Path, str]]:
    """The files of a path given by a person, each with its name below the target."""
    if given.is_file():
        return [(given, given.name)]
    if not given.is_dir():
        raise UsageError(f"{given}: no such file or directory")
    name = given.resolve().name
    return [(path, f"{name}/{path.relative_to(given).as_posix()}") for path in given.rglob("*") if path.is_file()]
