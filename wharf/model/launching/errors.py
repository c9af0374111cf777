"""Why a launch did not happen, where that is nobody's mistake.

RunInProgress
+- AlreadyRunning    Dataflow has an active job of that name
RunFailed
+- LaunchBusy        not now: a quota, a service that is down, a connection that broke, another launcher at work
"""

from __future__ import annotations

from wharf.model.errors import RunFailed, RunInProgress


class AlreadyRunning(RunInProgress):
    """Dataflow refused a second active job of a name."""


class LaunchBusy(RunFailed):
    """Nothing is lost: ask the same again after `retry_after` seconds, and the run begins, or is found running."""

    def __init__(self, text: str, retry_after: float = 5.0) -> None:
        super().__init__(text)
        self.retry_after = retry_after
