"""Prism, Beam's portable local runner: found on PATH, or built with Go once and kept.

`python -m tests.servers.prism` builds it, which takes a minute or more.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Self

import apache_beam

from wharf.local.emulator import free_ports, port_answers

_MODULE = f"github.com/apache/beam/sdks/v2/go/cmd/prism@v{apache_beam.__version__}"
_BUILT = Path.home() / ".cache" / "wharf" / f"prism-v{apache_beam.__version__}" / "prism"
_BUILD_SECONDS, _START_SECONDS = 1_200.0, 30.0
missing_prism = (
    "" if shutil.which("prism") or _BUILT.exists() or shutil.which("go") else "neither prism nor go is installed"
)


def binary() -> str:
    """Where Prism is; built if need be.

    Raises: CalledProcessError if it cannot be built.
    """
    if found := shutil.which("prism"):
        return found
    if not _BUILT.exists():
        _BUILT.parent.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, "GOBIN": str(_BUILT.parent)}
        subprocess.run(["go", "install", _MODULE], env=environment, timeout=_BUILD_SECONDS, check=True)
    return str(_BUILT)


class Prism:
    """A job server of Prism's inside a `with` block; it runs any number of jobs."""

    def __init__(self, directory: Path) -> None:
        self.log = directory / "prism.log"

    def __enter__(self) -> Self:
        (self.port,) = free_ports(1)
        # It goes by itself if nobody is left to end it.
        flags = [f"--job_port={self.port}", "--serve_http=false", "--log_kind=text", "--idle_shutdown_timeout=10m"]
        with self.log.open("w") as log:
            self._process = subprocess.Popen([binary(), *flags], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + _START_SECONDS
        while not port_answers(self.port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.__exit__()
                raise AssertionError(f"Prism does not start: {self.log.read_text()}")
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    @property
    def flags(self) -> list[str]:
        """What sends a pipeline here, its workers being threads of the process that starts it."""
        return ["--runner=PortableRunner", f"--job_endpoint=localhost:{self.port}", "--environment_type=LOOPBACK"]


if __name__ == "__main__":
    print(binary())
