"""Spark as a peer: what it needs is looked for, and `spark_job.py` runs in a process of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.measured import Measured, measured

SPARK_AVRO = "org.apache.spark:spark-avro_2.13:4.1.1"


def spark_partitioned(
    parquet_dir: str | Path,
    output: str | Path,
    *,
    expected: int,
    python: str = sys.executable,
    memory: str = "4g",
    shuffle: int = 4,
    warm_rows: int = 1_000_000,
) -> Measured | str:
    """Write Parquet to `output`/year=/month=/day=/vendor=/ with Spark 4.1.1, `local[1]`, snappy Avro.

    Runs under `python`, which needs pyspark and nothing else, in a process of its own; warm: a write of
    up to `warm_rows` goes first. The peak RSS is the JVM's, `memory` its heap. Returns the reason, as
    text, where it cannot run.

    `shuffle` repartitions by the partition columns into so many, 0 leaves it out; tasks write their
    files side by side (spark.sql.maxConcurrentOutputFileWriters) instead of sorting first. Which is
    faster differs with machine and rows: on a busy machine, 10 million interleaved rows and 496
    partitions, single writes came to 140,000 to 257,000 rows/s and the ranges of the variants overlap.
    Elsewhere Spark was seen at 455,000. So run both before quoting either.
    """
    for tool, use in (("java", "Spark runs on it"), ("mvn", f"it fetches {SPARK_AVRO}")):
        if shutil.which(tool) is None:
            return f"no `{tool}` on the PATH; {use}"
    probe = [
        python,
        "-c",
        "import importlib.util, sys; sys.exit(importlib.util.find_spec('pyspark') is None)",
    ]
    if subprocess.run(probe, check=False).returncode:
        return f"no pyspark under {python}; pip install pyspark==4.1.1, or pass another `python`"
    done = subprocess.run(
        [
            *(python, str(Path(__file__).with_name("spark_job.py"))),
            *("--parquet_dir", str(parquet_dir), "--output", str(output), "--jar", str(_spark_avro_jar())),
            *("--memory", memory, "--shuffle", str(shuffle), "--warm_rows", str(warm_rows)),
        ],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    told = json.loads(done.stdout.splitlines()[-1])
    return measured("Spark", told["rows"], expected, told["seconds"], told["peak_rss_bytes"])


def _spark_avro_jar() -> Path:
    """Find the jar in the local Maven repository; Maven brings it from its configured mirror once."""
    group, name, version = SPARK_AVRO.split(":")
    jar = Path.home().joinpath(".m2", "repository", *group.split("."), name, version, f"{name}-{version}.jar")
    if not jar.exists():
        # Without what it depends on: that is Spark, which pyspark has brought already.
        subprocess.run(
            ["mvn", "-q", "-B", "dependency:get", f"-Dartifact={SPARK_AVRO}", "-Dtransitive=false"],
            check=True,
        )
    return jar
