"""What `make bench` runs for deliveries: CSV and gzip, and files to an SFTP server, Wharf and its peers.

python benchmarks/bigquery_to_sftp.py [--rounds 5] [--only large,small,far_large,...] [--quick]

The server is OpenSSH's sshd on this machine, the same for all. What is not installed is skipped.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # run as a script, Python looks beside it only

from benchmarks import delay_proxy  # noqa: E402
from benchmarks.bench import Bench, arguments, run_sections  # noqa: E402
from benchmarks.results import Contender, at_least, ratio  # noqa: E402
from benchmarks.sftp_place import (  # noqa: E402
    CIPHER,
    OTHER_CIPHER,
    ROUND_TRIP,
    Line,
    SftpBench,
    paramiko_put,
    place,
    rclone_default,
    rclones,
    sftps,
    wharf,
)
from tests.servers.sshd import SSHD  # noqa: E402

DIRECT = {"write": "direct", "verify": "none"}  # what sftp and rclone do
_MEMORY = "/dev/shm"  # noqa: S108 - only the place of a temporary folder
_NEEDED_BYTES = 4 << 30


class TextBench(Bench):
    """Encoders and compressors: no server."""

    worker = "benchmarks.text_peers"
    packages = ("pyarrow", "numpy", "numba", "duckdb", "isal", "zlib-ng")


def large(bench: SftpBench) -> str:
    """One large file, near."""
    megabytes = 512 // bench.scale
    ours = wharf("default profile (renamed, size verified)", "MB")
    direct = wharf("written directly, not verified", "MB", **DIRECT)
    theirs = sftps("MB", ciphers=(CIPHER, OTHER_CIPHER))
    rclone, put = rclone_default("MB"), paramiko_put("MB")
    with place(bench, 1, megabytes * 1_000_000, "MB") as near:
        (fastest,) = near.rounds([ours, direct, rclone, put], [theirs])
    about = f"One file of {megabytes} MB to sshd on this machine. Of sftp's ciphers the faster one counts."
    return _section(
        bench,
        "Sending one large file",
        about,
        [ours, direct, *theirs, rclone, put],
        [("default profile against sftp", ours, fastest, 1), ("against rclone's default", ours, rclone.contender, 2)],
    )


def small(bench: SftpBench) -> str:
    """Many small files, near."""
    files = 2_000 // bench.scale
    ours = wharf("one connection, written directly, not verified", "files", max_connections=1, **DIRECT)
    default = wharf("default profile (renamed, size verified)", "files")
    put = paramiko_put("files")
    theirs, others = sftps("files", puts=(True, False)), rclones("files")
    with place(bench, files, 20_000, "files") as near:
        sftp, rclone = near.rounds([ours, default, put], [theirs, others])
    about = (
        f"{files:,} files of 20 kB to sshd on this machine. sftp and rclone write directly. {_ONLY_BEST} The default "
        "profile does more for each file: a temporary name, its size, the renaming, and the size again."
    )
    bars = [("one connection against the better sftp -b", ours, sftp, 3.5)]
    bars += [("one connection against rclone's best", ours, rclone, 4)]
    return _section(bench, "Sending small files", about, [ours, default, *theirs, *others, put], bars)


def far_large(bench: SftpBench) -> str:
    """One large file, far away."""
    megabytes = 512 // bench.scale
    ours = wharf("striped over 4 connections, default profile otherwise", "MB", stripes=4)
    single = wharf("default profile (one connection)", "MB")
    (sftp,), rclone = sftps("MB"), rclone_default("MB")
    with place(bench, 1, megabytes * 1_000_000, "MB", far=True) as far:
        far.rounds([ours, single, sftp, rclone], [])
    about = f"One file of {megabytes} MB. {_far()}"
    bars = [("striped against sftp", ours, sftp.contender, 2.5)]
    return _section(bench, "Sending one large file, 50 ms away", about, [ours, single, sftp, rclone], bars)


def far_medium(bench: SftpBench) -> str:
    """Files of 1 MB, far away."""
    return _far_files(bench, "Sending files of 1 MB, 50 ms away", 200 // bench.scale, 1_000_000, 12, 4)


def far_small(bench: SftpBench) -> str:
    """Small files, far away."""
    return _far_files(bench, "Sending small files, 50 ms away", 400 // bench.scale, 20_000, 30, None)


def _far_files(
    bench: SftpBench, title: str, files: int, file_bytes: int, against_sftp: float, against_rclone: float | None
) -> str:
    ours = wharf("4 connections, written directly, not verified", "files", max_connections=4, **DIRECT)
    default = wharf("default profile (renamed, size verified)", "files")
    theirs, others = sftps("files", puts=(True, False)), rclones("files")
    with place(bench, files, file_bytes, "files", far=True) as far:
        sftp, rclone = far.rounds([ours, default], [theirs, others])
    about = f"{files:,} files of {file_bytes // 1000:,} kB. {_far()} {_ONLY_BEST}"
    bars = [("4 connections against the better sftp -b", ours, sftp, against_sftp)]
    if against_rclone:
        bars.append(("4 connections against rclone's best", ours, rclone, against_rclone))
    return _section(bench, title, about, [ours, default, *theirs, *others], bars)


_ONLY_BEST = "The way of sftp and the setting of rclone that are fastest in the first round go on."


def _far() -> str:
    seconds, rate = delay_proxy.measure(ROUND_TRIP)
    return (
        "Between client and server is a proxy that holds every byte back for half of a round trip each way, without a "
        f"limit to the bandwidth: a byte was there and back after {seconds * 1000:.1f} ms, and {rate / 1e6:,.0f} MB/s "
        "went through without the delay. Opening a connection costs its round trip. There is no slow start, no loss."
    )


def _section(
    bench: SftpBench,
    title: str,
    about: str,
    lines: Sequence[Line],
    bars: Sequence[tuple[str, Line, Contender, float]],
) -> str:
    """A section; a peer that was skipped has no bar."""
    found = [(text, ratio(ours.contender, theirs), bar) for text, ours, theirs, bar in bars]
    about += (
        f" {_programs()}Every run is a new process that makes new connections, both in the time for sftp and rclone "
        "(to start alone took rclone 0.2 s, ssh 0.01 s); of Python's processes, imports are not. "
        "Files and server's folder are in memory where there is room. After each run all files are compared "
        "with what was sent, by size and CRC32C."
    )
    met = [at_least(text, times, bar) for text, times, bar in found if times is not None]
    return bench.section(title, about, [line.contender for line in lines], met)


def _programs() -> str:
    """What the peers are, as a sentence; nothing if there are none."""
    told = []
    for words, pattern in ((("ssh", "-V"), r"OpenSSH_[\w.]+"), (("rclone", "version"), r"rclone v[\w.-]+")):
        if shutil.which(words[0]):
            done = subprocess.run(words, capture_output=True, text=True)
            told += re.findall(pattern, done.stdout + done.stderr)[:1]
    return f"{', '.join(told)}. " if told else ""


def csv(bench: SftpBench) -> str:
    """Arrow batches to CSV in memory."""
    text = TextBench(bench.folder, bench.rounds, bench.scale)
    ours, writer = Contender("Wharf"), Contender("`csv.writer` over `to_pylist()` rows")
    arrow, duckdb = Contender("pyarrow.csv"), Contender("DuckDB's COPY")
    rows = 2_097_152 // bench.scale
    for _ in bench.each_round():
        text.run(ours, "wharf_csv", rows=rows)
        text.run(writer, "csv_writer", rows=rows // 8)
        text.run(arrow, "pyarrow_csv", rows=rows)
        text.run(duckdb, "duckdb_copy", rows=rows)
    about = (
        "Arrow batches of 65,536 rows and 7 columns (3 strings, timestamp, double, NUMERIC, bool) to CSV in memory, "
        "one core. Wharf prints values as BigQuery does, and quotes where RFC 4180 wants it; DuckDB does too, "
        "pyarrow.csv quotes every string. DuckDB copies from a table in memory to a file, in memory where there is "
        "room. A first batch, not timed, goes before."
    )
    bars = [at_least("against csv.writer", ratio(ours, writer) or 0, 12)]
    bars += [at_least("against pyarrow.csv", ratio(ours, arrow) or 0, 2)]
    bars += [at_least("against DuckDB's COPY", ratio(ours, duckdb) or 0, 1.8)]
    return text.section("CSV", about, [ours, writer, arrow, duckdb], bars)


def gzip(bench: SftpBench) -> str:
    """CSV to gzip in memory."""
    text = TextBench(bench.folder, bench.rounds, bench.scale)
    rows = 1_048_576 // bench.scale
    ours = Contender("Wharf (isal, level 2, in blocks)", "MB")
    modules = {
        "zlib": ("zlib", (6,)),
        "isal": ("isal.isal_zlib", (1, 2, 3)),
        "zlib-ng": ("zlib_ng.zlib_ng", (2, 6)),
    }
    peers = {
        (module, level): Contender(f"{name}, level {level}", "MB")
        for name, (module, levels) in modules.items()
        for level in levels
    }
    for _ in bench.each_round():
        text.run(ours, "wharf_gzip", rows=rows)
        for (module, level), contender in peers.items():
            text.run(contender, "compress", module=module, level=level, rows=rows)
    about = (
        "The CSV of the section above to gzip in memory, one core: megabytes of CSV a second, and to how much of its "
        "size. For information; no bar. What was compressed is decompressed by Python's gzip, and compared."
    )
    return text.section("gzip", about, [ours, *peers.values()], [])


SECTIONS = {
    "large": large,
    "small": small,
    "far_large": far_large,
    "far_medium": far_medium,
    "far_small": far_small,
    "csv": csv,
    "gzip": gzip,
}
_WITH_SERVER = SECTIONS.keys() - {"csv", "gzip"}


def main() -> None:
    parser = arguments(__doc__, SECTIONS)
    args = parser.parse_args()
    if SSHD is None:
        asked = args.only.split(",")
        args.only = ",".join(name for name in asked if name not in _WITH_SERVER)
        if args.only.split(",") != asked:
            print("no sshd here, nothing is sent; Debian and Ubuntu: apt-get install openssh-server", flush=True)
        if not args.only:
            return
    run_sections(parser, args, SECTIONS, SftpBench, _in_memory())


def _in_memory() -> str | None:
    """A folder in memory, so that no disk is measured; None if there is none, or too small a one."""
    if os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > _NEEDED_BYTES:
        return _MEMORY
    return None


if __name__ == "__main__":
    main()
