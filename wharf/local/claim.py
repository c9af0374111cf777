"""Who runs the stack of a directory: a lock that its processes hold, and a note inside the locked file.

The kernel drops the lock with the last process that holds it. A file left behind by `kill -9` or a reboot
therefore means nothing, and a process id is only believed while the lock is held.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from pathlib import Path
from typing import Any

from wharf.model.errors import UsageError

_FILE = "stack.json"
_SIZE = 4096


def take(directory: Path, *, patience: float = 2.0) -> int:
    """Claim `directory` for this process; the claim is the returned file descriptor, and ends with it.

    Waits up to `patience` seconds, in which the children of a killed stack notice and go.

    Raises: UsageError if a stack runs there.
    """
    descriptor = os.open(directory / _FILE, os.O_RDWR | os.O_CREAT, 0o644)
    deadline = time.monotonic() + patience
    while not _try_lock(descriptor, fcntl.LOCK_EX):
        if time.monotonic() > deadline:
            os.close(descriptor)
            raise UsageError(
                f"a local stack is running in {directory}: use it (`wharf local env --dir {directory}`) "
                f"or stop it (`wharf local down --dir {directory}`)"
            )
        time.sleep(0.05)
    note(descriptor, {"pid": os.getpid()})
    return descriptor


def note(descriptor: int, facts: dict[str, Any]) -> None:
    """Replace what `holder` tells about a claim."""
    # One write of constant length: a reader sees the old note or the new one.
    os.pwrite(descriptor, json.dumps(facts).encode().ljust(_SIZE), 0)


def holder(directory: Path) -> dict[str, Any] | None:
    """What the running stack of `directory` noted (`pid`, and once ready `environment`); None without one."""
    try:
        descriptor = os.open(directory / _FILE, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        if _try_lock(descriptor, fcntl.LOCK_SH):
            return None
        facts: dict[str, Any] = json.loads(os.pread(descriptor, _SIZE, 0) or b"{}")
        return facts
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
