"""A server to send files to, the files, and those who send them in turns: for the sections of `bigquery_to_sftp`."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import google_crc32c
import numpy as np

from benchmarks.bench import Bench
from benchmarks.delay_proxy import DelayProxy
from benchmarks.results import Contender
from tests.servers.sshd import Sshd

ROUND_TRIP = 0.05  # seconds, to a server that is far
CIPHER, OTHER_CIPHER = "aes128-gcm@openssh.com", "chacha20-poly1305@openssh.com"
_SEED = 20250301
# rclone without looking at what is there, and without a second look at what it sent: its checksums by a command on the
# server take half a second a file.
_NO_LOOKS = (
    "--no-check-dest",
    "--ignore-times",
    "--ignore-checksum",
    "--sftp-disable-hashcheck",
    "--sftp-set-modtime=false",
)
_RCLONES = {
    "rclone, no checks": _NO_LOOKS,
    "rclone, no checks, 8 transfers": (*_NO_LOOKS, "--transfers=8", "--checkers=8"),
    "rclone, no checks, 16 transfers": (*_NO_LOOKS, "--transfers=16", "--checkers=16"),
    "rclone, no checks, 32 transfers": (*_NO_LOOKS, "--transfers=32", "--checkers=32"),
    "rclone, no checks, 16 transfers, 255 KiB requests": (*_NO_LOOKS, "--transfers=16", "--sftp-chunk-size=255k"),
    "rclone, sizes compared first": ("--size-only", "--sftp-disable-hashcheck"),
}


class SftpBench(Bench):
    """Files to a server."""

    worker = "benchmarks.sftp_peers"
    packages = ("paramiko", "cryptography")


@dataclass
class Line:
    """A contender, the worker's name for it, and how it is asked."""

    contender: Contender
    name: str
    asked: dict[str, object]


def wharf(title: str, unit: str, **profile: object) -> Line:
    return Line(Contender(f"Wharf, {title}", unit), "wharf", {"profile": profile})


def sftps(unit: str, puts: Sequence[bool] = (True,), ciphers: Sequence[str] = (CIPHER,)) -> list[Line]:
    return [
        Line(
            Contender(
                f"sftp{'' if len(puts) == 1 else ' -b, one put' if glob else ' -b, a put a file'}, {cipher}", unit
            ),
            "sftp",
            {"cipher": cipher, "glob": glob},
        )
        for cipher in ciphers
        for glob in puts
    ]


def paramiko_put(unit: str) -> Line:
    return Line(Contender("paramiko's `put`, AES-GCM first", unit), "paramiko_put", {})


def rclone_default(unit: str) -> Line:
    return Line(Contender("rclone, default", unit), "rclone", {"flags": ()})


def rclones(unit: str) -> list[Line]:
    return [Line(Contender(title, unit), "rclone", {"flags": flags}) for title, flags in _RCLONES.items()]


@dataclass(frozen=True)
class Place:
    """A server and the files to send to it."""

    bench: SftpBench
    server: Sshd
    source: Path
    port: int
    units: int

    def run(self, line: Line) -> None:
        """Send all files; a run after which one is missing on the server, or is not the same, has no rate."""
        into = self.server.root / "in"
        into.mkdir()
        sending = {
            "source": str(self.source),
            "directory": str(into),
            "port": self.port,
            "username": self.server.target().username,
            "key": str(self.server.client_key),
            "host_key": self.server.fingerprint,
            "known_hosts": str(self.source.with_name("known_hosts")),
            "units": self.units,
        }
        self.bench.run(line.contender, line.name, None, **line.asked, **sending)
        if not line.contender.skipped:
            require_same(line.contender.title, self.source, into)
        shutil.rmtree(into)

    def rounds(self, lines: Sequence[Line], rivals: Sequence[Sequence[Line]]) -> list[Contender]:
        """Run all in turns; of each group of rivals only the fastest of the first round goes on -> those."""
        groups = [list(group) for group in rivals]
        for number in self.bench.each_round():
            for line in [*lines, *(line for group in groups for line in group)]:
                self.run(line)
            if number == 1:
                groups = [[best(group)] for group in groups]
        return [group[0].contender for group in groups]


def best(lines: Sequence[Line]) -> Line:
    """The fastest line, or the first if none could run."""
    return max(lines, key=lambda line: line.contender.rate if line.contender.runs else 0.0)


def require_same(who: str, source: Path, sent: Path) -> None:
    """Raises: RuntimeError unless both folders hold the same files and no others."""
    wanted, found = (sorted(path.name for path in folder.iterdir()) for folder in (source, sent))
    if wanted != found:
        raise RuntimeError(f"{who} was given {len(wanted):,} files, and {len(found):,} are on the server: no rate")
    for name in wanted:
        if _content(source / name) != _content(sent / name):
            raise RuntimeError(f"{who}: {name} on the server is not what was sent: no rate")


def _content(path: Path) -> tuple[int, int]:
    """Bytes and CRC32C."""
    crc = size = 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            crc, size = google_crc32c.extend(crc, block), size + len(block)
    return size, crc


@contextmanager
def place(bench: SftpBench, files: int, file_bytes: int, unit: str, *, far: bool = False) -> Iterator[Place]:
    """A server and `files` files of random bytes; `far` puts a round trip of `ROUND_TRIP` between."""
    folder = bench.folder / "sftp"
    source = folder / "files_to_send"
    source.mkdir(parents=True)
    rng = np.random.default_rng(_SEED)
    for number in range(files):
        (source / f"part-{number:05d}.csv").write_bytes(rng.bytes(file_bytes))
    with ExitStack() as held:
        held.callback(shutil.rmtree, folder)
        server = held.enter_context(Sshd(folder))
        port = held.enter_context(DelayProxy(server.port, ROUND_TRIP)).port if far else server.port
        line = server.known_hosts_line("ed25519", f"[127.0.0.1]:{port}")
        (folder / "known_hosts").write_text(line)
        yield Place(bench, server, source, port, files if unit == "files" else files * file_bytes // 1_000_000)
