"""What landed and what becomes of it: files, batches of them, and how a batch ended."""

from __future__ import annotations

import datetime as dt
import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from wharf.model.schema import Field, TableId

if TYPE_CHECKING:
    from wharf.model.loading.options import LoadOptions


@dataclass(frozen=True)
class LandedFile:
    """An object on Cloud Storage. `generation` changes whenever it is written anew."""

    uri: str
    bytes: int
    generation: int
    created: dt.datetime


@dataclass(frozen=True)
class Landing:
    """A directory that is complete: its marker came. `directory` ends in `/`, or is a file that is a batch of its own.

    `files` are its data, sorted by URI; `empty` counts those that hold nothing and were left out.
    """

    directory: str
    marker: LandedFile
    files: tuple[LandedFile, ...]
    empty: int = 0

    @cached_property
    def batch_id(self) -> str:
        """The batch's identity: the same for a duplicate of its notification, another one when the marker is new."""
        text = f"{self.directory}\n{self.marker.generation}"
        return hashlib.sha256(text.encode()).hexdigest()[:24]


@dataclass(frozen=True)
class Part:
    """Files of a batch whose rows get the same values that the files do not hold.

    `timestamp` (UTC) is what names or folders say of the rows' time, None where they say nothing. `replaces` is the
    half-open span of it that a re-delivery replaces. `constants`: (column, text) from `key=value` folders.
    """

    timestamp: dt.datetime | None
    replaces: tuple[dt.datetime, dt.datetime] | None
    constants: tuple[tuple[str, str], ...]
    files: tuple[LandedFile, ...]


@dataclass(frozen=True)
class Batch:
    """A landing with everything that must be known to load it."""

    landing: Landing
    table: TableId
    parts: tuple[Part, ...]
    options: LoadOptions
    schema: tuple[Field, ...] | None  # of `_config/schema.json`
    transform: str  # `_config/bq_transform.sql`; empty for none
    ordered: bool  # `_config/ORDERME`

    @property
    def batch_id(self) -> str:
        return self.landing.batch_id

    @property
    def directory(self) -> str:
        return self.landing.directory

    @property
    def files(self) -> tuple[LandedFile, ...]:
        return self.landing.files

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files)


@dataclass(frozen=True)
class Refused:
    """A landing that cannot be loaded as it is: `error` says what, where and the remedy."""

    landing: Landing
    error: str
    table: TableId | None = None
