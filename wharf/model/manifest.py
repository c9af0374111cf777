"""The manifest of a delivery: which staged files a run sends where, and what it means when all have arrived.

Written when every file of the run is staged, before the first is sent. From then on a run that failed is completed
from it, not begun again.

    <staging>/<export_name>/<export_id>/manifest.json
    <staging>/<export_name>/<export_id>/files/<file name>
    <staging>/<export_name>/<export_id>/spill-*               gone once the files are there
"""

from __future__ import annotations

import datetime as dt
import json
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from wharf.model.delivery import DeliveryResult, OutboundFile
from wharf.model.errors import RunFailed
from wharf.model.ledger import FAILED, SUCCESS
from wharf.model.selection import Watermark

_NAMES_SHOWN = 10


@dataclass(frozen=True)
class StagedName:
    """One file of a delivery."""

    remote_path: str  # below the server's directory
    uri: str
    rows: int
    bytes: int
    crc32c: str  # base64


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """A run whose files are complete and staged."""

    export_id: str
    export_name: str
    source: str
    destination: str  # sftp://user@host:port/directory
    date: dt.date
    window_from: dt.datetime | None
    window_to: dt.datetime | None
    started_at: dt.datetime
    expires_at: dt.datetime  # when the staged files may be removed
    files: tuple[StagedName, ...]
    watermark_before: str | None = None
    watermark: Watermark | None = None

    @property
    def rows(self) -> int:
        return sum(file.rows for file in self.files)

    def outbound(self, *, again: bool = False) -> list[OutboundFile]:
        """The files as the SFTP writer takes them; `again`: an earlier attempt may have sent some."""
        return [
            OutboundFile(file.uri, file.remote_path, file.bytes, file.crc32c, self.export_id, again)
            for file in self.files
        ]

    def renamed(self, paths: Mapping[str, str]) -> Manifest:
        """With the last part of each file's path as in `paths`, by URI."""
        files = (
            replace(file, remote_path=_named(file.remote_path, path))
            for file in self.files
            if (path := paths.get(file.uri, file.remote_path))
        )
        return replace(self, files=tuple(files))

    def to_json(self) -> str:
        """As it is stored."""
        return json.dumps(asdict(self), indent=1, default=_text) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, *, where: str) -> Manifest:
        """What `to_json` wrote.

        Raises: RunFailed if it is something else.
        """
        try:
            values = json.loads(text)
            moments = ("window_from", "window_to", "started_at", "expires_at")
            values |= {name: values[name] and dt.datetime.fromisoformat(values[name]) for name in moments}
            values["date"] = dt.date.fromisoformat(values["date"])
            values["files"] = tuple(StagedName(**file) for file in values["files"])
            values["watermark"] = values["watermark"] and Watermark(**values["watermark"])
            return cls(**values)
        except (ValueError, TypeError, KeyError) as error:
            raise RunFailed(f"{where} is no manifest of a delivery: {type(error).__name__}") from error


@dataclass(frozen=True)
class Folder:
    """Where one run stages."""

    staging: str
    export_name: str
    export_id: str

    @property
    def root(self) -> str:
        return f"{export_root(self.staging, self.export_name)}{self.export_id}"

    @property
    def files(self) -> str:
        return f"{self.root}/files"

    @property
    def manifest(self) -> str:
        return f"{self.root}/manifest.json"


def export_root(staging: str, export_name: str) -> str:
    """The folder of all runs of an export, with its slash."""
    return f"{staging}/{export_name}/"


def file_rows(manifest: Manifest, results: Sequence[DeliveryResult], now: dt.datetime) -> list[dict[str, Any]]:
    """The rows of the files table; a file without a result was not tried."""
    by_path = {result.file.remote_path: result for result in results}
    rows = []
    for file in manifest.files:
        result = by_path.get(file.remote_path)
        error = result.error if result else "not tried"
        rows.append(
            {
                "export_id": manifest.export_id,
                "file_uri": file.uri,
                "rows": file.rows,
                "bytes": file.bytes,
                "crc32c": file.crc32c,
                "remote_path": _named(file.remote_path, result.remote_path) if result else file.remote_path,
                "attempts": result.attempts if result else 0,
                "status": FAILED if error else SUCCESS,
                "error_message": error or None,
                "started_at": manifest.started_at,
                "completed_at": now,
            }
        )
    return rows


def outcome(manifest: Manifest, results: Sequence[DeliveryResult]) -> dict[str, Any]:
    """What the run's row becomes: its totals and, only if every file has arrived, the new watermark.

    A row with `error_message` is that of a failed run.
    """
    by_path = {result.file.remote_path: result for result in results}
    missing = [file for file in manifest.files if file.remote_path not in by_path or by_path[file.remote_path].error]
    totals: dict[str, Any] = {
        "export_id": manifest.export_id,
        "rows_exported": manifest.rows,
        "bytes_exported": sum(file.bytes for file in manifest.files),
        "files": len(manifest.files),
        "file_name": names([file.remote_path for file in manifest.files]),
    }
    if missing:
        first = by_path.get(missing[0].remote_path)
        why = first.error if first else "not tried"
        count = f"{len(missing)} of {len(manifest.files)} files are not on the server"
        return totals | {"error_message": f"{count}; {missing[0].remote_path}: {why}"}
    if manifest.watermark:
        totals |= {
            "last_exported_value": manifest.watermark.text,
            "last_export_timestamp": manifest.watermark.timestamp,
        }
    return totals


def names(listed: Sequence[str]) -> str | None:
    """File names in one line."""
    if not listed:
        return None
    more = f" and {len(listed) - _NAMES_SHOWN} more" if len(listed) > _NAMES_SHOWN else ""
    return ", ".join(listed[:_NAMES_SHOWN]) + more


def _named(path: str, other: str) -> str:
    """`path` with the last part of `other`, which may be the whole path on the server."""
    return posixpath.join(posixpath.dirname(path), posixpath.basename(other))


def _text(value: Any) -> str:
    return str(value.isoformat())
