"""What `make bench` runs: Wharf and its peers on the same rows in alternating rounds, results in RESULTS.md.

python benchmarks/bigquery_to_avro.py [--rounds 5] [--only encode,pipeline,partitions,spark,memory] [--quick]
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # run as a script, Python looks beside it only

from benchmarks import data, table  # noqa: E402
from benchmarks.bench import Bench, arguments, run_sections  # noqa: E402
from benchmarks.results import Bar, Contender, at_least, ratio  # noqa: E402
from wharf.local.stack import LocalStack  # noqa: E402

SPARK_SEEN = 455_000  # rows/s, on one core of another machine
DAYS, MANY_DAYS = 31, 365


@dataclass(frozen=True)
class ExportBench(Bench):
    """What all sections share. Row counts are those of a whole benchmark, and divided by `scale`."""

    spark_python: str

    def rows(self, full: int) -> int:
        return full // self.scale

    def run(self, contender: Contender, name: str, environment: dict[str, str] | None = None, **keywords: Any) -> None:
        """As `Bench.run`; what the contender wrote to its `output` is removed."""
        super().run(contender, name, environment, **keywords)
        if output := keywords.get("output"):
            for made in (output, f"{output}.warm"):
                shutil.rmtree(made, ignore_errors=True)

    @contextmanager
    def stack(self) -> Iterator[LocalStack]:
        """The stack on the tables made so far. A new one each round: the emulator keeps what its sessions read."""
        with LocalStack(self.folder / "stack") as stack:
            yield stack

    def export(self, contender: Contender, stack: LocalStack, full: int, days: int, batch_rows: int = 0) -> None:
        """Run the whole pipeline once on a table of `full` rows over `days`."""
        rows = self.rows(full)
        source = table.ensure_table(stack, rows, days)
        self.run(
            contender,
            "wharf_pipeline",
            stack.environment,
            source=source,
            output=str(self.folder / "out"),
            expected=rows,
            window=table.window(days),
            batch_rows=batch_rows,
        )


def encode(bench: ExportBench) -> str:
    """Arrow batches to uncompressed Avro in memory."""
    large, small = (Contender(f"Wharf, batches of {size:,}") for size in (262_144, 65_536))
    ordered = Contender("Wharf, batches of 262,144, brought into the order of 496 partitions")
    fastavro, duckdb = Contender("fastavro, `to_pylist()`"), Contender("DuckDB's C++ writer")
    for _ in bench.each_round():
        bench.run(large, "wharf_blocks", rows=bench.rows(4_194_304), batch_rows=262_144, ordered=False)
        bench.run(small, "wharf_blocks", rows=bench.rows(4_194_304), batch_rows=65_536, ordered=False)
        bench.run(ordered, "wharf_blocks", rows=bench.rows(4_194_304), batch_rows=262_144, ordered=True)
        bench.run(fastavro, "fastavro_blocks", rows=bench.rows(262_144))
        bench.run(duckdb, "duckdb_avro", rows=bench.rows(524_288))
    about = (
        "Arrow batches of 7 columns (3 strings, timestamp, double, NUMERIC, bool) to uncompressed Avro, one core. In "
        "the first two lines rows keep their order, as with the peers. The third finds each row's partition and "
        "encodes in that order, as the pipeline does; no peer does that work, and it is slower."
    )
    bars = [at_least("batches of 262,144 against fastavro", ratio(large, fastavro) or 0, 120)]
    bars += [at_least("batches of 262,144 against DuckDB", ratio(large, duckdb) or 0, 6)]
    bars += [at_least("batches of 65,536 against fastavro", ratio(small, fastavro) or 0, 120)]
    bars += [at_least("batches of 65,536 against DuckDB", ratio(small, duckdb) or 0, 6)]
    return bench.section("Encoding", about, [large, small, ordered, fastavro, duckdb], bars)


def pipeline(bench: ExportBench) -> str:
    """The whole pipeline through the embedded stack."""
    main, small = Contender("Wharf, 496 partitions"), Contender("Wharf, 496 partitions, batches of 1,000 rows")
    dicts = Contender("dicts through Beam's WriteToFiles, 496 partitions")
    dict_rows = bench.rows(500_000)
    for _ in bench.each_round():
        with bench.stack() as stack:
            bench.export(main, stack, 20_000_000, DAYS)
            source = table.ensure_table(stack, dict_rows, DAYS)
            output = str(bench.folder / "out")
            bench.run(dicts, "dict_files", stack.environment, source=source, output=output, expected=dict_rows)
            bench.export(small, stack, 20_000_000, DAYS, batch_rows=1_000)
    about = (
        "BigQuery (emulated, read over gRPC) to partitioned snappy Avro in a local folder, in-process FnApiRunner. "
        "Successive rows are of different partitions. Wharf's time is all of `main()`: flags, schema, read session, "
        "ledger, files, publishing; the compiled loops are on disk, as after a first run. The dicts come from the same "
        "`ReadFromBigQuery`, and their time is that of `pipeline.run()` alone. Both wait for the emulator, which "
        "copies the table when a session opens. Batches of 1,000 rows are cut from the emulator's 65,536 and sent "
        "through Arrow IPC messages of their own, the writing of which is in the time."
    )
    bars = [at_least("against dicts", ratio(main, dicts) or 0, 30)]
    bars += [at_least("batches of 1,000 rows against the emulator's", ratio(small, main) or 0, 0.5)]
    return bench.section("Whole pipeline", about, [main, dicts, small], bars)


def partitions(bench: ExportBench) -> str:
    """The whole pipeline into twelve times as many partitions."""
    few, many = Contender("Wharf, 496 partitions"), Contender("Wharf, 5,840 partitions")
    for _ in bench.each_round():
        with bench.stack() as stack:
            bench.export(few, stack, 20_000_000, DAYS)
            bench.export(many, stack, 20_000_000, MANY_DAYS)
    about = "The pipeline above, on the rows of a month and on as many of a year."
    bars = [at_least("5,840 partitions against 496", ratio(many, few) or 0, 0.5)]
    return bench.section("Many partitions", about, [few, many], bars)


def spark(bench: ExportBench) -> str:
    """The same Parquet files, partitioned by Wharf's transforms and by Spark."""
    rows, warm_rows = bench.rows(10_000_000), bench.rows(2_000_000)
    folder, warm, output = (bench.folder / name for name in ("parquet", "parquet_warm", "out"))
    data.write_parquet(folder, rows)
    data.write_parquet(warm, warm_rows)
    wharf = Contender("Wharf's transforms")
    variants = {4: Contender("Spark, shuffled by partition first"), 0: Contender("Spark, not shuffled")}
    taking_part = list(variants)
    for number in bench.each_round():
        places = {"output": str(output), "expected": rows}
        bench.run(wharf, "wharf_parquet", folder=str(folder), warm=str(warm), **places)
        if number == 2:
            taking_part = [max(variants, key=lambda shuffle: variants[shuffle].rate)]
        for shuffle in taking_part:
            asked = {"shuffle": shuffle, "warm_rows": warm_rows, "python": bench.spark_python}
            bench.run(variants[shuffle], "spark", parquet_dir=str(folder), **places, **asked)
        if variants[4].skipped:
            break
    contenders = [wharf, *variants.values()]
    about = (
        "The same Parquet files to snappy Avro in 496 partitions. Both are warm: a write of "
        f"{warm_rows:,} rows goes first. Spark 4.1.1 with spark-avro, `local[1]`, 4 GiB of heap; the variant that is "
        "faster in the first round goes on. Wharf is the in-process FnApiRunner and one worker thread, whose "
        "Parquet reader, file writers and compressors may use further cores. "
        f"Spark was seen at {SPARK_SEEN:,} rows/s on another machine: Wharf's median here is "
        f"{wharf.rate / SPARK_SEEN:.2f} times that."
    )
    bars = []
    if variants[4].runs:
        best_ratio = min(found for theirs in variants.values() if (found := ratio(wharf, theirs)))
        bars = [at_least("against the better of Spark's variants", best_ratio, 3.5)]
    return bench.section("Parquet, against Spark", about, contenders, bars)


