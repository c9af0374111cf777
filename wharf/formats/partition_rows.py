"""Which partition each row of a batch belongs to, and the row order that brings partitions together."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any, NamedTuple

import numba
import numpy as np
import pyarrow as pa

from wharf.formats.arrow import canonical
from wharf.model.windows import Window

_DATE_ARROW = {"TIMESTAMP": pa.timestamp("us", tz="UTC"), "DATETIME": pa.timestamp("us"), "DATE": pa.date32()}
_MOST_COUNTERS = 1 << 20  # 8 MiB; beyond it counting every (day, vendor) costs more than sorting


class Partitioned(NamedTuple):
    """Rows in partition order: group g holds `order[bounds[g]:bounds[g + 1]]` and belongs to `partitions[g]`."""

    order: np.ndarray  # int64 row numbers
    bounds: np.ndarray  # int64, one more than there are groups
    partitions: list[tuple[dt.date, str | None]]


@dataclass(frozen=True)
class Partitioner:
    """Orders batches by (day, vendor); the days are those of `window`. Picklable."""

    window: Window
    date_column: str
    date_type: str
    vendor_column: str

    def partition(self, batch: pa.RecordBatch) -> Partitioned:
        """Group the rows of `batch`, keeping their order within each group.

        Raises: ValueError for a row outside the window: the read session should not have sent it.
        """
        days = self.window.spans
        borders = np.array(self.window.borders(self.date_type), np.int64)
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
        return Partitioned(
            order, bounds, [(days[cell // len(names)].day, names[cell % len(names)]) for cell in cells.tolist()]
        )


_OUTSIDE = -1


@numba.njit(nogil=True)
def _find_days(values: Any, borders: Any) -> Any:
    """For each value the span it falls in; _OUTSIDE in place 0 if any falls in none."""
    days = np.empty(len(values), np.int32)
    day = 0
    for index in range(len(values)):
        value = values[index]
        if not borders[day] <= value < borders[day + 1]:  # most rows are of the day of the row before
            day = np.searchsorted(borders, value, side="right") - 1
            if day < 0 or day >= len(borders) - 1:
                days[0] = _OUTSIDE
                return days
        days[index] = day
    return days


@numba.njit(nogil=True)
def _order_by_counting(days: Any, vendors: Any, day_count: int, vendor_count: int) -> Any:
    """A counting sort by (day, vendor): order, bounds of the groups that have rows, and their cells."""
    counts = np.zeros(day_count * vendor_count + 1, np.int64)
    for index in range(len(days)):
        counts[days[index] * vendor_count + vendors[index] + 1] += 1
    cells = np.flatnonzero(counts[1:])
    bounds = np.zeros(len(cells) + 1, np.int64)
    for group in range(len(cells)):
        bounds[group + 1] = bounds[group] + counts[cells[group] + 1]
    places = np.cumsum(counts)
    order = np.empty(len(days), np.int64)
    for index in range(len(days)):
        cell = days[index] * vendor_count + vendors[index]
        order[places[cell]] = index
        places[cell] += 1
    return order, bounds, cells


def _order_by_sorting(days: np.ndarray, vendors: np.ndarray, vendor_count: int) -> tuple[np.ndarray, ...]:
    keys = days.astype(np.int64) * vendor_count + vendors
    order = np.argsort(keys, kind="stable")
    cells, starts = np.unique(keys[order], return_index=True)
    return order, np.append(starts, len(keys)).astype(np.int64), cells
