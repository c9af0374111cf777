"""One statement for what several threads want at once: BigQuery runs few on a table at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class GroupCommit(Generic[Item, Answer]):
    """Runs `commit` for one thread after the other; what others ask for meanwhile gathers for the next time."""

    def __init__(self, commit: Callable[[Sequence[Item]], Answer]) -> None:
        self._commit = commit
        self._turn, self._lock = threading.Lock(), threading.Lock()
        self._waiting: list[tuple[Sequence[Item], Future[Answer]]] = []

    def __call__(self, items: Sequence[Item]) -> Answer:
        """-> what `commit` answers to `items` and those of others. Raises: what it raises, to each who asked."""
        mine: Future[Answer] = Future()
        with self._lock:
            self._waiting.append((items, mine))
        with self._turn:
            if not mine.done():
                self._commit_waiting()
        return mine.result()

    def _commit_waiting(self) -> None:
        with self._lock:
            together, self._waiting = self._waiting, []
        try:
            answer = self._commit([item for items, _ in together for item in items])
        except BaseException as error:
            for _, future in together:
                future.set_exception(error)
            raise
        for _, future in together:
            future.set_result(answer)
