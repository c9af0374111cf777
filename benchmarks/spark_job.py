"""Spark's side of the comparison: run as a script by `spark_peer.spark_partitioned`, never imported.

It needs nothing but pyspark, so that it can run under an interpreter of its own. Its last line on
stdout is JSON: rows counted in what was written, seconds of the timed write, the JVM's peak RSS.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.functions import col, dayofmonth, month, year

KEYS = ("year", "month", "day", "vendor")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--parquet_dir", required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument("--jar", required=True, help="spark-avro")
    parser.add_argument("--master", default="local[1]")
    parser.add_argument("--memory", default="4g")
    parser.add_argument("--open_files", type=int, default=10_000, help="files a task may hold open")
    parser.add_argument("--shuffle", type=int, default=4, help="repartition by the keys into this many; 0: do not")
    parser.add_argument("--warm_rows", type=int, default=1_000_000)
    args = parser.parse_args()

    spark = (
        SparkSession.builder.master(args.master)
        .config("spark.jars", args.jar)
        .config("spark.driver.memory", args.memory)
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.maxConcurrentOutputFileWriters", args.open_files)
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    table = spark.read.parquet(args.parquet_dir)

    # The JVM compiles as it goes, so the first write of a session is slower than the next.
    warm = f"{args.output}.warm"
    write(table.limit(args.warm_rows), warm, args.shuffle)
    shutil.rmtree(warm)

    started = time.perf_counter()
    write(table, args.output, args.shuffle)
    seconds = time.perf_counter() - started

    # The peak is read before counting, and the clock has stopped: reading back is not the job.
    peak = peak_rss_bytes(spark.sparkContext._gateway.proc.pid)
    rows = spark.read.format("avro").load(args.output).count()
    spark.stop()
    print(json.dumps({"rows": rows, "seconds": seconds, "peak_rss_bytes": peak}))


def write(table: DataFrame, output: str, shuffle: int) -> None:
    """Write rows to `output`/year=/month=/day=/vendor=/ as snappy Avro; days are UTC."""
    when = col("when_read")
    keyed = table.withColumns({"year": year(when), "month": month(when), "day": dayofmonth(when)})
    if shuffle:
        keyed = keyed.repartition(shuffle, *KEYS)
    keyed.write.partitionBy(*KEYS).format("avro").option("compression", "snappy").save(output)


def peak_rss_bytes(pid: int) -> int | None:
    """Read a process's peak resident set (VmHWM) where /proc has it."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return None
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    main()
