"""The command line of a pipeline: its own flags, and Beam's options, which say what runs it.

Beam itself swallows an option that it does not know, and finds out late that options do not do for a runner.
"""

from __future__ import annotations

import argparse
import datetime as dt
from collections.abc import Sequence

import apache_beam as beam
from apache_beam.options.pipeline_options import (
    DebugOptions,
    GoogleCloudOptions,
    PipelineOptions,
    SetupOptions,
    StandardOptions,
)

from wharf.connectors.endpoints import Endpoints
from wharf.model.errors import UsageError
from wharf.model.flags import Flag, nearest
from wharf.model.flags import parse as parse_flags

# In this process, data in memory, no download: what `DirectRunner` means changes from release to release.
IN_PROCESS = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"
_IN_PROCESS_STREAMING = "BundleBasedDirectRunner"  # which reads from Pub/Sub; the other does not
WATCHED_LEASE = dt.timedelta(minutes=10)  # renewed while the run lives
UNWATCHED_LEASE = dt.timedelta(days=1)


def parse(
    pipeline: str, flags: Sequence[Flag], argv: Sequence[str], doc: str | None
) -> tuple[dict[str, str], Endpoints, PipelineOptions]:
    """The words of a command line -> the pipeline's flags, where the outside systems are, Beam's options.

    `doc` is the pipeline module's own, whose first line the help shows.

    Raises: UsageError.
    """
    about = (doc or "").split("\n")[0]
    values, rest = parse_flags(flags, argv, prog=f"python -m pipelines.{pipeline}", description=about)
    endpoints = Endpoints.resolve(
        bigquery=values["bigquery_endpoint"] or None, bigquery_storage=values["bigquery_storage_endpoint"] or None
    )
    options = beam_options(rest, flags, endpoints)
    if not is_watched(options):
        for flag in flags:
            flag.check(values[flag.name], remote=True)
    return values, endpoints, options


def beam_options(rest: Sequence[str], flags: Sequence[Flag], endpoints: Endpoints) -> PipelineOptions:
    """The words that are no flag of the pipeline -> Beam's options, for a local run where no runner is named.

    Raises: UsageError for a word that is no option of Beam's either; Beam itself would swallow it.
    """
    parser = argparse.ArgumentParser(allow_abbrev=False, add_help=False, exit_on_error=False)
    for options in PipelineOptions.__subclasses__():
        try:
            options._add_argparse_args(parser)
        except argparse.ArgumentError:
            continue  # two of Beam's classes declare one option
    try:
        known_to_beam, unknown = parser.parse_known_args(list(rest))
    except argparse.ArgumentError as error:
        raise UsageError(str(error)) from error
    # Dataflow has checked a template's parameters by its metadata; what its launcher adds may be newer than this Beam.
    if unknown and not known_to_beam.template_location:
        word = unknown[0].split("=")[0]
        known = [f"--{flag.name}" for flag in flags] + [
            text for text in parser._option_string_actions if text[:2] == "--"
        ]
        raise UsageError(f"unknown flag {word}{nearest(word, known)}; see --help")
    options = PipelineOptions(list(rest))
    runner = options.view_as(StandardOptions).runner
    if not runner or runner.lower() in {"directrunner", "direct"}:
        options.view_as(StandardOptions).runner = IN_PROCESS
    google = options.view_as(GoogleCloudOptions)
    if endpoints.storage:  # Beam's own gs:// client looks 20 s for credentials otherwise
        google.no_auth = True
    if endpoints.dataflow:
        google.dataflow_endpoint = endpoints.dataflow
    # A bundle being encoded holds some 200 MB, and Dataflow would run twelve of them in a process; the kernels leave
    # the interpreter lock, so two are enough to read one while the other is encoded.
    debug = options.view_as(DebugOptions)
    if debug.number_of_worker_harness_threads is None:
        debug.number_of_worker_harness_threads = 2
    options.view_as(SetupOptions).save_main_session = False
    return options


def stream(options: PipelineOptions) -> None:
    """Make the pipeline a streaming one; where no runner is named, it runs in this process all the same."""
    standard = options.view_as(StandardOptions)
    standard.streaming = True
    if standard.runner == IN_PROCESS:
        standard.runner = _IN_PROCESS_STREAMING


def check(options: PipelineOptions) -> None:
    """Make sure, before anything is claimed, that the options do for their runner.

    Raises: UsageError.
    """
    try:
        beam.Pipeline(options=options)  # which is when Beam checks them
    except ValueError as error:
        raise UsageError(" ".join(str(error).split())) from error


def is_watched(options: PipelineOptions) -> bool:
    """Whether this process sees the run to its end; on Dataflow the launcher leaves after submitting it."""
    return "dataflow" not in (options.view_as(StandardOptions).runner or "").lower()


def lease(minutes: str, options: PipelineOptions) -> dt.timedelta:
    """`--lease_minutes`, or how long a run that stays silent is taken to be alive."""
    if minutes:
        return dt.timedelta(minutes=int(minutes))
    return WATCHED_LEASE if is_watched(options) else UNWATCHED_LEASE
