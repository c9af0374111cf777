"""An API on this machine, in a process of its own: `python -m benchmarks.api_place JSON`, and what it saw of a run."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from benchmarks.bench import ROOT, Bench
from wharf.local.api_limits import ServerLimits
from wharf.local.api_server import ApiServer

TENANT = "benchmark"
ENDPOINTS = ("Invoices", "Contacts", "CreditNotes", "Payments")
PAGE_SIZE = 100


class ApiBench(Bench):
    """APIs to BigQuery."""

    worker = "benchmarks.api_peers"
    packages = ("apache-beam", "httpx", "orjson", "aiohttp", "dlt")


@dataclass(frozen=True)
class Seen:
    """What the API saw of a run: answers with records, refusals, and seconds from the first request to the last."""

    accepted: int
    refused: int
    seconds: float


@dataclass(frozen=True)
class Place:
    """A running API."""

    url: str
    process: subprocess.Popen[str]

    def seen(self) -> Seen:
        """What it saw since it was asked last."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return Seen(**json.loads(self.process.stdout.readline()))


@contextmanager
def place(*, records: int, latency: float = 0.0, per_second: int | None = None) -> Iterator[Place]:
    """An API with so many `records` of each endpoint; `per_second` is the rate and the size of its token bucket."""
    options = json.dumps({"records": records, "latency": latency, "per_second": per_second})
    command = [sys.executable, "-m", "benchmarks.api_place", options]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        yield Place(process.stdout.readline().strip(), process)
        process.stdin.close()


def _serve(records: int, latency: float, per_second: int | None) -> None:
    limits: dict[str, Any] = {"per_minute": None, "per_day": None, "concurrent": None, "app_per_minute": None}
    if per_second:
        limits |= {"per_minute": 60 * per_second, "way": "bucket", "capacity": per_second}
    with ApiServer(records=records, tenants=(TENANT,), limits=ServerLimits(**limits), latency=latency) as server:
        for name in ENDPOINTS:
            server.held(TENANT, name)
        print(server.url, flush=True)
        for _ in sys.stdin:
            seen = [each for each in server.seen if each.tenant == TENANT]
            server.seen.clear()
            times = [each.at for each in seen if each.status == 200]
            refused = sum(each.status == 429 for each in seen)
            seconds = max(times) - min(times) if times else 0.0
            print(json.dumps({"accepted": len(times), "refused": refused, "seconds": seconds}), flush=True)


if __name__ == "__main__":
    _serve(**json.loads(sys.argv[1]))
