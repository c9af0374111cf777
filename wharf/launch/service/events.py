"""Events as they arrive: CloudEvents in either HTTP mode, straight or in a Pub/Sub push, and Storage's notifications.

https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md
https://github.com/googleapis/google-cloudevents (what `data` holds)
https://cloud.google.com/storage/docs/pubsub-notifications
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from wharf.launch.service.messages import document, pushed
from wharf.launch.service.problems import Refusal

FINALIZED = "google.cloud.storage.object.v1.finalized"
STATUS_CHANGED = "google.cloud.dataflow.job.v1beta3.statusChanged"
_OBJECT_FINALIZE = "OBJECT_FINALIZE"  # how Storage's own notifications call it
# JobState of Dataflow's API, for senders that write enums as numbers.
_STATES = (
    *("UNKNOWN", "STOPPED", "RUNNING", "DONE", "FAILED", "CANCELLED", "UPDATED"),
    *("DRAINING", "DRAINED", "PENDING", "CANCELLING", "QUEUED", "RESOURCE_CLEANING_UP"),
)


class Event(NamedTuple):
    """What happened, and to what."""

    type: str
    data: Mapping[str, Any]


class Object(NamedTuple):
    """An object that is complete on Cloud Storage."""

    bucket: str
    name: str
    generation: str


class Job(NamedTuple):
    """A Dataflow job; `state` is without JOB_STATE_."""

    id: str
    name: str
    state: str


def event_of(headers: Mapping[str, str], body: Mapping[str, Any]) -> Event:
    """The event of a request; names of `headers` are in lower case.

    Raises: Refusal if it is none.
    """
    if "message" in body:  # Pub/Sub's push; Eventarc wraps what a topic gets in one too
        message = pushed(body)
        attributes = {name.lower(): value for name, value in message.attributes.items()}
        if "eventtype" in attributes:
            return _notification(attributes)
        inner = message.document()
        if "message" in inner:
            raise Refusal(400, "message.data: is an envelope again", field="message.data")
        return event_of(attributes, inner)
    if "ce-type" in headers:
        return Event(headers["ce-type"], body)
    if "specversion" in body and isinstance(body.get("type"), str):
        return Event(body["type"], _data(body))
    raise Refusal(400, "this is no event: neither a CloudEvent nor a message of Pub/Sub that holds one")


def object_of(event: Event) -> Object | None:
    """The object that was finalized; None if the event tells of something else.

    Raises: Refusal if it does not say which.
    """
    if event.type != FINALIZED:
        return None
    found = Object(*(_text(event.data, name, "data") for name in ("bucket", "name", "generation")))
    if not re.fullmatch(r"[0-9]{1,19}", found.generation):
        raise Refusal(400, "data.generation: is no number", field="data.generation")
    return found


def job_of(event: Event) -> Job | None:
    """The job whose state changed; None if the event tells of something else.

    Raises: Refusal if it does not say which.
    """
    if event.type != STATUS_CHANGED:
        return None
    job = event.data.get("payload", event.data)
    if not isinstance(job, Mapping):
        raise Refusal(400, "data.payload: must be an object", field="data.payload")
    state = job.get("currentState")
    if isinstance(state, int) and 0 <= state < len(_STATES):
        state = _STATES[state]
    known = str(state).removeprefix("JOB_STATE_")
    if known not in _STATES:
        raise Refusal(400, "data.payload.currentState: is no state of a job", field="data.payload.currentState")
    return Job(_text(job, "id", "data.payload"), _text(job, "name", "data.payload"), known)


def _notification(attributes: Mapping[str, str]) -> Event:
    if attributes["eventtype"] != _OBJECT_FINALIZE:
        return Event(attributes["eventtype"], {})
    names = {"bucketid": "bucket", "objectid": "name", "objectgeneration": "generation"}
    return Event(FINALIZED, {name: attributes[key] for key, name in names.items() if key in attributes})


def _data(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """`data` of a CloudEvent in structured mode."""
    data = body.get("data")
    if "data_base64" in body:
        try:
            data = document(base64.b64decode(body["data_base64"], validate=True), "data_base64")
        except (binascii.Error, ValueError, TypeError):
            raise Refusal(400, "data_base64: is not base64", field="data_base64") from None
    if not isinstance(data, Mapping):
        raise Refusal(400, "data: must be an object", field="data")
    return data


def _text(data: Mapping[str, Any], name: str, place: str) -> str:
    value = data.get(name)
    if not isinstance(value, str) or not value:
        raise Refusal(400, f"{place}.{name}: is missing, or no text", field=f"{place}.{name}")
    return value
