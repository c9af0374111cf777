"""Batches of CSV files below a prefix on Cloud Storage, as an upstream system drops them, and whether rows are theirs.

gs://bucket/prefix/_config/schema.json
gs://bucket/prefix/batch-00007/events-20250301T0700-00021.csv ...
gs://bucket/prefix/batch-00007/_SUCCESS
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from google.cloud.bigquery import Client as BigQueryClient
from google.cloud.bigquery import SchemaField
from google.cloud.storage import Client as StorageClient

FIRST = dt.datetime(2025, 3, 1, tzinfo=dt.UTC)
TIMESTAMP = "file_timestamp"
TIMESTAMP_FLAGS = (r"--timestamp_regex=/events-(\d{8}T\d{4})-", "--timestamp_format=%Y%m%dT%H%M")
_SCHEMA = {"file": "INT64", "id": "INT64", "meter": "STRING", "value": "FLOAT64", "unit": "STRING"}
FIELDS = [SchemaField(name, type_) for name, type_ in _SCHEMA.items()]
COLUMNS = ", ".join(_SCHEMA)
_HEADER = ",".join(_SCHEMA).encode() + b"\n"
_NUMBER = b"@@@@@"  # stands for the file's number in a block of rows
_PARALLEL = 2  # what the emulator takes at once


@dataclass(frozen=True)
class Drop:
    """`batches` directories of `files` files of `rows` rows; batch `i` is of the `i % timestamps`-th hour."""

    bucket: str
    prefix: str
    batches: int
    files: int
    timestamps: int
    rows: int

    def keywords(self) -> dict[str, Any]:
        """For `Bench.run`."""
        return asdict(self)

    @property
    def pattern(self) -> str:
        return f"gs://{self.bucket}/{self.prefix}/**"

    @property
    def megabytes(self) -> int:
        """Of each batch."""
        return round(self.files * len(self._content(0)) / 1e6)

    def directory(self, batch: int) -> str:
        """Without the bucket; ends in `/`."""
        return f"{self.prefix}/batch-{batch:05d}/"

    def timestamp(self, batch: int) -> dt.datetime:
        return FIRST + dt.timedelta(hours=batch % self.timestamps)

    def names(self, batch: int) -> list[str]:
        """The batch's objects, without the bucket."""
        return [
            f"{self.directory(batch)}events-{self.timestamp(batch):%Y%m%dT%H%M}-{number:05d}.csv"
            for number in self._numbers(batch)
        ]

    def uris(self, batch: int) -> list[str]:
        return [f"gs://{self.bucket}/{name}" for name in self.names(batch)]

    def write(self, client: StorageClient) -> None:
        """Drop all batches."""
        self.write_config(client)
        with ThreadPoolExecutor(_PARALLEL) as pool:
            for _ in pool.map(lambda batch: list(self.write_batch(client, batch)), range(self.batches)):
                pass

    def write_config(self, client: StorageClient) -> None:
        schema = [field.to_api_repr() for field in FIELDS]
        client.bucket(self.bucket).blob(f"{self.prefix}/_config/schema.json").upload_from_string(json.dumps(schema))

    def write_batch(self, client: StorageClient, batch: int) -> Iterator[Any]:
        """Drop one batch, `_SUCCESS` last -> each object when it is there."""
        bucket = client.bucket(self.bucket)
        for number, name in zip(self._numbers(batch), self.names(batch), strict=True):
            blob = bucket.blob(name)
            blob.upload_from_string(self._content(number), content_type="text/csv")
            yield blob
        marker = bucket.blob(f"{self.directory(batch)}_SUCCESS")
        marker.upload_from_string(b"")
        yield marker

    def check(self, client: BigQueryClient, table: str, *, batches: int, timestamps: bool = True) -> None:
        """Raises: RuntimeError unless the table holds every row of the first `batches` batches once, in its hour."""
        span = f"MIN({TIMESTAMP}), MAX({TIMESTAMP})" if timestamps else "NULL, NULL"
        sql = f"SELECT file, COUNT(*), SUM(id), {span} FROM `{table}` GROUP BY file"
        found = {row[0]: tuple(row[1:]) for row in client.query(sql).result()}
        ids = self.rows * (self.rows - 1) // 2
        expected: dict[int, tuple[object, ...]] = {}
        for batch in range(batches):
            hour = self.timestamp(batch) if timestamps else None
            expected |= dict.fromkeys(self._numbers(batch), (self.rows, ids, hour, hour))
        if wrong := [number for number in found.keys() | expected.keys() if found.get(number) != expected.get(number)]:
            raise RuntimeError(
                f"{len(wrong):,} of {len(expected):,} files are not in {table} as they were dropped: no rate; "
                f"file {wrong[0]}: {found.get(wrong[0])}, not {expected.get(wrong[0])}"
            )

    def _numbers(self, batch: int) -> range:
        return range(batch * self.files, (batch + 1) * self.files)

    def _content(self, number: int) -> bytes:
        return _HEADER + _block(self.rows).replace(_NUMBER, b"%05d" % number)


_blocks: dict[int, bytes] = {}


def _block(rows: int) -> bytes:
    if rows not in _blocks:
        lines = (b"%s,%d,meter-%06d,%d.25,kWh\n" % (_NUMBER, n, n * 7919 % 10_000, n % 977) for n in range(rows))
        _blocks[rows] = b"".join(lines)
    return _blocks[rows]
