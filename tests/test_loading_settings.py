"""files_to_bigquery: its flags, and what a run is made of them."""

from __future__ import annotations

import datetime as dt
import pickle
import re

import pytest

from wharf.model.errors import UsageError
from wharf.model.flags import Flag, parse
from wharf.model.loading.flags import FLAGS
from wharf.model.loading.settings import LoadSettings, TableSpec
from wharf.model.schema import TableId

NOW = dt.datetime(2025, 3, 10, 12, tzinfo=dt.UTC)
INPUT = "--input=gs://bucket/in/**"
STREAM = ("--subscription=projects/project/subscriptions/landed", "--prefix=gs://bucket/in")


def settings(*argv: str, project: str | None = "p", state_table: str | None = None) -> LoadSettings:
    values, rest = parse(FLAGS, argv, prog="x", description="y")
    assert not rest
    return LoadSettings.from_flags(values, project=project, state_table=state_table, now=NOW)


def test_what_is_not_said_has_a_sensible_value():
    found = settings(INPUT)
    assert (found.pattern, found.prefix, found.marker, found.subscription) == (
        "gs://bucket/in/**",
        "gs://bucket/in/",
        "_SUCCESS",
        "",
    )
    assert (found.destination, found.source_format, found.wait_for, found.wait) == (
        None,
        None,
        None,
        dt.timedelta(hours=1),
    )
    assert found.state_table == TableId("p", "bigquery_loads", "serverless_bq_loads")
    assert found.files_table.table == "serverless_bq_loads_files"
    assert found.rejects_table.table == "serverless_bq_loads_rejects"
    assert (found.options.write_mode, found.max_jobs, found.only_failed) == ("append", 100, False)
    assert found.table == TableSpec(
        timestamp_column="file_timestamp",
        granularity="day",
        clustering=(),
        expiration_days=None,
        require_filter=False,
        labels=(),
    )
    assert pickle.loads(pickle.dumps(found)) == found


def test_each_flag_of_the_loads_becomes_a_field_of_the_api():
    found = settings(
        INPUT,
        "--source_format=CSV",
        "--field_delimiter=tab",
        "--skip_leading_rows=1",
        "--quote=none",
        "--encoding=ISO-8859-1",
        "--max_bad_records=0",
        "--ignore_unknown_values",
        "--write_mode=merge",
        "--merge_keys=b,a,b",
        "--schema_update_options=ALLOW_FIELD_RELAXATION,ALLOW_FIELD_ADDITION",
    ).options
    assert found.job_fields == {
        "sourceFormat": "CSV",
        "fieldDelimiter": "\t",
        "skipLeadingRows": 1,
        "quote": "",
        "encoding": "ISO-8859-1",
        "maxBadRecords": 0,
        "ignoreUnknownValues": True,
        "useAvroLogicalTypes": True,
    }
    assert (found.write_mode, found.merge_keys) == ("merge", ("b", "a"))
    assert found.schema_update_options == ("ALLOW_FIELD_ADDITION", "ALLOW_FIELD_RELAXATION")


def test_a_new_table_is_described():
    found = settings(
        INPUT,
        "--timestamp_column=at",
        "--partition_granularity=hour",
        "--clustering=at,carrier,origin",
        "--partition_expiration_days=30",
        "--require_partition_filter",
        "--table_labels=team=sales,empty=",
    ).table
    assert found == TableSpec(
        timestamp_column="at",
        granularity="hour",
        clustering=("carrier", "origin"),
        expiration_days=30,
        require_filter=True,
        labels=(("team", "sales"), ("empty", "")),
    )


def test_tables_are_in_the_project_unless_they_say_another():
    found = settings(
        INPUT,
        "--destination_table=d.t",
        "--load_state_table=q.m.loads",
        "--files_table=m.files",
        "--dead_letter_table=m.bad",
        "--dead_letter_prefix=gs://bucket/bad/",
    )
    assert found.destination == TableId("p", "d", "t")
    assert found.state_table == TableId("q", "m", "loads")
    assert found.files_table == TableId("p", "m", "files")
    assert found.rejects_table == TableId("p", "m", "bad")
    assert found.dead_letter_prefix == "gs://bucket/bad"
    assert settings(INPUT, "--destination_table=q.d.t", project=None).project == "q"


def test_the_state_table_of_the_environment_gives_way_to_the_flag():
    assert settings(INPUT, state_table="m.here").state_table == TableId("p", "m", "here")
    assert settings(INPUT, "--load_state_table=m.there", state_table="m.here").state_table.table == "there"


