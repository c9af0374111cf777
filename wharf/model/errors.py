"""Every error Wharf raises on purpose, sorted by what the caller can do about it.

    WharfError
    +- UsageError        the command or its configuration is wrong: exit 2, mend it and run again
    +- RunInProgress     another run holds the window: exit 3, wait or `--force`
    +- RunFailed         the work was tried and failed: exit 1, the run can be repeated as it is
       +- ServerRefused   a server refuses us, or we do not trust it: nothing more can be sent there
       +- FileRefused     a server refuses one file (permission, quota, a name in use); others may pass
       +- ConnectionLost  a connection broke or went silent: worth another try

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


class ServerRefused(RunFailed):
    """Credentials, host key or protocol: no further file can be sent until a person mends it."""


class FileRefused(RunFailed):
    """The server answered, and will not take this file."""


class ConnectionLost(RunFailed):
    """No connection, or one that broke, or no answer in time."""
