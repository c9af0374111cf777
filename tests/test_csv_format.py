"""CSV files, held against `csv.reader`, pyarrow's and DuckDB's readers."""

from __future__ import annotations

import csv
import datetime as dt
import io
import pickle
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.csv
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.avro_rows import SCALARS, as_batch, rows_of
from tests.test_text_cells import plain_text
from wharf.formats.block import Block, FileFormat
from wharf.formats.csv_format import CsvFormat
from wharf.model.errors import UsageError
from wharf.model.schema import Field

unhurried = settings(deadline=None, max_examples=100)

NAMES = Field(name="name", type="STRING")
NUMBER = Field(name="number", type="INT64")
TRICKY = [
    "",
    "plain",
    'say "hi"',
    "a,b",
    "line\nbreak",
    "carriage\rreturn",
    "\r\n",
    " space ",
    "NULL",
    "é€😀",
    "\\",
    "'",
]


def file_of(format_: FileFormat, *batches: pa.RecordBatch) -> bytes:
    """One file of all rows of `batches`."""
    encoder = format_.encoder()
    return assembled(format_, [block for batch in batches for block in encoder.blocks(batch)])


def assembled(format_: FileFormat, blocks: list[Block]) -> bytes:
    assembler = format_.assembler()
    return b"".join((assembler.begin(), *(assembler.add(block.data) for block in blocks), assembler.end()))


def read(data: bytes, **options: Any) -> list[list[str]]:
    """Lines after the header."""
    return list(csv.reader(io.StringIO(data.decode(), newline=""), strict=True, **options))[1:]


def names_batch(*names: str | None) -> pa.RecordBatch:
    return as_batch((NAMES, NUMBER), [{"name": name, "number": at} for at, name in enumerate(names)])


def csv_of(*names: str | None, **options: Any) -> str:
    options = {"export_name": "nightly", "fields": (NAMES, NUMBER)} | options
    return file_of(CsvFormat(**options), names_batch(*names)).decode()


@st.composite
def tables(draw: st.DrawFn) -> tuple[tuple[Field, ...], list[dict], pa.RecordBatch]:
    """Columns without structs and arrays, rows, and the batch that holds them: a slice of a larger one."""
    picked = draw(st.lists(st.sampled_from(SCALARS), min_size=1, max_size=4))
    fields = tuple(Field(**{**vars(field), "name": f"c{at}"}) for at, field in enumerate(picked))
    rows = draw(rows_of(fields))
    first = draw(st.integers(0, len(rows)))
    return fields, rows[first:], as_batch(fields, rows).slice(first)


@unhurried
@given(
    tables(),
    st.sampled_from(",;|\t §"),
    st.sampled_from(("minimal", "all", "nonnumeric")),
    st.sampled_from(("NULL", "-", "0")),
)
def test_a_csv_reader_gets_back_the_text_of_every_cell(
    table: tuple[tuple[Field, ...], list[dict], pa.RecordBatch], delimiter: str, quoting: str, null_marker: str
) -> None:
    fields, rows, batch = table
    if null_marker == delimiter:
        null_marker = "NULL"
    format_ = CsvFormat(
        export_name="x", fields=fields, delimiter=delimiter, quoting=quoting, null_marker=null_marker, block_bytes=100
    )
    lines = read(file_of(format_, batch), delimiter=delimiter)
    expected = [
        [null_marker if row[field.name] is None else plain_text(field, row[field.name]) for field in fields]
        for row in rows
    ]
    assert lines == expected


@unhurried
@given(
    st.lists(st.none() | st.text(alphabet='ab",;\r\n N', max_size=5)),
    st.sampled_from(("minimal", "all", "nonnumeric")),
    st.sampled_from(("", "N", "aN")),
)
def test_a_reader_that_looks_at_quotes_tells_nulls_from_strings(
    names: list[str | None], quoting: str, null_marker: str
) -> None:
    text = csv_of(*names, quoting=quoting, null_marker=null_marker)
    assert [name for name, _ in _parsed(text, null_marker)][1:] == names


