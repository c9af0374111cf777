"""Batches as they land on Cloud Storage, for tests that need no files."""

from __future__ import annotations

import datetime as dt

from wharf.model.loading.batch import Batch, LandedFile, Landing, Part
from wharf.model.loading.options import LoadOptions
from wharf.model.schema import TableId

NOON = dt.datetime(2025, 3, 1, 12, tzinfo=dt.UTC)
ORDERS = TableId("p", "sales", "orders")


def landing(directory: str, generation: int = 1, files: int = 2, bytes_: int = 100) -> Landing:
    data = tuple(LandedFile(f"{directory}part-{n}.csv", bytes_, n + 1, NOON) for n in range(files))
    return Landing(directory, LandedFile(f"{directory}_SUCCESS", 0, generation, NOON), data, empty=1)


def batch(
    directory: str,
    generation: int = 1,
    *,
    table: TableId = ORDERS,
    files: int = 2,
    bytes_: int = 100,
    ordered: bool = False,
) -> Batch:
    landed = landing(directory, generation, files, bytes_)
    parts = (Part(NOON, None, (), landed.files),)
    return Batch(landed, table, parts, LoadOptions(), schema=None, transform="", ordered=ordered)
