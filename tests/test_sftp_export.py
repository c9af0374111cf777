"""Names of files: templates, what completes them, and those that would collide."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.configs import SERVER, export, loaded, mistakes, of_export
from wharf.model.errors import UsageError
from wharf.model.sftp_export import SftpExport, file_names


@pytest.mark.parametrize(
    ("keys", "format_", "compress", "filename"),
    [
        ({}, "csv", "none", "{export_name}_{date}.csv"),
        ({"compress": True}, "csv", "gzip", "{export_name}_{date}.csv.gz"),
        ({"compress": "gzip", "format": "jsonl"}, "jsonl", "gzip", "{export_name}_{date}.jsonl.gz"),
        ({"compress": "gzip", "format": "parquet"}, "parquet", "gzip", "{export_name}_{date}.parquet"),
        ({"timestamp_column": "t"}, "csv", "none", "{export_name}_{datetime}.csv"),
        ({"max_bytes_per_file": 9}, "csv", "none", "{export_name}_{date}_{shard}-of-{shards}.csv"),
        ({"destination_filename": "x.avro"}, "avro", "none", "x.avro"),
        ({"destination_filename": "x.ndjson.gz"}, "jsonl", "gzip", "x.ndjson.gz"),
        ({"destination_filename": "x.txt", "compress": "gzip"}, "csv", "gzip", "x.txt.gz"),
        ({"destination_filename": "x.CSV", "compress": "none"}, "csv", "none", "x.CSV"),
    ],
)
def test_format_compression_and_file_name_complete_each_other(
    keys: dict[str, Any], format_: str, compress: str, filename: str
) -> None:
    made = export(**keys)
    assert (made.format, made.compress, made.destination_filename) == (format_, compress, filename)


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"destination_filename": ""}, "is empty"),
        ({"destination_filename": "{dat}.csv"}, "{dat} is unknown (did you mean date?)"),
        ({"destination_filename": "{date.csv"}, "a brace without its partner"),
        ({"destination_filename": "{date!r}.csv"}, "names in braces only"),
        ({"destination_filename": "{date:%Y}.csv"}, "names in braces only"),
        ({"destination_filename": "{export_name.__class__}.csv"}, "names in braces only"),
        ({"destination_filename": "{}.csv"}, "names in braces only"),
        ({"destination_filename": "../x.csv"}, "an empty part, . or .."),
        ({"destination_filename": "a//x.csv"}, "an empty part, . or .."),
        ({"destination_filename": "a/"}, "an empty part, . or .."),
        ({"destination_filename": "/x.csv"}, "must not begin with /"),
        ({"destination_filename": "a\\x.csv"}, "a backslash"),
        ({"destination_filename": "a\nx.csv"}, "a control character"),
        ({"destination_filename": "x.csv", "max_rows_per_file": 10}, "several files of a run would get one name"),
        ({"destination_filename": "x.csv", "timestamp_column": "t"}, "each run would replace the rows"),
        ({"destination_filename": "x.csv.gz", "compress": False}, "ends in .gz, but compress says none"),
        ({"destination_filename": "x.avro.gz"}, "ends in .gz, but avro compresses inside"),
    ],
)
def test_a_file_name_that_cannot_work_is_refused(keys: dict[str, Any], reason: str) -> None:
    found = of_export(**keys)
    assert list(found) == ["destination_filename"]
    assert reason in found["destination_filename"]


def test_an_incremental_export_may_keep_its_name_where_nothing_is_replaced() -> None:
    keeps = {**SERVER, "delivery": {"overwrite": "version"}}
    made = {"source_table": "d.t", "timestamp_column": "t", "destination_filename": "x.csv"}
    assert loaded(sftp=keeps, exports={"e": made}).warnings == ()


def test_an_incremental_export_named_by_the_day_is_warned_about() -> None:
    made = {"source_table": "d.t", "timestamp_column": "t", "destination_filename": "x_{date}.csv"}
    assert "use {datetime}" in loaded(exports={"e": made}).warnings[0]


def test_two_exports_that_would_give_the_same_names_are_refused() -> None:
    table = {"source_table": "d.t"}
    found = mistakes(
        exports={
            "a_b": {**table, "destination_filename": "{export_name}_{date}.csv", "directory": "x"},
            "a": {**table, "destination_filename": "x/{export_name}_b_{date}.csv"},
            "off": {**table, "destination_filename": "x/a_b_{date}.csv", "enabled": False},
            "elsewhere": {**table, "destination_filename": "a_b_{date}.csv", "directory": "y"},
        }
    )
    assert list(found) == ["exports.a.destination_filename"]
    assert "the names that a_b gives" in found["exports.a.destination_filename"]


MOMENT = dt.datetime(2025, 3, 1, 23, 5, 6, tzinfo=dt.UTC)


def test_file_names_follow_their_template() -> None:
    made = export(
        destination_filename="{date}/{export_name}-{datetime}-{timestamp}-{run_id}-{shard}-{shards}-{{x}}.csv",
        directory="out",
        time_zone="Europe/Berlin",
        max_rows_per_file=1,
    )
    assert file_names(made, MOMENT, dt.date(2025, 2, 28), "r1", 2) == [
        f"out/2025-02-28/e-20250302_000506-1740870306-r1-0000{shard}-00002-{{x}}.csv" for shard in (1, 2)
    ]


def test_braces_of_a_directory_are_only_braces() -> None:
    names = file_names(export(directory="{date}"), MOMENT, MOMENT.date(), "r", 1)
    assert names == ["{date}/e_2025-03-01.csv"]


def test_file_names_that_would_collide_or_leave_their_folder_are_refused_at_the_last_moment() -> None:
    with pytest.raises(UsageError, match="2 files would all be"):
        file_names(export(), MOMENT, MOMENT.date(), "r", 2)
    with pytest.raises(UsageError, match=r"has an empty part, \. or \.\."):
        file_names(export(destination_filename="{run_id}/x.csv"), MOMENT, MOMENT.date(), "..", 1)


@given(st.integers(1, 50), st.integers(0, 2**31), st.from_regex(r"[a-z0-9-]{1,20}", fullmatch=True))
def test_a_default_name_is_new_for_every_shard_and_sorts_by_it(shards: int, seconds: int, run_id: str) -> None:
    made = SftpExport(name="e", destination_filename="{export_name}_{date}_{shard}-of-{shards}.csv")
    moment = dt.datetime.fromtimestamp(seconds, dt.UTC)
    names = file_names(made, moment, moment.date(), run_id, shards)
    assert names == sorted(set(names))
    assert names == file_names(made, moment, moment.date(), run_id, shards)
