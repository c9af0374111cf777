"""A stand-in for Dataflow's API v1b3: a real HTTP server that takes jobs and runs none.

    with DataflowApi() as api:
        ...                                     # DATAFLOW_EMULATOR_HOST=api.url
        api.end(api.jobs[0].id, "JOB_STATE_FAILED", "what the job says")

    POST /v1b3/projects/P/locations/R/flexTemplates:launch     a Flex Template's job
    POST /v1b3/projects/P/locations/R/jobs                     a job as DataflowRunner posts it, its body kept whole
    GET  /v1b3/projects/P/locations/R/jobs?name=&filter=       newest first
    GET  /v1b3/projects/P/locations/R/jobs/ID                  PUT with requestedState cancels or drains
    GET  /v1b3/projects/P/locations/R/jobs/ID/messages         and /metrics: none

A second active job of a name is refused with 409, as Dataflow does; with `refuses_duplicates=False` it is taken and
fails, which is what happens when only the launcher finds out. Faults are of launches and posted jobs: `fail(status)`,
`drop()`; `before_launch` and `after_launch` run in the server's thread around the moment that makes a job.

`python -m tests.servers.dataflow_api --port 9070 --latency-ms 20` serves until interrupted.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web

from tests.servers.google_api import GoogleApi, json_answer

ENDED = {f"JOB_STATE_{state}" for state in ("DONE", "FAILED", "CANCELLED", "UPDATED", "DRAINED")}
_IMPORTANCE = [f"JOB_MESSAGE_{name}" for name in ("DEBUG", "DETAILED", "BASIC", "WARNING", "ERROR")]
_ASKED_FOR = {"JOB_STATE_DONE", "JOB_STATE_CANCELLED", "JOB_STATE_DRAINED"}


@dataclass
class Job:
    """A job that was taken; `asked` is the launchParameter of a template, or the whole job that was posted."""

    id: str
    name: str
    project: str
    region: str
    kind: str  # BATCH or STREAMING
    asked: dict[str, Any]
    state: str = "JOB_STATE_QUEUED"
    created_at: str = field(default_factory=lambda: _now())
    changed_at: str = field(default_factory=lambda: _now())
    messages: list[dict[str, str]] = field(default_factory=list)
    replaced_by: str = ""  # the job that an update put in its place

    @property
    def is_active(self) -> bool:
        return self.state not in ENDED

    @property
    def document(self) -> dict[str, Any]:
        """As the API shows it."""
        replaced = {"replacedByJobId": self.replaced_by} if self.replaced_by else {}
        return replaced | {
            "id": self.id,
            "projectId": self.project,
            "name": self.name,
            "type": f"JOB_TYPE_{self.kind}",
            "currentState": self.state,
            "currentStateTime": self.changed_at,
            "createTime": self.created_at,
            "startTime": self.created_at,
            "location": self.region,
        }


@dataclass
class Fault:
    """What becomes of one launch. `status` 0 breaks the connection; `is_made`: after the job was made."""

    status: int
    message: str = ""
    retry_after: str = ""
    is_made: bool = False


class DataflowApi(GoogleApi):
    """A stand-in for Dataflow's API."""

    def __init__(self, *, port: int = 0, latency: float = 0.0, refuses_duplicates: bool = True) -> None:
        super().__init__(port=port, latency=latency)
        self.refuses_duplicates = refuses_duplicates
        self.jobs: list[Job] = []  # in the order they were made
        self.page_size = 100
        self.before_launch: Callable[[], None] = _nothing
        self.after_launch: Callable[[], None] = _nothing
        self._faults: deque[Fault] = deque()
        self._by_id: dict[str, Job] = {}
        self._active: dict[str, Job] = {}  # by name
        self._count = itertools.count(1)

    @property
    def launches(self) -> int:
        """How many requests there were that would have made a job."""
        return sum(request.startswith("POST") for request in self.requests)

    def fail(self, status: int, *, times: int = 1, message: str = "", retry_after: str = "") -> None:
        """Answer the next `times` launches with `status`."""
        self._faults.extend([Fault(status, message, retry_after)] * times)

    def fail_once_made(self, status: int, *, times: int = 1) -> None:
        """Make the jobs of the next `times` launches, and answer `status` all the same."""
        self._faults.extend([Fault(status, is_made=True)] * times)

    def drop(self, *, times: int = 1, is_made: bool = True) -> None:
        """Break the connection of the next `times` launches, after their jobs were made, or before."""
        self._faults.extend([Fault(0, is_made=is_made)] * times)

    def run(self, job_id: str) -> None:
        """The job's workers have started."""
        self._set(self._by_id[job_id], "JOB_STATE_RUNNING")

    def end(self, job_id: str, state: str = "JOB_STATE_DONE", message: str = "") -> None:
        """The job ends as `state`; `message` is an error it tells of."""
        if message:
            self.say(job_id, message, "JOB_MESSAGE_ERROR")
        self._set(self._by_id[job_id], state)

    def say(self, job_id: str, text: str, importance: str = "JOB_MESSAGE_BASIC") -> None:
        """Add to the job's messages."""
        self._by_id[job_id].messages.append({"time": _now(), "messageText": text, "messageImportance": importance})

    def named(self, name: str) -> list[Job]:
        return [job for job in self.jobs if job.name == name]

    def _set(self, job: Job, state: str) -> None:
        job.state, job.changed_at = state, _now()
        if not job.is_active and self._active.get(job.name) is job:
            del self._active[job.name]

    async def _launch(self, request: web.Request) -> web.StreamResponse:
        asked = (await _body(request))["launchParameter"]
        wrong = not asked.get("jobName") or not asked.get("containerSpecGcsPath", "").startswith("gs://")
        if wrong:
            return _error(400, "INVALID_ARGUMENT", "the launch parameter needs jobName and containerSpecGcsPath")
        return await self._take(request, asked["jobName"], "BATCH", asked, wrap=True)

    async def _post(self, request: web.Request) -> web.StreamResponse:
        asked = await _body(request)
        kind = str(asked.get("type", "")).removeprefix("JOB_TYPE_")
        kind = {"1": "BATCH", "2": "STREAMING"}.get(kind, kind) or "BATCH"  # Beam's client sends numbers
        return await self._take(request, asked["name"], kind, asked, wrap=False)

    async def _take(
        self, request: web.Request, name: str, kind: str, asked: dict[str, Any], *, wrap: bool
    ) -> web.StreamResponse:
        fault = self._faults.popleft() if self._faults else None
        if fault and not fault.is_made:
            return self._refuse(request, fault)
        self.before_launch()
        former = self._active.get(name)
        if former and self.refuses_duplicates:
            text = f"There is already an active job named {name}. If you want to submit a second job, try again by "
            return _error(409, "ALREADY_EXISTS", f"(78f666ea16e50f79): {text}setting a different name.")
        moment = dt.datetime.now(dt.UTC)
        identity = f"{moment:%Y-%m-%d_%H_%M_%S}-{next(self._count):019d}"
        job = Job(identity, name, request.match_info["project"], request.match_info["region"], kind, asked)
        self.jobs.append(job)
        self._by_id[identity] = job
        if former:
            self.end(identity, "JOB_STATE_FAILED", f"There is already an active job named {name}.")
        else:
            self._active[name] = job
        self.after_launch()
        if fault:
            return self._refuse(request, fault)
        return json_answer({"job": job.document} if wrap else job.document)

    def _refuse(self, request: web.Request, fault: Fault) -> web.StreamResponse:
        if not fault.status:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        words = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND"}
        words |= {429: "RESOURCE_EXHAUSTED", 503: "UNAVAILABLE"}
        refusal = _error(fault.status, words.get(fault.status, "INTERNAL"), fault.message or "as the test asked")
        if fault.retry_after:
            refusal.headers["Retry-After"] = fault.retry_after
        return refusal

    async def _list(self, request: web.Request) -> web.StreamResponse:
        name, kind = request.query.get("name"), request.query.get("filter", "ALL")
        found: Sequence[Job] = self.named(name) if name else self.jobs
        wanted = [
            job.document for job in reversed(found) if kind in {"ALL", "UNKNOWN"} or job.is_active == (kind == "ACTIVE")
        ]
        start, size = int(request.query.get("pageToken", 0)), int(request.query.get("pageSize", self.page_size))
        page: dict[str, Any] = {"jobs": wanted[start : start + size]} if wanted else {}
        if start + size < len(wanted):
            page["nextPageToken"] = str(start + size)
        return json_answer(page)

    async def _get(self, request: web.Request) -> web.StreamResponse:
        job = self._by_id.get(request.match_info["job"])
        return json_answer(job.document) if job else _unknown(request)

    async def _put(self, request: web.Request) -> web.StreamResponse:
        job = self._by_id.get(request.match_info["job"])
        if not job:
            return _unknown(request)
        wanted = (await _body(request)).get("requestedState")
        if wanted not in _ASKED_FOR or not job.is_active:
            return _error(400, "FAILED_PRECONDITION", f"job {job.id} in {job.state} cannot become {wanted}")
        self._set(job, wanted)
        return json_answer(job.document)

    async def _messages(self, request: web.Request) -> web.StreamResponse:
        job = self._by_id.get(request.match_info["job"])
        if not job:
            return _unknown(request)
        since = request.query.get("startTime", "")
        least = _IMPORTANCE.index(request.query.get("minimumImportance", _IMPORTANCE[0]))
        found = [
            message
            for message in job.messages
            if message["time"] >= since and _IMPORTANCE.index(message["messageImportance"]) >= least
        ]
        return json_answer({"jobMessages": found} if found else {})

    async def _metrics(self, request: web.Request) -> web.StreamResponse:
        return json_answer({"metricTime": _now(), "metrics": []})

    def routes(self) -> list[web.RouteDef]:
        place = "/v1b3/projects/{project}/locations/{region}"
        return [
            web.post(place + "/flexTemplates:launch", self._launch),
            web.post(place + "/jobs", self._post),
            web.get(place + "/jobs", self._list),
            web.get(place + "/jobs/{job}", self._get),
            web.put(place + "/jobs/{job}", self._put),
            web.get(place + "/jobs/{job}/messages", self._messages),
            web.get(place + "/jobs/{job}/metrics", self._metrics),
        ]


async def _body(request: web.Request) -> dict[str, Any]:
    document: dict[str, Any] = orjson.loads(await request.read())
    return document


def _error(code: int, status: str, message: str) -> web.Response:
    return json_answer({"error": {"code": code, "message": message, "status": status}}, code)


def _unknown(request: web.Request) -> web.Response:
    return _error(404, "NOT_FOUND", f"Information about job {request.match_info['job']} could not be found.")


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _nothing() -> None:
    pass


if __name__ == "__main__":
    DataflowApi.main(9070)
