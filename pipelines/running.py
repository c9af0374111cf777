"""What the main() of every pipeline shares: Beam's own options, logs, progress, and how a run ends."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import logging
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import apache_beam as beam
import grpc
from apache_beam.options.pipeline_options import (
    DebugOptions,
    GoogleCloudOptions,
    PipelineOptions,
    SetupOptions,
    StandardOptions,
)
from google.api_core.exceptions import GoogleAPIError
from google.auth.exceptions import GoogleAuthError

from transforms.metrics import tally
from wharf.connectors.endpoints import Endpoints
from wharf.model.errors import RunFailed, UsageError, WharfError
from wharf.model.flags import Flag, nearest, parse

# In this process, data in memory, no download: what `DirectRunner` means changes from release to release.
IN_PROCESS = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"
_IN_PROCESS_STREAMING = "BundleBasedDirectRunner"  # which reads from Pub/Sub; the other does not
WATCHED_LEASE = dt.timedelta(minutes=10)  # renewed while the run lives
UNWATCHED_LEASE = dt.timedelta(days=1)
_LOG = logging.getLogger("wharf")


def command_line(
    pipeline: str, flags: Sequence[Flag], argv: Sequence[str], doc: str | None
) -> tuple[dict[str, str], Endpoints, PipelineOptions]:
    """The words of a command -> the pipeline's flags, where the outside systems are, Beam's options.

    `doc` is the pipeline module's own, whose first line the help shows.

    Raises: UsageError.
    """
    about = (doc or "").split("\n")[0]
    values, rest = parse(flags, argv, prog=f"python -m pipelines.{pipeline}", description=about)
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


def submit(pipeline: beam.Pipeline) -> str:
    """Hand `pipeline` to Dataflow, and leave it there. -> the job's id

    With `--template_location` that is writing a file, of which Google's template launcher makes the job.

    Raises: RunFailed.
    """
    try:
        result = pipeline.run()
    except Exception as error:
        raise RunFailed(f"Dataflow has not taken the job: {_first_line(error)}") from error
    return launched_job(pipeline.options) or str(result.job_id())


def submit_nothing(options: PipelineOptions) -> None:
    """Where there is nothing to do: the empty job without which Google's template launcher says that it failed."""
    if launched_job(options):
        pipeline = beam.Pipeline(options=options)
        _ = pipeline | "NothingToDo" >> beam.Create([None])
        submit(pipeline)


def launched_job(options: PipelineOptions) -> str:
    """The id of the job that Google's template launcher is about to make; empty for any other run.

    The launcher has the job's id already: the folder of the file that it waits for is named after it.
    """
    google = options.view_as(GoogleCloudOptions)
    folder = re.search(r"/template_launches/([^/]+)/", google.template_location or "")
    return folder[1] if folder else (google.template_location and google.job_name) or ""


def lease(minutes: str, options: PipelineOptions) -> dt.timedelta:
    """`--lease_minutes`, or how long a run that stays silent is taken to be alive."""
    if minutes:
        return dt.timedelta(minutes=int(minutes))
    return WATCHED_LEASE if is_watched(options) else UNWATCHED_LEASE


def end_with(work: Callable[[], int]) -> int:
    """Do `work`; a WharfError, a service's refusal or an interruption becomes one line on stderr and an exit code."""
    try:
        with _terminable():
            return work()
    except WharfError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except (GoogleAPIError, GoogleAuthError) as error:
        print(f"error: {_first_line(error)}; run it again when the service answers", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("error: interrupted; run it again to complete it", file=sys.stderr)
        return 130


def failure(error: BaseException) -> BaseException:
    """What ended a pipeline, from under Beam's layers: an interruption, Wharf's own error, or RunFailed in one line."""
    if isinstance(error, WharfError):
        # Beam makes another one, whose text says in what step.
        return type(error)(str(error).partition(" [while running '")[0], *error.args[1:])
    if _is_interruption(error):
        return KeyboardInterrupt("interrupted")
    _LOG.info("the run failed", exc_info=error)
    text = (error.details() or "" if isinstance(error, grpc.Call) else str(error)).strip()
    lines = [line for line in text.splitlines() if line.strip()]
    last = lines[-1].strip() if lines else type(error).__name__
    return RunFailed(f"{last or type(error).__name__}; nothing incomplete is published, so the run can be repeated")


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _is_interruption(error: BaseException | None) -> bool:
    """Whether Ctrl-C or SIGTERM is at the bottom: a DoFn in this process raises it as any other error."""
    while error and isinstance(error, Exception):
        error = error.__cause__ or error.__context__
    return error is not None


def set_up_logging(*, structured: bool) -> None:
    """Readable lines on a terminal; JSON with a severity where Cloud Logging reads stderr."""
    handler = logging.StreamHandler()
    handler.setFormatter(_JsonLines() if structured else logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    handler.addFilter(_is_news)
    logging.basicConfig(handlers=[handler], level=logging.INFO if structured else logging.WARNING, force=True)
    logging.getLogger("apache_beam.typehints").setLevel(logging.WARNING)  # else a line for each annotation of a DoFn


def _is_news(record: logging.LogRecord) -> bool:
    """Whether to show a line: Beam logs the traceback of what a DoFn raises, and the command says it in one."""
    error = record.exc_info[1] if record.exc_info else None
    return not (isinstance(error, WharfError) or _is_interruption(error))


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry = {"severity": record.levelname, "message": record.getMessage(), "logger": record.name}
        if record.exc_info:
            entry["message"] += "\n" + self.formatException(record.exc_info)
        return json.dumps(entry)


@contextmanager
def progress(line: Callable[[dict[str, int], float], str]) -> Iterator[None]:
    """Show `line(counted so far, seconds)` on stderr: rewritten each second on a terminal, else every half minute."""
    started, stop = time.monotonic(), threading.Event()
    terminal = sys.stderr.isatty()
    tally.clear()

    def show() -> None:
        while not stop.wait(1 if terminal else 30):
            text = line(dict(tally), time.monotonic() - started)
            print(f"\r\x1b[K{text}" if terminal else text, end="" if terminal else "\n", file=sys.stderr, flush=True)

    thread = threading.Thread(target=show, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        if terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM end a run as Ctrl-C does, so that it is recorded as FAILED."""

    def interrupt(_number: int, _frame: Any) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)
