"""What people, schedules and events ask for -> the `Launch` it means. Two ways to ask for one run are one `Launch`.

Errors name the field that is wrong.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Mapping
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from wharf.model.errors import UsageError
from wharf.model.flags import nearest
from wharf.model.json_document import kind
from wharf.model.launching.config import LaunchConfig
from wharf.model.launching.environment import Job
from wharf.model.launching.launch import Launch
from wharf.model.launching.parameters import WINDOW, checked, complete, day, overridden, with_input, without_dashes
from wharf.model.launching.pipelines import pipeline_named
from wharf.model.loading.flags import FLAGS as _LOAD_FLAGS
from wharf.model.loading.landing import fixed_prefix
from wharf.model.loading.notifications import FINALIZED, Notification
from wharf.model.windows import Window

_DEFAULT_JOB = "default"
_MARKER = next(flag.default for flag in _LOAD_FLAGS if flag.name == "success_file")

P = ParamSpec("P")
R = TypeVar("R")


def _about_fields(function: Callable[P, R]) -> Callable[P, R]:
    """Let what is said of a flag be said of the field of that name."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except UsageError as error:
            raise UsageError(without_dashes(str(error))) from error

    return call


def request_of(
    config: LaunchConfig,
    job_name: str,
    parameters: Mapping[str, str],
    *,
    now: dt.datetime,
    key: str = "",
    force: bool = False,
) -> Launch:
    """A run of the job `job_name`, with `parameters`, flags of its pipeline, before the job's own; `now` is aware.

    Raises: UsageError naming the flag.
    """
    job = config.job(job_name)
    asked = checked(job.pipeline, parameters, remote=True)
    defaults = {flag.name: flag.default for flag in pipeline_named(job.pipeline).flags}
    # What says no more than a default makes no other run of it.
    merged = {
        name: value
        for name, value in overridden(job.parameters, asked).items()
        if value not in (defaults[name], "", "false")
    }
    force = force or (asked.get("force") == "true")
    if "force" in asked:
        merged.pop("force", None)  # a forced run is the same run
    merged = with_input(job.pipeline, merged)
    export = complete(job.pipeline, merged, project=config.project, now=now)
    window = ""
    if export:
        window = canonical(export.window)
        merged.pop("period", None)
        merged |= {
            "when_read_from": export.window.start.isoformat(timespec="seconds"),
            "when_read_to": export.window.end.isoformat(timespec="seconds"),
        }
    elif merged.get("date"):
        window = f"{day(merged['date']):%Y%m%d}"
    return Launch(pipeline=job.pipeline, name=job.name, parameters=merged, window=window, key=key, force=force)


def canonical(window: Window) -> str:
    """`20250301-20250401`, `20250301T060000-20250301T120000`, with the zone behind it if that is not UTC."""
    edges = (window.start, window.end)
    form = "%Y%m%d" if all(edge.time() == dt.time() for edge in edges) else "%Y%m%dT%H%M%S"
    # strftime does not fill years before 1000 with zeros everywhere.
    text = "-".join(f"{edge.year:04}{edge.strftime(form.removeprefix('%Y'))}" for edge in edges)
    return text if window.time_zone == "UTC" else f"{text}-{window.time_zone}"


@_about_fields
def export_request(config: LaunchConfig, body: Mapping[str, Any], *, now: dt.datetime, key: str = "") -> Launch:
    """`{"when_read_from", "when_read_to"}`, `{"period"}`, or `{}` for the previous month; of bigquery_to_avro.

    `name` says which job where there are several; `force` repeats what is done.

    Raises: UsageError naming the field.
    """
    _only(body, {*WINDOW, "name", "force"})
    job = _job(config, "bigquery_to_avro", _text(body, "name"))
    parameters = {name: _text(body, name) for name in WINDOW}
    return request_of(config, job.name, parameters, now=now, key=key, force=_switch(body, "force"))


@_about_fields
def delivery_request(config: LaunchConfig, body: Mapping[str, Any], *, now: dt.datetime, key: str = "") -> Launch:
    """`{"export_name", "date"}`, or `{"config": "default"}` for what a job of that name delivers; bigquery_to_sftp.

    Raises: UsageError naming the field.
    """
    _only(body, {"export_name", "date", "config", "name", "force"})
    if body.get("config") and body.get("name"):
        raise UsageError("name: and config are two names for the job: keep one")
    job = _job(config, "bigquery_to_sftp", _text(body, "config") or _text(body, "name"), field="config")
    parameters = {name: _text(body, name) for name in ("export_name", "date")}
    if not parameters["export_name"] and not job.parameters.get("export_name"):
        raise UsageError("export_name: is missing: name exports, or all")
    return request_of(config, job.name, parameters, now=now, key=key, force=_switch(body, "force"))


