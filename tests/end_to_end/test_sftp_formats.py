"""What files of an export hold, whatever their format."""

from __future__ import annotations

import datetime as dt
import gzip
import io
import json
from decimal import Decimal

import fastavro
import pyarrow.parquet as pq
from google.cloud.bigquery import SchemaField

from tests.end_to_end.delivery import read_csv


def test_all_formats_hold_the_same_rows_and_types_print_as_bigquery_prints_them(delivery, make_table):
    types = ("INT64", "FLOAT64", "BOOL", "STRING", "BYTES", "NUMERIC", "DATE", "TIME", "DATETIME", "TIMESTAMP")
    columns = [SchemaField(f"c_{name.lower()}", name) for name in types]
    table = make_table(
        columns,
        "SELECT -7, 0.1, TRUE, 'say \"hi\",\\n語', FROM_HEX('00ff'), NUMERIC '12.50', DATE '2025-03-01', "
        "TIME '23:59:59.000001', DATETIME '2025-03-01 04:05:06', TIMESTAMP '2025-03-01 04:05:06.5+00' "
        "UNION ALL SELECT NULL, NULL, NULL, '', NULL, NULL, NULL, NULL, NULL, NULL",
    )
    shared = {"source_table": table}
    delivery.write(
        {
            "plain": shared,
            "tabs": shared | {"delimiter": "tab", "quoting": "all", "null_marker": "NULL", "compress": "gzip"},
            "lines": shared | {"format": "jsonl"},
            "arrow": shared | {"format": "parquet"},
            "rows": shared | {"format": "avro"},
        }
    )
    ended = delivery.run("--export_name=all", "--date=2025-03-01")
    assert ended.code == 0, ended.err
    files = {name.partition("_")[0]: data for name, data in delivery.files.items()}
    assert sorted(delivery.files) == [
        f"{name}_2025-03-01.{ending}"
        for name, ending in (("arrow", "parquet"), ("lines", "jsonl"), ("plain", "csv"), ("rows", "avro"),
                             ("tabs", "csv.gz"))
    ]  # fmt: skip
    names = [column.name for column in columns]
    printed = ["-7", "0.1", "true", 'say "hi",\n語', "AP8=", "12.5", "2025-03-01", "23:59:59.000001",
               "2025-03-01T04:05:06", "2025-03-01 04:05:06.500 UTC"]  # fmt: skip
    assert read_csv("plain.csv", files["plain"]) == [names, printed, [""] * 10]
    assert files["plain"].endswith(b'\r\n,,,"",,,,,,\r\n')
    text = gzip.decompress(files["tabs"]).decode()
    assert text.startswith("\t".join(f'"{name}"' for name in names) + "\r\n")
    assert text.endswith('NULL\tNULL\tNULL\t""\t' + "\t".join(["NULL"] * 6) + "\r\n")
    moment = dt.datetime(2025, 3, 1, 4, 5, 6)
    values = [-7, 0.1, True, 'say "hi",\n語', b"\x00\xff", Decimal("12.5"), moment.date(), dt.time(23, 59, 59, 1),
              moment, moment.replace(microsecond=500_000, tzinfo=dt.UTC)]  # fmt: skip
    expected = [dict(zip(names, values, strict=True)), dict.fromkeys(names) | {"c_string": ""}]
    assert pq.read_table(io.BytesIO(files["arrow"])).to_pylist() == expected
    assert list(fastavro.reader(io.BytesIO(files["rows"]))) == [
        expected[0] | {"c_datetime": moment.isoformat()},
        expected[1],
    ]
    lines = [json.loads(line) for line in files["lines"].decode().splitlines()]
    assert {name: lines[0][name] for name in ("c_bool", "c_string", "c_bytes", "c_date")} == {
        "c_bool": True,
        "c_string": 'say "hi",\n語',
        "c_bytes": "AP8=",
        "c_date": "2025-03-01",
    }
    assert len(lines) == 2
    assert not any(lines[1].values())
