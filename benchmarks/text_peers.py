"""One run of encoding or compressing, in a process of its own: `python -m benchmarks.text_peers CONTENDER JSON`.

The encoders are those of `encode_csv`; the compressors get the CSV that Wharf makes of the same rows.
"""

from __future__ import annotations

import gzip
import importlib
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial

import pyarrow as pa

from benchmarks import data, encode_csv
from benchmarks.bench import tell
from benchmarks.measured import Measured
from wharf.formats.block import Block, FileFormat
from wharf.formats.file_format import file_format
from wharf.formats.gzip_member import GzipFormat, deflated

_GZIP = 31  # the window's bits, and 16 for gzip's header and checksum


def encode(peer: Callable[[Iterable[pa.RecordBatch]], Measured], rows: int) -> Measured:
    """Encode after a first batch that is not timed: loops are compiled and pools of memory filled by then."""
    batches = list(data.measurement_batches(rows))
    peer(batches[:1])
    return peer(batches)


def compress(module: str, level: int, rows: int) -> Measured | str:
    """Compress CSV with the `compress` of a module that is like `zlib`, in one piece -> megabytes of CSV."""
    try:
        library = importlib.import_module(module)
    except ImportError:
        return f"{module.partition('.')[0]} is not installed"
    text = b"".join(block.data for block in _csv_blocks(rows))
    started = time.perf_counter()
    compressed = library.compress(text, level, wbits=_GZIP)
    seconds = time.perf_counter() - started
    return _compressed(text, compressed, seconds)


def wharf_gzip(rows: int) -> Measured:
    """Compress CSV as Wharf's gzip files are: a block at a time, put together to one member."""
    format_ = _csv_format()
    blocks = [block.data for block in _csv_blocks(rows)]
    assembler = GzipFormat(plain=format_).assembler()
    started = time.perf_counter()
    compressed = b"".join([assembler.begin(), *(assembler.add(deflated(data)) for data in blocks), assembler.end()])
    seconds = time.perf_counter() - started
    return _compressed(format_.assembler().begin() + b"".join(blocks), compressed, seconds)


def _csv_format() -> FileFormat:
    return file_format("csv", encode_csv.FIELDS, export_name="benchmark")


def _csv_blocks(rows: int) -> Iterator[Block]:
    encoder = _csv_format().encoder()
    for batch in data.measurement_batches(rows):
        yield from encoder.blocks(batch)


def _compressed(text: bytes, compressed: bytes, seconds: float) -> Measured:
    if gzip.decompress(compressed) != text:
        raise RuntimeError("what was compressed does not come back as it was: no rate")
    return Measured(round(len(text) / 1e6), seconds, None, f"to {len(compressed) / len(text):.1%}")


CONTENDERS: dict[str, Callable[..., Measured | str]] = {
    "wharf_csv": partial(encode, encode_csv.our_csv),
    "csv_writer": partial(encode, encode_csv.csv_writer),
    "pyarrow_csv": partial(encode, encode_csv.pyarrow_csv),
    "duckdb_copy": partial(encode, encode_csv.duckdb_copy),
    "wharf_gzip": wharf_gzip,
    "compress": compress,
}

if __name__ == "__main__":
    tell(CONTENDERS)
