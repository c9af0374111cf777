"""Keeping a claim alive while its work goes on."""

from __future__ import annotations

import datetime as dt
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from google.api_core.exceptions import GoogleAPIError

_LOG = logging.getLogger(__name__)


@contextmanager
def renewed(renew: Callable[[], None], lease: dt.timedelta, whose: str) -> Iterator[None]:
    """Call `renew` in the background, three times in the length of a lease, while the block runs."""
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(lease.total_seconds() / 3):
            try:
                renew()
            except (GoogleAPIError, OSError) as error:  # the next beat may get through before the lease ends
                _LOG.warning("the lease of %s could not be renewed: %s", whose, error)

    thread = threading.Thread(target=beat, name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
