"""Blocks that were encoded apart -> one file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class Assembler(Protocol):
    """Makes one file of the blocks it is given, in their order; each call answers the bytes to append to the file."""

    def begin(self) -> bytes:
        """What stands before the first block."""

    def add(self, data: bytes) -> bytes:
        """A block."""

    def end(self) -> bytes:
        """What stands behind the last block."""


@dataclass
class Concatenation:
    """A file that is a header and the blocks as they are."""

    header: bytes = b""

    def begin(self) -> bytes:
        return self.header

    def add(self, data: bytes) -> bytes:
        return data

    def end(self) -> bytes:
        return b""
