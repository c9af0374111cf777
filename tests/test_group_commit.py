"""One commit for what several threads want at once."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from wharf.connectors.loading.group_commit import GroupCommit


def test_what_gathers_while_a_commit_runs_is_committed_together():
    begun, go_on, seen = threading.Event(), threading.Event(), []

    def commit(items: list[int]) -> int:
        seen.append(sorted(items))
        begun.set()
        assert go_on.wait(10)
        return sum(items)

    together = GroupCommit(commit)
    with ThreadPoolExecutor(6) as pool:
        first = pool.submit(together, [0])
        assert begun.wait(10)
        others = [pool.submit(together, [n]) for n in range(1, 6)]
        while len(together._waiting) < 5:
            time.sleep(0.001)
        go_on.set()
        assert (first.result(), [each.result() for each in others]) == (0, [15] * 5)
    assert seen == [[0], [1, 2, 3, 4, 5]]


def test_an_error_of_a_commit_reaches_each_who_asked_and_the_next_commit_is_a_new_one():
    begun, go_on = threading.Event(), threading.Event()

    def commit(items: list[int]) -> int:
        begun.set()
        assert go_on.wait(10)
        if 13 in items:
            raise ValueError("unlucky")
        return len(items)

    together = GroupCommit(commit)
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(together, [1])
        assert begun.wait(10)
        others = [pool.submit(together, [n]) for n in (2, 13)]
        while len(together._waiting) < 2:
            time.sleep(0.001)
        go_on.set()
        assert first.result() == 1
        for each in others:
            with pytest.raises(ValueError, match="unlucky"):
                each.result()
    assert together([1, 2]) == 2
