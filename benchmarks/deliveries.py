"""Deliveries to a streaming run, one after the other: how long until the rows of each are visible."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from google.api_core.exceptions import NotFound

from benchmarks.bench import ROOT
from benchmarks.drops import Drop
from benchmarks.load_peers import TABLE, flags
from tests.servers.bigquery_proxy import BigQueryProxy
from wharf.local.put import announcement
from wharf.local.stack import LocalStack

_FIRST_SECONDS = 180.0  # in which the run has started, and the first delivery is there
_SECONDS = 60.0
_LOOK_SECONDS = 0.02


@dataclass(frozen=True)
class Delivery:
    """Seconds from the notice of `_SUCCESS` until all rows were visible, and those of its load jobs among them."""

    seconds: float
    loading: float


def deliver(folder: Path, drop: Drop) -> list[Delivery]:
    """Deliver the batches of `drop` to a streaming run through the Pub/Sub emulator; a first one is not counted.

    Raises: RuntimeError if rows do not come, or others than were dropped.
    """
    with (
        LocalStack(folder / f"stack-{drop.prefix}", bucket=drop.bucket, pubsub=True) as stack,
        BigQueryProxy(stack.endpoints.bigquery or "") as proxy,
    ):
        dataset = f"{stack.project}.loads"
        stack.endpoints.bigquery_client(stack.project).create_dataset(dataset)
        storage = stack.endpoints.storage_client()
        drop.write_config(storage)
        everything = replace(drop, batches=drop.batches + 1)
        with _streaming(folder / "streaming.log", stack, proxy, dataset, drop) as process:
            found = []
            for batch in range(everything.batches):
                # Not in step with whatever the run does at intervals.
                time.sleep(random.uniform(0, 1))
                proxy.forget()
                *others, marker = everything.write_batch(storage, batch)
                for blob in others:
                    stack.pubsub.publish(*announcement(blob))
                message = announcement(marker)
                started = time.perf_counter()
                stack.pubsub.publish(*message)
                limit = _SECONDS if batch else _FIRST_SECONDS
                _wait(stack, f"{dataset}.{TABLE}", (batch + 1) * drop.files * drop.rows, limit, process)
                seconds = time.perf_counter() - started
                loading = sum(call.done - call.arrived for call in proxy.jobs if call.kind == "load")
                found.append(Delivery(seconds, loading))
        client = stack.endpoints.bigquery_client(stack.project)
        everything.check(client, f"{dataset}.{TABLE}", batches=everything.batches)
    return found[1:]


@contextmanager
def _streaming(
    log: Path, stack: LocalStack, proxy: BigQueryProxy, dataset: str, drop: Drop
) -> Iterator[subprocess.Popen[bytes]]:
    """The pipeline, reading the stack's subscription, as long as the block lasts."""
    asked = [
        f"--subscription={stack.pubsub.subscription}",
        f"--prefix=gs://{drop.bucket}/{drop.prefix}/",
    ]
    command = [sys.executable, "-m", "pipelines.files_to_bigquery", *asked, *flags(dataset)]
    environment = os.environ | stack.environment | {"BIGQUERY_EMULATOR_HOST": proxy.url}
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)
        try:
            yield process
        except RuntimeError as error:
            raise RuntimeError(f"{error}; the run's last words: {log.read_text()[-2000:]}") from error
        finally:
            process.kill()
            process.wait()


def _wait(stack: LocalStack, table: str, rows: int, seconds: float, process: subprocess.Popen[bytes]) -> None:
    """Look until there are as many rows. Raises: RuntimeError."""
    client = stack.endpoints.bigquery_client(stack.project)
    until = time.monotonic() + seconds
    seen = 0
    while time.monotonic() < until:
        try:
            ((seen,),) = (tuple(row) for row in client.query(f"SELECT COUNT(*) FROM `{table}`", retry=None).result())
        except NotFound:
            pass  # the first delivery makes it
        if seen >= rows:
            return
        if process.poll() is not None:
            raise RuntimeError(f"the streaming run ended with exit code {process.returncode}")
        time.sleep(_LOOK_SECONDS)
    raise RuntimeError(f"{rows:,} rows were not visible after {seconds:.0f} s, but {seen:,}")
