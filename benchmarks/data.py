"""The measurement table every benchmark and every peer reads: same seed, same rows.

Seven columns of the kinds BigQuery exports most: three strings, a timestamp, a float, a NUMERIC and
a flag. Successive rows fall on different days and different vendors, because that is how readings
arrive, and because rows already sorted by partition would flatter whoever partitions them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

SEED = 20250301
START = np.datetime64("2025-03-01T00:00:00", "us")
DEVICES = 10_000
UNITS = ("kWh", "MWh", "m3", "degC")
NULL_SHARE = 0.03

_DAY_MICROS = 86_400_000_000
_NUMERIC = pa.decimal128(38, 9)

SCHEMA = pa.schema(
    [
        pa.field("device_id", pa.string()),
        pa.field("vendor", pa.string()),
        pa.field("unit", pa.string()),
        pa.field("when_read", pa.timestamp("us", tz="UTC")),
        pa.field("value", pa.float64()),
        pa.field("amount", _NUMERIC),
        pa.field("valid", pa.bool_()),
    ]
)

# What BigQuery's own Avro export declares for these columns: a union with null each, TIMESTAMP as
# timestamp-micros, NUMERIC as decimal(38, 9) in bytes.
# https://cloud.google.com/bigquery/docs/exporting-data#avro_export_details
AVRO_SCHEMA: dict[str, object] = {
    "type": "record",
    "name": "Root",
    "fields": [
        {"name": "device_id", "type": ["null", "string"]},
        {"name": "vendor", "type": ["null", "string"]},
        {"name": "unit", "type": ["null", "string"]},
        {"name": "when_read", "type": ["null", {"type": "long", "logicalType": "timestamp-micros"}]},
        {"name": "value", "type": ["null", "double"]},
        {
            "name": "amount",
            "type": ["null", {"type": "bytes", "logicalType": "decimal", "precision": 38, "scale": 9}],
        },
        {"name": "valid", "type": ["null", "boolean"]},
    ],
}


def measurement_batches(
    rows: int, *, days: int = 31, vendors: int = 16, batch_rows: int = 65_536, seed: int = SEED
) -> Iterator[pa.RecordBatch]:
    """Make `rows` measurements, `batch_rows` at a time, in interleaved order.

    Row i falls on partition i mod (days * vendors), with the partitions shuffled once, so that every
    run of days * vendors rows visits every partition once. Times are UTC, from March 1st 2025 on.
    Each batch has a random stream of its own: batch n holds the same rows whatever came before it.
    """
    _require_positive(days=days, vendors=vendors, batch_rows=batch_rows)
    order = _partition_order(days, vendors, seed)
    device_names = pa.array([f"meter-{number:06d}" for number in range(DEVICES)])
    vendor_names = pa.array(_vendor_names(vendors))
    unit_names = pa.array(UNITS)
    for batch, first in enumerate(range(0, rows, batch_rows)):
        count = min(batch_rows, rows - first)
        rng = np.random.default_rng((seed, batch))
        partition = order[np.arange(first, first + count) % order.size]
        day, vendor = np.divmod(partition, vendors)
        micros = rng.integers(0, _DAY_MICROS, count)
        when = START + (day * _DAY_MICROS + micros).astype("timedelta64[us]")
        value = rng.normal(50.0, 20.0, count).round(3)
        columns = [
            device_names.take(pa.array(rng.integers(0, DEVICES, count))),
            vendor_names.take(pa.array(vendor)),
            unit_names.take(pa.array(rng.integers(0, len(UNITS), count), mask=_nulls(rng, count))),
            pc.assume_timezone(pa.array(when), "UTC"),
            pa.array(value, mask=_nulls(rng, count)),
            _numerics(rng.integers(-10_000_000, 10_000_000_000_000, count)),
            pa.array(rng.random(count) < 0.98),
        ]
        yield pa.record_batch(columns, schema=SCHEMA)


def partition_counts(rows: int, *, days: int = 31, vendors: int = 16, seed: int = SEED) -> dict[str, int]:
    """Tell how many of `rows` belong to each `year=/month=/day=/vendor=` path; empty ones are left out."""
    _require_positive(days=days, vendors=vendors)
    order = _partition_order(days, vendors, seed)
    whole, rest = divmod(rows, order.size)
    names = _vendor_names(vendors)
    counts = {}
    for place, partition in enumerate(order.tolist()):
        day, vendor = divmod(partition, vendors)
        count = whole + (place < rest)
        if count:
            counts[partition_path(START + np.timedelta64(day, "D"), names[vendor])] = count
    return counts


def partition_path(day: np.datetime64, vendor: str) -> str:
    """Name the folder of one UTC day and vendor, numbers without leading zeros."""
    year, month, day_of_month = (int(part) for part in str(day.astype("datetime64[D]")).split("-"))
    return f"year={year}/month={month}/day={day_of_month}/vendor={vendor}"


def write_parquet(
    path_dir: str | Path, rows: int, files: int = 8, *, days: int = 31, vendors: int = 16, seed: int = SEED
) -> list[str]:
    """Write the rows of `measurement_batches` as snappy Parquet, and return the files' paths.

    The batches are dealt round-robin, so fewer than `files` are written where there are fewer batches.
    Decimals are stored as 16-byte fixed values and times as microseconds, which Spark and Arrow read.
    """
    _require_positive(files=files)
    folder = Path(path_dir)
    folder.mkdir(parents=True, exist_ok=True)
    writers: list[pq.ParquetWriter] = []
    paths = []
    for number, batch in enumerate(measurement_batches(rows, days=days, vendors=vendors, seed=seed)):
        if len(writers) < files:
            paths.append(str(folder / f"part-{len(writers):05d}.parquet"))
            writers.append(pq.ParquetWriter(paths[-1], SCHEMA, compression="snappy"))
        writers[number % files].write_batch(batch, row_group_size=batch.num_rows)
    for writer in writers:
        writer.close()
    return paths


def parquet_batches(path: str) -> Iterator[pa.RecordBatch]:
    """Read one of the files of `write_parquet` back as batches of the table's schema."""
    with pq.ParquetFile(path) as file:
        yield from file.iter_batches(batch_size=65_536)


def count_rows(batches: Iterable[pa.RecordBatch]) -> int:
    """Add up the rows of `batches`."""
    return sum(batch.num_rows for batch in batches)


def _partition_order(days: int, vendors: int, seed: int) -> np.ndarray:
    # A day is never followed by itself for long: a permutation of all (day, vendor) pairs.
    return np.random.default_rng(seed).permutation(days * vendors)


def _vendor_names(vendors: int) -> list[str]:
    return [f"vendor-{number:02d}" for number in range(vendors)]


def _nulls(rng: np.random.Generator, count: int) -> np.ndarray:
    return rng.random(count) < NULL_SHARE


def _numerics(billionths: np.ndarray) -> pa.Array:
    """Turn unscaled 64-bit integers into NUMERIC: two little-endian words each, the high one the sign."""
    words = np.empty((billionths.size, 2), np.int64)
    words[:, 0] = billionths
    words[:, 1] = billionths >> 63
    return pa.Array.from_buffers(_NUMERIC, billionths.size, [None, pa.py_buffer(words)])


def _require_positive(**numbers: int) -> None:
    for name, number in numbers.items():
        if number < 1:
            raise ValueError(f"{name} must be at least 1, not {number}: the table has no partition otherwise")