def memory(bench: ExportBench) -> str:
    """Peak memory of the pipeline's process, for ten and for fifty million rows."""
    less, more = (Contender(f"Wharf, {bench.rows(full) // 10**6} million rows") for full in (10_000_000, 50_000_000))
    for _ in bench.each_round():
        for contender, rows in ((less, 10_000_000), (more, 50_000_000)):
            with bench.stack() as stack:
                bench.export(contender, stack, rows, DAYS)
    about = "The pipeline above. VmHWM of its process, which is not the emulator's, from its start."
    few, many = less.peak_mib, more.peak_mib
    bars = []
    if few and many:
        bars.append(Bar("50 million rows: below 800 MiB", f"{many:,.0f} MiB", many < 800))
        bars.append(Bar("50 against 10 million: at most +15 %", f"{many / few - 1:+.1%}", many <= few * 1.15))
    return bench.section("Memory", about, [less, more], bars)


SECTIONS = {"encode": encode, "pipeline": pipeline, "partitions": partitions, "spark": spark, "memory": memory}


def main() -> None:
    parser = arguments(__doc__, SECTIONS)
    parser.add_argument("--spark_python", default=sys.executable, help="an interpreter with pyspark")
    args = parser.parse_args()

    def make(folder: Path, rounds: int, scale: int) -> ExportBench:
        return ExportBench(folder, rounds, scale, args.spark_python)

    run_sections(parser, args, SECTIONS, make)


if __name__ == "__main__":
    main()
