"""How a run begins and ends, in the main() of every pipeline: handed to Dataflow, or watched; its logs and progress."""

from __future__ import annotations

import json
import logging
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import apache_beam as beam
import grpc
from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions
from google.api_core.exceptions import GoogleAPIError
from google.auth.exceptions import GoogleAuthError

from transforms.metrics import tally
from wharf.connectors import machine
from wharf.connectors.repeating import repeating
from wharf.model.errors import RunFailed, WharfError

_LOG = logging.getLogger("wharf")


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


def job_of(options: PipelineOptions) -> str:
    """What a run is recorded as when it begins: the template launcher's job, or this process until there is a job."""
    return launched_job(options) or machine.process()


def launched_job(options: PipelineOptions) -> str:
    """The id of the job that Google's template launcher is about to make; empty for any other run.

    The launcher has the job's id already: the folder of the file that it waits for is named after it.
    """
    google = options.view_as(GoogleCloudOptions)
    folder = re.search(r"/template_launches/([^/]+)/", google.template_location or "")
    return folder[1] if folder else (google.template_location and google.job_name) or ""


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
    started, terminal = time.monotonic(), sys.stderr.isatty()
    tally.clear()

    def show() -> None:
        text = line(dict(tally), time.monotonic() - started)
        print(f"\r\x1b[K{text}" if terminal else text, end="" if terminal else "\n", file=sys.stderr, flush=True)

    try:
        with repeating(show, 1 if terminal else 30, "progress"):
            yield
    finally:
        if terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM end a run as Ctrl-C does, so that it is recorded as FAILED."""

    def interrupt(_number: int, frame: Any) -> None:
        # Ctrl-C's own way: an event loop cancels what is under way, whose callbacks might swallow an exception.
        by_ctrl_c = signal.getsignal(signal.SIGINT)
        if not callable(by_ctrl_c):  # a shell has told its background processes to ignore it
            raise KeyboardInterrupt
        by_ctrl_c(signal.SIGINT, frame)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)
