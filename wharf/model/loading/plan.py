"""Batches -> the load jobs and statements that bring them in."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from wharf.model.loading.batch import Batch, LandedFile, Part

# Of one load job, https://cloud.google.com/bigquery/quotas#load_jobs
MOST_FILES = 10_000
MOST_BYTES = 15 * 10**12
# Of one statement, https://cloud.google.com/bigquery/quotas#query_jobs: 1,000 tables, the target among them, and 1 MB,
# which 250 staging tables of 100 columns stay far below.
MOST_TABLES = 999
MOST_STAGED = 250

# When each batch was first seen, by its id, as the load-state table has it. It is part of all identities: to another
# table, or for another load-state table, the same batch is loaded by other jobs, and not taken for done.
Seen = Mapping[str, dt.datetime]


@dataclass(frozen=True)
class Load:
    """One load job: files whose rows get the same values, of one batch or of several, into a staging table."""

    identity: str
    part: Part
    files: tuple[LandedFile, ...]
    batches: tuple[Batch, ...]

    @cached_property
    def batch_ids(self) -> frozenset[str]:
        return frozenset(batch.batch_id for batch in self.batches)

    @property
    def table_name(self) -> str:
        """What its staging table is called."""
        return f"wharf_{self.identity}"

    @property
    def uris(self) -> list[str]:
        return [file.uri for file in self.files]


def waves(batches: Sequence[Batch]) -> list[list[Batch]]:
    """Split the batches of one table, in path order, into those that one statement can bring in.

    A batch whose write mode differs starts another wave, and so does one that replaces what another of its wave
    brings. A transformation is a statement of its own.
    """
    found: list[list[Batch]] = []
    spans: list[tuple[dt.datetime, dt.datetime]] = []
    parts: set[object] = set()
    for batch in batches:
        its_spans = [part.replaces for part in batch.parts if part.replaces]
        owner = None if _may_share(batch) else batch.batch_id
        its_parts = {(owner, _values(part)) for part in batch.parts}
        if not (
            found
            and _mode(found[-1][-1]) == _mode(batch)
            and not batch.transform
            and batch.options.write_mode != "replace_table"
            and not (batch.options.write_mode == "replace_partition" and _overlap(spans, its_spans))
            and len(parts | its_parts) <= MOST_STAGED
        ):
            found.append([])
            spans, parts = [], set()
        found[-1].append(batch)
        spans += its_spans
        parts |= its_parts
    return found


def loads(
    batches: Sequence[Batch], seen: Seen, most_files: int = MOST_FILES, most_bytes: int = MOST_BYTES
) -> list[Load]:
    """The load jobs of one wave, in the batches' order.

    Files of the same values and options load together, over batches too, except where it matters which batch a row
    came from. BigQuery takes no packed files together with others in one job.
    """
    groups: dict[object, list[tuple[Batch, Part]]] = {}
    for batch in batches:
        owner = None if _may_share(batch) else batch.batch_id
        for part in batch.parts:
            for is_packed in (False, True):
                files = tuple(file for file in part.files if file.uri.lower().endswith(".gz") == is_packed)
                if files:
                    key = (_values(part), batch.options, batch.schema, owner, is_packed)
                    groups.setdefault(key, []).append((batch, replace(part, files=files)))
    return [load for group in groups.values() for load in _split(group, seen, most_files, most_bytes)]


def statement_identity(batches: Sequence[Batch], seen: Seen, former: Sequence[str]) -> str:
    """The identity of the statement that brings `batches` in; `former` are those of statements that failed to."""
    return _digest(["statement", str(batches[0].table), _identities(batches, seen), sorted(former)])


def _split(group: list[tuple[Batch, Part]], seen: Seen, most_files: int, most_bytes: int) -> Iterator[Load]:
    files: list[LandedFile] = []
    owners: dict[str, Batch] = {}
    held = 0
    for batch, part in group:
        for file in part.files:
            if files and (len(files) == most_files or held + file.bytes > most_bytes):
                yield _load(group[0][1], files, owners, seen)
                files, owners, held = [], {}, 0
            files.append(file)
            owners[batch.batch_id] = batch
            held += file.bytes
    yield _load(group[0][1], files, owners, seen)


def _load(part: Part, files: list[LandedFile], owners: dict[str, Batch], seen: Seen) -> Load:
    batches = tuple(owners.values())
    first = batches[0]
    identity = _digest(
        [
            *("load", str(first.table), repr(first.options), repr(first.schema), repr(_values(part))),
            _identities(batches, seen),
            [(file.uri, file.generation) for file in files],
        ]
    )
    return Load(identity, part, tuple(files), batches)


def _identities(batches: Sequence[Batch], seen: Seen) -> list[list[str]]:
    return sorted([batch.batch_id, seen[batch.batch_id].isoformat()] for batch in batches)


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:32]


def _values(part: Part) -> tuple[object, ...]:
    """What a part's rows get that its files do not hold."""
    return (part.timestamp, part.replaces, part.constants)


def _mode(batch: Batch) -> tuple[object, ...]:
    return (batch.options.write_mode, batch.options.merge_keys, batch.transform)


def _may_share(batch: Batch) -> bool:
    """Whether other batches' rows may lie among its own, and be counted with them."""
    return (
        batch.options.write_mode != "merge" and not batch.transform and "maxBadRecords" not in batch.options.job_fields
    )


def _overlap(
    some: Sequence[tuple[dt.datetime, dt.datetime]], others: Sequence[tuple[dt.datetime, dt.datetime]]
) -> bool:
    return any(a < d and c < b for a, b in some for c, d in others)
