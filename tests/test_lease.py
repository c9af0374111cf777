"""A lease is renewed beside the work, whatever an attempt at it meets."""

from __future__ import annotations

import datetime as dt
import threading

import pytest
from google.api_core.exceptions import ServiceUnavailable
from google.auth.exceptions import RefreshError

from wharf.connectors.lease import renewed


@pytest.mark.parametrize("error", [ServiceUnavailable("503"), RefreshError("no token"), ConnectionResetError()])
def test_a_renewal_that_fails_is_tried_again(error, caplog):
    again = threading.Event()
    failures = [error]

    def renew() -> None:
        if failures:
            raise failures.pop()
        again.set()

    with renewed(renew, dt.timedelta(seconds=0.15), "run1"):
        assert again.wait(10)
    assert "the lease of run1 could not be renewed" in caplog.text


def test_nothing_is_renewed_once_the_work_has_ended():
    beats: list[int] = []
    with renewed(lambda: beats.append(1), dt.timedelta(seconds=0.03), "run1"):
        pass
    seen = len(beats)
    threading.Event().wait(0.1)
    assert len(beats) == seen
