"""What a run of any pipeline looks like to somebody who watches them all."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

RUNNING, SUCCESS, FAILED, STOPPED, WAITING = "RUNNING", "SUCCESS", "FAILED", "STOPPED", "WAITING"
# Recorded as RUNNING, and the time is over for which it holds others off. Most such runs are dead, but not all: a
# Dataflow job renews no lease, and may well end after it. So it is neither called alive nor failed.
SILENT = "SILENT"
STATUSES = (RUNNING, SUCCESS, FAILED, SILENT, STOPPED, WAITING)
BROKEN = (FAILED, SILENT)  # somebody should look at it


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run: an export, a delivery, a batch of files that was loaded, the endpoints that were fetched together.

    `rows`, `bytes` and `files` are None where nobody knows. Times are aware.
    """

    run_id: str
    pipeline: str
    name: str  # over all runs: the export's, the table's (dataset.table), client/api
    status: str
    started_at: dt.datetime
    completed_at: dt.datetime | None = None
    silent_since: dt.datetime | None = None  # of SILENT ones: when the lease ended
    rows: int | None = None
    bytes: int | None = None
    files: int | None = None
    window: str = ""  # `2025-03`, `2025-03-01`, `2025-03-01 to 2025-03-08` (outside); with its zone unless that is UTC
    source: str = ""
    destination: str = ""
    job_id: str = ""  # Dataflow's, or machine:process; of a batch BigQuery's
    error: str = ""
    retry: str = ""  # the command that repeats or completes it; empty where nothing is to be done
    ledger: str = ""  # project.dataset.table that it is recorded in

    @property
    def seconds(self) -> float | None:
        """How long it took; None while it runs."""
        return (self.completed_at - self.started_at).total_seconds() if self.completed_at else None


@dataclass(frozen=True, kw_only=True)
class RunFile:
    """One file of a run, or one endpoint of a fetch."""

    name: str
    status: str = ""
    rows: int | None = None
    bytes: int | None = None
    error: str = ""
    note: str = ""  # what else is known: where it was delivered to, how many pages it took


@dataclass(frozen=True, kw_only=True)
class DayTotal:
    """The runs of a pipeline that began on one day (UTC) and have this status."""

    day: dt.date
    pipeline: str
    status: str
    runs: int
    rows: int
    seconds: float | None  # that the longest of those that have ended took
    names: tuple[str, ...] = ()  # that they ran under, at most 100


@dataclass(frozen=True)
class Trouble:
    """Runs of one thing that have failed or fallen silent, and nothing has succeeded since. The newest run first.

    Batches of files are taken together by their table, as one command loads them all.
    """

    runs: Sequence[Run]
    retry: str
    retried_by: Run | None = None  # a run that is at work on the same thing now

    @property
    def newest(self) -> Run:
        return self.runs[0]

    @property
    def since(self) -> dt.datetime:
        """When the first of them began."""
        return min(run.started_at for run in self.runs)
