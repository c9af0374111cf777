"""What `make bench` runs for APIs: pages of a local API, inside its limit and without one, by Wharf and by others.

python benchmarks/api_to_bigquery.py [--rounds 5] [--only limited,unlimited] [--quick]

The API is a server on this machine, in a process of its own.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # run as a script, Python looks beside it only

from benchmarks.api_place import ENDPOINTS, PAGE_SIZE, ApiBench, Place, Seen, place  # noqa: E402
from benchmarks.bench import arguments, run_sections  # noqa: E402
from benchmarks.results import Bar, Contender, bar_table, circumstances, ratio  # noqa: E402

PER_SECOND = 60
LATENCY = 0.03
_CONCURRENT = 5


@dataclass
class Line:
    """A contender, the worker's name for it, what it is told, and what the API saw of its runs."""

    contender: Contender
    name: str
    asked: dict[str, Any]
    endpoints: tuple[str, ...] = ENDPOINTS
    seen: list[Seen] = field(default_factory=list)

    def run(self, bench: ApiBench, at: Place, records: int) -> None:
        at.seen()
        where = {"url": at.url, "folder": str(bench.folder), "endpoints": self.endpoints, "records": records}
        bench.run(self.contender, self.name, **where, **self.asked)
        if not self.contender.skipped:
            self.seen.append(at.seen())

    @property
    def shares(self) -> list[float]:
        """Of what the API permitted in each run's time: its bucket was full when the run began."""
        return [seen.accepted / (PER_SECOND + PER_SECOND * seen.seconds) for seen in self.seen]


def limited(bench: ApiBench) -> str:
    """Pages of an API that allows so many a second."""
    records = 200 * PAGE_SIZE // bench.scale
    ours = Line(Contender("Wharf", "pages"), "wharf", {"concurrent": _CONCURRENT, "per_second": PER_SECOND})
    lines = [
        ours,
        # Half of it: a rate is a rate.
        Line(Contender("dlt's rest_api", "pages"), "dlt", {"parallelized": False}, ENDPOINTS[:2]),
        Line(Contender("dlt's rest_api, parallelized", "pages"), "dlt", {"parallelized": True}),
    ]
    with place(records=records, latency=LATENCY, per_second=PER_SECOND) as at:
        for _ in bench.each_round():
            for line in lines:
                line.run(bench, at, records)
    table = [
        "| | pages | rounds | of the permitted rate, median | min - max | refusals (429) | pages/s, median |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for line in lines:
        if line.seen:
            shares, refused = line.shares, [seen.refused for seen in line.seen]
            table.append(
                f"| {line.contender.title} | {line.contender.runs[0].rows:,} | {len(shares)} | {median(shares):.1%} "
                f"| {min(shares):.1%} - {max(shares):.1%} | {median(refused):,.0f} | {line.contender.rate:.1f} |"
            )
        else:
            table.append(f"| {line.contender.title} | | 0 | skipped: {line.contender.skipped} | | | |")
    refused_in_all = sum(seen.refused for seen in ours.seen)
    bars = [
        Bar("of the permitted rate: at least 97 %", f"{median(ours.shares):.1%}", median(ours.shares) >= 0.97),
        Bar("refusals in all rounds: none", f"{refused_in_all}", not refused_in_all),
    ]
    about = (
        f"{len(ENDPOINTS)} endpoints of {records // PAGE_SIZE} pages (half of the endpoints for dlt in sequence), "
        f"{PAGE_SIZE} records each, from an API that lets {PER_SECOND} requests a second in by a token bucket of "
        f"{PER_SECOND}, and answers after {LATENCY * 1000:.0f} ms. Wharf knows (`per_minute` {PER_SECOND * 60:,}, "
        f"`burst` {PER_SECOND}); dlt knows of limits what a 429 says, and repeats the request. What is permitted is a "
        f"full bucket and {PER_SECOND} for each second from a run's first request to its last, as the API saw them. "
        "Wharf writes its raw files to a local folder, dlt what its `extract` leaves. What was written is read and "
        "counted."
    )
    where = circumstances(bench.rounds, bench.packages)
    title = "## Fetching an API inside its limit"
    return "\n".join([title, "", about, "", where, "", *table, "", *bar_table(bars)]) + "\n"


def unlimited(bench: ApiBench) -> str:
    """Pages as fast as they come."""
    lines: list[Line] = []
    bars = []
    settings = ((LATENCY, 5, 100), (LATENCY, 20, 250), (0.0, 5, 500))
    groups = [_unlimited_lines(*setting) for setting in settings]
    with ExitStack() as stack:
        counts = [pages * PAGE_SIZE // bench.scale for _, _, pages in settings]
        running = [
            stack.enter_context(place(records=records, latency=latency))
            for (latency, _, _), records in zip(settings, counts, strict=True)
        ]
        for _ in bench.each_round():
            for at, group, records in zip(running, groups, counts, strict=True):
                for line in group:
                    line.run(bench, at, records)
    for (latency, concurrent, _), group in zip(settings, groups, strict=True):
        lines += group
        found = ratio(group[0].contender, group[1].contender) or 0
        text = f"{concurrent} at once, {latency * 1000:.0f} ms, of what the loop of httpx fetches: at least 80 %"
        bars.append(Bar(text, f"{found:.0%}", found >= 0.8))
    about = (
        f"The same {len(ENDPOINTS)} endpoints, the limiter off, from an API without limits on the same cores: with its "
        f"{LATENCY * 1000:.0f} ms, and without, where only Python's own time counts. Wharf does all it does: budget, "
        "token, guards, metadata, JSON lines in gzip in a local folder, checkpoint and manifest. The bare loops know "
        "the pages, parse them and keep nothing; the bars are for httpx, and Wharf's own client is aiohttp's."
    )
    return bench.section("Fetching an API without a limit", about, [line.contender for line in lines], bars)


def _unlimited_lines(latency: float, concurrent: int, _pages: int) -> tuple[Line, ...]:
    where = f"{concurrent} at once, {latency * 1000:.0f} ms"
    asked = {"concurrent": concurrent}
    return (
        Line(Contender(f"Wharf, {where}", "pages"), "wharf", asked),
        Line(Contender(f"httpx.AsyncClient and orjson, {where}", "pages"), "httpx", asked),
        Line(Contender(f"aiohttp.ClientSession and orjson, {where}", "pages"), "aiohttp", asked),
    )


SECTIONS = {"limited": limited, "unlimited": unlimited}


def main() -> None:
    parser = arguments(__doc__, SECTIONS)
    run_sections(parser, parser.parse_args(), SECTIONS, ApiBench)


if __name__ == "__main__":
    main()
