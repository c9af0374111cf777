"""How batches are cut into blocks; that their rows are right is shown format by format."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from tests.test_csv_format import NAMES, NUMBER, file_of, names_batch
from wharf.formats.block import block_bounds
from wharf.formats.csv_format import CsvFormat


def test_blocks_are_of_even_size_and_fill_files_of_max_rows() -> None:
    names = [f"name-{at:06d}" for at in range(10_000)]
    blocks = list(
        CsvFormat(export_name="x", fields=(NAMES, NUMBER), block_bytes=10_000, max_rows=3_000)
        .encoder()
        .blocks(names_batch(*names))
    )
    sizes = [len(block.data) for block in blocks]
    assert max(sizes) < 11_000
    assert min(sizes) > 8_000
    ends = {sum(block.rows for block in blocks[: at + 1]) for at in range(len(blocks))}
    assert {3_000, 6_000, 9_000, 10_000} <= ends


def test_a_row_larger_than_a_block_is_a_block() -> None:
    blocks = list(
        CsvFormat(export_name="x", fields=(NAMES, NUMBER), block_bytes=1_000)
        .encoder()
        .blocks(names_batch("a", "b" * 100_000, "c"))
    )
    assert sum(block.rows for block in blocks) == 3
    assert all(block.rows for block in blocks)


@given(st.lists(st.integers(0, 50), min_size=1), st.integers(1, 100), st.integers(0, 5))
def test_bounds_cover_all_rows_once(lengths: list[int], block_bytes: int, max_rows: int) -> None:
    positions = np.cumsum([0, *lengths])
    bounds = block_bounds(positions, block_bytes=block_bytes, max_rows=max_rows).tolist()
    assert bounds[0] == 0
    assert bounds[-1] == len(lengths)
    assert bounds == sorted(set(bounds))
    assert not max_rows or max(b - a for a, b in pairwise(bounds)) <= max_rows


def test_a_batch_of_many_pieces_keeps_its_order() -> None:
    numbers = pa.array(range(300_000))
    batch = pa.record_batch({"number": numbers})
    lines = file_of(CsvFormat(export_name="x", fields=(NUMBER,)), batch).decode().split("\r\n")
    assert lines == ["number", *map(str, range(300_000)), ""]
