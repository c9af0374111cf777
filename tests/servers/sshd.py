"""OpenSSH's sshd on a port of this machine, with keys, configuration and files of its own.

    with Sshd(tmp_path) as server:
        connect(server.target(), secret)      # by a key; files land in server.root

It runs as whoever runs the tests, and lets that account in by `server.client_key` alone.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from wharf.model.delivery import SftpTarget
from wharf.model.secrets import SecretRef

SSHD = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")
needs_sshd = pytest.mark.skipif(SSHD is None, reason="no sshd here; Debian and Ubuntu: apt-get install openssh-server")

_SECONDS = 10.0
_MAKE = {
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "ecdsa": lambda: ec.generate_private_key(ec.SECP256R1()),
    "rsa": lambda: rsa.generate_private_key(65537, 2048),
}


class Sshd:
    """A running sshd inside a `with` block; no process of it is left afterwards.

    `host_keys`: of `ed25519`, `ecdsa`, `rsa`. `config`: lines that go before the server's own, and so win over them
    (`MaxSessions 1`).
    """

    def __init__(self, directory: Path, *, host_keys: Sequence[str] = ("ed25519",), config: Sequence[str] = ()) -> None:
        self.root = directory / "files"
        self.client_key = directory / "client_key"
        self.host_keys = {kind: directory / f"host_{kind}" for kind in host_keys}
        self.port = _free_port()
        self.log = directory / "sshd.log"
        self._directory = directory
        self._extra = config
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the process that listens."""
        assert self._process is not None
        return self._process.pid

    @property
    def fingerprint(self) -> str:
        """`SHA256:...` of the first host key."""
        return self.fingerprint_of(next(iter(self.host_keys)))

    def fingerprint_of(self, kind: str) -> str:
        """What `ssh-keygen -lf` prints of the host key of that kind, without size and comment."""
        listed = subprocess.check_output(["ssh-keygen", "-lf", str(self.host_keys[kind])], text=True)
        return listed.split()[1]

    def known_hosts_line(self, kind: str, name: str = "") -> str:
        """A line of a known_hosts file with the host key of that kind."""
        public = self.host_keys[kind].with_suffix(".pub").read_text().strip()
        return f"{name or f'[127.0.0.1]:{self.port}'} {public}\n"

    def target(self, **changes: Any) -> SftpTarget:
        """This server as a target, with changes: `server.target(host_key="", known_hosts=...)`."""
        whole = SftpTarget(
            host="127.0.0.1",
            port=self.port,
            username=pwd.getpwuid(os.getuid()).pw_name,
            private_key=SecretRef(f"file:{self.client_key}"),
            host_key=self.fingerprint,
            directory=str(self.root),
        )
        return replace(whole, **changes)

    def __enter__(self) -> Self:
        self.root.mkdir(parents=True, exist_ok=True)
        for kind, path in self.host_keys.items():
            write_key_pair(path, kind)
        public = write_key_pair(self.client_key, "ed25519")
        (self._directory / "authorized_keys").write_text(public)
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # As root, sshd insists on this empty directory.
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End the server and every connection to it, without a word to the clients."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGSTOP)  # Nobody is let in between the two kills.
        self.kill_connections()
        self._process.kill()
        self._process.wait()
        self._process = None

    def restart(self) -> None:
        """Stop, and start again on the same port with the same keys and files."""
        self.stop()
        self._start()

    def kill_connections(self) -> None:
        """Kill the processes that serve connections; the server itself goes on listening."""
        assert self._process is not None
        serving = descendants(self._process.pid)
        for pid in serving:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass  # It ended by itself.
        deadline = time.monotonic() + _SECONDS
        while not set(serving).isdisjoint(_running()):
            assert time.monotonic() < deadline, f"{serving} do not end"
            time.sleep(0.005)

    @contextmanager
    def authorized(self, public: str) -> Iterator[None]:
        """Let in another key, by its public line, inside a `with` block."""
        file = self._directory / "authorized_keys"
        before = file.read_text()
        file.write_text(before + public)
        yield
        file.write_text(before)

    def connections(self) -> int:
        """How many connections are being served."""
        assert self._process is not None
        return sum(parent == self._process.pid for parent in _running().values())

    def _start(self) -> None:
        assert SSHD is not None
        config = self._directory / "sshd_config"
        config.write_text("\n".join([*self._extra, *self._config(), ""]))
        with self.log.open("w") as log:
            self._process = subprocess.Popen(
                [SSHD, "-D", "-e", "-f", str(config)], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        deadline = time.monotonic() + _SECONDS
        while f"Server listening on 127.0.0.1 port {self.port}." not in self.log.read_text():
            if self._process.poll() is not None or time.monotonic() > deadline:
                text = self.log.read_text()
                self.stop()
                raise AssertionError(f"sshd does not start: {text}")
            time.sleep(0.005)

    def _config(self) -> list[str]:
        version = re.search(
            r"OpenSSH_(\d+)\.(\d+)", subprocess.run([SSHD, "-V"], capture_output=True, text=True).stderr
        )
        # Since 9.8 an address whose logins fail is locked out for a while: every test has the same address.
        penalties = version and (int(version[1]), int(version[2])) >= (9, 8)
        return [
            *(f"HostKey {path}" for path in self.host_keys.values()),
            *(["PerSourcePenalties no"] if penalties else []),
            f"Port {self.port}",
            "ListenAddress 127.0.0.1",
            f"AuthorizedKeysFile {self._directory / 'authorized_keys'}",
            "StrictModes no",  # The directories above a temporary one may be anybody's.
            "PidFile none",
            "UsePAM no",
            "UseDNS no",
            "PermitRootLogin yes",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "MaxStartups 100",
            "LogLevel VERBOSE",
            "Subsystem sftp internal-sftp",
        ]


def write_key_pair(path: Path, kind: str) -> str:
    """Make a key of that kind at `path`, its public half beside it; returns the public half's line."""
    if not path.exists():
        key = _MAKE[kind]()
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
        )
        path.touch(mode=0o600)
        path.write_bytes(private)
        public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
        path.with_suffix(".pub").write_bytes(public + b"\n")
    return path.with_suffix(".pub").read_text()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as opened:
        port: int = opened.getsockname()[1]
        return port


def _running() -> dict[int, int]:
    """Parent by process, of all that run; those that ended and wait to be collected do not count."""
    listing = subprocess.check_output(["ps", "-A", "-o", "pid=,ppid=,stat="], text=True)
    rows = (line.split() for line in listing.splitlines())
    return {int(pid): int(parent) for pid, parent, state in rows if not state.startswith("Z")}


def descendants(pid: int) -> list[int]:
    """The processes that `pid` started, and those that they did."""
    parents = _running()
    found = [pid]
    for ancestor in found:
        found += [child for child, parent in parents.items() if parent == ancestor]
    return found[1:]
