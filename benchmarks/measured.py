"""What a run of a peer comes to: rows counted, seconds, and how much memory it took at its peak."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Measured:
    """Rows (or what else is counted) that are in the output, seconds of work, and the process's peak RSS in bytes."""

    rows: int
    seconds: float
    peak_rss_bytes: int | None
    note: str = ""  # what else came of it

    @property
    def rows_per_second(self) -> float:
        return self.rows / self.seconds


def measured(what: str, counted: int, expected: int, seconds: float, peak: int | None) -> Measured:
    """Make a `Measured` of rows found in the output.

    Raises RuntimeError if `counted` is not `expected`: a rate over rows that were lost is no rate.
    """
    if counted != expected:
        raise RuntimeError(f"{what} was given {expected:,} rows, but {counted:,} are in what it wrote: no rate")
    return Measured(counted, seconds, peak)


def reset_peak_rss() -> None:
    """Forget this process's peak so far, so that an earlier run's is not reported for the next one."""
    # Linux: writing 5 sets VmHWM back to the present resident set. What is resident now still counts.
    clear = Path("/proc/self/clear_refs")
    if clear.exists():
        clear.write_text("5")


def peak_rss_bytes() -> int | None:
    """Read this process's peak resident set (VmHWM) where /proc has it."""
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024
