"""What stands around a launch service that is measured: stand-ins, a core for each side, and the load."""

from __future__ import annotations

import asyncio
import base64
import itertools
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from benchmarks.bench import ROOT
from wharf.local.emulator import free_ports, http_answers

SERVICE_CORE, OTHER_CORE = 0, min(1, (os.cpu_count() or 1) - 1)
_JOBS = "/v1b3/projects/my-project/locations/europe-west1/jobs?pageSize=1000000"


@dataclass(frozen=True)
class Loaded:
    """What came of a load; a latency is in seconds, from when a request was due to its answer."""

    latencies: Sequence[float]
    answered: int  # 202
    seconds: float  # from the first request to the last answer
    lost: int  # messages of which there is no job
    doubled: int  # jobs beyond one for a message
    cpu_seconds: float  # of the service
    peak_rss_bytes: int | None

    def percentile(self, share: float) -> float:
        """Milliseconds within which this share of requests was answered."""
        return 1000 * sorted(self.latencies)[min(int(share * len(self.latencies)), len(self.latencies) - 1)]


@contextmanager
def process(*command: str, core: int, url: str, environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A child pinned to a core, once it answers."""

    def pin() -> None:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {core})

    child = subprocess.Popen(
        [sys.executable, *command],
        cwd=ROOT,
        env=os.environ | environment,
        stdout=subprocess.DEVNULL,
        preexec_fn=pin,
    )
    try:
        while not http_answers(url):
            if child.poll() is not None:
                raise RuntimeError(f"{' '.join(command[:3])} ended with exit status {child.returncode}")
            time.sleep(0.05)
        yield child
    finally:
        child.terminate()
        child.wait(20)


@contextmanager
def stand_ins(launch_seconds: float, storage_seconds: float) -> Iterator[tuple[str, str]]:
    """The URLs of Dataflow's and of Cloud Storage's."""
    ports = free_ports(2)
    latencies = {"dataflow_api": launch_seconds, "storage_api": storage_seconds}
    probes = {"dataflow_api": _JOBS, "storage_api": "/storage/v1/b/b/o"}
    with ExitStack() as running:
        urls = []
        for port, (name, seconds) in zip(ports, latencies.items(), strict=True):
            urls.append(f"http://localhost:{port}")
            command = ("-m", f"tests.servers.{name}", "--port", str(port), "--latency-ms", str(seconds * 1000))
            running.enter_context(process(*command, core=OTHER_CORE, url=urls[-1] + probes[name], environment={}))
        yield urls[0], urls[1]


def measure(
    url: str, child: subprocess.Popen[bytes], dataflow: str, headers: dict[str, str], rate: int, seconds: float
) -> Loaded:
    """Send `rate` messages a second, whether or not earlier ones are answered, after a second that is not counted."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {OTHER_CORE})
    asyncio.run(_load(url, headers, rate, 1.0, "warm"))
    cpu = _cpu_seconds(child.pid)
    latencies, statuses, took = asyncio.run(_load(url, headers, rate, seconds, "m"))
    cpu = _cpu_seconds(child.pid) - cpu
    with urllib.request.urlopen(dataflow + _JOBS) as answer:  # noqa: S310 - of this machine
        jobs = orjson.loads(answer.read())["jobs"]
    names = [job["name"] for job in jobs]
    return Loaded(
        latencies=latencies,
        answered=statuses.count(202),
        seconds=took,
        lost=len(latencies) + rate - len(set(names)),
        doubled=len(names) - len(set(names)),
        cpu_seconds=cpu,
        peak_rss_bytes=_peak(child.pid),
    )


async def _load(
    url: str, headers: dict[str, str], rate: int, seconds: float, prefix: str
) -> tuple[list[float], list[int], float]:
    latencies: list[float] = []
    statuses: list[int] = []
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:

        async def send(number: int, due: float) -> None:
            async with session.post(f"{url}/pubsub", data=_message(f"{prefix}{number}")) as answer:
                await answer.read()
                statuses.append(answer.status)
            latencies.append(time.perf_counter() - due)

        began = time.perf_counter()
        sent = []
        for number in itertools.count():
            due = began + number / rate
            if number >= rate * seconds:
                break
            if (early := due - time.perf_counter()) > 0:
                await asyncio.sleep(early)
            sent.append(asyncio.create_task(send(number, due)))
        await asyncio.gather(*sent)
    return latencies, statuses, time.perf_counter() - began


def _message(identity: str) -> bytes:
    data = base64.b64encode(orjson.dumps({"route": "/run", "client_name": "acme"})).decode()
    message: dict[str, Any] = {"data": data, "messageId": identity, "message_id": identity, "attributes": {}}
    return orjson.dumps({"message": message, "subscription": "projects/my-project/subscriptions/requests"})


def _cpu_seconds(pid: int) -> float:
    """User and system time so far."""
    stat = Path(f"/proc/{pid}/stat")
    if not stat.exists():
        return 0.0
    fields = stat.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _peak(pid: int) -> int | None:
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return None
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024
