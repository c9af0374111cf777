"""Gzip files made of blocks, read by zlib, Python's gzip and the gzip command."""

from __future__ import annotations

import gzip
import random
import shutil
import subprocess
import zlib
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.avro_rows import as_batch
from tests.test_csv_format import assembled, file_of
from wharf.formats.assembler import Concatenation
from wharf.formats.csv_format import CsvFormat
from wharf.formats.gzip_member import GzipAssembler, GzipFormat, deflated
from wharf.model.schema import Field

FIELDS = (Field(name="number", type="INT64"),)
PLAIN = CsvFormat(export_name="x", fields=FIELDS, block_bytes=10_000)
FORMAT = GzipFormat(plain=PLAIN)


def numbers(count: int) -> pa.RecordBatch:
    return as_batch(FIELDS, [{"number": at} for at in range(count)])


def one_member(data: bytes) -> bytes:
    """What the first member of a gzip file holds, which must be the only one, and complete."""
    reader = zlib.decompressobj(31)
    plain = reader.decompress(data)
    assert reader.eof
    assert reader.unused_data == b""
    return plain


@pytest.mark.parametrize("rows", [0, 1, 20_000])
def test_a_file_is_one_member_that_holds_the_plain_file(rows: int) -> None:
    data = file_of(FORMAT, numbers(rows))
    assert one_member(data) == gzip.decompress(data) == file_of(PLAIN, numbers(rows))


def test_the_gzip_command_finds_no_fault(tmp_path: Path) -> None:
    if not shutil.which("gzip"):
        pytest.skip("there is no gzip command")
    path = tmp_path / "rows.csv.gz"
    path.write_bytes(file_of(FORMAT, numbers(20_000)))
    subprocess.run(["gzip", "-t", path], check=True)
    assert subprocess.run(["gzip", "-dc", path], check=True, capture_output=True).stdout == file_of(
        PLAIN, numbers(20_000)
    )


@settings(deadline=None)
@given(st.lists(st.binary(max_size=200)), st.binary(max_size=20))
def test_any_blocks_in_any_number_make_one_member(blocks: list[bytes], header: bytes) -> None:
    assembler = GzipAssembler(Concatenation(header))
    data = b"".join((assembler.begin(), *(assembler.add(deflated(block)) for block in blocks), assembler.end()))
    assert one_member(data) == header + b"".join(blocks)


def test_blocks_in_any_grouping_make_files_of_the_same_rows() -> None:
    blocks = list(FORMAT.encoder().blocks(numbers(20_000)))
    assert len(blocks) > 5
    random.Random(1).shuffle(blocks)
    files = [one_member(assembled(FORMAT, part)) for part in (blocks[:3], blocks[3:])]
    lines = [line for file in files for line in file.decode().splitlines()]
    assert sorted(lines) == sorted(["number", "number", *map(str, range(20_000))])


def test_the_same_rows_give_the_same_bytes() -> None:
    assert file_of(FORMAT, numbers(5_000)) == file_of(FORMAT, numbers(5_000))


def test_a_damaged_block_is_found_by_the_checksum() -> None:
    data = bytearray(file_of(FORMAT, numbers(20_000)))
    data[-8] ^= 1
    with pytest.raises(zlib.error, match="incorrect data check"):
        zlib.decompress(data, 31)


class Ending(Concatenation):
    """A plain format whose files end with something."""

    def end(self) -> bytes:
        return b"the end"


def test_what_ends_a_plain_file_is_compressed_too() -> None:
    assembler = GzipAssembler(Ending())
    assert one_member(assembler.begin() + assembler.add(deflated(b"rows, ")) + assembler.end()) == b"rows, the end"


def test_text_of_csv_shrinks() -> None:
    plain = file_of(PLAIN, numbers(20_000))
    assert len(file_of(FORMAT, numbers(20_000))) < len(plain) / 2