@_about_fields
def fetch_request(config: LaunchConfig, body: Mapping[str, Any], *, now: dt.datetime, key: str = "") -> Launch:
    """`{"name"}` or `{"client_name"}`, where there are several jobs, and `endpoints`; of api_to_bigquery.

    `endpoints` is a list, or text with commas; `full` asks for everything.

    Raises: UsageError naming the field.
    """
    _only(body, {"name", "client_name", "endpoints", "full", "force"})
    name, client = _text(body, "name"), _text(body, "client_name")
    if client and not name:
        name = _job_of_client(config, client)
    job = _job(config, "api_to_bigquery", name)
    parameters = {"client_name": client, "endpoints": _names(body, "endpoints")}
    if "full" in body:
        parameters["full"] = str(_switch(body, "full")).lower()
    return request_of(config, job.name, parameters, now=now, key=key, force=_switch(body, "force"))


def storage_request(
    config: LaunchConfig, bucket: str, name: str, generation: str, *, now: dt.datetime
) -> Launch | None:
    """A load of exactly the batch that the object completes; None if it completes none of any job.

    The job is the one of files_to_bigquery with the longest prefix. An object's generation is loaded once, however
    often it is told of; a marker that is written anew is another one.
    """
    uri = f"gs://{bucket}/{name}"
    object_ = Notification(FINALIZED, uri, int(generation), None)
    found = [
        (prefix, job)
        for job in config.jobs.values()
        if (prefix := _prefix(job)) and object_.completes(prefix, job.parameters.get("success_file", _MARKER))
    ]
    if not found:
        return None
    prefix, job = max(found, key=lambda each: len(each[0]))
    pattern = "".join(f"[{letter}]" if letter in "*?[" else letter for letter in uri)
    return request_of(config, job.name, {"input": pattern, "prefix": prefix}, now=now, key=f"generation {generation}")


def _prefix(job: Job) -> str:
    """Below which a job loads what lands; empty if it does not, or reads notifications itself."""
    if job.pipeline != "files_to_bigquery" or job.parameters.get("subscription"):
        return ""
    prefix = job.parameters.get("prefix")
    return f"{prefix.rstrip('/')}/" if prefix else fixed_prefix(job.parameters["input"])


def _job(config: LaunchConfig, pipeline: str, name: str, field: str = "name") -> Job:
    """The job that is named; without a name the only one, or the one called default."""
    jobs = {job.name: job for job in config.jobs.values() if job.pipeline == pipeline}
    if not jobs:
        raise UsageError(f"{field}: {config.uri} has no job of {pipeline}")
    if not name:
        if len(jobs) > 1 and _DEFAULT_JOB not in jobs:
            raise UsageError(f"{field}: is missing: there are {', '.join(jobs)}")
        return jobs.get(_DEFAULT_JOB) or next(iter(jobs.values()))
    if name not in jobs:
        raise UsageError(f"{field}: there is no job {name!r} of {pipeline}{nearest(name, jobs)}")
    return jobs[name]


def _job_of_client(config: LaunchConfig, client: str) -> str:
    jobs = [job for job in config.jobs.values() if job.pipeline == "api_to_bigquery"]
    own = [job.name for job in jobs if job.parameters.get("client_name") == client]
    of_any = [job.name for job in jobs if not job.parameters.get("client_name")]
    for names in (own, of_any):
        if len(names) == 1:
            return names[0]
        if names:
            raise UsageError(f"name: is missing: {', '.join(names)} fetch for {client}")
    known = [job.parameters["client_name"] for job in jobs]
    raise UsageError(f"client_name: no job fetches for {client!r}{nearest(client, known)}")


def _only(body: Mapping[str, Any], known: Collection[str]) -> None:
    for name in body:
        if name not in known:
            raise UsageError(f"{name}: unknown field{nearest(name, known)}")


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise UsageError(f"{name}: must be text, not {kind(value)}")
    return value


def _names(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, list):
        return _text(body, name)
    if not all(isinstance(each, str) and each and "," not in each for each in value):
        raise UsageError(f"{name}: must be a list of names")
    return ",".join(value)


def _switch(body: Mapping[str, Any], name: str) -> bool:
    value = body.get(name, False)
    if not isinstance(value, bool):
        raise UsageError(f"{name}: must be true or false, not {kind(value)}")
    return value
