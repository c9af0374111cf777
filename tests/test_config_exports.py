"""The exports of a configuration: what kind each is, and what contradicts itself."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from tests.configs import BY_NAME, URI, export, mistakes, of_export
from wharf.model.config import load


@pytest.mark.parametrize("name", ["", "a b", "a/b", "../x", "-a", "a\n", "x" * 129, "all"])
def test_a_name_that_could_not_be_a_files_name_is_refused(name: str) -> None:
    assert len(mistakes(exports={name: {"source_table": "d.t"}})) == 1
    assert list(mistakes(exports=[{"name": name, "source_table": "d.t"}])) == ["exports[0].name"]


def test_names_in_a_list_differ() -> None:
    same = {"name": "a", "source_table": "d.t"}
    assert mistakes(exports=[same, same]) == {"exports[1].name": "'a' is the name of another export too"}


@pytest.mark.parametrize(
    ("keys", "type_"),
    [
        ({}, "full"),
        ({"date_column": "d"}, "date_range"),
        ({"timestamp_column": "t"}, "incremental"),
        ({"incremental": True, "timestamp_column": "t"}, "incremental"),
        ({"incremental": False, "timestamp_column": "t"}, "full"),
        ({"export_type": "incremental", "timestamp_column": "t", "incremental": True}, "incremental"),
        ({"export_type": "full", "date_column": "d", "days_lookback": 2}, "full"),
    ],
)
def test_the_columns_say_what_kind_of_export_it_is_unless_it_is_said(keys: dict[str, Any], type_: str) -> None:
    assert export(**keys).export_type == type_
    assert export(**keys).when_empty == ("skip" if type_ == "incremental" else "send")


@pytest.mark.parametrize(
    ("keys", "path"),
    [
        ({"export_type": "incremental"}, "timestamp_column"),
        ({"incremental": True}, "timestamp_column"),
        ({"export_type": "date_range"}, "date_column"),
        ({"export_type": "full", "incremental": True}, "incremental"),
        ({"export_type": "incremental", "incremental": False, "timestamp_column": "t"}, "incremental"),
        ({"date_column": "d", "timestamp_column": "t"}, "export_type"),
        ({"query": "SELECT 1", "source_table": "d.t"}, "source_table"),
        ({"time_zone": "Mars/Base"}, "time_zone"),
        ({"columns": ["a", "A"]}, "columns[1]"),
        ({"columns": []}, "columns"),
        ({"delimiter": "||"}, "delimiter"),
        ({"delimiter": '"'}, "delimiter"),
        ({"delimiter": ""}, "delimiter"),
        ({"format": "avro", "header": False}, "header"),
        ({"directory": "/abs"}, "directory"),
        ({"directory": "a/../b"}, "directory"),
        ({"null_marker": "a\nb"}, "null_marker"),
        ({"max_rows_per_file": True}, "max_rows_per_file"),
        ({"max_rows_per_file": 1.5}, "max_rows_per_file"),
        ({"source_table": "t"}, "source_table"),
        ({"source_table": "p.d.t; DROP TABLE x"}, "source_table"),
    ],
)
def test_keys_that_contradict_each_other_or_mean_nothing_are_refused(keys: dict[str, Any], path: str) -> None:
    assert list(of_export(**keys)) == [path]


def test_a_key_that_its_kind_of_export_does_not_use_is_warned_about() -> None:
    config = load(BY_NAME, uri=URI)
    assert "exports.all_of_it.date_column: is not used: the export is full" in config.warnings


@pytest.mark.parametrize("keys", [{"query": ""}, {"query": " \n"}, {"enabled": False}, {"query": "", "enabled": True}])
def test_an_export_is_switched_off_by_an_empty_query_or_by_name(keys: dict[str, Any]) -> None:
    assert not export(**keys).enabled


def test_a_query_gets_the_date_and_keeps_its_other_braces() -> None:
    made = export(query="SELECT REGEXP_EXTRACT(s, r'a{3}') FROM d.t WHERE day = '{date}';\n")
    assert made.sql(dt.date(2025, 3, 1)) == "SELECT REGEXP_EXTRACT(s, r'a{3}') FROM d.t WHERE day = '2025-03-01'"


@pytest.mark.parametrize("tab", ["\t", "\\t", "tab"])
def test_a_tab_may_be_written_in_three_ways(tab: str) -> None:
    assert export(delimiter=tab).delimiter == "\t"
