"""How far a run has come with one endpoint, and what it leaves when it is done: two small JSON documents.

_checkpoint.json   written again after each part: the parts so far, and where the fetch goes on behind them
_manifest.json     written once: the parts that hold every record of the run
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from wharf.model.errors import RunFailed
from wharf.model.fetching.layout import RawRun

Text = str | bytes


@dataclass(frozen=True)
class RawPart:
    """One file of records; `name` is below the run's folder, `crc32c` is in base64."""

    name: str
    records: int
    bytes: int
    crc32c: str


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Where a fetch stands: totals since the run began, and the `position` to go on from.

    `position` is the fetcher's own, anything that JSON can hold. `parts` are filled in by the writer of raw files.
    """

    position: Mapping[str, Any]
    pages: int
    records: int
    cursor: str | None = None  # the highest so far
    parts: tuple[RawPart, ...] = ()

    def to_json(self) -> str:
        """As it is stored."""
        return json.dumps(asdict(self)) + "\n"

    @classmethod
    def from_json(cls, text: Text, *, where: str) -> Checkpoint:
        """What `to_json` wrote.

        Raises: RunFailed if it is something else.
        """
        try:
            values = json.loads(text)
            values["parts"] = tuple(RawPart(**part) for part in values["parts"])
            return cls(**values)
        except (ValueError, TypeError, KeyError) as error:
            raise RunFailed(f"{where} is no checkpoint of a fetch ({type(error).__name__}): remove it") from error


@dataclass(frozen=True, kw_only=True)
class RawManifest:
    """A run that has everything of one endpoint; other files in its folder do not count."""

    run: RawRun
    pages: int
    records: int
    cursor: str | None
    parts: tuple[RawPart, ...] = field(default=())

    @property
    def bytes(self) -> int:
        return sum(part.bytes for part in self.parts)

    @property
    def uris(self) -> list[str]:
        return [f"{self.run.folder}/{part.name}" for part in self.parts]

    def to_json(self) -> str:
        """As it is stored."""
        return json.dumps(asdict(self), indent=1, default=lambda day: day.isoformat()) + "\n"

    @classmethod
    def from_json(cls, text: Text, *, where: str) -> RawManifest:
        """What `to_json` wrote.

        Raises: RunFailed if it is something else.
        """
        try:
            values = json.loads(text)
            values["run"]["date"] = dt.date.fromisoformat(values["run"]["date"])
            values["run"] = RawRun(**values["run"])
            values["parts"] = tuple(RawPart(**part) for part in values["parts"])
            return cls(**values)
        except (ValueError, TypeError, KeyError) as error:
            raise RunFailed(f"{where} is no manifest of a fetch ({type(error).__name__})") from error
