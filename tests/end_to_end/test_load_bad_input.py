"""What cannot be loaded is said with its place and its remedy, and leaves everything else as it is."""

from __future__ import annotations

import json

import pytest
from google.cloud.bigquery import SchemaField

from tests.end_to_end.loads import csv_of
from tests.servers.bigquery_calls import loads as load_jobs
from tests.servers.bigquery_calls import refuse
from tests.servers.bigquery_proxy import BigQueryProxy

ONE = {"part.csv": csv_of("id", (1,))}
IDS = [{"name": "id", "type": "INT64"}]
# directory: its files, what is in its _config/, and what the error says
BAD = {
    "nothing/2025/03/01": ({}, {}, "holds no data: deliver the files, then the marker again"),
    "hollow/2025/03/01": ({"a.csv": "", "b.csv": ""}, {}, "holds no data but 2 empty files"),
    "mixed/2025/03/01": (
        {"a.csv": "id\n1\n", "b.json": "{}"},
        {},
        "its files have different formats: CSV (",
    ),
    "unknown/2025/03/01": ({"a.bin": "x"}, {}, "does not tell its format: rename it, or say it with --source_format"),
    "packed/2025/03/01": ({"a.avro.gz": "x"}, {}, "BigQuery reads gzip of CSV and JSON only"),
    "dates/2025/02/30": (ONE, {}, "2025/02/30 is no date: mend the folder's name"),
    "folders/$2025x": (ONE, {}, "the folder $2025x is no partition"),
    "against/$20250301/2025/04/01": (ONE, {}, "the folder $20250301 contradicts the folder of 2025/04/01"),
    "options/one": (ONE, {"load.json": {"skipLeadingRow": 1}}, "_config/load.json: skipLeadingRow"),
    "own/one": (ONE, {"load.json": {"sourceUris": []}}, "is Wharf's own: the files of the directory"),
    "json/one": (ONE, {"load.json": "{"}, "_config/load.json"),
    "schema/one": (ONE, {"schema.json": [{"name": "id", "type": "NUMBER"}]}, "_config/schema.json"),
    "keys/one": (ONE, {"load.json": {"writeMode": "merge"}}, "needs its key columns: --merge_keys"),
    "other_key/one": (ONE, {"load.json": {"writeMode": "merge", "mergeKeys": ["ids"]}}, "(did you mean id?)"),
    "na me/one": (ONE, {}, "cannot be a table's name: rename the folders, or mend --destination_regex"),
    "garbage/2025/03/01": ({"a.avro": "no Avro"}, {"schema.json": IDS}, "BigQuery cannot load its files"),
    "broken/2025/03/01": ({"a.csv.gz": b"\x1f\x8b no gzip"}, {"schema.json": IDS}, "BigQuery cannot load its files"),
    "letters/2025/03/01": ({"a.csv": "id\nx\n"}, {"schema.json": IDS}, "BigQuery cannot load its files"),
    "columns/2025/03/01": (
        ONE,
        {"schema.json": [{"name": "name", "type": "STRING"}]},
        "column name (STRING) is not in",
    ),
    "timeless/all": (ONE, {"load.json": {"writeMode": "replace_partition"}}, "needs to know what a batch replaces"),
}


def test_each_bad_directory_says_what_is_wrong_and_the_others_are_loaded(loads):
    loads.make_table("columns", SchemaField("id", "INT64"))
    for directory, (files, config, _) in BAD.items():
        for name, content in config.items():
            loads.put(f"{directory}/_config/{name}", content)
        loads.drop(directory, files)
    loads.drop("good/2025/03/01", ONE)
    loads.drop("letters/2025/03/02", ONE)
    loads.bucket.blob(f"{loads.prefix}no_such_dataset/t/one/part.csv").upload_from_string("id\n1\n")
    loads.bucket.blob(f"{loads.prefix}no_such_dataset/t/one/_SUCCESS").upload_from_string("")
    loads.bucket.blob(f"{loads.prefix}shallow/part.csv").upload_from_string("id\n1\n")
    loads.bucket.blob(f"{loads.prefix}shallow/_SUCCESS").upload_from_string("")
    ended = loads.run()
    assert ended.code == 1
    errors = loads.errors()
    for directory, (_, _, error) in BAD.items():
        assert error in errors.get(directory, ""), (directory, errors.get(directory))
        assert f"/{directory}/" in errors[directory], directory
    top = f"gs://{loads.bucket.name}/{loads.prefix}"
    assert "does not match --destination_regex" in errors[f"{top}shallow"]
    assert "dataset demo-project.no_such_dataset does not exist: make it" in errors[f"{top}no_such_dataset/t/one"]
    assert errors.keys() == {*BAD, f"{top}shallow", f"{top}no_such_dataset/t/one"}
    assert loads.rows("good", "id") == loads.rows("letters", "id") == [(1,)]
    assert loads.rows("columns") == []
    assert f"2 DONE, {len(errors)} FAILED" in ended.out.replace(",", ", ").replace(",  ", ", ")
    assert ended.err.count("error: ") == 20


