"""Where a run's records of one endpoint and tenant are, and what the tables made of them are called.

    <root>/<client>/<api>/<endpoint>/date=2025-03-23/run=<id>/part-00000-<attempt>.jsonl.gz
    .../_checkpoint.json       how far the run has come; gone once it is complete
    .../_manifest.json         the parts that count
    .../_SUCCESS               written last

Several tenants of a run have a folder each: `run=<id>.<tenant>`.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
import uuid
from dataclasses import dataclass

SUCCESS_FILE = "_SUCCESS"
_PART = re.compile(r"^part-\d{5,}-[0-9a-f]+\.jsonl\.gz$")
_LONGEST_NAME = 200  # of the 300 characters that a table's name may have to be useful; BigQuery takes 1,024 bytes


@dataclass(frozen=True, kw_only=True)
class RawRun:
    """The records that one run fetches from one endpoint for one tenant; `root` is `gs://bucket` or a local folder."""

    root: str
    client_name: str
    api: str
    endpoint: str
    tenant: str
    run_id: str
    date: dt.date  # on which the run began: it stays in its folder when it goes on after midnight

    @property
    def folder(self) -> str:
        names = "/".join(path_name(name) for name in (self.client_name, self.api, self.endpoint))
        run = f"{self.run_id}.{path_name(self.tenant)}" if self.tenant else self.run_id
        return f"{self.root.rstrip('/')}/{names}/date={self.date}/run={run}"

    @property
    def checkpoint(self) -> str:
        return f"{self.folder}/_checkpoint.json"

    @property
    def manifest(self) -> str:
        return f"{self.folder}/_manifest.json"

    @property
    def success(self) -> str:
        return f"{self.folder}/{SUCCESS_FILE}"

    def part(self, number: int, attempt: str) -> str:
        """A part's URI. `attempt` keeps two workers that take each other for dead from writing the same object."""
        return f"{self.folder}/part-{number:05d}-{attempt}.jsonl.gz"


def new_run_id(now: dt.datetime) -> str:
    """An id for a run that begins now; ids sort by time."""
    return f"{now.astimezone(dt.UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"


def is_part(uri: str) -> bool:
    """Whether a file in a run's folder holds records."""
    return _PART.match(uri.rsplit("/", 1)[-1]) is not None


def path_name(name: str) -> str:
    """`name` as one part of a path: other names give other paths."""
    return _fit(name, r"[^A-Za-z0-9_.=-]+|^\.+", "-")


def table_name(endpoint: str) -> str:
    """The raw table of an endpoint."""
    return f"raw_{_fit(endpoint, r'[^A-Za-z0-9_]+', '_')}"


def view_name(endpoint: str) -> str:
    """The view of an endpoint's latest rows."""
    return f"latest_{_fit(endpoint, r'[^A-Za-z0-9_]+', '_')}"


def _fit(name: str, unfit: str, instead: str) -> str:
    """`name` without what does not fit; where that changes it, a digest keeps it apart from others."""
    fit = re.sub(unfit, instead, name)[:_LONGEST_NAME]
    return fit if fit == name else f"{fit}{instead}{hashlib.sha256(name.encode()).hexdigest()[:8]}"
