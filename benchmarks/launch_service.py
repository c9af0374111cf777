"""What `make bench` runs for the launch service: messages at a fixed rate, for it and for the least there could be.

python benchmarks/launch_service.py [--rounds 3] [--quick]

Dataflow and Cloud Storage are servers on this machine; the service has a core of its own.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from subprocess import Popen

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # run as a script, Python looks beside it only

from benchmarks.bench import Bench, arguments, run_sections  # noqa: E402
from benchmarks.launch_place import SERVICE_CORE, Loaded, measure, process, stand_ins  # noqa: E402
from benchmarks.results import Bar, bar_table, circumstances  # noqa: E402
from tests.launches import DOCUMENT  # noqa: E402
from tests.servers.token_issuer import CALLER, TokenIssuer  # noqa: E402
from wharf.connectors.endpoints import Endpoints  # noqa: E402
from wharf.local.emulator import free_ports  # noqa: E402

RATE = 200
SECONDS = 12.0
LAUNCH = 0.02
STORAGE = 0.005
_PACKAGES = ("fastapi", "starlette", "uvicorn", "uvloop", "httptools", "aiohttp", "pydantic", "PyJWT")
_AUDIENCE = "https://wharf.example"


@dataclass
class Line:
    """A contender, and what came of its rounds."""

    title: str
    runs: list[Loaded] = field(default_factory=list)

    def percentile(self, share: float) -> float:
        """Median of the rounds, in milliseconds."""
        return median(run.percentile(share) for run in self.runs)

    @property
    def text(self) -> str:
        """Its line of the table."""
        rate = median(run.answered / run.seconds for run in self.runs)
        busy = median(run.cpu_seconds / run.seconds for run in self.runs)
        peaks = [run.peak_rss_bytes for run in self.runs if run.peak_rss_bytes]
        worst = max(run.percentile(1) for run in self.runs)
        return (
            f"| {self.title} | {sum(run.answered for run in self.runs):,} | {rate:.1f} | {self.percentile(0.5):.1f} "
            f"| {self.percentile(0.99):.1f} | {worst:.1f} | {sum(run.lost for run in self.runs)} "
            f"| {sum(run.doubled for run in self.runs)} | {busy:.0%} | {median(peaks) / 2**20 if peaks else 0:.0f} |"
        )


@contextmanager
def _wharf(folder: Path, issuer: TokenIssuer, dataflow: str, storage: str) -> Iterator[tuple[str, Popen[bytes]]]:
    (port,) = free_ports(1)
    config = folder / "launch.json"
    config.write_text(json.dumps(DOCUMENT))
    endpoints = Endpoints(
        bigquery="http://127.0.0.1:9",
        bigquery_storage="127.0.0.1:9",
        bigquery_emulated=True,
        bigquery_storage_emulated=True,
        dataflow=dataflow,
        storage=storage,
    )
    command = ["-m", "wharf", "serve", "--launch_config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    command += ["--audience", _AUDIENCE, "--service_accounts", CALLER, "--certs_url", issuer.url]
    url = f"http://127.0.0.1:{port}"
    with process(*command, core=SERVICE_CORE, url=f"{url}/health", environment=endpoints.environment()) as child:
        yield url, child


@contextmanager
def _bare(_folder: Path, _issuer: TokenIssuer, dataflow: str, _storage: str) -> Iterator[tuple[str, Popen[bytes]]]:
    (port,) = free_ports(1)
    command = ("-m", "benchmarks.launch_peers", str(port), dataflow)
    url = f"http://127.0.0.1:{port}"
    with process(*command, core=SERVICE_CORE, url=f"{url}/health", environment={}) as child:
        yield url, child


def pubsub(bench: Bench) -> str:
    """Messages pushed at a fixed rate."""
    seconds = max(SECONDS / bench.scale, 3.0)
    ours, bare = Line("`wharf serve`"), Line("Starlette and aiohttp: launch, and nothing else")
    with TokenIssuer() as issuer:
        headers = {"Authorization": f"Bearer {issuer.token(aud=_AUDIENCE)}", "Content-Type": "application/json"}
        for _ in bench.each_round():
            for line, serve in ((ours, _wharf), (bare, _bare)):
                with (
                    stand_ins(LAUNCH, STORAGE) as (dataflow, storage),
                    serve(bench.folder, issuer, dataflow, storage) as (url, child),
                ):
                    line.runs.append(measure(url, child, dataflow, headers, RATE, seconds))
                run = line.runs[-1]
                print(
                    f"  {line.title}: p50 {run.percentile(0.5):.1f} ms, p99 {run.percentile(0.99):.1f} ms", flush=True
                )
    ratios = [one.percentile(0.99) / other.percentile(0.99) for one, other in zip(ours.runs, bare.runs, strict=True)]
    lost, doubled = (sum(getattr(run, name) for run in ours.runs) for name in ("lost", "doubled"))
    missed = sum(len(run.latencies) - run.answered for run in ours.runs)
    bars = [
        Bar(f"p99 at {RATE} requests/s: below 50 ms", f"{ours.percentile(0.99):.1f} ms", ours.percentile(0.99) < 50),
        Bar("messages lost, or not answered 202: none", f"{lost + missed}", not lost + missed),
        Bar("jobs beyond one for a message: none", f"{doubled}", not doubled),
    ]
    about = (
        f"{RATE} `POST /pubsub` a second for {seconds:.0f} s, sent when they are due whether or not earlier ones are "
        "answered; a request's time begins when it is due. Every message is another one. The service has one core, "
        f"load and stand-ins the other. Dataflow answers a launch after {LAUNCH * 1000:.0f} ms, Cloud Storage a "
        f"request after {STORAGE * 1000:.0f} ms; Google's own takes some tens of milliseconds to write an object, and "
        "a launch writes its record twice. Wharf verifies the token, reads and checks the message, records the launch, "
        "launches, records the job, logs and answers. Afterwards the jobs are counted."
    )
    head = "| | messages | answered/s | p50, ms | p99, ms | max, ms | lost | double | of the core | peak RSS, MiB |"
    table = [head, "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|", ours.text, bare.text]
    compared = f"Wharf's p99 is {median(ratios):.2f} times the bare handler's: the median of the rounds' own ratios."
    where = circumstances(bench.rounds, _PACKAGES)
    title = "## Launching what messages ask for"
    return "\n".join([title, "", about, "", where, "", *table, "", compared, "", *bar_table(bars)]) + "\n"


SECTIONS = {"pubsub": pubsub}


def main() -> None:
    parser = arguments(__doc__, SECTIONS)
    parser.set_defaults(rounds=3)
    run_sections(parser, parser.parse_args(), SECTIONS, Bench)


if __name__ == "__main__":
    main()
