"""The kernels beside Python's calendar and Arrow's decimals; `test_text_cells` shows every type."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pyarrow as pa

from wharf.formats.text_cells import text_cells
from wharf.formats.text_kernel import decimal_texts
from wharf.model.schema import Field


def test_decimals_print_the_same_by_either_way() -> None:
    kind = pa.decimal128(38, 9)
    numbers = [Decimal(unscaled).scaleb(-9) for unscaled in (-(2**63), 2**63 - 1, 0, 1, -1, 10**9, 10**18, 123 * 10**7)]
    by_kernel = decimal_texts(pa.array(numbers, kind)).to_pylist()
    too_large = Decimal(2**63).scaleb(-9)
    assert decimal_texts(pa.array([*numbers, too_large], kind)) is None
    by_arrow = text_cells(Field(name="x", type="NUMERIC"), pa.array([*numbers, too_large], kind)).to_pylist()
    assert by_kernel == by_arrow[:-1]
    assert by_kernel[:2] == ["-9223372036.854775808", "9223372036.854775807"]


def test_every_day_of_four_centuries_prints_as_pythons_calendar_does() -> None:
    days = [dt.datetime(1900, 1, 1) + dt.timedelta(days=day) for day in range(146_097)]
    text = text_cells(Field(name="x", type="DATETIME"), pa.array(days, pa.timestamp("us")))
    assert text.to_pylist() == [day.isoformat() for day in days]


def test_times_of_buffers_that_are_not_aligned_are_read() -> None:
    aligned = pa.array([dt.datetime(2025, 3, 1)] * 3, pa.timestamp("us"))
    moved = pa.py_buffer(b"\0" + aligned.buffers()[1].to_pybytes())[1:]
    array = pa.Array.from_buffers(aligned.type, 3, [None, moved])
    assert text_cells(Field(name="x", type="DATETIME"), array).to_pylist() == ["2025-03-01T00:00:00"] * 3


def test_what_lies_under_a_null_is_not_read() -> None:
    times = pa.Array.from_buffers(
        pa.timestamp("us"), 2, [pa.py_buffer(b"\x02"), pa.array([-(2**63), 0], pa.int64()).buffers()[1]]
    )
    assert text_cells(Field(name="x", type="DATETIME"), times).to_pylist() == [None, "1970-01-01T00:00:00"]