def test_a_failed_batch_leaves_the_table_and_is_put_aside_with_its_reasons(loads):
    aside = f"gs://{loads.bucket.name}/{loads.dataset}/aside"
    flags = [f"--dead_letter_prefix={aside}/", "--write_mode=replace_partition"]
    loads.put("_config/schema.json", IDS)
    loads.drop("orders/2025/03/01", ONE)
    assert loads.run(*flags).code == 0
    loads.drop("orders/2025/03/01", {"eu/part.csv": "id\nx\n"})
    loads.drop("orders/2025/03/02", {})
    assert loads.run(*flags).code == 1
    assert loads.rows("orders", "id") == [(1,)]
    first, second = loads.rejects()
    assert (first["directory"], second["directory"]) == ("orders/2025/03/01", "orders/2025/03/02")
    assert first["message"].splitlines()[0] in loads.errors()["orders/2025/03/01"]
    assert "holds no data" in second["message"]
    found = loads.objects(f"{aside}/{loads.dataset}.orders/")
    batch_ids = {row["directory"]: row["batch_id"] for row in loads.states() if row["status"] == "FAILED"}
    reasons = json.loads(found.pop(f"{batch_ids['orders/2025/03/02']}/rejects.jsonl"))
    assert reasons["message"] == second["message"]
    assert found.pop(f"{batch_ids['orders/2025/03/01']}/rejects.jsonl").count(b"\n") == 1
    assert all(name.startswith(batch_ids["orders/2025/03/01"]) for name in found)

    # Repaired, the run that comes next loads it; the marker need not come again.
    loads.put("orders/2025/03/01/eu/part.csv", csv_of("id", (7,)))
    loads.put("orders/2025/03/02/part.csv", csv_of("id", (8,)))
    ended = loads.run(*flags, "--only=failed")
    assert ended.code == 0, ended.err
    assert loads.rows("orders", "id") == [(1,), (7,), (8,)]
    assert [(row["status"], row["attempts"]) for row in loads.states()] == [("DONE", 1), ("DONE", 2), ("DONE", 2)]


def test_rows_that_bigquery_leaves_out_are_counted_and_recorded(loads, stack):
    """The emulator loads all or nothing; the proxy tells of bad rows as BigQuery does."""
    loads.drop("orders/2025/03/01", {"a.csv": csv_of("id", (1,)), "b.csv": csv_of("id", (2,))})
    bad = [
        {"reason": "invalid", "location": loads.uri("orders/2025/03/01/b.csv"), "message": f"row at position {n}: no"}
        for n in (17, 99)
    ]
    with BigQueryProxy(stack.endpoints.bigquery) as proxy:
        proxy.report_bad_records(load_jobs, bad)
        ended = loads.run(f"--bigquery_endpoint={proxy.url}", "--max_bad_records=5")
    assert ended.code == 0, ended.err
    (row,) = loads.states()
    assert (row["status"], row["rejected_rows"]) == ("DONE", 2)
    assert [(row["file_uri"], row["reason"], row["message"]) for row in loads.rejects()] == [
        ("orders/2025/03/01/b.csv", "invalid", "row at position 17: no"),
        ("orders/2025/03/01/b.csv", "invalid", "row at position 99: no"),
    ]


def test_a_bad_batch_is_found_among_many_that_would_share_its_load(loads):
    loads.put("_config/schema.json", IDS)
    for number in range(9):
        loads.drop(f"orders/{number}", {"part.csv": csv_of("id", ("x" if number == 6 else number,))})
    ended = loads.run(f"--staging_dataset={loads.dataset}_staging")
    assert ended.code == 1
    assert loads.staged(f"{loads.dataset}_staging") == set()
    assert loads.rows("orders", "id") == [(number,) for number in range(9) if number != 6]
    assert [directory for directory, status in loads.statuses().items() if status != "DONE"] == ["orders/6"]
    assert "orders/6/" in loads.errors()["orders/6"]


