"""Bodies of requests and answers, as the OpenAPI description shows them.

What a request asks for is checked in `wharf.model.launching.requests`, against the launch configuration.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue
from pydantic.json_schema import models_json_schema

from wharf.launch.service.messages import Push
from wharf.launch.service.problems import Problem

LONGEST_KEY = 256
_FORCE = Field(False, description="begin another attempt although this run has succeeded")


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ExportBody(_Asked):
    """A window of an export to Avro files; without one it is the previous month."""

    period: str = Field("", description="a calendar month", examples=["202503"], pattern=r"^(\d{6})?$")
    when_read_from: str = Field("", description="the window's start", examples=["2025-03-01T00:00:00"])
    when_read_to: str = Field("", description="the window's end, itself outside", examples=["2025-04-01T00:00:00"])
    name: str = Field("", description="the job, where there are several", examples=["measurements"])
    force: bool = _FORCE


class DeliveryBody(_Asked):
    """Exports to deliver to an SFTP server."""

    export_name: str = Field("", description="exports, separated by commas, or all", examples=["orders"])
    date: str = Field("", description="the day of the delivery", examples=["2025-03-02"])
    config: str = Field("", description="the job, where there are several", examples=["default"])
    name: str = Field("", description="another name for config")
    force: bool = _FORCE


class FetchBody(_Asked):
    """Endpoints of an API to fetch."""

    name: str = Field("", description="the job, where there are several", examples=["xero-acme"])
    client_name: str = Field("", description="instead of the job its client", examples=["acme"])
    endpoints: list[str] | str = Field("", description="by default all", examples=[["Invoices", "Contacts"]])
    full: bool = Field(False, description="everything, not only what is new")
    force: bool = _FORCE


class Event(BaseModel):
    """A CloudEvent in structured mode, the data of one in binary mode, or a push of Pub/Sub that holds either."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, JsonValue]


class Accepted(BaseModel):
    """The run that was asked for."""

    run_id: str = Field(examples=["measurements-20250301-20250401-5f1c2b7d9e3a4860"])
    status: str = Field(examples=["LAUNCHED"])
    job_id: str = Field(examples=["2025-04-01_02_00_07-1234567890123456789"])
    job_name: str = Field(examples=["measurements-20250301-20250401-5f1c2b7d9e3a4860"])
    attempt: int = Field(examples=[1])
    is_new: bool = Field(description="false where the run was there already")


class Noted(BaseModel):
    """What became of an event."""

    result: str = Field(examples=["orders-20250302-5f1c2b7d9e3a4860: FAILED"])


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The error answers that a route can give besides 500, which every one can, for `responses`."""
    found: dict[int | str, dict[str, Any]] = {
        status: {"model": Problem, "description": _PROBLEMS[status]} for status in (*statuses, 500)
    }
    if 503 in found:
        found[503]["headers"] = {"Retry-After": {"description": "Seconds", "schema": {"type": "integer"}}}
    return found


def described(model: type[BaseModel], *, required: bool = True) -> dict[str, Any]:
    """What says in OpenAPI that a route takes `model` as its body, for `openapi_extra`.

    Where a body is not required, a key in the header may tell requests apart.
    """
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    body = {"requestBody": {"required": required, "content": {"application/json": {"schema": schema}}}}
    return body if required else body | {"parameters": [_KEY]}


def schemas() -> dict[str, Any]:
    """The JSON Schemas that `described` refers to, by name."""
    models = (ExportBody, DeliveryBody, FetchBody, Push, Event)
    _, found = models_json_schema(
        [(model, "validation") for model in models], ref_template="#/components/schemas/{model}"
    )
    return dict(found["$defs"])


_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "the same key is the same request; Cloud Scheduler's own headers do as well",
    "schema": {"type": "string", "maxLength": LONGEST_KEY},
}
_PROBLEMS = {
    400: "What is wrong with the request",
    401: "No identity token, or none that holds",
    403: "The caller is not allowed",
    404: "There is no such run",
    408: "The body comes too slowly",
    413: "The body is too large",
    415: "The body is not JSON",
    500: "Something went wrong that the caller cannot mend",
    503: "Try again, after as many seconds as Retry-After says",
}
