"""The `jobs` of a launch configuration: each a pipeline and values of its flags."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

from wharf.model.config_mistakes import Findings
from wharf.model.errors import UsageError
from wharf.model.flags import nearest
from wharf.model.json_document import Place, kind
from wharf.model.launching import document as written
from wharf.model.launching.environment import Environment, Job
from wharf.model.launching.parameters import checked, complete, with_input, without_dashes
from wharf.model.launching.pipelines import PIPELINES

_SOME_DAY = dt.datetime(2025, 3, 15, tzinfo=dt.UTC)


def jobs_of(data: Any, common: Environment, project: str, findings: Findings) -> dict[str, Job]:
    """The jobs in `data`, what was written as `jobs`, by their names."""
    place: Place = ("jobs",)
    if not data and findings.sound((), "jobs"):
        findings.wrong(place, 'is missing: what can be launched, such as {"orders": {"pipeline": ...}}')
        return {}
    if not isinstance(data, dict):
        findings.wrong(place, f"must be an object, not {kind(data)}")
        return {}
    return {name: _job(name, each, common, project, findings) for name, each in data.items()}


def environment_of(document: written.Environment, place: Place, common: Environment, findings: Findings) -> Environment:
    """`common` with what stands at `place`."""
    for label, value in document.labels.items():
        for text, pattern in ((label, written.LABEL), (value, written.LABEL_VALUE)):
            if not re.fullmatch(pattern, text):
                findings.wrong(
                    (*place, "labels", label),
                    f"{text[:70]!r} is no label: write up to 63 lower-case letters, digits, hyphens and underscores",
                )
    return common.with_changes(document)


def _job(name: str, data: Any, common: Environment, project: str, findings: Findings) -> Job:
    place: Place = ("jobs", name)
    if not re.fullmatch(written.JOB_NAME, name):
        findings.wrong(
            place, "is no name of a job: write up to 40 lower-case letters, digits and hyphens, a letter first"
        )
    document = findings.check(data, written.Job, place)
    if not document.pipeline and findings.sound(place, "pipeline"):
        findings.wrong((*place, "pipeline"), f"is missing: one of {', '.join(PIPELINES)}")
    job = Job(
        name=name,
        pipeline=document.pipeline or "",
        parameters={key: _text(value) for key, value in document.parameters.items()},
        environment=environment_of(document.environment, (*place, "environment"), common, findings),
    )
    if job.pipeline:
        _check_parameters(job, (*place, "parameters"), project, findings)
    return job


def _text(value: str | bool | int) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _check_parameters(job: Job, place: Place, project: str, findings: Findings) -> None:
    known = {flag.name for flag in PIPELINES[job.pipeline].flags if flag.in_template}
    for key, value in job.parameters.items():
        if key not in known:
            findings.wrong((*place, key), f"is no parameter of {job.pipeline}{nearest(key, known)}")
            continue
        try:
            checked(job.pipeline, {key: value}, remote=True)
        except UsageError as error:
            findings.wrong((*place, key), without_dashes(str(error)).removeprefix(f"{key}: "))
    if project and findings.sound(place[:-1], "parameters"):
        try:
            complete(job.pipeline, with_input(job.pipeline, job.parameters), project=project, now=_SOME_DAY)
        except UsageError as error:
            findings.wrong(place, without_dashes(str(error)))
