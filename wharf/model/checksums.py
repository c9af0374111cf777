"""Checksums as text."""

from __future__ import annotations

import base64


def crc32c_text(crc: int) -> str:
    """A CRC32C in base64, big endian, as Cloud Storage shows it."""
    return base64.b64encode(crc.to_bytes(4, "big")).decode()
