"""Keeping a claim alive while its work goes on."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager

from google.api_core.exceptions import GoogleAPIError
from google.auth.exceptions import GoogleAuthError

from wharf.connectors.repeating import repeating

_LOG = logging.getLogger(__name__)
_PASSING = (GoogleAPIError, GoogleAuthError, OSError)  # the next beat may get through before the lease ends


def renewed(renew: Callable[[], None], lease: dt.timedelta, whose: str) -> AbstractContextManager[None]:
    """Call `renew` in the background, three times in the length of a lease, while the block runs."""

    def beat() -> None:
        try:
            renew()
        except _PASSING as error:
            _LOG.warning("the lease of %s could not be renewed: %s", whose, error)

    return repeating(beat, lease.total_seconds() / 3, "lease")