def _parsed(text: str, null_marker: str) -> list[list[str | None]]:
    """RFC 4180's grammar, character by character; a field without quotes that is the null marker is None."""
    lines, line, at = [], [], 0
    while at < len(text):
        if text[at] == '"':
            value, at = "", at + 1
            while text[at] != '"' or text[at : at + 2] == '""':
                at += 1 if text[at] != '"' else 2
                value += text[at - 1]
            line.append(value)
            at += 1
        else:
            end = min(found for mark in (",", "\r\n") if (found := text.find(mark, at)) >= 0)
            bare = text[at:end]
            assert '"' not in bare
            line.append(None if bare == null_marker else bare)
            at = end
        if text[at] == ",":
            at += 1
        else:
            assert text[at : at + 2] == "\r\n"
            lines.append(line)
            line, at = [], at + 2
    assert not line
    return lines


def test_each_line_ends_with_cr_lf_and_the_header_comes_first() -> None:
    assert csv_of("a", "b") == "name,number\r\na,0\r\nb,1\r\n"


def test_a_header_is_left_out_on_demand() -> None:
    assert csv_of("a", header=False) == "a,0\r\n"


def test_a_file_without_rows_has_its_header() -> None:
    assert csv_of() == "name,number\r\n"


def test_a_column_name_is_quoted_where_it_must_be() -> None:
    fields = (Field(name='the "name", long', type="STRING"), NUMBER)
    assert CsvFormat(export_name="x", fields=fields).first_line == b'"the ""name"", long",number\r\n'


def test_only_what_needs_quotes_has_them() -> None:
    text = csv_of("plain", "a,b", 'say "hi"', "a;b", "", None)
    assert text.splitlines()[1:] == ["plain,0", '"a,b",1', '"say ""hi""",2', "a;b,3", '"",4', ",5"]


def test_all_quotes_everything_but_nulls() -> None:
    assert csv_of("a", None, quoting="all") == '"name","number"\r\n"a","0"\r\n,"1"\r\n'


def test_nonnumeric_leaves_numbers_bare() -> None:
    assert csv_of("a", "", None, quoting="nonnumeric") == '"name","number"\r\n"a",0\r\n"",1\r\n,2\r\n'


def test_a_string_like_the_null_marker_is_quoted() -> None:
    assert csv_of("NULL", None, "", null_marker="NULL").splitlines()[1:] == ['"NULL",0', "NULL,1", ",2"]


def test_a_null_in_the_only_column_makes_no_empty_line() -> None:
    batch = as_batch((NAMES,), [{"name": "a"}, {"name": None}, {"name": ""}])
    data = file_of(CsvFormat(export_name="x", fields=(NAMES,)), batch)
    assert data == b'name\r\na\r\n""\r\n""\r\n'
    assert read(data) == [["a"], [""], [""]]


def test_an_empty_string_in_the_only_column_makes_no_empty_line() -> None:
    batch = as_batch((NAMES,), [{"name": ""}, {"name": None}])
    data = file_of(CsvFormat(export_name="x", fields=(NAMES,), null_marker="NULL"), batch)
    assert data == b'name\r\n""\r\nNULL\r\n'
    with pytest.raises(UsageError, match="as the only column, nothing"):
        file_of(CsvFormat(export_name="x", fields=(NAMES,), null_marker="NULL", quoting="none"), batch)


@pytest.mark.parametrize("text", ["a,b", 'a"b', "a\nb", "a\rb", "NULL"])
def test_quoting_none_refuses_what_needs_quotes_and_does_not_show_it(text: str) -> None:
    with pytest.raises(UsageError, match="export nightly: column 'name' holds the delimiter") as refused:
        csv_of("fine", text, quoting="none", null_marker="NULL")
    assert text not in str(refused.value).replace("null", "")
    assert "set quoting to minimal" in str(refused.value)


def test_quoting_none_writes_what_needs_no_quotes() -> None:
    assert csv_of("a;b", "", None, quoting="none") == "name,number\r\na;b,0\r\n,1\r\n,2\r\n"


