"""One run of fetching an API, in a process of its own: `python -m benchmarks.api_peers CONTENDER JSON`.

Wharf's fetcher, dlt's `rest_api` source, and bare loops of httpx and aiohttp. The clock starts after imports; the peers
have their access token then. What was written is read and counted afterwards.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import gzip
import json
import os
import tempfile
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import orjson

from benchmarks.api_place import PAGE_SIZE, TENANT
from benchmarks.bench import tell
from benchmarks.measured import Measured, measured, peak_rss_bytes
from wharf.connectors.endpoints import Endpoints
from wharf.connectors.fetching.fetcher import UnitFetcher
from wharf.model.errors import RunFailed
from wharf.model.fetching.config import load_api
from wharf.model.fetching.layout import RawRun
from wharf.model.fetching.unit import Fetch, Unit

_LOGIN = ("demo-client", "demo-secret")
_PAGED = {"total": "$.pagination.itemCount", "pages": "$.pagination.pageCount", "page": "$.pagination.page"}


def wharf(
    *, url: str, folder: str, endpoints: list[str], records: int, concurrent: int, per_second: int | None = None
) -> Measured:
    """Raw files in a local folder: pages, parsed, checked, as JSON lines in gzip."""
    os.environ.update(WHARF_BENCH_ID=_LOGIN[0], WHARF_BENCH_SECRET=_LOGIN[1])
    limits: dict[str, int] = {"concurrent": concurrent}
    if per_second:
        limits |= {"per_minute": 60 * per_second, "burst": per_second}
    paging = {"kind": "page", "param": "page", "size_param": "pageSize", "size": PAGE_SIZE, **_PAGED}
    document = {
        "api": "xero",
        "client_name": "bench",
        "base_url": f"{url}/api.xro/2.0",
        "auth": {
            "kind": "client_credentials",
            "token_url": f"{url}/connect/token",
            "client_id": "env:WHARF_BENCH_ID",
            "client_secret": "env:WHARF_BENCH_SECRET",
        },
        "limits": limits,
        "tenant_header": "xero-tenant-id",
        "tenants": [TENANT],
        "bucket": folder,
        "dataset": "raw",
        "endpoints": {name: {"records": f"$.{name}[*]", "paging": paging} for name in endpoints},
    }
    api = load_api(json.dumps(document), uri="bench").api
    started = time.perf_counter()
    now = dt.datetime.now(dt.UTC)
    with tempfile.TemporaryDirectory(dir=folder) as root:
        fetches = tuple(
            Fetch(
                endpoint=endpoint,
                run=RawRun(
                    root=root,
                    client_name="bench",
                    api="xero",
                    endpoint=endpoint.name,
                    tenant=TENANT,
                    run_id="1",
                    date=now.date(),
                ),
                started_at=now,
                cursor="",
            )
            for endpoint in api.endpoints
        )
        ended = UnitFetcher(
            Unit(api=api, fetches=fetches, spent_today=((TENANT, 0),)), Endpoints.resolve(), lambda *_: None
        ).run()
        seconds, peak = time.perf_counter() - started, peak_rss_bytes()
        for each in ended:
            if not each.is_complete:
                raise RunFailed(each.error)
        counted = sum(_lines(path) for path in Path(root).rglob("part-*.gz"))
    return _pages("Wharf", counted, len(endpoints) * records, seconds, peak)


def with_httpx(*, url: str, folder: str, endpoints: list[str], records: int, concurrent: int) -> Measured:
    """A loop of httpx and orjson that asks for the pages it knows of, so many at once, and keeps nothing."""

    async def everything(headers: dict[str, str]) -> int:
        async with httpx.AsyncClient(headers=headers) as client:

            async def get(name: str, params: dict[str, int]) -> bytes:
                answer = await client.get(f"{url}/api.xro/2.0/{name}", params=params)
                return answer.raise_for_status().content

            return await _count(get, endpoints, records, concurrent)

    return _bare("httpx", everything, url, len(endpoints) * records)


def with_aiohttp(*, url: str, folder: str, endpoints: list[str], records: int, concurrent: int) -> Measured:
    """The same loop with the client that Wharf has."""

    async def everything(headers: dict[str, str]) -> int:
        async with aiohttp.ClientSession(headers=headers, raise_for_status=True) as client:

            async def get(name: str, params: dict[str, int]) -> bytes:
                async with client.get(f"{url}/api.xro/2.0/{name}", params=params) as answer:
                    return await answer.read()

            return await _count(get, endpoints, records, concurrent)

    return _bare("aiohttp", everything, url, len(endpoints) * records)


def _bare(what: str, everything: Callable[[dict[str, str]], Coroutine[Any, Any, int]], url: str, due: int) -> Measured:
    headers = {"authorization": f"Bearer {_token(url)}", "xero-tenant-id": TENANT}
    started = time.perf_counter()
    found = asyncio.run(everything(headers))
    return _pages(what, found, due, time.perf_counter() - started, peak_rss_bytes())


async def _count(
    get: Callable[[str, dict[str, int]], Awaitable[bytes]], endpoints: list[str], records: int, concurrent: int
) -> int:
    """Records of all pages, which so many tasks ask for."""
    waiting = deque((name, page) for page in range(1, records // PAGE_SIZE + 1) for name in endpoints)

    async def work() -> int:
        found = 0
        while waiting:
            name, page = waiting.popleft()
            found += len(orjson.loads(await get(name, {"page": page, "pageSize": PAGE_SIZE}))[name])
        return found

    return sum(await asyncio.gather(*(work() for _ in range(concurrent))))


def dlt(*, url: str, folder: str, endpoints: list[str], records: int, parallelized: bool) -> Measured | str:
    """dlt's `rest_api` source, extracted into its files: pages, as JSON, neither normalised nor loaded."""
    os.environ.update(RUNTIME__DLTHUB_TELEMETRY="false", RUNTIME__LOG_LEVEL="ERROR")
    try:
        import dlt as peer
        from dlt.sources.rest_api import rest_api_source
    except ImportError:
        return "dlt is not installed"
    paginator = {"type": "page_number", "base_page": 1, "page_param": "page", "total_path": "pagination.pageCount"}
    described = {
        "client": {
            "base_url": f"{url}/api.xro/2.0/",
            "auth": {"type": "bearer", "token": _token(url)},
            "headers": {"xero-tenant-id": TENANT},
            "paginator": paginator,
        },
        "resources": [
            {
                "name": name.lower(),
                "endpoint": {"path": name, "params": {"pageSize": PAGE_SIZE}, "data_selector": name},
            }
            for name in endpoints
        ],
    }
    with tempfile.TemporaryDirectory(dir=folder) as root:
        pipeline = peer.pipeline("bench", pipelines_dir=root, destination="duckdb")
        started = time.perf_counter()
        pipeline.extract(rest_api_source(described, parallelized=parallelized))
        seconds, peak = time.perf_counter() - started, peak_rss_bytes()
        files = [path for path in Path(root).rglob("*jsonl*") if path.name.startswith(tuple(map(str.lower, endpoints)))]
        counted = sum(_items(path) for path in files)
    return _pages("dlt", counted, len(endpoints) * records, seconds, peak)


def _pages(what: str, counted: int, expected: int, seconds: float, peak: int | None) -> Measured:
    checked = measured(what, counted, expected, seconds, peak)
    return Measured(checked.rows // PAGE_SIZE, seconds, peak)


def _token(url: str) -> str:
    answer = httpx.post(f"{url}/connect/token", data={"grant_type": "client_credentials"}, auth=_LOGIN)
    return str(answer.raise_for_status().json()["access_token"])


def _lines(path: Path) -> int:
    with gzip.open(path, "rb") as file:
        return sum(1 for _ in file)


def _items(path: Path) -> int:
    """Records of dlt's file: a line is one, or a list of them."""
    data = path.read_bytes()
    text = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    parsed = [json.loads(line) for line in text.splitlines()]
    return sum(len(each) if isinstance(each, list) else 1 for each in parsed)


if __name__ == "__main__":
    tell({"wharf": wharf, "httpx": with_httpx, "aiohttp": with_aiohttp, "dlt": dlt})
