"""Events: files that landed, jobs that ended."""

from __future__ import annotations

import datetime as dt
import logging
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from wharf.connectors.launcher import Launcher
from wharf.launch.service.bodies import Accepted, Event, Noted, described, problems
from wharf.launch.service.endings import Endings
from wharf.launch.service.events import event_of, job_of, object_of
from wharf.launch.service.launching import start
from wharf.launch.service.messages import body_of
from wharf.launch.service.problems import Refusal
from wharf.model.errors import UsageError
from wharf.model.launching.config import LaunchConfig
from wharf.model.launching.requests import storage_request

_ANSWERS: dict[str, Any] = {
    "response_model": Noted,
    "responses": problems(400, 401, 403, 408, 413, 415, 503),
    "openapi_extra": described(Event),
}
_log = logging.getLogger(__name__)


def router(config: LaunchConfig, launcher: Launcher, endings: Endings) -> APIRouter:
    """The routes that take events in. One that is of no concern is answered 200, so that it does not come again."""
    made = APIRouter(prefix="/events", tags=["events"])
    accepted = {202: {"model": Accepted, "description": "A load was launched"}}
    answers = _ANSWERS | {"responses": accepted | _ANSWERS["responses"]}

    @made.post("/storage", summary="Launch the load of a batch of files that is complete", **answers)
    async def storage(request: Request) -> JSONResponse:
        """A finalized object, as Eventarc or a notification of Cloud Storage through Pub/Sub tells of it."""
        found = object_of(event_of(request.headers, await body_of(request)))
        if not found:
            return _noted("this tells of no object that was finalized")
        try:
            launch = storage_request(config, *found, now=dt.datetime.now(dt.UTC))
        except UsageError as error:
            raise Refusal(400, str(error)) from error
        if not launch:
            return _noted(f"no job waits for gs://{found.bucket}/{found.name}")
        return await start(launcher, launch)

    @made.post("/dataflow", summary="Record how a job ended, and tell people of one that died", **_ANSWERS)
    async def dataflow(request: Request) -> JSONResponse:
        """A job's change of state, as Eventarc tells of it, or the same in a push of Pub/Sub."""
        job = job_of(event_of(request.headers, await body_of(request)))
        if not job:
            return _noted("this tells of no job")
        result = await endings.take_in(job)
        _log.info("%s", result, extra={"fields": job._asdict()})
        return _noted(result)

    return made


def _noted(result: str) -> JSONResponse:
    return JSONResponse({"result": result})