def test_times_are_utc():
    found = settings(INPUT, "--since=2025-03-01", "--until=2025-03-02T12:30", "--only=failed")
    assert found.since == dt.datetime(2025, 3, 1, tzinfo=dt.UTC)
    assert found.until == dt.datetime(2025, 3, 2, 12, 30, tzinfo=dt.UTC)
    assert found.only_failed


def test_a_prefix_ends_in_a_slash():
    assert settings(*STREAM).prefix == "gs://bucket/in/"
    assert settings("--input=gs://bucket/2025*/**", "--prefix=gs://bucket").prefix == "gs://bucket/"


def test_another_run_can_load_as_this_one_does():
    """A retry has another input, and must find the same tables for the same paths."""
    argv = [
        "--write_mode=merge",
        "--merge_keys=id",
        "--ignore_unknown_values",
        "--destination_table=d.t",
        "--timestamp_regex=_(\\d{8})",
        "--timestamp_format=%Y%m%d",
        "--field_delimiter=,",
        "--success_file=_DONE",
    ]
    first = settings(INPUT, *argv, "--since=2025-03-01", "--only=failed", "--max_jobs=3", state_table="m.here")
    flags = first.as_flags()
    assert not flags.keys() & {"input", "since", "only", "max_jobs", "plan", "require_partition_filter"}
    second = settings("--input=gs://bucket/in/d/t/2025/_DONE", *(f"--{name}={value}" for name, value in flags.items()))
    assert second.as_flags() == flags
    assert (second.options, second.table, second.prefix) == (first.options, first.table, first.prefix)
    assert (second.state_table, second.destination, second.marker) == (
        first.state_table,
        first.destination,
        first.marker,
    )


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "give exactly one of --input and --subscription"),
        ([INPUT, *STREAM], "give exactly one of --input and --subscription"),
        (STREAM[:1], "--prefix is missing"),
        ([*STREAM, "--since=2025-03-01"], "--since chooses among files that are there"),
        ([*STREAM, "--only=failed"], "--only chooses among files that are there"),
        (["--input=bucket/in"], "--input: 'bucket/in' is not understood: write one like gs://bucket/in/**"),
        (["--input=gs://*/in"], "--input: 'gs://*/in' is not understood"),
        ([INPUT, "--since=2025-02-30"], "--since: '2025-02-30' is not understood"),
        ([INPUT, "--since=2025-03-02", "--until=2025-03-02"], "--since 2025-03-02T00:00:00 is not before --until"),
        ([INPUT, "--since=2025-03-11"], "--since 2025-03-11T00:00:00 is not before now"),
        (
            [INPUT, "--write_mode=merge", "--merge_keys=id", "--require_partition_filter"],
            "--write_mode merge looks into all partitions",
        ),
        (
            [INPUT, "--success_file=none", "--dead_letter_prefix=gs://bucket/in/rejected"],
            "--dead_letter_prefix: gs://bucket/in/rejected is below gs://bucket/in/",
        ),
        ([INPUT, "--write_mode=upsert"], "--write_mode: 'upsert' is not one of append, replace_partition"),
        ([INPUT, "--source_format=csv"], "--source_format: 'csv' is not one of auto, CSV"),
        ([INPUT, "--schema_update_options=ALLOW_ALL"], "--schema_update_options: 'ALLOW_ALL' is not understood"),
        ([INPUT, "--clustering=a,b,c,d"], "--clustering: 'a,b,c,d' is not understood: write one like carrier,origin"),
        ([INPUT, "--table_labels=Team=x"], "--table_labels: 'Team=x' is not understood: write one like team=sales"),
        ([INPUT, "--timestamp_format=%Y"], "--timestamp_regex is missing"),
        ([INPUT, "--timestamp_regex=(", "--timestamp_format=%Y"], "--timestamp_regex: '(' is no regular expression"),
        ([INPUT, "--destination_regex=(?P<dateset>x)"], "no group 'dateset' (did you mean dataset?)"),
        ([INPUT, "--destination_table=t"], "--destination_table: 't' is not understood"),
        ([INPUT, "--max_jobs=0"], "--max_jobs: '0' is not understood"),
    ],
)
def test_a_mistake_is_named_with_its_flag(argv: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        settings(*argv)


def test_without_a_project_nobody_pays():
    with pytest.raises(UsageError, match="--project is missing"):
        settings(INPUT, project=None)


@pytest.mark.parametrize("flag", FLAGS, ids=lambda flag: flag.name)
def test_defaults_and_examples_are_allowed(flag: Flag) -> None:
    assert flag.default == "" or flag.check(flag.default) == flag.default
    assert flag.example == "" or flag.check(flag.example) == flag.example
    assert re.fullmatch(r"[a-z_]+", flag.name)
    assert "\n" not in flag.help
    assert not flag.help.endswith(".")
