"""bigquery_to_avro's flags become an export, or one clear line; no server is asked."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest

from wharf.model.avro_export import AvroExport
from wharf.model.avro_flags import FLAGS
from wharf.model.errors import UsageError
from wharf.model.flags import parse
from wharf.model.schema import Field, TableId
from wharf.model.windows import Window, month_window

NOW = dt.datetime(2025, 4, 15, tzinfo=dt.UTC)
TABLE = ("--source_table=p-1.d.t", "--output=/tmp/x")
QUERY = ("--query=SELECT 1", "--output=/tmp/x")
SCHEMA = (
    Field(name="id", type="INT64", mode="REQUIRED"),
    Field(name="when_read", type="TIMESTAMP"),
    Field(name="vendor", type="STRING"),
    Field(name="value", type="FLOAT64"),
    Field(name="tags", type="STRING", mode="REPEATED"),
)


def export(*argv: str, project: str | None = None, now: dt.datetime = NOW) -> AvroExport:
    values, rest = parse(FLAGS, argv, prog="x", description="y")
    assert not rest
    return AvroExport.from_flags(values, project=project, now=now)


def names(fields: tuple[Field, ...]) -> list[str]:
    return [field.name for field in fields]


def test_what_was_said_is_kept_for_a_command_that_repeats_it() -> None:
    made = export(*TABLE, "--codec=snappy", "--columns=a,b", "--force")
    assert json.loads(made.settings) == {
        "source_table": "p-1.d.t",
        "output": "/tmp/x",
        "columns": "a,b",
        "force": "true",
    }


def test_a_table_and_an_output_are_enough() -> None:
    """Everything else has a default; the window is the previous month."""
    made = export(*TABLE)
    assert made.source_table == TableId("p-1", "d", "t")
    assert made.project == "p-1"
    assert made.window == month_window("202503")
    assert (made.date_column, made.vendor_column) == ("when_read", "vendor")
    assert (made.codec, made.write_mode, made.target_file_bytes) == ("snappy", "overwrite", 256 << 20)
    assert made.keep_partition_columns
    assert made.metadata_table == TableId("p-1", "wharf", "exports")
    assert made.files_table == TableId("p-1", "wharf", "exports_files")
    assert made.export_name == "t"
    assert (made.source, made.sql_source) == ("p-1.d.t", "`p-1.d.t`")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--output=/tmp/x"], "exactly one of --source_table and --query"),
        ([*TABLE, "--query=SELECT 1"], "exactly one of --source_table and --query"),
        (["--source_table=p-1.d.t"], "--output is missing"),
        ([*TABLE, "--output=s3://b/p"], "--output: 's3://b/p' is neither gs://bucket/prefix nor a local folder"),
        ([*TABLE, "--output=GS://b/p"], "--output: 'GS://b/p' is neither"),
        ([*TABLE, "--output=gs://"], "--output: 'gs://' is neither"),
        ([*TABLE, "--output=gs:/b/p"], "--output: 'gs:/b/p' is neither"),
        ([*TABLE, "--output=gs:///p"], "--output: 'gs:///p' is neither"),
        ([*TABLE, "--period=202503", "--when_read_from=2025-03-01T00:00:00"], "give --period or .*, not both"),
        ([*TABLE, "--period=202503", "--when_read_to=2025-03-01T00:00:00"], "give --period or .*, not both"),
        ([*TABLE, "--when_read_from=2025-03-01T00:00:00"], "--when_read_to is missing"),
        ([*TABLE, "--when_read_to=2025-03-01T00:00:00"], "--when_read_from is missing"),
        (
            [*TABLE, "--when_read_from=2025-03-02T00:00:00", "--when_read_to=2025-03-01T00:00:00"],
            "--when_read_from 2025-03-02T00:00:00 is not before --when_read_to 2025-03-01T00:00:00",
        ),
        (
            [*TABLE, "--when_read_from=yesterday", "--when_read_to=2025-03-01T00:00:00"],
            "--when_read_from: 'yesterday' is not understood",
        ),
        (
            [*TABLE, "--when_read_from=2025-03-01T00:00:00", "--when_read_to=2025-02-30T00:00:00"],
            "--when_read_to: '2025-02-30T00:00:00' is not understood",
        ),
        ([*TABLE, "--period=202513"], "--period: '202513' is not understood"),
        ([*TABLE, "--period=March"], "--period: 'March' is not understood: write one like 202503"),
        ([*TABLE, "--time_zone=Berlin"], "--time_zone: 'Berlin' is not understood: write one like Europe/Berlin"),
        ([*TABLE, "--codec=gzip"], "--codec: 'gzip' is not one of"),
        ([*TABLE, "--write_mode=overwite"], "did you mean overwrite"),
        ([*TABLE, "--partition_columns=no"], "--partition_columns: 'no' is not one of keep, drop"),
        ([*TABLE, "--target_file_bytes=256MB"], "--target_file_bytes: '256MB' is not understood"),
        ([*TABLE, "--target_file_bytes=0"], "--target_file_bytes: '0' is not understood"),
        ([*TABLE, "--columns=a, b"], "--columns: 'a, b' is not understood"),
        ([*TABLE, "--columns=a,,b"], "--columns: 'a,,b' is not understood"),
        ([*TABLE, "--date_column=a.b"], "--date_column: 'a.b' is not understood"),
        ([*TABLE, "--metadata_table=runs"], "--metadata_table: 'runs' is not understood: write one like"),
        ([*TABLE, "--files_table=a.b.c.d`"], "--files_table: .* is not understood"),
        (["--source_table=t", "--output=x"], "--source_table: 't' is not understood"),
        (
            ["--source_table=d.t", "--output=x"],
            "--source_table: 'd.t' is not a table name: write project.dataset.table",
        ),
        (["--source_table=p-1.d.t`; DROP", "--output=x"], "--source_table: .* is not understood"),
        (["--source_table=P.d.t.u", "--output=x"], "--source_table: .* is not understood"),
        ([*QUERY, "--temp_dataset=d"], "--project is missing"),
        ([*QUERY, "--temp_dataset=a b"], "--temp_dataset: 'a b' is not understood"),
    ],
    ids=lambda value: " ".join(value[-2:]) if isinstance(value, list) else "",
)
def test_a_command_that_cannot_work_is_refused_with_its_remedy(argv: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        export(*argv)


def test_a_query_needs_somewhere_to_be_materialised() -> None:
    with pytest.raises(UsageError, match="--temp_dataset is missing"):
        export(*QUERY, project="p")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("tmp", ("pays", "tmp")), ("other.tmp", ("other", "tmp")), ("a.com:b.tmp", ("a.com:b", "tmp"))],
)
def test_the_temporary_dataset_may_name_its_project(text: str, expected: tuple[str, str]) -> None:
    made = export("--query= SELECT 1 -- all; ", "--output=x", f"--temp_dataset={text}", project="pays")
    assert made.temp_dataset == expected
    assert made.source_table is None
    assert made.export_name == "query"


def test_a_query_may_end_in_a_semicolon_or_a_comment() -> None:
    made = export("--query=SELECT 1 -- all;", "--output=x", "--temp_dataset=d", project="p")
    assert made.source == "SELECT 1 -- all"
    assert made.sql_source.endswith("\n)")


def test_a_table_has_no_use_for_a_temporary_dataset() -> None:
    assert export(*TABLE, "--temp_dataset=d").temp_dataset is None


def test_the_project_completes_table_names() -> None:
    made = export("--source_table=d.t", "--output=x", "--files_table=m.f", project="pays")
    assert (made.source, str(made.files_table)) == ("pays.d.t", "pays.m.f")


@pytest.mark.parametrize(
    ("given", "kept"), [("gs://b/p/", "gs://b/p"), ("gs://b", "gs://b"), ("out/", "out"), ("/", "/"), ("C:/x", "C:/x")]
)
def test_an_output_loses_its_last_slash(given: str, kept: str) -> None:
    assert export("--source_table=p-1.d.t", f"--output={given}").output == kept


@pytest.mark.parametrize(
    ("now", "zone", "month"),
    [("2025-03-31T22:30:00", "UTC", "202502"), ("2025-03-31T22:30:00", "Europe/Berlin", "202503")],
)
def test_the_previous_month_is_that_of_the_time_zone(now: str, zone: str, month: str) -> None:
    made = export(*TABLE, f"--time_zone={zone}", now=dt.datetime.fromisoformat(now).replace(tzinfo=dt.UTC))
    assert made.window == month_window(month, zone)


def test_a_window_is_taken_as_given() -> None:
    made = export(*TABLE, "--when_read_from=2025-03-01T06:00:00", "--when_read_to=2025-03-01T12:00:00")
    assert made.window == Window(dt.datetime(2025, 3, 1, 6), dt.datetime(2025, 3, 1, 12))


def test_all_columns_are_read_and_written_by_default() -> None:
    made = export(*TABLE)
    assert made.read_fields(SCHEMA) == made.file_fields(SCHEMA) == SCHEMA


def test_partition_columns_are_read_though_not_asked_for() -> None:
    made = export(*TABLE, "--columns=value,id,value")
    assert names(made.read_fields(SCHEMA)) == ["value", "id", "when_read", "vendor"]
    assert names(made.file_fields(SCHEMA)) == ["value", "id"]


def test_partition_columns_can_be_left_out_of_the_files() -> None:
    made = export(*TABLE, "--partition_columns=drop")
    assert names(made.read_fields(SCHEMA)) == names(SCHEMA)
    assert names(made.file_fields(SCHEMA)) == ["id", "value", "tags"]


def test_files_without_columns_are_refused() -> None:
    with pytest.raises(UsageError, match="--partition_columns drop leaves no column"):
        export(*TABLE, "--columns=vendor,when_read", "--partition_columns=drop").file_fields(SCHEMA)


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--columns=id,valu", r"--columns: p-1.d.t has no column 'valu' \(did you mean value\?\)"),
        ("--date_column=when_red", r"--date_column: .* 'when_red' \(did you mean when_read\?\)"),
        ("--vendor_column=zzz", r"--vendor_column: p-1.d.t has no column 'zzz'$"),
        ("--date_column=vendor", "'vendor' of p-1.d.t is STRING; it must be TIMESTAMP or DATETIME or DATE"),
        ("--vendor_column=value", "'value' of p-1.d.t is FLOAT64; it must be STRING or INT64"),
        ("--vendor_column=tags", "'tags' of p-1.d.t is ARRAY<STRING>; it must be STRING or INT64"),
    ],
)
def test_a_column_that_does_not_fit_is_named(flag: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        export(*TABLE, flag).read_fields(SCHEMA)


@pytest.mark.parametrize("type_", ["TIMESTAMP", "DATETIME", "DATE"])
def test_every_date_type_and_numbered_vendors_will_do(type_: str) -> None:
    schema = (Field(name="when_read", type=type_), Field(name="vendor", type="INT64"))
    assert export(*TABLE).read_fields(schema) == schema


def test_the_restriction_joins_window_and_condition() -> None:
    window = "`when_read` >= DATE '2025-03-01' AND `when_read` < DATE '2025-04-01'"
    assert export(*TABLE).restriction("DATE") == window
    assert export(*TABLE, "--row_restriction=a OR b").restriction("DATE") == f"({window}) AND (a OR b)"


def test_a_part_of_a_day_does_not_go_with_a_date_column() -> None:
    made = export(*TABLE, "--when_read_from=2025-03-01T06:00:00", "--when_read_to=2025-03-02T00:00:00")
    with pytest.raises(UsageError, match="must begin and end at midnight"):
        made.restriction("DATE")


def test_templates_may_pass_empty_values() -> None:
    """An optional parameter left empty is one that was not given."""
    empty: dict[str, Any] = {flag.name: f"--{flag.name}=" for flag in FLAGS if not flag.default and not flag.is_switch}
    assert export(*(empty | {"source_table": TABLE[0], "output": TABLE[1]}).values()) == export(*TABLE)
