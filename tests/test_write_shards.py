"""Which blocks go into which file."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from transforms.spill import SpilledBlocks
from transforms.write_shards import Shard, bounded_shards, even_shards

BLOCKS = st.lists(st.tuples(st.integers(1, 50), st.integers(1, 20)), min_size=1, max_size=40)


def spilled(blocks: list[tuple[int, int]], files: int = 2) -> list[SpilledBlocks]:
    """(bytes, rows) of blocks, dealt to spill files; the offset numbers them."""
    rows = [(number, size, count, 0) for number, (size, count) in enumerate(blocks)]
    dealt = [rows[at::files] for at in range(files)]
    return [SpilledBlocks(f"spill-{at}", None, np.array(mine, np.int64)) for at, mine in enumerate(dealt) if mine]


def content(shards: list[Shard]) -> list[list[int]]:
    return [[int(block[0]) for part in shard.parts for block in part.blocks] for shard in shards]


def flat(held: list[list[int]]) -> list[int]:
    return [block for blocks in held for block in blocks]


def totals(shard: Shard) -> tuple[int, int]:
    blocks = np.concatenate([part.blocks for part in shard.parts])
    return int(blocks[:, 1].sum()), int(blocks[:, 2].sum())


@given(BLOCKS, st.integers(0, 30), st.integers(0, 80))
def test_every_block_is_in_one_file_and_no_file_is_over_its_bounds(blocks, max_rows, max_bytes):
    shards = list(bounded_shards(("g", spilled(blocks)), max_rows, max_bytes, overhead=4))
    assert sorted(flat(content(shards))) == list(range(len(blocks)))
    assert [(shard.number, shard.of) for shard in shards] == [(n, len(shards)) for n in range(len(shards))]
    for shard, held in zip(shards, content(shards), strict=True):
        size, rows = totals(shard)
        assert len(held) == 1 or not max_rows or rows <= max_rows
        assert len(held) == 1 or not max_bytes or size + 4 <= max_bytes


def test_without_bounds_there_is_one_file():
    assert len(list(bounded_shards(("g", spilled([(10, 1)] * 30)), 0, 0))) == 1


def test_remainders_of_batches_fill_files_up():
    """Four batches of 10 rows, cut at 4: 4 + 4 + 2 each; 40 rows need 10 files."""
    assert len(list(bounded_shards(("g", spilled([(1, 4), (1, 4), (1, 2)] * 4)), 4, 0))) == 10


def test_many_blocks_are_placed_quickly_enough():
    shards = list(bounded_shards(("g", spilled([(1, 3), (1, 2), (1, 1)] * 3_000)), 3, 0))
    assert len(shards) == 6_000


@given(BLOCKS, st.integers(1, 200))
def test_even_shards_hold_every_block_in_the_order_it_was_spilled(blocks, target):
    shards = list(even_shards(("g", spilled(blocks)), target))
    assert flat(content(shards)) == flat(content([Shard("g", 0, 1, tuple(spilled(blocks)))]))
