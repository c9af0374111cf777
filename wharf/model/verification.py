"""Comparing what a run sent with what is on the server."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import NamedTuple
from zoneinfo import ZoneInfo

from wharf.model import templates
from wharf.model.manifest import Manifest
from wharf.model.sftp_export import SftpExport

_SHARD = "\x00"  # no file name holds it


class Difference(NamedTuple):
    """A file on the server that is not as the manifest says; sizes are in bytes, None where there is no file."""

    kind: str  # missing, different or extra
    path: str
    bytes: int | None = None
    found: int | None = None

    def __str__(self) -> str:
        said = ""
        if self.bytes is not None:
            said = (
                f"  ({self.bytes:,} bytes)" if self.found is None else f"  has {self.found:,} bytes, not {self.bytes:,}"
            )
        return f"{self.kind:<10} {self.path}{said}"


def differences(manifest: Manifest, sizes: Mapping[str, int | None], extra: Collection[str]) -> list[Difference]:
    """What is different on the server; empty if all is as it should be.

    `sizes`: bytes by remote path of the manifest, None for a file that is not there. `extra`: further remote paths.
    """
    found = []
    for file in manifest.files:
        size = sizes.get(file.remote_path)
        if size is None:
            found.append(Difference("missing", file.remote_path, bytes=file.bytes))
        elif size != file.bytes:
            found.append(Difference("different", file.remote_path, bytes=file.bytes, found=size))
    return found + [Difference("extra", path) for path in sorted(extra)]


def folders(manifest: Manifest) -> set[str]:
    """The remote folders of a run's files; empty for the account's own."""
    return {file.remote_path.rpartition("/")[0] for file in manifest.files}


def unexpected(manifest: Manifest, export: SftpExport, remote_folder: str, names: Collection[str]) -> set[str]:
    """Remote paths in a folder that look like files of this run and are not in its manifest.

    Such are shards that it does not have, and temporary files that an attempt left behind.
    """
    local = manifest.started_at.astimezone(ZoneInfo(export.time_zone))
    values = {
        "export_name": export.name,
        "date": manifest.date.isoformat(),
        "datetime": f"{local:%Y%m%d_%H%M%S}",
        "timestamp": str(int(manifest.started_at.timestamp())),
        "run_id": manifest.export_id,
        "shard": _SHARD,
        "shards": _SHARD,
    }
    name = templates.fill(export.path_template, values).rpartition("/")[2]
    shard_of_run = re.compile(re.escape(name).replace(re.escape(_SHARD), r"\d{5}"))
    expected = {file.remote_path for file in manifest.files}
    own = {path.rpartition("/")[2] for path in expected}
    found = set()
    for other in names:
        path = f"{remote_folder}/{other}" if remote_folder else other
        stem = re.sub(r"\.[0-9a-f]{8}\.part$", "", other).removeprefix(".")
        temporary = other.endswith(".part") and stem in own
        if path not in expected and (temporary or shard_of_run.fullmatch(other)):
            found.add(path)
    return found
