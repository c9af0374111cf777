"""Tables of RESULTS.md: medians, ranges and ratios of runs, beside the bars."""

from __future__ import annotations

import datetime as dt
import os
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median

from benchmarks.measured import Measured

PACKAGES = ("apache-beam", "pyarrow", "numpy", "numba", "fastavro", "duckdb", "duckdb-extension-avro", "bqemulator")


@dataclass
class Contender:
    """One row of a table: what ran, and its runs so far, or why it could not run."""

    title: str
    unit: str = "rows"  # what its runs count
    runs: list[Measured] = field(default_factory=list)
    skipped: str = ""

    @property
    def rate(self) -> float:
        """Median, in units a second."""
        return median(run.rows_per_second for run in self.runs)

    @property
    def peak_mib(self) -> float | None:
        """Median peak RSS in MiB."""
        peaks = [run.peak_rss_bytes for run in self.runs if run.peak_rss_bytes]
        return median(peaks) / 2**20 if peaks else None


@dataclass(frozen=True)
class Bar:
    """What is asked for, what came out, and whether that is enough."""

    text: str
    found: str
    met: bool


def at_least(what: str, ratio: float, bar: float) -> Bar:
    """A ratio of rates that must not be below `bar`."""
    return Bar(f"{what}: at least {bar:g}x", f"{ratio:,.2f}x" if ratio < 10 else f"{ratio:,.0f}x", ratio >= bar)


def ratio(ours: Contender, theirs: Contender) -> float | None:
    """How many times faster: the median of the rounds' own ratios, which a busy minute does not tilt."""
    pairs = list(zip(ours.runs, theirs.runs, strict=False))
    return median(one.rows_per_second / other.rows_per_second for one, other in pairs) if pairs else None


def number(rate: float) -> str:
    """A rate with as many digits as are of use."""
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"


def section(title: str, about: str, contenders: Sequence[Contender], bars: Sequence[Bar]) -> str:
    """A section of RESULTS.md as Markdown."""
    unit = contenders[0].unit
    lines = [f"## {title}", "", about, ""]
    lines += [f"| | {unit} | rounds | {unit}/s, median | min - max | peak RSS, MiB |", "|---|--:|--:|--:|--:|--:|"]
    for contender in contenders:
        if not contender.runs:
            lines.append(f"| {contender.title} | | 0 | skipped: {contender.skipped} | | |")
            continue
        rates = [run.rows_per_second for run in contender.runs]
        peak = contender.peak_mib
        note = f", {note}" if (note := contender.runs[0].note) else ""
        lines.append(
            f"| {contender.title}{note} | {contender.runs[0].rows:,} | {len(rates)} | {number(contender.rate)} "
            f"| {number(min(rates))} - {number(max(rates))} | {'' if peak is None else f'{peak:,.0f}'} |"
        )
    if bars:
        lines += ["", *bar_table(bars)]
    return "\n".join(lines) + "\n"


def bar_table(bars: Sequence[Bar]) -> list[str]:
    """The lines of a table of bars."""
    lines = [f"| {bar.text} | {bar.found} | {'met' if bar.met else '**not met**'} |" for bar in bars]
    return ["| bar | found | |", "|---|--:|---|", *lines]


def write(path: Path, sections: Sequence[str]) -> None:
    """Write `sections` to `path`; sections of other titles that it has already stay."""
    former = path.read_text() if path.exists() else ""
    kept = {text.split("\n")[0]: text.rstrip() for text in re.split(r"^(?=## )", former, flags=re.MULTILINE)[1:]}
    kept |= {text.split("\n")[0]: text.rstrip() for text in sections}
    path.write_text("\n\n".join([_HEAD.strip(), *kept.values()]) + "\n")


def circumstances(rounds: int, packages: Sequence[str] = PACKAGES) -> str:
    """Date, machine and versions, without anything that names the machine."""
    versions = [f"{name} {found}" for name in packages if (found := _version(name))]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{dt.datetime.now(dt.UTC):%Y-%m-%d}, {rounds} alternating rounds, {_cpu()}, {os.cpu_count()} cores, "
        f"{memory:.0f} GiB, {platform.system()}, Python {platform.python_version()}, {', '.join(versions)}."
    )


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*:\s*(.+)$", info.read_text(), re.MULTILINE) if info.exists() else None
    return found[1] if found else platform.machine()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


_HEAD = """
# Results

Written by `make bench`, or one section at a time with
`python benchmarks/bigquery_to_avro.py --only encode` (`pipeline`, `partitions`, `spark`, `memory`),
`python benchmarks/bigquery_to_sftp.py --only csv` (`gzip`, `large`, `small`, `far_large`, `far_medium`, `far_small`),
`python benchmarks/files_to_bigquery.py --only shared` (`held`, `large`, `latency`),
`python benchmarks/api_to_bigquery.py --only limited` (`unlimited`)
and `python benchmarks/launch_service.py`.

Contenders take turns (A B C A B C ...), each run in a new process; a ratio is the median of the rounds' own
ratios. The clock starts after imports and stops when the output is complete. What each run put out is counted by
another reader, and a run that lost any has no rate. Machines differ, so do minutes: read the ratios first.
"""
