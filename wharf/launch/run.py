"""`wharf run` and `wharf plan`: a pipeline, or a job of the launch configuration, here or on Dataflow."""

from __future__ import annotations

import argparse
import datetime as dt
import importlib
import io
import json
import sys
from collections.abc import Sequence
from contextlib import nullcontext, redirect_stdout
from typing import TYPE_CHECKING, Any

from wharf.launch.asked import DATAFLOW, Asked, add_pipelines, add_target, asked
from wharf.launch.parser import Parser, add_group
from wharf.launch.progress import say
from wharf.launch.resolved import Resolved, resolve
from wharf.model.errors import UsageError

if TYPE_CHECKING:
    from wharf.model.launching.runs import Run

_PLAN = ("plan",)  # the flag of every pipeline that `wharf plan` stands for


def register(commands: Any) -> None:
    """Add `run` and `plan` to the commands of a parser."""
    add_group(
        commands,
        "run",
        "run a pipeline, or a job of the launch configuration, here or on Dataflow",
        usage="wharf run PIPELINE|JOB [options] [flags] [Beam's options]",
        fill=lambda parser: add_pipelines(parser, _run, _add_run_options, leave_out=_PLAN),
        examples=(
            "wharf run bigquery_to_avro --source_table my-project.metering.measurements --period 202503 \\",
            "    --output gs://my-bucket/events",
            "wharf run measurements --period 202503 --target dataflow --launch_config prod.json",
            "wharf run bigquery_to_avro --help           # all its flags",
        ),
    )
    add_group(
        commands,
        "plan",
        "show what `wharf run` with the same words would do, and write nothing",
        usage="wharf plan PIPELINE|JOB [options] [flags] [Beam's options]",
        fill=lambda parser: add_pipelines(parser, _plan, _add_plan_options, leave_out=_PLAN),
        examples=("wharf plan measurements --period 202503 --target dataflow --launch_config prod.json",),
    )


def _add_run_options(leaf: Parser) -> None:
    add_target(leaf)
    leaf.add_argument("--detach", action="store_true", help="with --target dataflow: return when the job is launched")
    leaf.add_argument("--json", action="store_true", help="print the result as JSON; everything else goes to stderr")


def _add_plan_options(leaf: Parser) -> None:
    add_target(leaf)
    leaf.add_argument("--json", action="store_true", help="print the plan as JSON")


def _run(arguments: argparse.Namespace) -> int:
    if arguments.detach and arguments.target != DATAFLOW:
        raise UsageError("--detach goes with --target dataflow: a local run ends with the command")
    wanted = resolve(asked(arguments))
    say(wanted.text)
    if arguments.target == DATAFLOW:
        from wharf.launch.run_on_dataflow import run_on_dataflow

        return run_on_dataflow(wanted.asked, detach=arguments.detach, as_json=arguments.json)
    began = dt.datetime.now(dt.UTC)
    with redirect_stdout(sys.stderr) if arguments.json else nullcontext():
        code = _main(wanted.asked, wanted.asked.words)
    if arguments.json:
        runs = _runs_of_this_process(wanted, began)
        print_result({**wanted.facts, "exit_code": code}, runs)
    return code


def _plan(arguments: argparse.Namespace) -> int:
    request = asked(arguments)
    wanted = resolve(request)
    document = wanted.facts
    if request.target == DATAFLOW:
        from wharf.launch.run_on_dataflow import launch_request

        document["request"] = launch_request(request)
    if not arguments.json:
        print(wanted.text)
        if "request" in document:
            print(f"request     {json.dumps(document['request'], indent=2)}")
        print(flush=True)
        return _main(request, [*request.words, "--plan"])
    said = io.StringIO()
    with redirect_stdout(said):
        code = _main(request, [*request.words, "--plan"])
    print(json.dumps({**document, "plan": said.getvalue().splitlines()}, indent=2))
    return code


def print_result(facts: dict[str, Any], runs: Sequence[Run]) -> None:
    """How a run ended, for programs."""
    from wharf.launch.status import run_facts

    print(json.dumps({**facts, "runs": [run_facts(run) for run in runs]}, indent=2, default=str))


def _main(request: Asked, words: Sequence[str]) -> int:
    code: int = importlib.import_module(request.pipeline.module).main(list(words))  # by name: only this needs Beam
    return code


def _runs_of_this_process(wanted: Resolved, began: dt.datetime) -> list[Run]:
    """What is recorded since `began`; batches of files do not say which process loads them."""
    from wharf.connectors import machine
    from wharf.connectors.run_history import RunHistory

    client = wanted.asked.endpoints.bigquery_client(wanted.project)
    name = wanted.asked.pipeline.name
    found = RunHistory(client, wanted.tables).runs(pipeline=name, since=began.date())
    own = {machine.process()} if name != "files_to_bigquery" else {run.job_id for run in found}
    return [run for run in found if run.started_at >= began and run.job_id in own]
