"""Wharf's side of each comparison, on the rows of `data` or on a table in the embedded stack.

The clock covers the work alone, as for the peers: imports, and with them the compiling of the encoder's kernel,
come before it. Every run counts the rows in what it wrote.
"""

from __future__ import annotations

import contextlib
import io
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import apache_beam as beam
import fastavro
import numpy as np
import pyarrow as pa
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

import pipelines.bigquery_to_avro
from benchmarks import data
from benchmarks.measured import Measured, measured, peak_rss_bytes
from benchmarks.peers import ReadParquetBatches
from transforms.read_bigquery import ReadFromBigQuery
from transforms.spill import ByPartition, Spill
from transforms.write_partitions import WritePartitions
from wharf.connectors.endpoints import Endpoints
from wharf.formats.avro import BLOCK_BYTES, AvroEncoder, AvroFormat
from wharf.formats.partition_rows import Partitioner
from wharf.model.layout import Layout
from wharf.model.schema import Field
from wharf.model.windows import month_window

TYPES = ("STRING", "STRING", "STRING", "TIMESTAMP", "FLOAT64", "NUMERIC", "BOOL")
FIELDS = tuple(Field(name=name, type=type_) for name, type_ in zip(data.SCHEMA.names, TYPES, strict=True))
WINDOW = month_window("202503")
PARTITIONER = Partitioner(WINDOW, "when_read", "TIMESTAMP", "vendor")
_TARGET_BYTES = 256 << 20


def wharf_blocks(batches: Iterable[pa.RecordBatch], *, ordered: bool = False) -> Measured:
    """Encode Arrow batches as uncompressed Avro blocks in memory, on one core.

    Rows keep their order, as they do for the peers; `ordered` brings them into partition order as well, and times
    that too. Every block is counted as a reader of Avro files would, and the last batch compared value by value;
    that takes more memory than encoding does, so there is no peak to tell.
    """
    format_ = AvroFormat(name="Root", fields=FIELDS, codec="null")
    encoder = AvroEncoder(format_)
    expected = counted = 0
    seconds = 0.0
    batch = None
    file = io.BytesIO()
    if ordered:
        PARTITIONER.partition(next(iter(data.measurement_batches(1))))  # compiles its loops
    for batch in batches:
        started = time.perf_counter()
        if ordered:
            groups = PARTITIONER.partition(batch)
            order, bounds = groups.order, groups.bounds
        else:
            order, bounds = None, np.array([0, batch.num_rows])
        table, _ = encoder.encode(batch, order, bounds)
        seconds += time.perf_counter() - started
        expected += batch.num_rows
        # Compressing with the codec null copies the bytes out of the encoder's buffer: not timed.
        blocks = encoder.blocks(batch, order, bounds)
        file = io.BytesIO(b"".join([format_.header, *(block.data for block in blocks)]))
        counted += sum(block.num_records for block in fastavro.block_reader(file))
        assert int(table[:, 1].sum()) == batch.num_rows
    if batch is not None:
        file.seek(0)
        expected_rows = batch if order is None else batch.take(pa.array(order))
        if list(fastavro.reader(file)) != expected_rows.to_pylist():
            raise RuntimeError("Wharf encoded every row, but not with the values it was given")
    return measured("Wharf's encoder", counted, expected, seconds, None)


def wharf_pipeline(
    table: str, output: str | Path, *, expected: int, window: tuple[str, str], batch_rows: int = 0
) -> Measured:
    """Export `table` of the stack that the environment names with `pipelines.bigquery_to_avro`, as its command does.

    In this process (FnApiRunner), snappy. The clock covers the whole of `main()`: flags, schema, read session, the
    run's ledger, pipeline, publishing. `window` is from and to; `batch_rows` cuts what is read into smaller batches.
    The peak RSS is this process's since it began.
    """
    if batch_rows:
        InSmallBatches.rows = batch_rows
        pipelines.bigquery_to_avro.ReadFromBigQuery = InSmallBatches
    flags = ["--source_table", table, "--output", str(output)]
    flags += ["--when_read_from", window[0], "--when_read_to", window[1]]
    started = time.perf_counter()
    with contextlib.redirect_stdout(sys.stderr):
        code = pipelines.bigquery_to_avro.main(flags)
    seconds = time.perf_counter() - started
    if code:
        raise RuntimeError(f"the export ended with exit code {code}")
    peak = peak_rss_bytes()  # before the output is counted
    return measured("Wharf's pipeline", count_tree(output), expected, seconds, peak)


class InSmallBatches(ReadFromBigQuery):
    """As `ReadFromBigQuery`, in batches of `rows`, each through an Arrow IPC message of its own.

    The emulator sends 65,536 rows a message, whatever it is asked for. Writing a small message costs more here than
    in production, where the server does it.
    """

    rows = 1_000

    def expand(self, pbegin: beam.pvalue.PBegin) -> beam.PCollection:
        batches = super().expand(pbegin)
        return batches | "CutBatches" >> beam.FlatMap(cut_batch, self.rows).with_output_types(pa.RecordBatch)


def cut_batch(batch: pa.RecordBatch, rows: int) -> Iterator[pa.RecordBatch]:
    """Cut `batch` into batches of `rows` that were LZ4-compressed Arrow IPC messages in between."""
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    for first in range(0, batch.num_rows, rows):
        message = pa.BufferOutputStream()
        with pa.ipc.new_stream(message, batch.schema, options=options) as writer:
            writer.write_batch(batch.slice(first, rows))
        yield pa.ipc.open_stream(message.getvalue()).read_next_batch()


def wharf_parquet(paths: list[str], warm_paths: list[str], output: str | Path, *, expected: int) -> Measured:
    """Write Parquet files as partitioned snappy Avro with Wharf's transforms, in this process (FnApiRunner).

    Spilling, gathering and publishing are those of the export; there is no ledger. Warm: `warm_paths` go first.
    """
    _parquet_pipeline(warm_paths, f"{output}.warm").run().wait_until_finish()
    pipeline = _parquet_pipeline(paths, str(output))
    started = time.perf_counter()
    pipeline.run().wait_until_finish()
    seconds = time.perf_counter() - started
    peak = peak_rss_bytes()  # before the output is counted
    return measured("Wharf's transforms", count_tree(output), expected, seconds, peak)


def _parquet_pipeline(paths: list[str], output: str) -> beam.Pipeline:
    layout, endpoints = Layout(output, "benchmark"), Endpoints()
    format_ = AvroFormat(name="Root", fields=FIELDS)
    pipeline = beam.Pipeline(runner=FnApiRunner())
    _ = (
        pipeline
        | "ReadParquet" >> ReadParquetBatches(paths)
        | "SpillByPartition" >> Spill(ByPartition(format_, PARTITIONER, BLOCK_BYTES), layout.staging, endpoints)
        | "WritePartitions"
        >> WritePartitions(
            layout=layout,
            format=format_,
            target_bytes=_TARGET_BYTES,
            clocks={span.day: span.clock for span in WINDOW.spans},
            former_files={},
            left_alone=frozenset(),
            manifest={},
            stale_manifests=f"{output}/_manifests/",
            endpoints=endpoints,
            may_publish=nothing,
            clean_up=nothing,
        )
    )
    return pipeline


def nothing() -> None:
    """Stands where the export asks its ledger and drops its temporary table."""


def count_tree(output: str | Path) -> int:
    """Count the rows of all Avro files below `output`."""
    counted = 0
    for path in Path(output).rglob("*.avro"):
        with path.open("rb") as file:
            counted += sum(block.num_records for block in fastavro.block_reader(file))
    return counted