REFUSED = [
    ({"quoting": "some"}, "quoting 'some' is none of minimal, all, nonnumeric, none"),
    ({"delimiter": ""}, "delimiter '' is not one character"),
    ({"delimiter": ",,"}, "delimiter ',,' is not one character"),
    ({"delimiter": '"'}, "is not one character other than a quote"),
    ({"delimiter": "\n"}, "is not one character other than a quote"),
    ({"null_marker": "a,b"}, "null_marker 'a,b' holds the delimiter"),
    ({"quoting": "none", "fields": (NAMES,)}, "set null_marker"),
    ({"quoting": "none", "fields": (Field(name="a,b", type="STRING"), NAMES)}, "column 'a,b' holds the delimiter"),
    ({"fields": (Field(name="tags", type="STRING", mode="REPEATED"),)}, "column 'tags' is nested or repeated"),
    ({"fields": (Field(name="pair", type="STRUCT", fields=(NAMES,)),)}, "set format to jsonl, avro or parquet"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED)
def test_options_that_make_no_readable_file_are_refused_at_once(options: dict, message: str) -> None:
    with pytest.raises(UsageError, match="export nightly: ") as refused:
        CsvFormat(**{"export_name": "nightly", "fields": (NAMES, NUMBER)} | options)
    assert message in str(refused.value)


def test_pyarrows_reader_gets_strings_and_nulls_back() -> None:
    data = csv_of(*TRICKY, None).encode()
    table = pyarrow.csv.read_csv(
        io.BytesIO(data),
        parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
        convert_options=pyarrow.csv.ConvertOptions(
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            null_values=[""],
            column_types={"name": pa.string()},
        ),
    )
    assert table.column("name").to_pylist() == [*TRICKY, None]


def test_duckdbs_reader_gets_typed_values_back(tmp_path: Path) -> None:
    kinds = ("STRING", "INT64", "FLOAT64", "BOOL", "DATE", "DATETIME", "TIME", "NUMERIC")
    fields = tuple(Field(name=f"c_{kind}", type=kind) for kind in kinds)
    numeric = pa.array(["-0.5", None], pa.string()).cast(pa.decimal128(38, 9)).to_pylist()
    row = [TRICKY[2], -7, 1e-7, True, dt.date(2025, 3, 1), dt.datetime(2025, 3, 1, 1, 2, 3, 4), dt.time(1, 2, 3)]
    batch = as_batch(
        fields,
        [dict(zip((f.name for f in fields), [*row, numeric[0]], strict=True)), dict.fromkeys(f.name for f in fields)],
    )
    path = tmp_path / "rows.csv"
    path.write_bytes(file_of(CsvFormat(export_name="x", fields=fields), batch))
    types = ["VARCHAR", "BIGINT", "DOUBLE", "BOOLEAN", "DATE", "TIMESTAMP", "TIME", "DECIMAL(38,9)"]
    columns = ", ".join(f"'{field.name}': '{kind}'" for field, kind in zip(fields, types, strict=True))
    with duckdb.connect() as connection:
        found = connection.execute(
            f"SELECT * FROM read_csv('{path}', columns = {{{columns}}}, header = true)"
        ).fetchall()
    assert found == [(*row, numeric[0]), (None,) * 8]


@unhurried
@given(st.data(), tables())
def test_blocks_in_any_grouping_make_files_of_the_same_rows(
    data: st.DataObject, table: tuple[tuple[Field, ...], list[dict], pa.RecordBatch]
) -> None:
    fields, rows, batch = table
    format_ = CsvFormat(export_name="x", fields=fields, null_marker="-", max_rows=3, block_bytes=60)
    blocks = list(format_.encoder().blocks(batch))
    assert sum(block.rows for block in blocks) == len(rows)
    assert all(0 < block.rows <= 3 for block in blocks)
    cut = data.draw(st.integers(0, len(blocks)))
    one, two = assembled(format_, blocks[:cut]), assembled(format_, blocks[cut:])
    assert one + two.removeprefix(format_.first_line) == assembled(format_, blocks)
    assert [len(read(block_file)) for block_file in (one, two)] == [
        sum(block.rows for block in part) for part in (blocks[:cut], blocks[cut:])
    ]


def test_other_arrow_types_of_the_same_values_print_the_same() -> None:
    name = pa.array(["a", None, "b,c"]).dictionary_encode()
    when = pa.array([dt.datetime(2025, 3, 1)] * 3, pa.timestamp("ms", tz="UTC"))
    fields = (NAMES, Field(name="when", type="TIMESTAMP"))
    data = file_of(CsvFormat(export_name="x", fields=fields), pa.record_batch({"when": when, "name": name}))
    moment = "2025-03-01 00:00:00 UTC"
    assert read(data) == [["a", moment], ["", moment], ["b,c", moment]]


def test_a_format_is_picklable() -> None:
    format_ = CsvFormat(export_name="x", fields=(NAMES, NUMBER), delimiter=";")
    again = pickle.loads(pickle.dumps(format_))
    assert again == format_
    assert file_of(again, names_batch("a")) == file_of(format_, names_batch("a"))
