"""One run of sending files to a server, in a process of its own: `python -m benchmarks.sftp_peers CONTENDER JSON`.

Wharf's `deliver`, OpenSSH's `sftp`, rclone and paramiko's `put`. Each sends all files of one folder into another on
the same server, over new connections that are in the time. The clock of Wharf and paramiko starts after imports; that
of `sftp` and `rclone` covers their whole process. Whether the files arrived, the driver finds out.
"""

from __future__ import annotations

import posixpath
import shlex
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import google_crc32c
import paramiko

from benchmarks.bench import tell
from benchmarks.measured import Measured, peak_rss_bytes, reset_peak_rss
from wharf.connectors.endpoints import Endpoints
from wharf.connectors.sftp.server import deliver
from wharf.model.checksums import crc32c_text
from wharf.model.delivery import DeliveryProfile, OutboundFile, SftpTarget
from wharf.model.secrets import SecretRef

_SECONDS = 900.0  # after which a program counts as stuck


@dataclass(frozen=True)
class Sending:
    """What a run sends, and where to."""

    source: str  # a folder of files
    directory: str  # an empty one, on the server
    port: int
    username: str
    key: str
    host_key: str  # as `ssh-keygen -lf` prints it
    known_hosts: str  # a file
    units: int  # what the rate counts: files, or megabytes

    def paths(self) -> list[Path]:
        return sorted(Path(self.source).iterdir())

    def keywords(self) -> dict[str, Any]:
        """For `Bench.run`."""
        return asdict(self)

    def measured(self, started: float, peak: int | None = None) -> Measured:
        return Measured(self.units, time.perf_counter() - started, peak)


def wharf(profile: dict[str, Any], **sending: Any) -> Measured:
    """Send with `deliver`. Sizes and CRC32Cs are known, as they are of staged files."""
    to = Sending(**sending)
    target = SftpTarget(
        host="127.0.0.1",
        port=to.port,
        username=to.username,
        private_key=SecretRef(f"file:{to.key}"),
        host_key=to.host_key,
        directory=to.directory,
        delivery=DeliveryProfile(**profile),
    )
    files = [_outbound(path) for path in to.paths()]
    reset_peak_rss()
    started = time.perf_counter()
    delivered = deliver(files, target, Endpoints())
    outcome = to.measured(started, peak_rss_bytes())
    if errors := [result.error for result in delivered if result.error]:
        raise RuntimeError(f"{len(errors)} of {len(files)} files were not sent; the first: {errors[0]}")
    return outcome


def paramiko_put(**sending: Any) -> Measured:
    """Send with `SFTPClient.put`, one file after the other, as its documentation shows; AES-GCM goes first."""
    to = Sending(**sending)
    paths = to.paths()
    key = paramiko.Ed25519Key.from_private_key_file(to.key)
    reset_peak_rss()
    started = time.perf_counter()
    with paramiko.Transport(("127.0.0.1", to.port)) as transport:
        options = transport.get_security_options()
        options.ciphers = tuple(sorted(options.ciphers, key=lambda cipher: "gcm" not in cipher))
        transport.connect(username=to.username, pkey=key)
        with paramiko.SFTPClient.from_transport(transport) as client:
            for path in paths:
                client.put(str(path), posixpath.join(to.directory, path.name))
    return to.measured(started, peak_rss_bytes())


def sftp(cipher: str, glob: bool = True, **sending: Any) -> Measured | str:
    """Send with OpenSSH's `sftp -b`: one `put` of all files, or a `put` for each."""
    to = Sending(**sending)
    if not shutil.which("sftp"):
        return "no sftp here; Debian and Ubuntu: apt-get install openssh-client"
    into = f"{shlex.quote(to.directory)}/"
    puts = [f"put {shlex.quote(str(path))} {into}" for path in to.paths()]
    if glob:
        puts = [f"put {shlex.quote(to.source)}/* {into}"]
    batch = Path(f"{to.source}.batch")
    batch.write_text("\n".join(puts) + "\n")
    options = {
        "Ciphers": cipher,
        "UserKnownHostsFile": to.known_hosts,
        "GlobalKnownHostsFile": "none",
        "StrictHostKeyChecking": "yes",
        "IdentityFile": to.key,
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
    }
    words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    return _program(to, ["sftp", "-q", "-F", "none", *words, "-P", str(to.port), "-b", str(batch), _at(to)])


def rclone(flags: Sequence[str], **sending: Any) -> Measured | str:
    """Send with `rclone copy` and `flags`, without a configuration file."""
    to = Sending(**sending)
    if not shutil.which("rclone"):
        return "no rclone here; Debian and Ubuntu: apt-get install rclone"
    where = {
        "host": "127.0.0.1",
        "port": str(to.port),
        "user": to.username,
        "key-file": to.key,
        "known-hosts-file": to.known_hosts,
    }
    words = [f"--sftp-{name}={value}" for name, value in where.items()]
    command = ["rclone", "copy", "--config=", "--quiet", *words, *flags, to.source, f":sftp:{to.directory}"]
    return _program(to, command)


def _outbound(path: Path) -> OutboundFile:
    content = path.read_bytes()
    crc32c = crc32c_text(google_crc32c.value(content))
    return OutboundFile(str(path), path.name, len(content), crc32c)


def _at(to: Sending) -> str:
    return f"{to.username}@127.0.0.1"


def _program(to: Sending, command: list[str]) -> Measured:
    """Run a program that sends the files. Raises: RuntimeError with what it said, if it fails."""
    started = time.perf_counter()
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        timeout=_SECONDS,
    )
    outcome = to.measured(started)
    if done.returncode:
        raise RuntimeError(f"{command[0]} ended with exit code {done.returncode}: {done.stderr.strip()}")
    return outcome


if __name__ == "__main__":
    tell({"wharf": wharf, "paramiko_put": paramiko_put, "sftp": sftp, "rclone": rclone})
