"""The format that an export asks for: each name and option, and what is refused."""

from __future__ import annotations

import gzip
import io
import json
import pickle
from typing import Any

import fastavro
import pyarrow.parquet as pq
import pytest

from tests.avro_rows import as_batch
from tests.test_csv_format import assembled, file_of
from wharf.formats.file_format import COMPRESSIONS, FORMATS, file_format
from wharf.model.errors import UsageError
from wharf.model.schema import Field

FIELDS = (Field(name="name", type="STRING"), Field(name="valid", type="BOOL", mode="REQUIRED"))
ROWS = [{"name": name, "valid": name != "b"} for name in ("a", "b", None, "d", "e,f")]


def rows_in(extension: str, data: bytes) -> list[dict[str, Any]]:
    """The rows of a file, read by somebody else's reader."""
    if extension.endswith(".gz"):
        return rows_in(extension.removesuffix(".gz"), gzip.decompress(data))
    if extension == "avro":
        return list(fastavro.reader(io.BytesIO(data)))
    if extension == "parquet":
        return pq.read_table(io.BytesIO(data)).to_pylist()
    if extension == "jsonl":
        return [{"name": None} | json.loads(line) for line in data.splitlines()]
    names = {"a": "a", "b": "b", "": None, "d": "d", '"e,f"': "e,f"}
    lines = [line.rpartition(",") for line in data.decode().splitlines()[1:]]
    return [{"name": names[name], "valid": valid == "true"} for name, _, valid in lines]


@pytest.mark.parametrize("compress", COMPRESSIONS)
@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_rows_back_in_files_of_any_grouping(name: str, compress: str) -> None:
    format_ = pickle.loads(pickle.dumps(file_format(name, FIELDS, export_name="x", compress=compress, max_rows=2)))
    packed = ".gz" if compress == "gzip" and name in {"csv", "jsonl"} else ""
    assert format_.extension == name + packed
    blocks = list(format_.encoder().blocks(as_batch(FIELDS, ROWS)))
    assert [block.rows for block in blocks] == [2, 2, 1]
    assert rows_in(format_.extension, assembled(format_, blocks)) == ROWS
    assert rows_in(format_.extension, assembled(format_, blocks[1:2])) == ROWS[2:4]
    assert rows_in(format_.extension, assembled(format_, [])) == []


@pytest.mark.parametrize("name", FORMATS)
def test_a_batch_without_rows_makes_no_blocks(name: str) -> None:
    assert list(file_format(name, FIELDS, export_name="x").encoder().blocks(as_batch(FIELDS, []))) == []


@pytest.mark.parametrize("name", FORMATS)
def test_an_encoder_takes_batch_after_batch(name: str) -> None:
    format_ = file_format(name, FIELDS, export_name="x")
    data = file_of(format_, as_batch(FIELDS, ROWS[:2]), as_batch(FIELDS, ROWS[2:]))
    assert rows_in(format_.extension, data) == ROWS


def test_avro_compresses_with_deflate_where_gzip_is_asked_for() -> None:
    for compress, codec in (("gzip", "deflate"), ("none", "snappy")):
        data = file_of(file_format("avro", FIELDS, export_name="x", compress=compress), as_batch(FIELDS, ROWS))
        assert fastavro.reader(io.BytesIO(data)).codec == codec


def test_csv_takes_its_options() -> None:
    format_ = file_format(
        "csv", FIELDS, export_name="x", delimiter="|", header=False, quoting="all", null_marker="NULL"
    )
    assert file_of(format_, as_batch(FIELDS, ROWS[1:3])) == b'"b"|"false"\r\nNULL|"true"\r\n'


REFUSED = [
    ("xml", {}, "format 'xml' is none of csv, jsonl, parquet, avro"),
    ("csv", {"compress": "zip"}, "compress 'zip' is none of none, gzip"),
    ("csv", {"quoting": "some"}, "quoting 'some' is none of"),
]


@pytest.mark.parametrize(("name", "options", "message"), REFUSED)
def test_what_there_is_not_is_refused(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=f"^export nightly: {message}"):
        file_format(name, FIELDS, export_name="nightly", **options)


def test_a_column_that_avro_cannot_name_is_refused_at_once() -> None:
    with pytest.raises(UsageError, match="'a-b' cannot be named in Avro"):
        file_format("avro", (Field(name="a-b", type="INT64"),), export_name="nightly")


@pytest.mark.parametrize("name", FORMATS)
def test_a_column_of_a_type_there_is_not_is_refused_at_once(name: str) -> None:
    field = Field(name="place", type="STRUCT", fields=(Field(name="x", type="HYPERCUBE"),))
    with pytest.raises(UsageError, match="export nightly: column 'place' has type HYPERCUBE"):
        file_format(name, (field,), export_name="nightly")
