"""Parameters of a job: the pipeline's flags as a template takes them, checked before anything is launched."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping

from wharf.model.avro_export import AvroExport
from wharf.model.errors import UsageError
from wharf.model.flags import nearest
from wharf.model.launching.pipelines import pipeline_named
from wharf.model.loading.settings import LoadSettings

WINDOW = ("when_read_from", "when_read_to", "period")  # of which a run has one


def checked(pipeline: str, parameters: Mapping[str, str], *, remote: bool = False) -> dict[str, str]:
    """`parameters` if they are flags of the pipeline's template and each value is allowed; without empty ones.

    `remote`: the work is done on other machines, which do not see this one's files.

    Raises: UsageError naming the flag.
    """
    flags = {flag.name: flag for flag in pipeline_named(pipeline).flags if flag.in_template}
    found = {}
    for name, value in parameters.items():
        if name not in flags:
            raise UsageError(f"--{name}: {pipeline} has no such parameter{nearest(name, flags)}")
        if value:
            found[name] = flags[name].check(value, remote=remote)
    return found


def overridden(own: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """A job's `own` parameters with those `given` in their place; one window takes the place of another one."""
    if not given.keys().isdisjoint(WINDOW):
        own = {name: value for name, value in own.items() if name not in WINDOW}
    return {**own, **given}


def complete(pipeline: str, parameters: Mapping[str, str], *, project: str, now: dt.datetime) -> AvroExport | None:
    """Make sure that checked `parameters` make a run, as the pipeline itself would; the export, where it is one.

    What a request adds to a job may be missing: a window, a date, the names of exports and endpoints. `now` is aware.

    Raises: UsageError.
    """
    values = {flag.name: flag.default for flag in pipeline_named(pipeline).flags} | dict(parameters)
    if pipeline == "bigquery_to_avro":
        return AvroExport.from_flags(values, project=project, now=now)
    if pipeline == "files_to_bigquery":
        LoadSettings.from_flags(values, project=project, state_table=None, now=now)
    elif not values["config"]:
        raise UsageError(f"--config is missing: the JSON file that says what {pipeline} does, gs://bucket/name")
    if values.get("date"):
        day(values["date"])
    return None


def with_input(pipeline: str, parameters: Mapping[str, str]) -> dict[str, str]:
    """`parameters`, and where they say below what files land and no more, that all that is complete there is loaded."""
    is_place_alone = pipeline == "files_to_bigquery" and parameters.keys().isdisjoint({"input", "subscription"})
    if is_place_alone and parameters.get("prefix"):
        return {**parameters, "input": f"{parameters['prefix'].rstrip('/')}/**"}
    return dict(parameters)


def day(text: str) -> dt.date:
    """A run's date.

    Raises: UsageError.
    """
    try:
        return dt.date.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"--date: {text!r} is not a date: write one like 2025-03-02") from error


def without_dashes(text: str) -> str:
    """What is said of flags, for people who wrote JSON."""
    return re.sub(r"--(?=[a-z])", "", text)
