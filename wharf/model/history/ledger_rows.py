"""Rows of the ledgers -> runs, their files, and what to type for those that failed.

Rows of runs have the columns of `ledger_sql.runs`, whatever ledger they come from.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from wharf.model.history import retries
from wharf.model.history.ledger_sql import DELIVERIES, EXPORTS, FETCHING, LOADING
from wharf.model.history.runs import (
    BROKEN,
    RUNNING,
    SILENT,
    STOPPED,
    SUCCESS,
    DayTotal,
    Run,
    RunFile,
    Trouble,
)
from wharf.model.launching.periods import window_text
from wharf.model.loading.state import DONE
from wharf.model.report import counted
from wharf.model.sftp_run import date_of

Row = Mapping[str, Any]

_TABLE = re.compile(r"[A-Za-z0-9.:_-]+[.:][A-Za-z0-9_]+\.[^\s`()]+")
# Flags that say when and how a run was started; another one is started otherwise.
_OF_A_START = ("when_read_from", "when_read_to", "period", "date", "force", "plan")


def run_of(row: Row) -> Run:
    """A row of any ledger -> the run."""
    status = row["status"] or ""
    return Run(
        run_id=row["run_id"],
        pipeline=row["pipeline"],
        name=row["name"] or "",
        status=status,
        started_at=row["started_at"],
        completed_at=row["completed_at"],
        silent_since=row["lease_until"] if status == SILENT else None,
        rows=row["rows"],
        bytes=row["bytes"],
        files=row["files"],
        window=_window(row),
        source=row["source"] or "",
        destination=row["destination"] or "",
        job_id=row["job_id"] or "",
        error=row["error"] or "",
        retry=_RETRIES[row["pipeline"]](row, _settings(row)) if status in (*BROKEN, STOPPED) else "",
        ledger=row["ledger"],
    )


def day_of(row: Row) -> DayTotal:
    """A row of `ledger_sql.days`."""
    return DayTotal(
        day=row["day"],
        pipeline=row["pipeline"],
        status=row["status"] or "",
        runs=row["runs"],
        rows=row["rows"],
        seconds=None if row["took"] is None else row["took"] / 1000,
        names=tuple((row["names"] or "").splitlines()),
    )


def troubles_of(runs: Iterable[Run]) -> list[Trouble]:
    """Runs that are broken or at work, and nothing has made up for -> what is wrong, the newest first."""
    found: dict[tuple[str, ...], list[Run]] = {}
    for run in runs:
        about = () if run.pipeline == LOADING else (run.window, run.destination if run.pipeline == EXPORTS else "")
        found.setdefault((run.pipeline, run.name, *about), []).append(run)
    made = []
    for together in found.values():
        together.sort(key=lambda run: run.started_at, reverse=True)
        broken = [run for run in together if run.status in BROKEN]
        if not broken:
            continue
        newest = broken[0]
        retry = newest.retry
        if newest.pipeline == LOADING and len(broken) > 1:
            retry = retries.load_again(newest.ledger)
        again = [run for run in together if run.status == RUNNING and _is_again(run, newest)]
        made.append(Trouble(broken, retry, again[0] if again else None))
    return sorted(made, key=lambda trouble: trouble.newest.started_at, reverse=True)


def _is_again(run: Run, broken: Run) -> bool:
    """Whether a run is at work on what `broken` left undone."""
    return run.started_at > broken.started_at and (run.pipeline != LOADING or run.source == broken.source)


def file_of(pipeline: str, row: Row) -> RunFile:
    """A row of `ledger_files_sql.files` -> a file of a run, or an endpoint."""
    if pipeline == FETCHING:
        name = f"{row['endpoint']} of {row['tenant']}" if row["tenant"] else row["endpoint"]
        return _file(row, name, row["records"], _note_of_endpoint(row))
    if pipeline == LOADING:
        return _file(row, row["file_uri"], row["rows"], "")
    return _file(row, row["file_uri"], row["rows"], _note_of_file(row))


def _file(row: Row, name: str, rows: int | None, note: str) -> RunFile:
    status = SUCCESS if row["status"] == DONE else row["status"] or ""
    error = row["error_message"] or ""
    return RunFile(name=name, status=status, rows=rows, bytes=row["bytes"], error=error, note=note)


def _note_of_file(row: Row) -> str:
    if not row["remote_path"]:
        return ""
    delivered = "delivered as" if row["status"] == SUCCESS else "to be delivered as"
    tried = f", tried {row['attempts']} times" if (row["attempts"] or 0) > 1 else ""
    return f"{delivered} {row['remote_path']}{tried}"


def _note_of_endpoint(row: Row) -> str:
    numbers = ((row["pages"], "page"), (row["requests"], "request"))
    words = [counted(number, noun) for number, noun in numbers if number is not None]
    if row["retries"]:
        words.append(f"{row['retries']:,} repeated")
    if row["throttled_seconds"]:
        words.append(f"waited {row['throttled_seconds']:.0f} s for the API's limits")
    if row["table_name"]:
        words.append(f"loaded into {row['table_name']}")
    return "; ".join(filter(None, [", ".join(words), *(row["warnings"] or "").splitlines()]))


def _export_again(row: Row, settings: Mapping[str, str]) -> str:
    if settings:
        flags = {name: value for name, value in settings.items() if name not in _OF_A_START}
    else:
        source = "source_table" if _TABLE.fullmatch(row["source"] or "") else "query"
        flags = {source: row["source"] or "", "output": row["destination"] or "", "export_name": row["name"] or ""}
        zone = row["time_zone"] or "UTC"
        flags |= {"metadata_table": row["ledger"], "time_zone": "" if zone == "UTC" else zone}
    if clocks := _clocks(row):
        flags |= {"when_read_from": clocks[0].isoformat(), "when_read_to": clocks[1].isoformat()}
    return _repeat(row, flags)


def _deliver_again(row: Row, settings: Mapping[str, str]) -> str:
    """Staged files are counted once they are all there; without them the export is run anew."""
    config, name = settings.get("config", ""), row["name"] or ""
    if row["files"] is not None:
        return retries.resend(config, name, row["run_id"])
    try:
        date = date_of(row["run_id"]).isoformat()
    except (ValueError, IndexError):  # the id is another tool's
        date = ""
    return _repeat(row, {"config": config or retries.CONFIG, "export_name": name, "date": date})


def _load_again(row: Row, _settings: Mapping[str, str]) -> str:
    return retries.load_again(row["ledger"], row["source"] or "")


def _fetch_again(row: Row, settings: Mapping[str, str]) -> str:
    if settings:
        return _repeat(row, {name: value for name, value in settings.items() if name not in _OF_A_START})
    client, _, _ = (row["name"] or "").partition("/")
    return _repeat(row, {"config": retries.CONFIG, "client_name": client, "endpoints": row["source"] or ""})


def _repeat(row: Row, flags: Mapping[str, str]) -> str:
    return retries.repeat(row["pipeline"], flags, on_dataflow=retries.is_on_dataflow(row["job_id"] or ""))


_RETRIES = {EXPORTS: _export_again, DELIVERIES: _deliver_again, LOADING: _load_again, FETCHING: _fetch_again}


def _settings(row: Row) -> dict[str, str]:
    """The flags that a run was started with; none where they are not recorded."""
    try:
        found = json.loads(row["settings"] or "{}")
    except ValueError:
        return {}
    return {str(name): str(value) for name, value in found.items()} if isinstance(found, dict) else {}


def _window(row: Row) -> str:
    """The window on the clock of its own time zone; empty where there is none."""
    clocks = _clocks(row)
    return window_text(*clocks, row["time_zone"] or "UTC") if clocks else ""


def _clocks(row: Row) -> tuple[dt.datetime, dt.datetime] | None:
    """Both ends of the window as naive wall-clock times; None where there is no window."""
    if not row["window_from"] or not row["window_to"]:
        return None
    try:
        zone = ZoneInfo(row["time_zone"] or "UTC")
    except (ZoneInfoNotFoundError, ValueError):
        zone = ZoneInfo("UTC")
    start, end = (row[name].astimezone(zone).replace(tzinfo=None) for name in ("window_from", "window_to"))
    return start, end
