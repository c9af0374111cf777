"""Which process of which machine is at work, and whether it still is."""

from __future__ import annotations

import os
import re
import socket


def process() -> str:
    """This process, `machine:pid`.

    The machine is where process ids mean the same: a host, and on Linux the namespace of its containers.
    """
    return f"{_machine()}:{os.getpid()}"


def is_gone(process: str) -> bool:
    """Whether `process` was one of this machine and is no more; of other machines nobody knows here."""
    named = re.fullmatch(r"(\S+):(\d+)", process)
    if not named or named[1] != _machine():
        return False
    try:
        os.kill(int(named[2]), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass  # it is somebody else's, and alive
    return False


def _machine() -> str:
    try:
        return f"{socket.gethostname()}/{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return socket.gethostname()
