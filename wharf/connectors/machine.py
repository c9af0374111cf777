"""Which process of which machine is at work, and whether it still is."""

from __future__ import annotations

import datetime as dt
import os
import re
import socket
import subprocess
from pathlib import Path

_PROC = Path("/proc")


def process() -> str:
    """This process, `machine:pid`.

    The machine is where process ids mean the same: a host, and on Linux the namespace of its containers.
    """
    return f"{_machine()}:{os.getpid()}"


def id_here(process: str) -> int | None:
    """The process id of `process`, if it is or was one of this machine."""
    named = re.fullmatch(r"(\S+):(\d+)", process)
    return int(named[2]) if named and named[1] == _machine() else None


def is_gone(process: str) -> bool:
    """Whether `process` was one of this machine and is no more; of other machines nobody knows here."""
    pid = id_here(process)
    if pid is None:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass  # it is somebody else's, and alive
    return _stat(pid)[:1] == ["Z"]  # it has ended, and its parent has not asked how


def began_at(pid: int) -> dt.datetime | None:
    """When a process of this machine began, to the second; None if there is none."""
    if not _PROC.is_dir():
        return _began_at_by_ps(pid)
    boot = re.search(r"^btime (\d+)", (_PROC / "stat").read_text(), re.MULTILINE)
    facts = _stat(pid)
    if not facts or not boot:
        return None
    return dt.datetime.fromtimestamp(int(boot[1]) + int(facts[19]) / os.sysconf("SC_CLK_TCK"), dt.UTC)


def _stat(pid: int) -> list[str]:
    """What Linux tells of a process behind its name: its state first, then numbers; nothing where there is none.

    https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html; starttime, field 22, is at 19.
    """
    try:
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _began_at_by_ps(pid: int) -> dt.datetime | None:
    # What is elapsed, `[[dd-]hh:]mm:ss`, is all that the `ps` of any system can tell without a locale or a time zone.
    found = subprocess.run(["ps", "-o", "etime=", "-p", str(pid)], capture_output=True, text=True, check=False)
    elapsed = re.fullmatch(r"(?:(?:(\d+)-)?(\d+):)?(\d+):(\d+)", found.stdout.strip())
    if not elapsed:
        return None
    days, hours, minutes, seconds = (int(group or 0) for group in elapsed.groups())
    return dt.datetime.now(dt.UTC) - dt.timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


def _machine() -> str:
    try:
        return f"{socket.gethostname()}/{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return socket.gethostname()
