"""A backfill's steps: one run for each period, and what the ledger has of it already."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from wharf.launch.running.request import RunRequest
from wharf.model.errors import UsageError

if TYPE_CHECKING:
    from wharf.connectors.done_windows import DoneWindow
    from wharf.model.launching.periods import Period
    from wharf.model.schema import TableId
    from wharf.model.windows import Window

# What a backfill says itself.
WINDOW_FLAGS = {"bigquery_to_avro": ("period", "when_read_from", "when_read_to"), "bigquery_to_sftp": ("date",)}
_REFUSED = {
    "files_to_bigquery": "has no periods: `wharf backfill ingest` loads what lies there and is not loaded",
    "api_to_bigquery": "has no periods: it asks an API for what is new; `wharf run api_to_bigquery --full` for all",
}


@dataclass(frozen=True)
class Step:
    """One run. `windows`: what it has to bring, by the name of the export."""

    period: Period
    request: RunRequest
    windows: Mapping[str, Window]


@dataclass(frozen=True)
class Steps:
    """All runs of a backfill, and where they are recorded."""

    steps: Sequence[Step]
    project: str
    table: TableId
    output: str  # that done runs must have written to; empty: they are told by their names

    def done(self) -> dict[Period, list[DoneWindow]]:
        """The runs that have done a period, for those that are done."""
        from wharf.connectors.done_windows import done_windows

        windows = [window for step in self.steps for window in step.windows.values()]
        found = done_windows(
            self.steps[0].request.endpoints.bigquery_client(self.project),
            self.table,
            min(window.first_instant for window in windows),
            max(window.last_instant for window in windows),
        )
        answer = {}
        for step in self.steps:
            runs = [self._run_of(found, name, window) for name, window in step.windows.items()]
            done = [run for run in runs if run]
            if len(done) == len(runs):
                answer[step.period] = done
        return answer

    def _run_of(self, found: Sequence[DoneWindow], name: str, window: Window) -> DoneWindow | None:
        exact = [run for run in found if run.is_of(window)]
        if not self.output:
            return next((run for run in exact if run.name == name), None)
        # A longer window has brought its days, too; how many of its rows were theirs nobody knows.
        longer = [replace(run, rows=None) for run in found if run.covers(window)]
        return next((run for run in exact + longer if run.destination == self.output), None)


def refuse_without_periods(pipeline: str) -> None:
    """Raises: UsageError for a pipeline that has none."""
    if pipeline in _REFUSED:
        raise UsageError(f"{pipeline} {_REFUSED[pipeline]}")


def steps_of(request: RunRequest, start: str, end: str, every: str) -> Steps:
    """One run for each period from `start` to `end`; without `every` a pipeline's own periods.

    Raises: UsageError.
    """
    pipeline = request.pipeline.name
    refuse_without_periods(pipeline)
    for flag in WINDOW_FLAGS[pipeline]:
        if flag in request.parameters:
            raise UsageError(f"--{flag}: a backfill gives each run its own; --from and --to say which there are")
    make = {"bigquery_to_avro": _exports, "bigquery_to_sftp": _deliveries}[pipeline]
    return make(request, start, end, every)


def _exports(request: RunRequest, start: str, end: str, every: str) -> Steps:
    from wharf.model.avro_export import AvroExport
    from wharf.model.launching.periods import MONTH, periods

    steps, export = [], None
    for period in periods(start, end, every or MONTH):
        window = period.window("UTC")
        flags = {"when_read_from": window.start.isoformat(), "when_read_to": window.end.isoformat()}
        one = request.with_parameters({"period": f"{period.start:%Y%m}"} if period.is_month else flags)
        export = AvroExport.from_flags(one.values, project=one.project, now=dt.datetime.now(dt.UTC))
        steps.append(Step(period, one, {export.export_name: export.window}))
    assert export
    return Steps(steps, export.project, export.metadata_table, export.output)


def _deliveries(request: RunRequest, start: str, end: str, every: str) -> Steps:
    from wharf.connectors.config import load_config
    from wharf.connectors.deliveries import deliveries_of
    from wharf.model import sftp_run
    from wharf.model.launching.periods import DAY, periods

    if every and every != DAY:
        raise UsageError(
            f"--every {every}: {request.pipeline.name} runs for a date; give --every {DAY}, or leave it out"
        )
    config = load_config(request.values["config"], request.endpoints)
    exports = sftp_run.chosen(config.exports, request.values["export_name"])
    for export in exports:
        if export.export_type == "incremental":
            raise UsageError(
                f"{export.name} is incremental: each of its runs sends what is new since the last one, so there is "
                "nothing to repeat for a date; name the others with --export_name"
            )
    deliveries = deliveries_of(config, request.endpoints, request.project)
    steps = []
    for period in periods(start, end, DAY):
        windows = {export.name: sftp_run.window(export, period.start) for export in exports}
        dated = request.with_parameters({"date": period.start.isoformat()})
        steps.append(Step(period, dated, {name: window for name, window in windows.items() if window}))
    return Steps(steps, deliveries.project, deliveries.metadata, "")
