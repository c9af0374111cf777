"""How files are read: flags, and `load.json` over them; and `schema.json`."""

from __future__ import annotations

import json
import pickle
import re

import pytest

from wharf.model.errors import UsageError
from wharf.model.json_document import DocumentError
from wharf.model.loading.load_document import REFUSED, Load
from wharf.model.loading.options import LoadOptions, format_of, merge_options, parse_schema
from wharf.model.schema import Field

NEAR, FAR = "gs://b/in/d/t/_config/load.json", "gs://b/in/_config/load.json"
FLAGS = LoadOptions(schema_update_options=("ALLOW_FIELD_ADDITION",)).with_fields(
    fieldDelimiter=",", skipLeadingRows=1, useAvroLogicalTypes=True
)


def merged(*documents: object, flags: LoadOptions = FLAGS, has_partition: bool = True) -> LoadOptions:
    texts = [(uri, json.dumps(document)) for uri, document in zip((NEAR, FAR), documents, strict=False)]
    return merge_options(flags, texts, has_partition=has_partition)


def test_the_nearest_document_that_says_something_counts():
    near = {"fieldDelimiter": ";", "parquetOptions": {"enableListInference": True}}
    far = {"fieldDelimiter": "|", "quote": "'", "parquetOptions": {"enumAsString": True}}
    assert merged(near, far).job_fields == {
        "fieldDelimiter": ";",
        "quote": "'",
        "skipLeadingRows": 1,
        "useAvroLogicalTypes": True,
        "parquetOptions": {"enableListInference": True},
    }
    assert merged() == FLAGS


def test_null_takes_back_what_was_said_further_away():
    far = {"quote": "'", "writeMode": "replace_table", "schemaUpdateOptions": [], "clustering": {"fields": ["a"]}}
    assert merged({}, far).schema_update_options == ()
    found = merged(dict.fromkeys([*far, "skipLeadingRows"]), far)
    assert found.job_fields == {"fieldDelimiter": ",", "useAvroLogicalTypes": True}
    assert (found.write_mode, found.schema_update_options, found.clustering) == (
        "append",
        ("ALLOW_FIELD_ADDITION",),
        (),
    )


@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: {"load": x}, lambda x: {"configuration": {"load": x}}])
def test_a_document_may_be_a_whole_job(wrap):
    assert merged(wrap({"quote": "'"})).job_fields["quote"] == "'"
    with pytest.raises(DocumentError, match=r"quot: unknown key \(did you mean quote\?\)"):
        merged(wrap({"quot": "'"}))


def test_numbers_may_be_text_as_bigquerys_clients_write_them():
    found = merged({"skipLeadingRows": "2", "timePartitioning": {"type": "hour", "expirationMs": "1000"}})
    assert found.job_fields["skipLeadingRows"] == 2
    assert found.time_partitioning == {"type": "HOUR", "expirationMs": 1000}


def test_partitioning_by_another_column_says_how_long_a_partition_is():
    assert merged({"timePartitioning": {"field": "day"}}).time_partitioning == {"field": "day", "type": "DAY"}
    assert merged({"timePartitioning": {"requirePartitionFilter": True}}).time_partitioning == {
        "requirePartitionFilter": True
    }
    assert merged().time_partitioning is None


@pytest.mark.parametrize(
    ("said", "has_partition", "mode"),
    [
        ({}, True, "append"),
        ({"writeDisposition": "WRITE_APPEND"}, True, "append"),
        ({"writeDisposition": "WRITE_TRUNCATE"}, True, "replace_partition"),
        ({"writeDisposition": "WRITE_TRUNCATE"}, False, "replace_table"),
        ({"writeMode": "replace_partition"}, False, "replace_partition"),
        ({"writeMode": "merge", "mergeKeys": ["id"]}, False, "merge"),
    ],
)
def test_a_document_says_what_becomes_of_the_rows_that_are_there(said, has_partition, mode):
    assert merged(said, has_partition=has_partition).write_mode == mode


def test_a_nearer_disposition_goes_before_a_further_mode():
    found = merged({"writeDisposition": "WRITE_APPEND"}, {"writeMode": "replace_table"})
    assert found.write_mode == "append"


def test_one_way_to_write_null_goes_before_the_other():
    """BigQuery refuses a job with both."""
    assert merged({"nullMarkers": ["NA"]}, {"nullMarker": "-"}, flags=LoadOptions()).job_fields == {
        "nullMarkers": ["NA"]
    }
    assert merged({"nullMarker": "-"}, {"nullMarkers": ["NA"]}, flags=LoadOptions()).job_fields == {"nullMarker": "-"}


