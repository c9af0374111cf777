"""Which partition each row of a batch belongs to, and the row order that brings partitions together."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numba
import numpy as np
import pyarrow as pa

from wharf.formats.arrow import canonical
from wharf.formats.avro_kernel import CACHE
from wharf.model.windows import Span, Window

_DATE_ARROW = {"TIMESTAMP": pa.timestamp("us", tz="UTC"), "DATETIME": pa.timestamp("us"), "DATE": pa.date32()}
_MOST_COUNTERS = 1 << 20  # 8 MiB; beyond it counting every (day, vendor) costs more than sorting


class Partitioned(NamedTuple):
    """Rows in partition order: group g holds `order[bounds[g]:bounds[g + 1]]` and belongs to `partitions[g]`."""

    order: np.ndarray | None  # int64 row numbers; None where all rows are of one group
    bounds: np.ndarray  # int64, one more than there are groups
    partitions: list[tuple[dt.date, str | None]]


@dataclass(frozen=True)
class Partitioner:
    """Orders batches by (day, vendor); the days are those of `window`. Picklable."""

    window: Window
    date_column: str
    date_type: str
    vendor_column: str

    @cached_property
    def _days(self) -> tuple[list[Span], np.ndarray]:
        return self.window.spans, np.array(self.window.borders(self.date_type), np.int64)

    def partition(self, batch: pa.RecordBatch) -> Partitioned:
        """Group the rows of `batch`, keeping their order within each group.

        Raises: ValueError for a row outside the window: the read session should not have sent it.
        """
        days, borders = self._days
        dates = canonical(batch.column(self.date_column), _DATE_ARROW[self.date_type])
        dates = dates.cast(pa.int32()).cast(pa.int64()) if self.date_type == "DATE" else dates.view(pa.int64())
        if dates.null_count:
            raise ValueError(f"column {self.date_column!r} is null in a row inside the window")
        day_of_row = _find_days(dates.to_numpy(), borders)
        if len(day_of_row) and day_of_row[0] == _OUTSIDE:
            raise ValueError(f"column {self.date_column!r} has a value outside the window {self.window}")
        vendors = batch.column(self.vendor_column)
        if pa.types.is_dictionary(vendors.type):  # it may say null in ways of its own
            vendors = vendors.dictionary_decode()
        vendors = vendors.dictionary_encode(null_encoding="encode")
        names = vendors.dictionary.cast(pa.string()).to_pylist()
        vendor_of_row = vendors.indices.to_numpy(zero_copy_only=False)
        if len(days) * len(names) <= _MOST_COUNTERS:
            order, bounds, cells = _order_by_counting(day_of_row, vendor_of_row, len(days), len(names))
        else:
            order, bounds, cells = _order_by_sorting(day_of_row, vendor_of_row, len(names))
        partitions = [(days[cell // len(names)].day, names[cell % len(names)]) for cell in cells.tolist()]
        return Partitioned(None if len(cells) == 1 else order, bounds, partitions)


_OUTSIDE = -1


# Plain loops: numpy's own functions would each take a good part of a second to compile.
@numba.njit(nogil=True, cache=CACHE)
def _find_days(values: Any, borders: Any) -> Any:
    """For each value the span it falls in; _OUTSIDE in place 0 if any falls in none."""
    days = np.empty(len(values), np.int32)
    day = 0
    for index in range(len(values)):
        value = values[index]
        if not borders[day] <= value < borders[day + 1]:  # most rows are of the day of the row before
            if value < borders[0] or value >= borders[-1]:
                days[0] = _OUTSIDE
                return days
            day, past = 0, len(borders) - 1
            while past - day > 1:
                middle = (day + past) // 2
                if value < borders[middle]:
                    past = middle
                else:
                    day = middle
        days[index] = day
    return days


@numba.njit(nogil=True, cache=CACHE)
def _count_and_order(days: Any, vendors: Any, vendor_count: int, ends: Any, order: Any) -> None:
    """A counting sort by cell, day * vendor_count + vendor. `ends`, zeros, becomes where each cell's rows end."""
    for index in range(len(days)):
        ends[days[index] * vendor_count + vendors[index]] += 1
    place = 0
    for cell in range(len(ends)):
        count = ends[cell]
        ends[cell] = place
        place += count
    for index in range(len(days)):
        cell = days[index] * vendor_count + vendors[index]
        order[ends[cell]] = index
        ends[cell] += 1


def _order_by_counting(
    days: np.ndarray, vendors: np.ndarray, day_count: int, vendor_count: int
) -> tuple[np.ndarray, ...]:
    """Order, bounds of the groups that have rows, and their cells."""
    ends = np.zeros(day_count * vendor_count, np.int64)
    order = np.empty(len(days), np.int64)
    _count_and_order(days, vendors, vendor_count, ends, order)
    starts = np.concatenate(([0], ends[:-1]))
    cells = np.flatnonzero(ends > starts)
    return order, np.append(starts[cells], len(days)), cells


def _order_by_sorting(days: np.ndarray, vendors: np.ndarray, vendor_count: int) -> tuple[np.ndarray, ...]:
    keys = days.astype(np.int64) * vendor_count + vendors
    order = np.argsort(keys, kind="stable")
    cells, starts = np.unique(keys[order], return_index=True)
    return order, np.append(starts, len(keys)).astype(np.int64), cells
