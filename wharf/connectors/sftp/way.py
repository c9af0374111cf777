"""Ways to an SSH server: a TCP connection, the process of a proxy command, a channel through a jump host.

Each gives something like a connected socket, and leaves on an `ExitStack` what must be closed with it.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import tempfile
from contextlib import ExitStack
from typing import IO

from wharf.model.delivery import SftpTarget
from wharf.model.errors import UsageError

_STOP_SECONDS = 1.0
_KEEPALIVE_SECONDS = 15


def by_tcp(target: SftpTarget, held: ExitStack) -> socket.socket:
    """A TCP connection; each address of the host is tried.

    Raises: OSError, UnicodeError for a host name that cannot be one.
    """
    timeout = target.delivery.timeout
    opened = held.enter_context(socket.create_connection((target.host, target.port), timeout))
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # A small request does not wait for the next.
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    # Where the system can be told: a peer that is gone is noticed after the same silence, sending or idle.
    for name, value in {
        "TCP_KEEPIDLE": _KEEPALIVE_SECONDS,
        "TCP_KEEPINTVL": _KEEPALIVE_SECONDS,
        "TCP_USER_TIMEOUT": int(timeout * 1000),
    }.items():
        if hasattr(socket, name):
            opened.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return opened


def by_command(target: SftpTarget, held: ExitStack) -> tuple[socket.socket, IO[bytes]]:
    """The standard input and output of `proxy_command`, and what it says on standard error.

    %h, %p and %r stand for host, port and user, as in ssh_config(5); no shell sees the command.

    Raises: UsageError if it cannot be started.
    """
    ours, theirs = socket.socketpair()
    held.enter_context(ours)
    said: IO[bytes] = held.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - `held` closes it
    words = _words(target)
    with theirs:
        end = theirs.fileno()
        try:
            process = subprocess.Popen(words, stdin=end, stdout=end, stderr=said, start_new_session=True)
        except OSError as error:
            raise UsageError(f"{target}: sftp.proxy_command cannot be started: {error.strerror}") from error
    held.callback(_end, process)
    return ours, said


def last_line(said: IO[bytes]) -> str:
    """The last line that a proxy command wrote to standard error, or nothing."""
    said.seek(0)
    lines = said.read().decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _words(target: SftpTarget) -> list[str]:
    values = {"h": target.host, "p": str(target.port), "r": target.username, "%": "%"}
    try:
        words = shlex.split(target.proxy_command)
    except ValueError as error:
        raise UsageError(f"{target}: sftp.proxy_command cannot be split into words: {error}") from error
    return [re.sub("%([hpr%])", lambda found: values[found[1]], word) for word in words]


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a proxy command and what it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            pass  # All of it has ended.
        try:
            process.wait(_STOP_SECONDS)
            return
        except subprocess.TimeoutExpired:
            pass  # It does not hear SIGTERM.