def test_merging_needs_keys_from_somewhere():
    flags = LoadOptions(write_mode="merge")
    with pytest.raises(UsageError, match="--merge_keys, or mergeKeys"):
        merged(flags=flags)
    assert merged({}, {"mergeKeys": ["a", "b"]}, flags=flags).merge_keys == ("a", "b")


def test_a_schema_in_the_document_counts():
    found = merged({"schema": {"fields": [{"name": "id", "type": "INTEGER", "mode": "required"}]}, "autodetect": False})
    assert found.schema == (Field(name="id", type="INT64", mode="REQUIRED"),)
    assert found.job_fields["autodetect"] is False
    assert "schema" not in found.job_fields


def test_options_can_be_compared_hashed_and_sent():
    one = merged({"nullMarkers": ["NA", ""], "timePartitioning": {"type": "DAY"}})
    same = merged({"timePartitioning": {"type": "day"}}, {"nullMarkers": ["NA", ""]})
    assert one == same
    assert len({one, same, merged()}) == 2
    assert pickle.loads(pickle.dumps(one)) == one


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "load.json: must be an object, {...}, not a list"),
        ({"skipLeadingRow": 1}, "skipLeadingRow: unknown key (did you mean skipLeadingRows?)"),
        ({"skipLeadingRows": -1}, "skipLeadingRows: must be at least 0"),
        ({"skipLeadingRows": "one"}, "skipLeadingRows: must be a whole number, not text"),
        ({"quote": 1}, "quote: must be text, not a number"),
        ({"allowJaggedRows": "yes"}, "allowJaggedRows: must be true or false, not text"),
        ({"encoding": "UTF8"}, "encoding: 'UTF8' is none of UTF-8, ISO-8859-1,"),
        ({"sourceFormat": "JSON"}, "sourceFormat: 'JSON' is none of CSV, NEWLINE_DELIMITED_JSON"),
        ({"parquetOptions": {"enumAsStr": True}}, "parquetOptions.enumAsStr: unknown key (did you mean enumAsString?)"),
        ({"timePartitioning": {"type": "WEEK"}}, "timePartitioning.type: 'WEEK' is none of HOUR, DAY, MONTH, YEAR"),
        ({"clustering": {"fields": []}}, "clustering.fields: is empty"),
        ({"writeMode": "replace"}, "writeMode: 'replace' is none of append, replace_partition, replace_table, merge"),
        ({"writeDisposition": "WRITE_EMPTY"}, "writeDisposition: WRITE_EMPTY would refuse every batch"),
        ({"writeDisposition": "WRITE_APPEND", "writeMode": "merge"}, "is given beside writeMode: keep one"),
        ({"nullMarker": "", "nullMarkers": ["NA"]}, "nullMarkers: is given beside nullMarker: keep one"),
        ({"load": {}, "fieldDelimiter": ";"}, "fieldDelimiter: stands beside load, where nothing is read"),
        ({"configuration": {"load": 3}}, "configuration.load: must be an object, not a number"),
        ({"load": {"destinationTable": {}}}, "load.destinationTable: is Wharf's own: name the table by"),
        ({"schema": []}, "schema: must be an object, not a list"),
        ({"schema": {"fields": [{"name": "a", "type": "INT"}]}}, "schema.fields[0].type: 'INT' is none of STRING"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_by_its_place(document, message):
    with pytest.raises(DocumentError, match=re.escape(message)) as raised:
        merged({}, document)
    assert FAR in str(raised.value)


def test_all_mistakes_of_a_document_are_named_at_once():
    with pytest.raises(DocumentError) as raised:
        merged({"quot": 1, "sourceUris": [], "encoding": 3, "writeDisposition": "WRITE_EMPTY", "schema": {}})
    assert {mistake.path for mistake in raised.value.mistakes} == {
        "quot",
        "sourceUris",
        "encoding",
        "writeDisposition",
        "schema.fields",
    }


def test_a_key_given_twice_and_text_that_is_no_json_are_refused():
    with pytest.raises(DocumentError, match="quote: is given more than once"):
        merge_options(FLAGS, [(NEAR, '{"quote": "a", "quote": "b"}')], has_partition=True)
    with pytest.raises(DocumentError, match="line 1, column 11: this is not JSON"):
        merge_options(FLAGS, [(NEAR, '{"quote": b}')], has_partition=True)


@pytest.mark.parametrize("key", REFUSED)
def test_what_wharf_says_itself_is_refused_with_the_reason(key):
    assert key not in {field.alias for field in Load.model_fields.values()}
    with pytest.raises(DocumentError, match=re.escape(f"{key}: {REFUSED[key]}")):
        merged({key: "anything"})


def test_fields_of_other_formats_are_left_out():
    flags = FLAGS.with_fields(encoding="UTF-8", maxBadRecords=1, parquetOptions={"enumAsString": True})
    assert flags.of_format("CSV").job_fields == {
        "sourceFormat": "CSV",
        "fieldDelimiter": ",",
        "skipLeadingRows": 1,
        "encoding": "UTF-8",
        "maxBadRecords": 1,
    }
    assert set(flags.of_format("NEWLINE_DELIMITED_JSON").job_fields) == {"sourceFormat", "encoding", "maxBadRecords"}
    assert flags.of_format("AVRO").job_fields == {"sourceFormat": "AVRO", "useAvroLogicalTypes": True}
    assert set(flags.of_format("PARQUET").job_fields) == {"sourceFormat", "parquetOptions"}
    assert flags.of_format("ORC").job_fields == {"sourceFormat": "ORC"}


@pytest.mark.parametrize(
    ("name", "format_"),
    [
        ("a.csv", "CSV"),
        ("a.CSV.GZ", "CSV"),
        ("a.tsv", "CSV"),
        ("a.txt.gz", "CSV"),
        ("a.json", "NEWLINE_DELIMITED_JSON"),
        ("a.jsonl.gz", "NEWLINE_DELIMITED_JSON"),
        ("a.ndjson", "NEWLINE_DELIMITED_JSON"),
        ("a.avro", "AVRO"),
        ("part-0.snappy.parquet", "PARQUET"),
        ("a.pq", "PARQUET"),
        ("a.orc", "ORC"),
        ("part-0", None),
        ("a.csv.bz2", None),
        ("a.gz", None),
        ("x.csv/part-0", None),
    ],
)
def test_the_ending_of_a_name_says_the_format(name, format_):
    assert format_of(f"gs://b/in/{name}") == format_


@pytest.mark.parametrize("name", ["a.parquet.gz", "a.avro.gz", "a.ORC.gz"])
def test_packed_files_that_bigquery_does_not_read_are_refused(name):
    with pytest.raises(UsageError, match=rf"{name}: BigQuery reads gzip of CSV and JSON only"):
        format_of(f"gs://b/in/{name}")


SCHEMA = [
    {"name": "id", "type": "INTEGER", "mode": "REQUIRED", "description": "the order"},
    {"name": "price", "type": "NUMERIC", "precision": "10", "scale": 2},
    {"name": "valid", "type": "RANGE", "rangeElementType": {"type": "DATE"}},
    {"name": "lines", "type": "RECORD", "mode": "REPEATED", "fields": [{"name": "sku", "type": "string"}]},
]


@pytest.mark.parametrize("document", [SCHEMA, {"fields": SCHEMA}])
def test_a_schema_is_a_list_of_columns_or_an_object_that_has_it(document):
    assert parse_schema(json.dumps(document), "gs://b/schema.json") == (
        Field(name="id", type="INT64", mode="REQUIRED", description="the order"),
        Field(name="price", type="NUMERIC", precision=10, scale=2),
        Field(name="valid", type="RANGE", range_element="DATE"),
        Field(name="lines", type="STRUCT", mode="REPEATED", fields=(Field(name="sku", type="STRING"),)),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", "gs://b/schema.json: line 1, column 2: this is not JSON"),
        ("3", "must be an object"),
        ("[]", "fields: holds no column"),
        ("[3]", "fields[0]: must be an object, not a number"),
        ('[{"type": "DATE"}]', "fields[0].name: is missing"),
        ('[{"name": "a"}]', "fields[0].type: is missing"),
        ('[{"name": "a b", "type": "DATE"}]', "fields[0].name: 'a b' is not understood: write one like order_id"),
        ('[{"name": "a", "type": "DATE", "typ": 1}]', "fields[0].typ: unknown key (did you mean type?)"),
        ('[{"name": "a", "type": "DATE"}, {"name": "A", "type": "DATE"}]', "fields[1].name: A is there already"),
        ('[{"name": "a", "type": "STRUCT"}]', "fields[0].fields: holds no column"),
        ('[{"name": "a", "type": "DATE", "fields": [{"name": "b", "type": "DATE"}]}]', "belongs to a STRUCT"),
        ('[{"name": "a", "type": "STRING", "policyTags": {"names": ["x"]}}]', "fields[0].policyTags: is nothing Wharf"),
        ('[{"name": "a", "name": "b", "type": "DATE"}]', "fields[0].name: is given more than once"),
    ],
)
def test_a_schema_with_a_mistake_is_refused_by_its_place(text, message):
    with pytest.raises(DocumentError, match=re.escape(message)):
        parse_schema(text, "gs://b/schema.json")
