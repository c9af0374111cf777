"""What every benchmark script does: contenders take turns, each run in a new process, sections go to RESULTS.md.

A script has sections (functions of a `Bench` that give Markdown) and a worker module, which holds the contenders by
name and ends with `tell(CONTENDERS)`.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from benchmarks import results
from benchmarks.measured import Measured
from benchmarks.results import Bar, Contender

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Bench:
    """What all sections of a script share; `scale` divides the amounts of work, for a try."""

    folder: Path
    rounds: int
    scale: int

    worker: ClassVar[str] = "benchmarks.worker"
    packages: ClassVar[Sequence[str]] = results.PACKAGES  # whose versions stand beside the figures

    def run(self, contender: Contender, name: str, environment: dict[str, str] | None = None, **keywords: Any) -> None:
        """Run one contender once in a new process, and note what came of it.

        Raises: subprocess.CalledProcessError if its process fails.
        """
        done = subprocess.run(
            [sys.executable, "-m", self.worker, name, json.dumps(keywords)],
            cwd=ROOT,
            env=os.environ | (environment or {}),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        told = json.loads(done.stdout.splitlines()[-1])
        if "skipped" in told:
            contender.skipped = told["skipped"]
            print(f"  {contender.title}: skipped: {contender.skipped}", flush=True)
            return
        run = Measured(**told)
        contender.runs.append(run)
        peak = "" if run.peak_rss_bytes is None else f", peak {run.peak_rss_bytes / 2**20:,.0f} MiB"
        rate = results.number(run.rows_per_second)
        print(f"  {contender.title}: {rate} {contender.unit}/s, {run.seconds:.1f} s{peak}", flush=True)

    def each_round(self) -> Iterator[int]:
        """1, 2, 3, ... as many as there are to be rounds."""
        for number in range(1, self.rounds + 1):
            print(f" round {number} of {self.rounds}", flush=True)
            yield number

    def section(self, title: str, about: str, contenders: Sequence[Contender], bars: Sequence[Bar]) -> str:
        """A section of RESULTS.md."""
        text = f"{about}\n\n{results.circumstances(self.rounds, self.packages)}"
        return results.section(title, text, contenders, bars)


Some = TypeVar("Some", bound=Bench)


def arguments(description: str | None, sections: Mapping[str, object]) -> argparse.ArgumentParser:
    """The flags that every script has."""
    parser = argparse.ArgumentParser(description=description, allow_abbrev=False)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default=",".join(sections), help="sections, separated by commas")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="a tenth of the work, for which bars are not meant; one round; writes nothing",
    )
    return parser


def run_sections(
    parser: argparse.ArgumentParser,
    args: argparse.Namespace,
    sections: Mapping[str, Callable[[Some], str]],
    make: Callable[[Path, int, int], Some],
    place: str | None = None,
) -> None:
    """Run the sections that `--only` names; each one's text goes to RESULTS.md as soon as it is there.

    `make` takes folder, rounds and scale. The folder is a temporary one below `place`, and is removed at the end.
    """
    names = args.only.split(",")
    if unknown := set(names) - sections.keys():
        parser.error(f"--only: {', '.join(sorted(unknown))} is none of {', '.join(sections)}")
    if args.rounds < 1:
        parser.error(f"--rounds: {args.rounds} is no number of rounds; give 1 or more")
    # Gigabytes in memory would stay behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with tempfile.TemporaryDirectory(prefix="wharf-bench-", dir=place, ignore_cleanup_errors=True) as folder:
        bench = make(Path(folder), 1 if args.quick else args.rounds, 10 if args.quick else 1)
        for name in names:
            print(name, flush=True)
            text = sections[name](bench)
            print(f"\n{text}", flush=True)
            if not args.quick:
                results.write(Path(__file__).with_name("RESULTS.md"), [text])


def tell(contenders: Mapping[str, Callable[..., Measured | str]]) -> None:
    """The whole of a worker: run the contender that the command line names, `NAME JSON`, and print what came of it.

    The last line on stdout is JSON: the fields of `Measured`, or {"skipped": reason}.
    """
    outcome = contenders[sys.argv[1]](**json.loads(sys.argv[2]))
    print(json.dumps({"skipped": outcome} if isinstance(outcome, str) else asdict(outcome)))
