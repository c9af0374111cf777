"""Work that waits for a server, done for many elements at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import apache_beam as beam
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue


class ThreadMapDoFn(beam.DoFn):
    """A DoFn whose subclass says what to do with one element, in `work`, and with how many `threads`.

    Elements wait in line behind the busy threads, so a bundle holds few of them; a failure fails the bundle.
    With 0 threads each is done at once: what does not wait for a server only loses by handing the interpreter lock
    around. Only for the global window.
    """

    threads = 8

    def work(self, element: Any) -> Iterable[Any]:
        """One element -> its results, all made when this returns."""
        raise NotImplementedError

    def start_bundle(self) -> None:
        self._pool = ThreadPoolExecutor(self.threads) if self.threads else None
        self._running: deque[Future[Iterable[Any]]] = deque()

    def process(self, element: Any) -> Iterator[Any]:
        if not self._pool:
            yield from self.work(element)
            return
        self._running.append(self._pool.submit(self.work, element))
        if len(self._running) > self.threads:
            yield from self._running.popleft().result()

    def finish_bundle(self) -> Iterator[WindowedValue]:
        for future in self._running:
            for result in future.result():
                yield WindowedValue(result, GlobalWindow().max_timestamp(), [GlobalWindow()])
        if self._pool:
            self._pool.shutdown()
