"""What an export writes is what SQL says the table holds."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from urllib.parse import unquote
from zoneinfo import ZoneInfo

import fastavro
import pytest
from google.cloud.bigquery import SchemaField

from tests.end_to_end.conftest import COLUMNS, READINGS

MARCH = "--period=202503"


@pytest.fixture(params=["folder", "bucket"])
def place(request, output, bucket_output) -> str:
    return output if request.param == "folder" else bucket_output


def test_counts_and_sums_of_each_partition_are_those_of_sql(run, readings, place, read_tree, count_by_sql):
    window = ["--when_read_from=2025-03-30T00:00:00", "--when_read_to=2025-04-02T00:00:00"]
    ended = run(f"--source_table={readings}", f"--output={place}", *window)
    assert (ended.code, ended.err) == (0, "")
    tree = read_tree(place)
    assert tree.count() == count_by_sql(readings, "when_read >= TIMESTAMP '2025-03-30'")
    assert len(tree.partitions) == 2 * 4
    assert not [path for path in tree.files if "_staging" in path]
    assert {path.rpartition("/")[0] for path in tree.files if path.endswith("_SUCCESS")} == set(tree.partitions)


def test_the_command_runs_in_a_process_of_its_own_and_closes_with_a_table(export, readings, output, read_tree):
    ended = export(f"--source_table={readings}", f"--output={output}", MARCH)
    assert ended.code == 0, ended.err
    assert "rows        6,000" in ended.out
    assert "partitions  124" in ended.out
    assert len(read_tree(output).rows) == 6_000


def test_a_query_is_exported_and_its_temporary_table_dropped(run, client, readings, output, read_tree, count_by_sql):
    client.create_dataset("scratch", exists_ok=True, retry=None)
    ended = run(
        f"--query=SELECT id, when_read, vendor, value FROM `{readings}` WHERE MOD(id, 2) = 0;",
        *["--temp_dataset=scratch", f"--project={client.project}", f"--output={output}", MARCH],
    )
    assert ended.code == 0, ended.err
    assert read_tree(output).count() == count_by_sql(readings, "MOD(id, 2) = 0")
    assert not list(client.list_tables("scratch", retry=None))


def test_only_the_named_columns_and_the_matching_rows_are_exported(run, readings, output, read_tree, count_by_sql):
    columns = ["--columns=value,id", "--row_restriction=value > 9000 AND vendor != 'v1'"]
    assert run(f"--source_table={readings}", f"--output={output}", MARCH, *columns).code == 0
    tree = read_tree(output)
    assert tree.count() == count_by_sql(readings, "value > 9000 AND vendor != 'v1'")
    assert {tuple(row) for row in tree.rows} == {("value", "id")}


def test_partition_columns_can_be_left_out_of_the_files(run, readings, output, read_tree):
    assert run(f"--source_table={readings}", f"--output={output}", MARCH, "--partition_columns=drop").code == 0
    tree = read_tree(output)
    assert len(tree.rows) == 6_000
    assert {tuple(row) for row in tree.rows} == {("id", "value")}


@pytest.mark.parametrize("codec", ["snappy", "deflate", "zstandard", "null"])
def test_every_codec_gives_the_same_rows(run, readings, output, read_tree, count_by_sql, codec):
    window = ["--when_read_from=2025-03-01T00:00:00", "--when_read_to=2025-03-03T00:00:00"]
    assert run(f"--source_table={readings}", f"--output={output}", *window, f"--codec={codec}").code == 0
    tree = read_tree(output)
    with open(Path(output) / tree.data_files[0], "rb") as file:
        header = fastavro.reader(file)
        assert header.codec == codec
        assert header.writer_schema["fields"][0]["doc"] == "Counts from 1"
        assert "wharf.version" in header.metadata
    assert tree.count() == count_by_sql(readings, "when_read < TIMESTAMP '2025-03-03'")


@pytest.mark.parametrize("type_", ["TIMESTAMP", "DATETIME", "DATE"])
def test_days_come_from_a_column_of_any_date_type(run, make_table, output, read_tree, count_by_sql, type_):
    columns = [SchemaField("vendor", "STRING"), SchemaField("value", "INT64"), SchemaField("when_read", type_)]
    days = "DATE_ADD(DATE '2025-02-25', INTERVAL MOD(n, 40) DAY)"
    table = make_table(columns, f"SELECT 'a', n, CAST({days} AS {type_}) FROM UNNEST(GENERATE_ARRAY(1, 400)) AS n")
    assert run(f"--source_table={table}", f"--output={output}", MARCH).code == 0
    march = f"when_read >= {type_} '2025-03-01' AND when_read < {type_} '2025-04-01'"
    assert read_tree(output).count() == count_by_sql(table, march)


def test_a_vendor_may_be_a_number(run, make_table, output, read_tree):
    columns = [SchemaField("id", "INT64"), SchemaField("when_read", "DATE"), SchemaField("vendor", "INT64")]
    table = make_table(columns, "SELECT n, DATE '2025-03-05', MOD(n, 3) - 1 FROM UNNEST(GENERATE_ARRAY(1, 9)) AS n")
    assert run(f"--source_table={table}", f"--output={output}", MARCH).code == 0
    assert set(read_tree(output).partitions) == {f"year=2025/month=03/day=05/vendor={n}" for n in (-1, 0, 1)}


def test_an_empty_window_ends_green_with_a_manifest_of_no_files(run, readings, place, read_tree, ledger):
    ended = run(f"--source_table={readings}", f"--output={place}", "--period=202404")
    assert ended.code == 0, ended.err
    (path,) = read_tree(place).files
    assert path.startswith("_manifests/")
    (recorded,) = ledger()
    assert (recorded["status"], recorded["rows_exported"], recorded["files"]) == ("SUCCESS", 0, 0)
    assert ledger("files") == []


def test_five_thousand_partitions(run, make_table, output, read_tree, count_by_sql):
    select = READINGS.format(rows=20_000).replace("MOD(n, 4)", "DIV(MOD(n * 7919, 31 * 86400), 499)")
    table = make_table(COLUMNS, select)
    ended = run(f"--source_table={table}", f"--output={output}", MARCH)
    assert ended.code == 0, ended.err
    tree = read_tree(output)
    assert tree.count() == count_by_sql(table)
    assert len(tree.data_files) == len(tree.partitions) > 5_000


def test_no_vendor_breaks_its_path_or_leaves_it(run, make_table, place, read_tree, ledger):
    vendors = ["../x", "a/b", "ÅÄÖ", "", None, "x" * 300, "..", ".", "a=b", "50%", "__HIVE_DEFAULT_PARTITION__", "a b"]
    literals = ", ".join("CAST(NULL AS STRING)" if vendor is None else f"'{vendor}'" for vendor in vendors)
    table = make_table(
        [SchemaField("vendor", "STRING"), SchemaField("when_read", "DATE"), SchemaField("id", "INT64")],
        f"SELECT vendor, DATE '2025-03-09', place FROM UNNEST([{literals}]) AS vendor WITH OFFSET AS place",
    )
    ended = run(f"--source_table={table}", f"--output={place}", MARCH)
    assert ended.code == 0, ended.err
    tree = read_tree(place)
    assert sorted(map(str, (row["vendor"] for row in tree.rows))) == sorted(map(str, vendors))
    by_vendor = {rows[0]["vendor"]: path.split("/") for path, rows in tree.partitions.items()}
    assert len(by_vendor) == len(vendors)
    assert {tuple(parts[:3]) for parts in by_vendor.values()} == {("year=2025", "month=03", "day=09")}
    folders = {vendor: parts[3].removeprefix("vendor=") for vendor, parts in by_vendor.items()}
    assert {len(parts) for parts in by_vendor.values()} == {4}
    assert folders[None] == "__HIVE_DEFAULT_PARTITION__"
    plain = [vendor for vendor in vendors if vendor and len(vendor) < 300]
    assert {vendor: unquote(folders[vendor]) for vendor in plain} == {vendor: vendor for vendor in plain}
    assert {row["vendor"] for row in ledger("files")} == set(vendors)


@pytest.mark.parametrize("period", ["202503", "202510"])
def test_days_across_a_daylight_saving_change_are_those_of_the_zone(run, make_table, output, read_tree, period):
    first = dt.date(int(period[:4]), int(period[4:]), 1) - dt.timedelta(days=2)
    select = (
        f"SELECT n, TIMESTAMP_ADD(TIMESTAMP '{first} 00:00:00+00', INTERVAL n * 20 MINUTE), 'a', n "
        "FROM UNNEST(GENERATE_ARRAY(0, 35 * 72 - 1)) AS n"
    )
    table = make_table(COLUMNS, select)
    words = [f"--source_table={table}", f"--output={output}", f"--period={period}", "--time_zone=Europe/Berlin"]
    assert run(*words).code == 0
    zone, start = ZoneInfo("Europe/Berlin"), dt.datetime.combine(first, dt.time(), dt.UTC)
    expected: dict[str, list[int]] = {}
    for number in range(35 * 72):
        local = (start + dt.timedelta(minutes=20 * number)).astimezone(zone)
        if f"{local:%Y%m}" == period:
            expected.setdefault(f"{local:year=%Y/month=%m/day=%d}/vendor=a", []).append(number)
    assert read_tree(output).contents == expected
    assert {len(ids) for ids in expected.values()} == {72, 69 if period == "202503" else 75}
