"""Dataflow's API v1b3: launching templates, asking what became of jobs, ending them.

https://cloud.google.com/dataflow/docs/reference/rest/v1b3/projects.locations.flexTemplates/launch
https://cloud.google.com/dataflow/docs/reference/rest/v1b3/projects.locations.jobs

A second active job of a name is refused at once, with 409, by flexTemplates:launch itself, as the job of a template is
there, JOB_STATE_QUEUED, before its launcher has started. jobs.list with a name tells of jobs that have ended, too.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from wharf.connectors.endpoints import Endpoints, proxy_for
from wharf.connectors.google_http import Answer, GoogleHttp
from wharf.model.launching.environment import Environment
from wharf.model.launching.errors import AlreadyRunning, LaunchBusy
from wharf.model.launching.record import CANCELLED, FAILED, SUCCESS

_PUBLIC = "https://dataflow.googleapis.com"
_LONGEST_ERROR = 2_000
_ENDS = {"DONE": SUCCESS, "DRAINED": SUCCESS, "FAILED": FAILED, "CANCELLED": CANCELLED, "UPDATED": CANCELLED}


@dataclass(frozen=True, kw_only=True)
class JobState:
    """A job at one moment; `state` is without JOB_STATE_, times are aware."""

    id: str
    name: str
    state: str
    created_at: dt.datetime
    changed_at: dt.datetime
    replaced_by: str = ""  # the job that an update of a streaming job made

    @property
    def end(self) -> str:
        """SUCCESS, FAILED or CANCELLED; empty while it is active."""
        return _ENDS.get(self.state, "")

    @property
    def is_active(self) -> bool:
        return not self.end


@dataclass(frozen=True, kw_only=True)
class JobMessage:
    """What a job says; `importance` is DEBUG, DETAILED, BASIC, WARNING or ERROR."""

    time: dt.datetime
    text: str
    importance: str


def launch_parameter(
    template: str, job_name: str, parameters: Mapping[str, str], environment: Environment
) -> dict[str, Any]:
    """The launch of a template as the API writes it."""
    return {
        "jobName": job_name,
        "containerSpecGcsPath": template,
        "parameters": dict(parameters),
        "environment": environment.as_request,
    }


class Dataflow:
    """The jobs of a project in a region. Everything raises LaunchBusy where asking again may help."""

    def __init__(self, http: GoogleHttp, endpoints: Endpoints, project: str, region: str) -> None:
        self._http = http
        self._url = f"{endpoints.dataflow or _PUBLIC}/v1b3/projects/{project}/locations/{region}"
        self._options: dict[str, Any] = {"anonymous": bool(endpoints.dataflow), "proxy": proxy_for(self._url)}
        self._remedies = {
            400: "mend the parameters, or publish the template anew",
            403: "grant roles/dataflow.developer to the account that launches, and roles/iam.serviceAccountUser on "
            "the workers' account, and enable the Dataflow API",
            404: f"are project {project}, region {region} and the name right?",
        }

    async def launch_template(
        self, template: str, job_name: str, parameters: Mapping[str, str], environment: Environment
    ) -> str:
        """Make a job of the template at `template`, gs://...; returns its id.

        Raises: AlreadyRunning if there is an active job of that name. LaunchBusy; the job may have been made all the
        same. UsageError for what a person must mend.
        """
        launch = {"launchParameter": launch_parameter(template, job_name, parameters, environment)}
        answer = await self._send("POST", "/flexTemplates:launch", data=orjson.dumps(launch))
        if answer.status == 409:
            raise AlreadyRunning(f"Dataflow has an active job {job_name} already")
        document = self._sound(answer, f"the template {template}")
        try:
            return str(document["job"]["id"])
        except (KeyError, TypeError):
            raise LaunchBusy(f"Dataflow answered without a job's id to the launch of {job_name}; try again") from None

    async def jobs_named(self, name: str) -> list[JobState]:
        """All jobs of a name, active or not, newest first."""
        found: list[JobState] = []
        params = {"name": name}
        while True:
            document = self._sound(await self._send("GET", "/jobs", params=params), f"jobs named {name}")
            found += [_job(each) for each in document.get("jobs", []) if each.get("name") == name]
            if not document.get("nextPageToken"):
                return sorted(found, key=lambda job: job.created_at, reverse=True)
            params["pageToken"] = document["nextPageToken"]

    async def job(self, job_id: str) -> JobState | None:
        """A job, or the one that an update put in its place; None if Dataflow does not know it (any more)."""
        answer = await self._send("GET", f"/jobs/{job_id}")
        if answer.status == 404:
            return None
        job = _job(self._sound(answer, f"job {job_id}"))
        return await self.job(job.replaced_by) if job.replaced_by else job

    async def messages(
        self, job_id: str, since: dt.datetime | None = None, importance: str = "BASIC"
    ) -> list[JobMessage]:
        """What a job said after `since`, oldest first; of at least `importance`."""
        found: list[JobMessage] = []
        params = {"minimumImportance": f"JOB_MESSAGE_{importance}"}
        if since:
            params["startTime"] = since.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")
        while True:
            answer = await self._send("GET", f"/jobs/{job_id}/messages", params=params)
            document = self._sound(answer, f"messages of job {job_id}")
            found += map(_message, document.get("jobMessages", []))
            if not document.get("nextPageToken"):
                return [message for message in found if not since or message.time > since]
            params["pageToken"] = document["nextPageToken"]

    async def failure(self, job_id: str) -> str:
        """The last error a job told of, on one line; empty if it told of none."""
        errors = await self.messages(job_id, importance="ERROR")
        return " ".join(errors[-1].text.split())[:_LONGEST_ERROR] if errors else ""

    async def cancel(self, job_id: str, *, drain: bool = False) -> None:
        """End a job; `drain`: a streaming job handles first what it has read. One that has ended is left alone.

        Raises: UsageError if there is no such job, or it cannot be drained.
        """
        state = "JOB_STATE_DRAINED" if drain else "JOB_STATE_CANCELLED"
        answer = await self._send("PUT", f"/jobs/{job_id}", data=orjson.dumps({"requestedState": state}))
        if answer.status == 400 and (job := await self.job(job_id)) and not job.is_active:
            return
        self._sound(answer, f"job {job_id}")

    async def _send(self, method: str, path: str, **options: Any) -> Answer:
        return await self._http.send(method, self._url + path, **options, **self._options)

    def _sound(self, answer: Answer, what: str) -> dict[str, Any]:
        """The document of an answer that is no refusal."""
        return answer.sound(f"{what}: Dataflow", self._remedies).document


def _job(document: Mapping[str, Any]) -> JobState:
    created = document.get("createTime", "1970-01-01T00:00:00Z")
    return JobState(
        id=document["id"],
        name=document["name"],
        state=document.get("currentState", "JOB_STATE_UNKNOWN").removeprefix("JOB_STATE_"),
        created_at=dt.datetime.fromisoformat(created),
        changed_at=dt.datetime.fromisoformat(document.get("currentStateTime", created)),
        replaced_by=document.get("replacedByJobId", ""),
    )


def _message(document: Mapping[str, Any]) -> JobMessage:
    return JobMessage(
        time=dt.datetime.fromisoformat(document["time"]),
        text=document.get("messageText", ""),
        importance=document.get("messageImportance", "").removeprefix("JOB_MESSAGE_"),
    )
