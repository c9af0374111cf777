"""What `wharf run`, `plan` and `backfill` are asked for: a pipeline or a job, where, with which flags."""

from __future__ import annotations

import argparse
import datetime as dt
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from wharf.launch.launch_config import add_launch_config, named_launch_config
from wharf.launch.parser import Parser, add_command, refuse
from wharf.model.errors import UsageError

if TYPE_CHECKING:
    from wharf.connectors.endpoints import Endpoints
    from wharf.model.launching.config import LaunchConfig
    from wharf.model.launching.launch import Launch
    from wharf.model.launching.pipelines import Pipeline

LOCAL, DATAFLOW = "local", "dataflow"
_ANY_JOB = "JOB"


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """A run that somebody asks for. `parameters` are what was given, before those that a job has in `config`."""

    pipeline: Pipeline
    job: str  # its name in `config`; empty: the pipeline as it is
    target: str
    parameters: Mapping[str, str]
    beam: tuple[str, ...]  # words that are no flag of the pipeline
    config: LaunchConfig | None
    endpoints: Endpoints

    @property
    def all_parameters(self) -> dict[str, str]:
        """What was given, and what the job says."""
        from wharf.model.launching.parameters import overridden, with_input

        if not (self.config and self.job):
            return dict(self.parameters)
        merged = overridden(self.config.job(self.job).parameters, self.parameters)
        return with_input(self.pipeline.name, merged)  # as the launcher completes the job

    @property
    def values(self) -> dict[str, str]:
        """The value of every flag of the pipeline."""
        return {flag.name: flag.default for flag in self.pipeline.flags} | self.all_parameters

    @property
    def project(self) -> str | None:
        """Who pays: Beam's --project, or the launch configuration."""
        parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
        parser.add_argument("--project", default=self.config.project if self.config else None)
        project: str | None = parser.parse_known_args(self.beam)[0].project
        return project

    @property
    def words(self) -> list[str]:
        """The command line of the pipeline's own main."""
        flags = [f"--{name}={value}" for name, value in self.all_parameters.items() if value]
        pays = [f"--project={self.config.project}"] if self.config else []
        return [*flags, *pays, *self.beam]  # of two --project the last counts

    def with_parameters(self, parameters: Mapping[str, str]) -> RunRequest:
        """The same with further parameters."""
        return replace(self, parameters={**self.parameters, **parameters})

    def launch(self) -> Launch:
        """The request for a job on Dataflow.

        Raises: UsageError.
        """
        from wharf.model.launching.requests import request_of

        return request_of(self.launch_config, self._launch_name, self.parameters, now=dt.datetime.now(dt.UTC))

    @property
    def _launch_name(self) -> str:
        """What the run is called among launches: the job, or the pipeline."""
        return self.job or self.pipeline.name.replace("_", "-")

    @property
    def launch_config(self) -> LaunchConfig:
        """The launch configuration, with a job of the pipeline where none of its own is asked for."""
        from wharf.model.launching.environment import Job

        assert self.config
        if self.job:
            return self.config
        job = Job(
            name=self._launch_name, pipeline=self.pipeline.name, parameters={}, environment=self.config.environment
        )
        return replace(self.config, jobs={**self.config.jobs, job.name: job})


def add_pipelines(
    command: Parser,
    run: Callable[[argparse.Namespace], int],
    options: Callable[[Parser], None],
    *,
    only: Collection[str] = (),
    leave_out: Collection[str] = (),
    commands: Any = None,
) -> None:
    """Add to a command one for each pipeline, `only` those that are named, and one for all other names: jobs.

    `options` adds what is the command's own; `leave_out` are flags that it takes care of itself.
    """
    from wharf.model.flags import add_flags
    from wharf.model.launching.pipelines import PIPELINES

    commands = commands or command.add_subparsers(noun="pipeline or job", dest="name")
    for pipeline in PIPELINES.values():
        if only and pipeline.name not in only:
            continue
        summary = f"{pipeline.summary[0].lower()}{pipeline.summary[1:]}"
        usage = f"{command.prog} {pipeline.name} [options] [flags] [Beam's options]"
        leaf = add_command(commands, pipeline.name, run, summary, usage=usage)
        options(leaf)
        flags = [flag for flag in pipeline.flags if flag.name not in leave_out]
        add_flags(leaf.add_argument_group(f"flags of {pipeline.name}"), flags, given_only=True)
        leaf.set_defaults(rest=[])
    job = add_command(
        commands,
        _ANY_JOB,
        run,
        "a job of the launch configuration, by its name; flags replace its parameters",
        usage=f"{command.prog} {_ANY_JOB} [options] [flags of the job's pipeline] [Beam's options]",
    )
    options(job)
    job.set_defaults(rest=[])
    command.accept_any_name(job)


def add_target(command: Parser) -> None:
    """The options that say where a run is to be."""
    command.add_argument(
        "--target", choices=(LOCAL, DATAFLOW), default=LOCAL, help="run in this process (default), or as a template"
    )
    add_launch_config(command)


def requested(arguments: argparse.Namespace) -> RunRequest:
    """What a command line asks for.

    Raises: UsageError.
    """
    from wharf.connectors.endpoints import Endpoints
    from wharf.model.flags import nearest
    from wharf.model.launching.parameters import checked
    from wharf.model.launching.pipelines import PIPELINES

    name, on_dataflow = arguments.name, arguments.target == DATAFLOW
    is_job = name not in PIPELINES
    config = named_launch_config(arguments, Endpoints.resolve()) if is_job or on_dataflow else None
    if is_job and (not config or name not in config.jobs):
        known = [*PIPELINES, *(config.jobs if config else ())]
        raise UsageError(
            f"there is no pipeline {name!r}{nearest(name, known)}; "
            + (
                f"{config.uri} has the jobs {', '.join(config.jobs)}"
                if config
                else "for a job of a launch configuration name it with --launch_config, or set WHARF_LAUNCH_CONFIG"
            )
        )
    if on_dataflow and not config:
        raise UsageError(
            f"--target {DATAFLOW} needs --launch_config FILE, or WHARF_LAUNCH_CONFIG: it says project, region and "
            "where the templates are"
        )
    pipeline = PIPELINES[config.jobs[name].pipeline if config and is_job else name]
    given, beam = _flags(pipeline, arguments)
    if "plan" in given:
        raise UsageError("--plan: `wharf plan` with the same words shows what a run would do")
    parameters = checked(pipeline.name, given)
    if on_dataflow and beam:
        refuse(arguments.parser, beam, [flag.name for flag in pipeline.flags])
    endpoints = Endpoints.resolve(
        bigquery=parameters.get("bigquery_endpoint") or None,
        bigquery_storage=parameters.get("bigquery_storage_endpoint") or None,
    )
    return RunRequest(
        pipeline=pipeline,
        job=name if is_job else "",
        target=arguments.target,
        parameters=parameters,
        beam=tuple(beam),
        config=config,
        endpoints=endpoints,
    )


def _flags(pipeline: Pipeline, arguments: argparse.Namespace) -> tuple[dict[str, str], list[str]]:
    """The flags of a pipeline that are given, those that no command declares among them, and the other words."""
    from wharf.model.flags import add_flags

    parser = Parser(prog=arguments.parser.prog, add_help=False)
    add_flags(parser, pipeline.flags, given_only=True)
    found, beam = parser.parse_known_args(arguments.rest)
    given = vars(arguments) | vars(found)
    return {flag.name: given[flag.name] for flag in pipeline.flags if flag.name in given}, beam
