"""Every error Wharf raises on purpose, sorted by what the caller can do about it.

    WharfError
    +- UsageError        the command or its configuration is wrong: exit 2, mend it and run again
    +- RunInProgress     another run holds the window: exit 3, wait or `--force`
    +- RunFailed         the work was tried and failed: exit 1, the run can be repeated as it is

A message says what, where and the remedy; it never holds a row's content or a secret.
"""


class WharfError(Exception):
    """Base of Wharf's own errors; `exit_code` is what a command ends with."""

    exit_code = 1


class UsageError(WharfError):
    """The command, its configuration or the permissions behind it must be mended by a person."""

    exit_code = 2


class RunInProgress(WharfError):
    """Another run of an overlapping window is alive; nothing was written."""

    exit_code = 3


class RunFailed(WharfError):
    """A run was started and did not complete; repeating it is safe."""
