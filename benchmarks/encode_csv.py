"""CSV from Arrow batches on one core: Wharf's encoder and its peers, all on the rows of `data`.

Each function writes to memory, but DuckDB, whose COPY knows only files: it gets one in a folder kept in memory where
there is such a folder. The clock covers the encoding alone. Every one counts the rows in what it wrote.

    python -m benchmarks.encode_csv --rows 1_000_000
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.csv

from benchmarks import data
from benchmarks.measured import Measured, measured
from wharf.formats.file_format import file_format
from wharf.model.schema import Field

TYPES = ("STRING", "STRING", "STRING", "TIMESTAMP", "FLOAT64", "NUMERIC", "BOOL")
FIELDS = tuple(Field(name=name, type=type_) for name, type_ in zip(data.SCHEMA.names, TYPES, strict=True))
_MEMORY = "/dev/shm"  # noqa: S108 - only the place of a temporary folder


def our_csv(batches: Iterable[pa.RecordBatch]) -> Measured:
    """Encode with `CsvFormat`: quotes where needed, values as BigQuery prints them."""
    format_ = file_format("csv", FIELDS, export_name="benchmark")
    encoder = format_.encoder()

    def encode(batch: pa.RecordBatch) -> bytes:
        return b"".join(block.data for block in encoder.blocks(batch))

    return _timed("Wharf's encoder", batches, encode)


def csv_writer(batches: Iterable[pa.RecordBatch]) -> Measured:
    """Encode with Python's `csv.writer` over `to_pylist()` rows; values as Python prints them."""

    def encode(batch: pa.RecordBatch) -> bytes:
        text = io.StringIO(newline="")
        csv.writer(text).writerows(row.values() for row in batch.to_pylist())
        return text.getvalue().encode()

    return _timed("csv.writer", batches, encode)


def pyarrow_csv(batches: Iterable[pa.RecordBatch]) -> Measured:
    """Encode with `pyarrow.csv.write_csv`, which quotes every string."""
    options = pyarrow.csv.WriteOptions(include_header=False)

    def encode(batch: pa.RecordBatch) -> bytes:
        sink = pa.BufferOutputStream()
        pyarrow.csv.write_csv(batch, sink, options)
        return sink.getvalue().to_pybytes()

    return _timed("pyarrow.csv", batches, encode)


def duckdb_copy(batches: Iterable[pa.RecordBatch]) -> Measured:
    """Encode with DuckDB's COPY on one thread, from a table in memory."""
    table = pa.Table.from_batches(list(batches))
    with (
        tempfile.TemporaryDirectory(dir=_MEMORY if os.access(_MEMORY, os.W_OK) else None) as folder,
        duckdb.connect() as connection,
    ):
        path = Path(folder) / "peer.csv"
        connection.execute("SET threads = 1")
        connection.register("measurements", table)
        connection.execute("CREATE TABLE written AS SELECT * FROM measurements")
        started = time.perf_counter()
        connection.execute(f"COPY written TO '{path}' (FORMAT csv, HEADER false)")
        seconds = time.perf_counter() - started
        counted = path.read_bytes().count(b"\n")
    return measured("DuckDB's COPY", counted, table.num_rows, seconds, None)


PEERS: Sequence[Callable[[Iterable[pa.RecordBatch]], Measured]] = (csv_writer, pyarrow_csv, duckdb_copy)


def _timed(what: str, batches: Iterable[pa.RecordBatch], encode: Callable[[pa.RecordBatch], bytes]) -> Measured:
    # No cell of `data` holds a line end, so that lines can be counted as bytes.
    expected = counted = 0
    seconds = 0.0
    pa.set_cpu_count(1)
    for batch in batches:
        started = time.perf_counter()
        text = encode(batch)
        seconds += time.perf_counter() - started
        counted += text.count(b"\n")
        expected += batch.num_rows
    return measured(what, counted, expected, seconds, None)


def main() -> None:
    """Run all of them, alternating, and print the best rate of each and how many times Wharf's is as much."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    batches = list(data.measurement_batches(args.rows))
    best: dict[str, float] = {}
    for _ in range(args.rounds):
        for run in (our_csv, *PEERS):
            rate = run(batches).rows_per_second
            best[run.__name__] = max(rate, best.get(run.__name__, 0.0))
    for name, rate in best.items():
        print(f"{name:<14} {rate:>12,.0f} rows/s {best['our_csv'] / rate:>6.1f}x", flush=True)


if __name__ == "__main__":
    main()
