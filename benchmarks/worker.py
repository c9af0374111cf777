"""One run of one contender in a process of its own: `python -m benchmarks.worker CONTENDER JSON`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from benchmarks import data, ours, peers, spark_peer, table
from benchmarks.bench import tell
from benchmarks.measured import Measured
from transforms.read_bigquery import ReadFromBigQuery
from wharf.connectors.endpoints import Endpoints


def _dict_files(source: str, output: str, expected: int) -> Measured:
    read = ReadFromBigQuery(table.read_request(source, data.SCHEMA.names), Endpoints.resolve())
    return peers.beam_dict_files(read, output, expected=expected)


def _wharf_parquet(folder: str, warm: str, output: str, expected: int) -> Measured:
    paths, warm_paths = (sorted(str(path) for path in Path(place).glob("*.parquet")) for place in (folder, warm))
    return ours.wharf_parquet(paths, warm_paths, output, expected=expected)


CONTENDERS: dict[str, Callable[..., Measured | str]] = {
    "wharf_blocks": lambda rows, batch_rows, ordered: ours.wharf_blocks(
        data.measurement_batches(rows, batch_rows=batch_rows), ordered=ordered
    ),
    "fastavro_blocks": lambda rows: peers.fastavro_blocks(data.measurement_batches(rows)),
    "duckdb_avro": lambda rows: peers.duckdb_avro(data.measurement_batches(rows)),
    "wharf_pipeline": lambda source, **keywords: ours.wharf_pipeline(source, **keywords),
    "dict_files": _dict_files,
    "wharf_parquet": _wharf_parquet,
    "spark": lambda **keywords: spark_peer.spark_partitioned(**keywords),
}


if __name__ == "__main__":
    tell(CONTENDERS)