def test_a_name_without_a_time_and_a_directory_of_two_tables_are_refused(loads):
    loads.drop("2025/01/good", {"orders_2025030100.csv": csv_of("id", (1,))})
    loads.drop(
        "2025/02/untimed", {"orders_2025030100.csv": csv_of("id", (1,)), "orders_latest.csv": csv_of("id", (1,))}
    )
    loads.drop("2025/03/no_time", {"orders_2025039900.csv": csv_of("id", (1,))})
    loads.drop(
        "2025/04/two", {"orders_2025030100.csv": csv_of("id", (1,)), "others_2025030100.csv": csv_of("id", (1,))}
    )
    ended = loads.run(
        r"--destination_regex=(?P<dataset>[^/]+)/(?:.+/)?(?P<table>[a-z]+)_[^/]*\.csv",
        *(r"--timestamp_regex=_([^_/]+)\.csv", "--timestamp_format=%Y%m%d%H"),
    )
    assert ended.code == 1
    assert loads.rows("orders", "id") == [(1,)]
    errors = loads.errors()
    assert errors.keys() == {"2025/02/untimed", "2025/03/no_time", "2025/04/two"}
    assert "'latest' in " in errors["2025/02/untimed"]
    assert "is no time of the form '%Y%m%d%H': rename the file, or mend" in errors["2025/03/no_time"]
    assert "its files are of different tables: " in errors["2025/04/two"]
    assert loads.tables() == {"orders"}


def test_what_is_refused_for_all_is_not_tried_for_each(loads, stack):
    for number in range(4):
        loads.drop(f"orders/{number}", ONE)
    with BigQueryProxy(stack.endpoints.bigquery) as proxy:
        asked = []

        def note(call):
            asked.append(call)
            return refuse(403, "accessDenied")(call)

        proxy.on(load_jobs, note)
        assert loads.run(f"--bigquery_endpoint={proxy.url}").code == 1
    assert len(asked) == 1
    assert len(loads.errors()) == 4


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--destination_regex=(?P<dataset>x"], "--destination_regex: '(?P<dataset>x' is no regular expression"),
        (["--destination_regex=(?P<dataset>x)"], "has no group table: write (?P<table>...)"),
        (["--destination_regex=(?P<dataset>x)(?P<tabel>y)"], "there is no group 'tabel' (did you mean table?)"),
        (["--timestamp_regex=x"], "--timestamp_regex: 'x' has 0 groups"),
        (
            ["--timestamp_regex=(x)", "--timestamp_format=%d"],
            "--timestamp_format: '%d' is not understood: write one like %Y%m%d%H",
        ),
        (["--timestamp_format=%Y"], "--timestamp_regex is missing"),
        (["--destination_tabel=a.b"], "unknown flag --destination_tabel (did you mean --destination_table?)"),
        (["--write_mode=upsert"], "--write_mode"),
        (["--partition_granularity=week"], "--partition_granularity"),
        (["--since=2025-03-02", "--until=2025-03-01"], "--since 2025-03-02T00:00:00 is not before --until"),
        (["--streaming"], "--streaming needs --subscription"),
        (["--input=gs://no-such-bucket/in/**"], "gs://no-such-bucket/in/: the bucket does not exist"),
        (["--input=/in/**"], "--input"),
        (["--subscription=projects/project/subscriptions/s"], "--prefix is missing"),
        (["--subscription=projects/project/subscriptions/s", "--streaming"], "--prefix is missing"),
        (["--subscription=projects/project/subscriptions/s", "--prefix=gs://b/in", "--plan"], "--plan needs"),
        (["--notifications=nowhere.json"], "nowhere.json"),
        (["--dead_letter_prefix=gs://no-such-bucket/x"], "--dead_letter_prefix: gs://no-such-bucket/x"),
    ],
)
def test_a_mistake_in_the_flags_ends_the_run_before_anything_is_done(loads, words, error):
    loads.drop("orders/one", ONE)
    ended = loads.run(*words)
    assert (ended.code, ended.out) == (2, ""), ended
    assert error in ended.err
    assert ended.err.startswith("error: ")
    assert loads.tables() == set()
