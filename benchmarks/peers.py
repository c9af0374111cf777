"""Peers for "BigQuery -> partitioned snappy Avro": other tools doing the same work on the same rows.

Two encode only (`fastavro_blocks`, `duckdb_avro`); two write partitions (`beam_dict_files`,
`spark_partitioned`). The clock covers the work alone: imports, session starts and the making of the
data stay outside. Every peer counts what it wrote, and raises if rows are missing.

    python -m benchmarks.peers --rows 1_000_000
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import apache_beam as beam
import duckdb
import duckdb_extensions
import fastavro
import fastavro.write
import pyarrow as pa
from apache_beam.io import fileio
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from benchmarks import data
from benchmarks.measured import Measured, measured, peak_rss_bytes, reset_peak_rss
from benchmarks.spark_peer import spark_partitioned


def fastavro_blocks(batches: Iterable[pa.RecordBatch], schema: dict[str, object] = data.AVRO_SCHEMA) -> Measured:
    """Encode Arrow batches as uncompressed Avro in memory: `to_pylist`, then `fastavro.writer`.

    One core, one file per batch. Making the next batch is not timed.
    """
    parsed = fastavro.parse_schema(schema)
    expected = counted = 0
    seconds = 0.0
    reset_peak_rss()
    for batch in batches:
        encoded = io.BytesIO()
        started = time.perf_counter()
        fastavro.writer(encoded, parsed, batch.to_pylist(), codec="null")
        seconds += time.perf_counter() - started
        encoded.seek(0)
        counted += _avro_rows(encoded)
        expected += batch.num_rows
    return measured("fastavro", counted, expected, seconds, peak_rss_bytes())


def duckdb_avro(batches: Iterable[pa.RecordBatch]) -> Measured:
    """Write one uncompressed Avro file with DuckDB's C++ writer, on one thread, from a table in memory.

    The writer of duckdb 1.5.5 has no option for a codec. NUMERIC needs no cast: it becomes
    decimal(38, 9) in 16 fixed bytes, where BigQuery has bytes of varying length.

    COPY reports every row written, yet of the plain table 9 to 12 are missing at every size tried from
    16 to 1,000,000 rows, all from the first blocks: it looks like a row dropped each time the buffer
    must grow (later versions are said to mend it: github.com/duckdb/duckdb-avro/issues/110). So the
    table starts with one row holding a string larger than any block of 2,048 rows; 3,000,000 rows
    were then all there. That row is not in the rate, and every other is read back and compared.
    """
    table = pa.Table.from_batches(list(batches))
    duckdb_extensions.import_extension("avro")
    with tempfile.TemporaryDirectory() as folder, duckdb.connect() as connection:
        path = Path(folder) / "peer.avro"
        connection.execute("LOAD avro")
        connection.execute("SET threads = 1")
        connection.register("measurements", table)
        connection.execute(
            "CREATE TABLE written AS SELECT repeat('x', 1000000) AS device_id, * EXCLUDE (device_id)"
            " FROM measurements LIMIT 1"
        )
        connection.execute("INSERT INTO written SELECT * FROM measurements")
        reset_peak_rss()
        started = time.perf_counter()
        connection.execute(f"COPY written TO '{path}' (FORMAT avro)")
        seconds = time.perf_counter() - started
        peak = peak_rss_bytes()
        with path.open("rb") as file:
            counted = _avro_rows(file) - 1
        outcome = measured("DuckDB", counted, table.num_rows, seconds, peak)
        with path.open("rb") as file:
            rows = iter(fastavro.reader(file))
            next(rows)
            for batch in table.to_batches(max_chunksize=65_536):
                if batch.to_pylist() != [next(rows) for _ in range(batch.num_rows)]:
                    raise RuntimeError("DuckDB wrote every row, but not with the values it was given")
    return outcome


def beam_dict_files(
    read_batches: beam.PTransform, output: str | Path, *, expected: int, max_writers: int = 1_000
) -> Measured:
    """Write rows the ordinary way in Beam: dicts into `fileio.WriteToFiles`, one destination a partition.

    `read_batches` is applied to the pipeline and emits pa.RecordBatch; `expected` is the rows it should
    emit. Files are snappy Avro by fastavro, named `year=Y,month=M,day=D,vendor=V-*.avro` flat in
    `output`: on a local file system WriteToFiles makes no folders, and with `/` in the names it ends
    without an error and without files. Runs in this process (FnApiRunner), reading included in the time.

    `max_writers` is the number of files open per bundle; rows of further partitions go through a
    GroupByKey. Beam's default is 20, and slower: 14,758 rows/s against 32,392 with all of 496 open
    (300,000 rows). Give at least as many as there are partitions, and mind `ulimit -n`.
    """
    folder = Path(output)
    folder.mkdir(parents=True)
    pipeline = beam.Pipeline(runner=FnApiRunner())
    (
        pipeline
        | "ReadBatches" >> read_batches
        | "ToDicts" >> beam.FlatMap(lambda batch: batch.to_pylist())
        | "WriteFiles"
        >> fileio.WriteToFiles(
            path=str(folder),
            destination=_flat_partition,
            sink=lambda _: _SnappyAvroSink(),
            file_naming=fileio.destination_prefix_naming(suffix=".avro"),
            max_writers_per_bundle=max_writers,
        )
    )
    reset_peak_rss()
    started = time.perf_counter()
    pipeline.run().wait_until_finish()
    seconds = time.perf_counter() - started
    peak = peak_rss_bytes()
    counted = 0
    for path in folder.glob("*.avro"):
        with path.open("rb") as file:
            counted += _avro_rows(file)
    return measured("Beam's WriteToFiles", counted, expected, seconds, peak)


class ReadParquetBatches(beam.PTransform):
    """Read Parquet files as pa.RecordBatch: a source for `beam_dict_files` without BigQuery."""

    def __init__(self, paths: list[str]) -> None:
        super().__init__()
        self._paths = paths

    def expand(self, pbegin: beam.pvalue.PBegin) -> beam.PCollection:
        return pbegin | beam.Create(self._paths) | beam.FlatMap(data.parquet_batches)


class _SnappyAvroSink(fileio.FileSink):
    def open(self, fh: io.BufferedIOBase) -> None:
        self._writer = fastavro.write.Writer(fh, fastavro.parse_schema(data.AVRO_SCHEMA), codec="snappy")

    def write(self, record: dict[str, object]) -> None:
        self._writer.write(record)

    def flush(self) -> None:
        self._writer.flush()


def _flat_partition(row: dict) -> str:
    when = row["when_read"]
    return f"year={when.year},month={when.month},day={when.day},vendor={row['vendor']}"


def _avro_rows(file: io.BufferedIOBase) -> int:
    return sum(block.num_records for block in fastavro.block_reader(file))


def main() -> None:
    """Run each peer on a modest number of rows, and print its rate."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--rows", type=int, default=1_000_000, help="of each peer, Spark's apart")
    parser.add_argument("--spark_rows", type=int, default=5_000_000)
    parser.add_argument("--spark_python", default=sys.executable, help="an interpreter with pyspark")
    args = parser.parse_args()

    def show(name: str, result: Measured | str) -> None:
        if isinstance(result, str):
            print(f"{name:<20} skipped: {result}", flush=True)
            return
        peak = "" if result.peak_rss_bytes is None else f", peak {result.peak_rss_bytes / 2**20:,.0f} MiB"
        print(f"{name:<20} {result.rows:>10,} rows, {result.rows_per_second:>9,.0f} rows/s{peak}", flush=True)

    show("fastavro_blocks", fastavro_blocks(data.measurement_batches(args.rows)))
    show("duckdb_avro", duckdb_avro(data.measurement_batches(args.rows)))
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        paths = data.write_parquet(root / "parquet", args.rows)
        show("beam_dict_files", beam_dict_files(ReadParquetBatches(paths), root / "beam", expected=args.rows))
        data.write_parquet(root / "spark_in", args.spark_rows)
        spark = spark_partitioned(root / "spark_in", root / "spark", expected=args.spark_rows, python=args.spark_python)
        show("spark_partitioned", spark)


if __name__ == "__main__":
    main()
