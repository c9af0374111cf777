"""Runs of an API's endpoint for tests: their folders, and records written into them."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from collections.abc import Sequence
from typing import Any

from wharf.connectors.fetching.raw_files import RawWriter
from wharf.connectors.storage import Storage
from wharf.model.fetching.checkpoint import Checkpoint, RawManifest
from wharf.model.fetching.layout import RawRun
from wharf.model.fetching.records import lines

DAY = dt.date(2025, 3, 23)


def raw_run(root: str, run_id: str = "run-1", *, endpoint: str = "Invoices", tenant: str = "") -> RawRun:
    return RawRun(root=root, client_name="acme", api="xero", endpoint=endpoint, tenant=tenant, run_id=run_id, date=DAY)


def page_lines(run: RawRun, number: int, records: Sequence[dict[str, Any]]) -> bytes:
    extras = {
        "_fetched_at": f"{run.date}T12:00:{number:02d}.000001+00:00",
        "_page": number,
        "_request_id": f"request-{number}",
        "_run_id": run.run_id,
        "_tenant": run.tenant,
    }
    return lines(records, extras)


def stage(storage: Storage, run: RawRun, pages: Sequence[Sequence[dict[str, Any]]], **options: Any) -> RawManifest:
    """A complete run of `pages` of records."""

    async def write() -> RawManifest:
        writer, records = RawWriter(storage, run, **options), 0
        for number, page in enumerate(pages, 1):
            records += len(page)
            at = Checkpoint(position={"next": number + 1}, pages=number, records=records, cursor=f"c{number}")
            await writer.append(page_lines(run, number, page), at)
        return await writer.seal()

    return asyncio.run(write())


def as_records(text: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]
