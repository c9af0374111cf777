"""Requests for runs: from people, schedules and messages."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Mapping
from typing import Any, Protocol

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from wharf.connectors.launcher import Launcher
from wharf.launch.service.bodies import (
    LONGEST_KEY,
    Accepted,
    DeliveryBody,
    ExportBody,
    FetchBody,
    described,
    problems,
)
from wharf.launch.service.messages import Push, body_of, pushed
from wharf.launch.service.problems import Refusal
from wharf.model.errors import UsageError
from wharf.model.launching.config import LaunchConfig
from wharf.model.launching.launch import Launch
from wharf.model.launching.requests import delivery_request, export_request, fetch_request


class Requester(Protocol):
    """Makes a `Launch` of a body."""

    def __call__(self, config: LaunchConfig, body: Mapping[str, Any], *, now: dt.datetime, key: str = "") -> Launch: ...


_ROUTES: dict[str, Requester] = {"/": delivery_request, "/export": export_request, "/run": fetch_request}
_OF_PIPELINE = {"bigquery_to_avro": "/export", "bigquery_to_sftp": "/", "api_to_bigquery": "/run"}
# Fields that only the bodies of one route have.
_OWN = {
    "/export": {"when_read_from", "when_read_to", "period"},
    "/": {"export_name", "date", "config"},
    "/run": {"client_name", "endpoints", "full"},
}
_ANSWERS: dict[str, Any] = {
    "status_code": 202,
    "response_model": Accepted,
    "responses": problems(400, 401, 403, 408, 413, 415, 503),
}
_log = logging.getLogger(__name__)


async def start(launcher: Launcher, launch: Launch) -> JSONResponse:
    """Answer 202 with the run, once Dataflow has its job.

    Raises: LaunchBusy, UsageError as the launcher does.
    """
    launched = await launcher.launch(launch)
    shown = {
        "run_id": launched.run_id,
        "status": launched.state,
        "job_id": launched.job_id,
        "job_name": launched.job_name,
        "attempt": launched.attempt,
        "is_new": launched.is_new,
    }
    what = "launched" if launched.is_new else "asked for again"
    _log.info("run %s %s: job %s", launched.run_id, what, launched.job_id, extra={"fields": shown})
    return JSONResponse(shown, 202, headers={"Location": f"/runs/{launched.run_id}"})


def router(config: LaunchConfig, launcher: Launcher) -> APIRouter:
    """The routes that launch."""
    made = APIRouter(tags=["launch"])

    def add(path: str, name: str, model: type[BaseModel], summary: str) -> None:
        async def launch(request: Request) -> JSONResponse:
            body, headers = await body_of(request), request.headers
            return await start(launcher, _asked(config, path, body, key_of(headers), _due(headers)))

        made.post(
            path,
            operation_id=name,
            summary=summary,
            description=model.__doc__ or "",
            openapi_extra=described(model, required=False),
            **_ANSWERS,
        )(launch)

    add("/export", "export", ExportBody, "Export a window to Avro files")
    add("/", "deliver", DeliveryBody, "Deliver exports to an SFTP server")
    add("/run", "fetch", FetchBody, "Fetch endpoints of an API")

    @made.post("/pubsub", summary="Do what a message of Pub/Sub asks for", openapi_extra=described(Push), **_ANSWERS)
    async def pubsub(request: Request) -> JSONResponse:
        """The message's data is one of the other bodies; `route` in it, or an attribute `route`, says which."""
        message = pushed(await body_of(request))
        body = message.document()
        route = body.pop("route", None) or message.attributes.get("route") or _route_of(config, body)
        if not isinstance(route, str) or route not in _ROUTES:
            raise Refusal(400, f"route: {str(route)[:40]!r} is none of {', '.join(_ROUTES)}", field="route")
        key = f"message {message.message_id}"
        return await start(launcher, _asked(config, route, body, key, message.publish_time))

    return made


def key_of(headers: Mapping[str, str]) -> str:
    """What a caller that repeats a request sends again with it; empty where there is no such thing.

    Raises: Refusal.
    """
    key = headers.get("idempotency-key", "")
    if not key and (time := headers.get("x-cloudscheduler-scheduletime")):
        key = f"schedule {headers.get('x-cloudscheduler-jobname', '')} {time}"
    if len(key) > LONGEST_KEY:
        raise Refusal(400, f"the header Idempotency-Key is longer than {LONGEST_KEY} characters")
    return key


def _due(headers: Mapping[str, str]) -> dt.datetime | None:
    """When Cloud Scheduler meant to send a request; None if it is not from there."""
    try:
        due = dt.datetime.fromisoformat(headers.get("x-cloudscheduler-scheduletime", ""))
    except ValueError:
        return None
    return due if due.tzinfo else due.replace(tzinfo=dt.UTC)


def _asked(config: LaunchConfig, route: str, body: Mapping[str, Any], key: str, at: dt.datetime | None) -> Launch:
    """`at` is when the request was made: delivered after midnight, or again next month, it asks for the same window."""
    try:
        return _ROUTES[route](config, body, now=at or dt.datetime.now(dt.UTC), key=key)
    except UsageError as error:
        raise Refusal.of(error) from error


def _route_of(config: LaunchConfig, body: Mapping[str, Any]) -> str:
    """The route whose body this can only be."""
    found = {route for route, fields in _OWN.items() if not fields.isdisjoint(body)}
    if not found:
        jobs = [job for job in config.jobs.values() if body.get("name") in (None, job.name)]
        found = {_OF_PIPELINE[job.pipeline] for job in jobs if job.pipeline in _OF_PIPELINE}
    if len(found) != 1:
        text = f"route: is missing: say in the data, or as an attribute, which of {', '.join(_ROUTES)} is meant"
        raise Refusal(400, text, field="route")
    return found.pop()
