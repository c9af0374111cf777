"""Text files as gzip files of one member, made of blocks that were compressed apart.

Some readers stop after the first member of a gzip file, so members cannot be appended as they are. A block is deflated
by itself instead, and ends at a byte's boundary (Z_FULL_FLUSH); one header stands before all blocks, an empty last
block behind them, and then the checksum of the whole, combined from those of the blocks. Formats: RFC 1951, RFC 1952.
The same blocks give the same bytes: the header tells no time.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

import pyarrow as pa
from isal import isal_zlib

from wharf.formats.assembler import Assembler
from wharf.formats.block import Block, BlockEncoder, FileFormat

# Level 2 of 0 to 3 compresses CSV 10 times as fast as zlib's level 6, to files 7 % larger; level 3 takes 1.7 times as
# long, for 2 %. zlib-ng comes to the same size at its level 2, in three times the time.
_LEVEL = 2
_HEADER = bytes.fromhex("1f8b 08 00 00000000 00 ff")  # deflate, no flags, no time, system unknown
_LAST_BLOCK = bytes.fromhex("0300")  # an empty block with the fixed code, marked as the last
_PLAIN = struct.Struct("<II")  # CRC-32 and length of a block's plain bytes, before its compressed ones
_RAW = -15  # deflate without a frame of its own, with the largest window


@dataclass(frozen=True, kw_only=True)
class GzipFormat:
    """Files of `plain`, compressed; `plain` makes files by writing its blocks as they are. Picklable."""

    plain: FileFormat

    @property
    def extension(self) -> str:
        return f"{self.plain.extension}.gz"

    def encoder(self) -> GzipEncoder:
        return GzipEncoder(self.plain.encoder())

    def assembler(self) -> GzipAssembler:
        return GzipAssembler(self.plain.assembler())


@dataclass
class GzipEncoder:
    """Encodes batches with `plain`, and compresses each block."""

    plain: BlockEncoder

    def blocks(self, batch: pa.RecordBatch) -> Iterator[Block]:
        """Rows of `batch` in their order -> blocks for a `GzipAssembler`."""
        for rows, data in self.plain.blocks(batch):
            yield Block(rows, deflated(data))


@dataclass
class GzipAssembler:
    """Makes one member of the bytes that `plain` begins and ends a file with, and the blocks between them."""

    plain: Assembler
    _crc: int = field(default=0, init=False)
    _length: int = field(default=0, init=False)

    def begin(self) -> bytes:
        return _HEADER + self._compress(self.plain.begin())

    def add(self, data: bytes) -> bytes:
        crc, length = _PLAIN.unpack_from(data)
        self._crc = isal_zlib.crc32_combine(self._crc, crc, length)
        self._length += length
        return data[_PLAIN.size :]

    def end(self) -> bytes:
        rest = self._compress(self.plain.end())
        return rest + _LAST_BLOCK + _PLAIN.pack(self._crc, self._length % 2**32)

    def _compress(self, data: bytes) -> bytes:
        return self.add(deflated(data)) if data else b""


def deflated(data: bytes) -> bytes:
    """`data` as blocks of deflate, none of them the last, behind its checksum and length.

    Raises: struct.error for 4 GiB or more.
    """
    compressor = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, _RAW)
    plain = _PLAIN.pack(isal_zlib.crc32(data), len(data))
    return b"".join((plain, compressor.compress(data), compressor.flush(isal_zlib.Z_FULL_FLUSH)))
