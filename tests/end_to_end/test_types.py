"""Every BigQuery type that the emulator can hold comes back from the files as it went in.

It has no BIGNUMERIC and forgets a NUMERIC's precision: the encoder's own tests have those.
"""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from typing import NamedTuple

import pytest
from google.cloud.bigquery import SchemaField

from wharf.model.schema import Field


class Case(NamedTuple):
    column: SchemaField
    sql: str
    value: object
    avro: object  # the type in the file's schema


def scalar(name: str, type_: str, sql: str, value: object, avro: object, **more: object) -> Case:
    return Case(SchemaField(name, type_, **more), sql, value, ["null", avro])


def decimal(precision: int, scale: int) -> dict:
    return {"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale}


MOMENT = dt.datetime(2025, 3, 1, 4, 5, 6, 789012)
RANGE = {
    "type": "record",
    "namespace": "google.sqlType",
    "name": "RANGE_DATE",
    "sqlType": "RANGE",
    "fields": [
        {"name": end, "type": ["null", {"type": "int", "logicalType": "date"}]} for end in ("start", "end")
    ],
}  # fmt: skip
CASES = [
    scalar("integer", "INT64", "-9223372036854775808", -(2**63), "long"),
    scalar("double", "FLOAT64", "-1.5e300", -1.5e300, "double"),
    scalar("truth", "BOOL", "TRUE", True, "boolean"),
    scalar("text", "STRING", "'ÅÄÖ 語 \U0001f6a2'", "ÅÄÖ 語 \U0001f6a2", "string"),
    scalar("bytes", "BYTES", "FROM_HEX('00ff0080')", b"\x00\xff\x00\x80", "bytes"),
    scalar("exact", "NUMERIC", "NUMERIC '-12345678901234567890.123456789'",
           Decimal("-12345678901234567890.123456789"), decimal(38, 9)),
    scalar("day", "DATE", "DATE '1582-10-15'", dt.date(1582, 10, 15), {"type": "int", "logicalType": "date"}),
    scalar("clock", "TIME", "TIME '23:59:59.999999'", dt.time(23, 59, 59, 999999),
           {"type": "long", "logicalType": "time-micros"}),
    scalar("civil", "DATETIME", "DATETIME '2025-03-01 04:05:06.789012'", MOMENT.isoformat(),
           {"type": "string", "logicalType": "datetime"}),
    scalar("instant", "TIMESTAMP", "TIMESTAMP '2025-03-01 04:05:06.789012+00'", MOMENT.replace(tzinfo=dt.UTC),
           {"type": "long", "logicalType": "timestamp-micros"}),
    scalar("json", "JSON", "JSON '{\"a\": [1, null]}'", '{"a":[1,null]}', {"type": "string", "sqlType": "JSON"}),
    scalar("place", "GEOGRAPHY", "ST_GEOGPOINT(1, 2)", "POINT (1 2)", {"type": "string", "sqlType": "GEOGRAPHY"}),
    scalar("lapse", "INTERVAL", "MAKE_INTERVAL(1, 2, 3, 4, 5, 6)", "1-2 3 4:5:6",
           {"type": "string", "sqlType": "INTERVAL"}),
    scalar("span", "RANGE", "RANGE<DATE> '[2025-01-01, UNBOUNDED)'",
           {"start": dt.date(2025, 1, 1), "end": None}, RANGE, range_element_type="DATE"),
]  # fmt: skip
NESTED = [
    SchemaField("numbers", "INT64", mode="REPEATED"),
    SchemaField("point", "RECORD", fields=[
        SchemaField("x", "FLOAT64"),
        SchemaField("tags", "STRING", mode="REPEATED"),
        SchemaField("deep", "RECORD", fields=[SchemaField("cost", "NUMERIC"), SchemaField("since", "DATE")]),
    ]),
    SchemaField("pairs", "RECORD", mode="REPEATED", fields=[SchemaField("k", "STRING"), SchemaField("v", "TIMESTAMP")]),
]  # fmt: skip
KEYS = [SchemaField("when_read", "DATE", mode="REQUIRED"), SchemaField("vendor", "STRING", mode="REQUIRED")]


def in_partition(rows: list[str]) -> str:
    return " UNION ALL ".join(f"SELECT DATE '2025-03-04', 'a', {row}" for row in rows)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.column.field_type + case.column.name)
def test_a_value_and_a_null_of_each_type_come_back(run, make_table, output, read_tree, case):
    if case.column.field_type == "GEOGRAPHY":
        pytest.importorskip("shapely", reason="the emulator sends WKB, which shapely turns into BigQuery's WKT")
    table = make_table([*KEYS, case.column], in_partition([case.sql, "NULL"]))
    ended = run(f"--source_table={table}", f"--output={output}", "--period=202503")
    assert ended.code == 0, ended.err
    tree = read_tree(output)
    values = [row[case.column.name] for row in tree.rows]
    assert sorted(values, key=lambda value: value is None) == [case.value, None]
    schema = manifest(tree)["avro_schema"]
    assert [field["type"] for field in schema["fields"]] == [
        {"type": "int", "logicalType": "date"},
        "string",
        case.avro,
    ]


def test_arrays_and_nested_structs_come_back(run, make_table, output, read_tree):
    full = (
        "[3, 1, 2], STRUCT(1.5 AS x, ['p', 'q'] AS tags, STRUCT(NUMERIC '0.5' AS cost, DATE '2025-01-02' AS since) "
        "AS deep), [STRUCT('k' AS k, TIMESTAMP '2025-01-01 00:00:00+00' AS v), STRUCT('l' AS k, NULL AS v)]"
    )
    table = make_table([*KEYS, *NESTED], in_partition([full, "[], NULL, []"]))
    ended = run(f"--source_table={table}", f"--output={output}", "--period=202503", "--columns=numbers,point,pairs")
    assert ended.code == 0, ended.err
    rows = sorted(read_tree(output).rows, key=lambda row: len(row["numbers"]), reverse=True)
    assert rows[0] == {
        "numbers": [3, 1, 2],
        "point": {"x": 1.5, "tags": ["p", "q"], "deep": {"cost": Decimal("0.5"), "since": dt.date(2025, 1, 2)}},
        "pairs": [{"k": "k", "v": dt.datetime(2025, 1, 1, tzinfo=dt.UTC)}, {"k": "l", "v": None}],
    }
    assert rows[1] == {"numbers": [], "point": None, "pairs": []}


def test_required_columns_have_no_null_and_descriptions_become_docs(run, make_table, output, read_tree, client):
    said = SchemaField("n", "INT64", mode="REQUIRED", description="How many")
    table = make_table([*KEYS, said], in_partition(["1"]))
    assert run(f"--source_table={table}", f"--output={output}", "--period=202503").code == 0
    assert manifest(read_tree(output))["avro_schema"]["fields"][-1] == {"name": "n", "type": "long", "doc": "How many"}
    fields = [Field.from_api(field.to_api_repr()) for field in client.get_table(table, retry=None).schema]
    assert fields[-1].mode == "REQUIRED"


def manifest(tree) -> dict:
    (content,) = (content for path, content in tree.files.items() if path.startswith("_manifests/"))
    return json.loads(content)
