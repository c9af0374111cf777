"""`wharf run` and `wharf plan`: a pipeline, or a job of the launch configuration, here or on Dataflow."""

from __future__ import annotations

import argparse
import datetime as dt
import io
import json
import sys
from contextlib import nullcontext, redirect_stdout
from typing import TYPE_CHECKING, Any

from wharf.launch.output import print_result, say
from wharf.launch.parser import Parser, add_group
from wharf.launch.running.in_process import run_in_process
from wharf.launch.running.preflight import Preflight, preflight
from wharf.launch.running.request import DATAFLOW, add_pipelines, add_target, requested
from wharf.launch.running.unknown_flags import unknown_flags_first
from wharf.model.errors import UsageError

if TYPE_CHECKING:
    from wharf.model.history.runs import Run

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
    with unknown_flags_first(arguments):
        if arguments.detach and arguments.target != DATAFLOW:
            raise UsageError("--detach goes with --target dataflow: a local run ends with the command")
        request = requested(arguments)
        checked = preflight(request)
    say(checked.text)
    if arguments.target == DATAFLOW:
        from wharf.launch.running.on_dataflow import run_on_dataflow

        return run_on_dataflow(request, detach=arguments.detach, as_json=arguments.json)
    began = dt.datetime.now(dt.UTC)
    with redirect_stdout(sys.stderr) if arguments.json else nullcontext():
        code = run_in_process(request.pipeline.name, request.words)
    if arguments.json:
        print_result({**checked.facts, "exit_code": code}, _runs_of_this_process(checked, began))
    return code


def _plan(arguments: argparse.Namespace) -> int:
    with unknown_flags_first(arguments):
        request = requested(arguments)
        checked = preflight(request)
    facts, words = checked.facts, [*request.words, "--plan"]
    if request.target == DATAFLOW:
        from wharf.launch.running.on_dataflow import launch_request

        facts["request"] = launch_request(request)
    if arguments.json:
        said = io.StringIO()
        with redirect_stdout(said):
            code = run_in_process(request.pipeline.name, words)
        print(json.dumps({**facts, "plan": said.getvalue().splitlines()}, indent=2))
        return code
    print(checked.text)
    if "request" in facts:
        print(f"request     {json.dumps(facts['request'], indent=2)}")
    print(flush=True)
    return run_in_process(request.pipeline.name, words)


def _runs_of_this_process(checked: Preflight, began: dt.datetime) -> list[Run]:
    """What is recorded since `began`; batches of files do not say which process loads them."""
    from wharf.connectors import machine
    from wharf.connectors.run_history import RunHistory

    name = checked.request.pipeline.name
    client = checked.request.endpoints.bigquery_client(checked.project)
    found = RunHistory(client, checked.tables).runs(pipeline=name, since=began.date())
    own = {machine.process()} if name != "files_to_bigquery" else {run.job_id for run in found}
    return [run for run in found if run.started_at >= began and run.job_id in own]
