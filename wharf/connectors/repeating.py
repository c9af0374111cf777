"""What goes on beside the work, at intervals: leases are renewed, progress is shown."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def repeating(work: Callable[[], None], seconds: float, name: str) -> Iterator[None]:
    """Call `work` every `seconds` in a thread called `name` while the block runs, and not once it has ended."""
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(seconds):
            work()

    thread = threading.Thread(target=beat, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
