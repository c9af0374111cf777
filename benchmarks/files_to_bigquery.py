"""What `make bench` runs for loads: dropped files into BigQuery, Wharf and load jobs one after the other.

python benchmarks/files_to_bigquery.py [--rounds 5] [--only shared,held,large,latency] [--quick]

BigQuery and Cloud Storage are the emulators on this machine, the same for all; `latency` needs gcloud's for Pub/Sub.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # run as a script, Python looks beside it only

from benchmarks import results  # noqa: E402
from benchmarks.bench import arguments, run_sections  # noqa: E402
from benchmarks.deliveries import deliver  # noqa: E402
from benchmarks.drops import Drop  # noqa: E402
from benchmarks.load_place import Line, LoadBench, load_jobs, place, staged_loads, wharf  # noqa: E402
from benchmarks.results import Bar, at_least, ratio  # noqa: E402
from wharf.local import pubsub_server  # noqa: E402
from wharf.model.errors import UsageError  # noqa: E402

HOLD = 2.0
BATCHES_PER_MODIFICATION = 20
_BUCKET = "benchmark"
_MEMORY = "/dev/shm"  # noqa: S108 - only the place of a temporary folder
_NEEDED_BYTES = 10 << 30


def shared(bench: LoadBench) -> str:
    """Small batches that share timestamps."""
    drop = Drop(_BUCKET, "shared", batches=1_000 // bench.scale, files=3, timestamps=10, rows=20)
    lines = [wharf("batches"), load_jobs("batches", 200 // bench.scale), staged_loads("batches", 100 // bench.scale)]
    with place(bench, drop) as at:
        at.rounds(lines)
    about = (
        f"{drop.batches:,} batches of 3 CSV files of 20 rows; {drop.timestamps} timestamps in their names, each of "
        f"{drop.batches // drop.timestamps} batches."
    )
    return _section(bench, "Loading small batches that share timestamps", about, lines, 3)


def held(bench: LoadBench) -> str:
    """Small batches of distinct timestamps, behind a queue."""
    drop = Drop(_BUCKET, "held", batches=1_000 // bench.scale, files=3, timestamps=1_000, rows=20)
    lines = [wharf("batches"), load_jobs("batches", 10), staged_loads("batches", 5)]
    with place(bench, drop, hold=HOLD) as at:
        at.rounds(lines)
    about = (
        f"{drop.batches:,} batches of 3 CSV files of 20 rows, each batch of a timestamp of its own. Every job, whether "
        f"it loads or queries, is done {HOLD:g} s after it was inserted, however many there are: the proxy says until "
        "then that it runs."
    )
    return _section(bench, "Loading small batches, jobs held back 2 s", about, lines, 20)


def large(bench: LoadBench) -> str:
    """Large batches."""
    drop = Drop(_BUCKET, "large", batches=10, files=4, timestamps=10, rows=1_370_000 // bench.scale)
    ours, plain, _ = lines = [wharf("MB"), load_jobs("MB", drop.batches), staged_loads("MB", drop.batches)]
    for _ in bench.each_round():  # on a stack of its own: the emulator keeps the space of tables that are gone
        with place(bench, drop) as at:
            at.round(lines)
    own = [
        (run.seconds - seen.working) / other.seconds
        for run, seen, other in zip(ours.contender.runs, ours.seen, plain.contender.runs, strict=True)
    ]
    about = (
        f"{drop.batches} batches of {drop.megabytes} MB, 4 CSV files each, each batch of a "
        "timestamp of its own. Wharf's own time is that in which none of its load jobs and statements on the table is "
        f"at the emulator, median {median(own):.1%} of the time of the plain load jobs; "
        f"those jobs themselves took {median(seen.working for seen in ours.seen):.1f} s."
    )
    bars = [Bar("own time, of that of the load jobs: at most 10 %", f"{median(own):.1%}", median(own) <= 0.1)]
    return bench.section("Loading large batches", f"{about} {_ABOUT}", [line.contender for line in lines], bars)


def latency(bench: LoadBench) -> str:
    """From the notice of `_SUCCESS` to visible rows, streaming."""
    drop = Drop(_BUCKET, "latency", batches=20 // bench.scale, files=3, timestamps=20, rows=20)
    found = deliver(bench.folder, drop)
    seconds, loading = ([getattr(one, name) for one in found] for name in ("seconds", "loading"))
    own = median(one.seconds - one.loading for one in found)
    about = (
        f"{len(found)} deliveries of 3 CSV files of 20 rows, one after the other at random pauses, to one streaming "
        "run through Google's Pub/Sub emulator; each object is announced as Cloud Storage does it. The clock starts "
        "before `_SUCCESS` is published and stops when a query, asked every 20 ms, counts all rows. A first delivery "
        "is not counted."
    )
    table = ["| | deliveries | s, median | min - max |", "|---|--:|--:|--:|"]
    for what, values in (("`_SUCCESS` published to rows visible", seconds), ("its load job", loading)):
        table.append(f"| {what} | {len(values)} | {median(values):.2f} | {min(values):.2f} - {max(values):.2f} |")
    bars = results.bar_table([Bar("median, without the load job: below 3 s", f"{own:.2f} s", own < 3)])
    where = results.circumstances(1, bench.packages)
    return "\n".join(["## From _SUCCESS to rows, streaming", "", about, "", where, "", *table, "", *bars]) + "\n"


_ABOUT = (
    "Wharf's time is all of `main()`: flags, listing, state table, load jobs, statements; it makes the table. The "
    "others know their files, find the table there, and load one batch after the other with google-cloud-bigquery, "
    "looking every 50 ms whether a job is done: without the timestamp, one load job a batch into the table; with it, "
    "as a load job cannot fill it, one into a staging table of its own, which is left to expire, and one INSERT. All "
    "go through the same proxy, which counts. After each run every file's rows in the table are compared with what "
    "was dropped; then the table goes. Files and tables are in memory where there is room."
)


def _section(bench: LoadBench, title: str, about: str, lines: Sequence[Line], bar: float) -> str:
    ours, plain, staged = lines
    times = max(run.modifications for run in ours.seen)
    batches, jobs = ours.seen[0].batches, max(run.load_jobs for run in ours.seen)
    bars = [
        at_least("against load jobs without the timestamp", ratio(ours.contender, plain.contender) or 0, bar),
        at_least("against load jobs and INSERTs", ratio(ours.contender, staged.contender) or 0, bar),
        Bar(
            f"the table modified at most once per {BATCHES_PER_MODIFICATION} batches",
            f"{times} times for {batches:,}",
            times * BATCHES_PER_MODIFICATION <= batches,
        ),
    ]
    about = f"{about} {_ABOUT} Wharf had {jobs:,} load jobs."
    return bench.section(title, about, [line.contender for line in lines], bars)


SECTIONS = {"shared": shared, "held": held, "large": large, "latency": latency}


def main() -> None:
    parser = arguments(__doc__, SECTIONS)
    args = parser.parse_args()
    if "latency" in args.only.split(","):
        try:
            pubsub_server.find()
        except UsageError as error:
            print(f"no latency: {error}", flush=True)
            args.only = ",".join(name for name in args.only.split(",") if name != "latency")
            if not args.only:
                return
    run_sections(parser, args, SECTIONS, LoadBench, _in_memory())


def _in_memory() -> str | None:
    """A folder in memory, so that no disk is measured; None if there is none, or too small a one."""
    if os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > _NEEDED_BYTES:
        return _MEMORY
    return None


if __name__ == "__main__":
    main()
