"""One emulator as a child process: started, waited for, stopped; its output goes to a log file."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from wharf.local import child
from wharf.model.errors import WharfError

_START_SECONDS = 60.0
_STOP_SECONDS = 10.0
_LOG_LINES = 15

# Emulators are on this machine, whatever proxy the environment names.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Emulator:
    """A process running `python -m module arguments`, tied to the life of this one.

    It is started at once. `claim` is a file descriptor that the child holds open as long as it lives.
    """

    def __init__(
        self,
        name: str,
        module: str,
        arguments: Sequence[str],
        *,
        parent: int,
        claim: int,
        log: Path,
        variables: Mapping[str, str],
        answers: Sequence[Callable[[], bool]],
    ) -> None:
        self.name = name
        self._log = log
        self._answers = answers
        # `env` adds variables for the child alone. -P keeps the directory's own names (`storage`, `logs`)
        # from being imported. A session of its own keeps a terminal's Ctrl-C away: we stop it in order.
        assignments = [f"{key}={value}" for key, value in variables.items()]
        python = [sys.executable, "-P", str(Path(child.__file__).resolve()), str(parent)]
        with log.open("w") as output:
            self._process = subprocess.Popen(
                ["env", *assignments, *python, module, *arguments],
                cwd=log.parent,  # Emulators read settings files from the working directory.
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=[claim],
                start_new_session=True,
            )

    def wait(self) -> None:
        """Return once every probe answers. Raises: WharfError if the process ends or takes too long."""
        deadline = time.monotonic() + _START_SECONDS
        while not all(answer() for answer in self._answers):
            self.check()
            if time.monotonic() > deadline:
                raise self._failure(f"did not answer within {_START_SECONDS:.0f} s")
            time.sleep(0.05)
        self.check()

    def check(self) -> None:
        """Raises: WharfError if the process has ended."""
        if (status := self._process.poll()) is not None:
            raise self._failure(f"ended with exit status {status}")

    def ask_to_stop(self) -> None:
        """Send SIGTERM; `stop` waits for the end."""
        self._process.terminate()

    def stop(self) -> None:
        """End the process, by force if it takes too long. Does nothing if it has ended."""
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _failure(self, what: str) -> WharfError:
        lines = self._log.read_text(errors="replace").splitlines()[-_LOG_LINES:]
        return WharfError("\n".join([f"the {self.name} emulator {what}; the end of {self._log}:", *lines]))


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on now; open together, so that they differ."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [opened.getsockname()[1] for opened in sockets]
    for opened in sockets:
        opened.close()
    return ports


def http_answers(url: str) -> bool:
    """Whether a GET of `url` succeeds."""
    try:
        with _OPENER.open(url, timeout=5):
            return True
    except OSError:  # URLError and HTTPError are OSErrors.
        return False


def port_answers(port: int) -> bool:
    """Whether somebody listens on `port` of this machine."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True
