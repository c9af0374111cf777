"""The one retry policy towards Google's APIs: what is worth trying again, how often, for how long."""

from __future__ import annotations

import random

from google.api_core import exceptions
from google.api_core.retry import Retry, if_exception_type
from google.auth.exceptions import TransportError
from requests.exceptions import ChunkedEncodingError, ConnectionError, Timeout

# The server or the way to it had a bad moment; anything else is an answer.
RETRYABLE = (
    exceptions.TooManyRequests,
    exceptions.InternalServerError,
    exceptions.BadGateway,
    exceptions.ServiceUnavailable,
    exceptions.GatewayTimeout,
    exceptions.Aborted,
    ConnectionError,
    ChunkedEncodingError,
    Timeout,
    TransportError,
)

# Exponential with full jitter, at most a minute in all: a person may be waiting. `Retry-After` is not needed here:
# Google's APIs ask for exactly this backoff, https://cloud.google.com/storage/docs/retry-strategy.
POLICY = Retry(predicate=if_exception_type(*RETRYABLE), initial=0.5, maximum=10, multiplier=2, timeout=60)


def _is_conflict(error: Exception) -> bool:
    """Two statements changed one table at once; BigQuery asks the loser to try again."""
    return isinstance(error, exceptions.BadRequest) and "concurrent update" in str(error).lower()


# For whole DML jobs that may be repeated as they are.
MERGE_POLICY = Retry(
    predicate=lambda error: _is_conflict(error) or isinstance(error, RETRYABLE),
    initial=1,
    maximum=20,
    multiplier=2,
    timeout=180,
)


def pause(failures: int, longest: float) -> float:
    """Seconds to wait after so many failures in a row, where a loop of its own tries again: full jitter, as above."""
    return random.uniform(0, min(longest, 0.25 * 2**failures))
