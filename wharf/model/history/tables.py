"""Runs of all pipelines as text for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from wharf.model.history.runs import Run
from wharf.model.report import size


def runs_table(runs: Sequence[Run]) -> str:
    """Runs, a line each, errors below."""
    names = max(len("name"), *(len(run.name) for run in runs))
    kinds = max(len("pipeline"), *(len(run.pipeline) for run in runs))
    header = f"{'started (UTC)':<17} {'pipeline':<{kinds}} {'name':<{names}} {'status':<8} {'rows':>12} {'files':>6} "
    lines = [f"{header}{'size':>10} {'took':>8}  run"]
    for run in runs:
        rows, files = ("" if number is None else f"{number:,}" for number in (run.rows, run.files))
        held = "" if run.bytes is None else size(run.bytes)
        took = "" if run.seconds is None else f"{run.seconds:.0f} s"
        lines.append(
            f"{run.started_at:%Y-%m-%d %H:%M}  {run.pipeline:<{kinds}} {run.name:<{names}} {run.status:<8} {rows:>12} "
            f"{files:>6} {held:>10} {took:>8}  {run.run_id}"
        )
        lines += [f"{'':<18}{line}" for line in run.error.splitlines()]
    return "\n".join(lines)


def run_table(run: Run) -> str:
    """How one run ended, or how it stands."""
    rate = f", {run.rows / max(run.seconds, 0.001):,.0f} rows/s" if run.rows and run.seconds else ""
    held = "" if run.bytes is None else f", {size(run.bytes)}"
    lines = {
        "run": run.run_id,
        "pipeline": run.pipeline,
        "status": run.status,
        "window": run.window,
        "source": " ".join(run.source.split()),
        "destination": run.destination,
        "rows": "" if run.rows is None else f"{run.rows:,}",
        "files": "" if run.files is None else f"{run.files:,}{held}",
        "duration": "" if run.seconds is None else f"{run.seconds:.1f} s{rate}",
        "job": run.job_id,
        "error": run.error,
        "retry": run.retry,
    }
    return "\n".join(f"{name:<11} {value}" for name, value in lines.items() if value)
