"""The formats of delivered files, and the one that an export asks for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from wharf.formats.assembler import Concatenation
from wharf.formats.avro import BLOCK_BYTES, AvroEncoder, AvroFormat
from wharf.formats.avro_schema import arrow_type
from wharf.formats.block import Block, BlockEncoder, FileFormat
from wharf.formats.csv_format import CsvFormat
from wharf.formats.gzip_member import GzipFormat
from wharf.formats.jsonl_format import JsonlFormat
from wharf.formats.parquet_format import ParquetFormat
from wharf.model.errors import UsageError
from wharf.model.schema import Field

__all__ = ["COMPRESSIONS", "FORMATS", "AvroFiles", "Block", "BlockEncoder", "FileFormat", "file_format"]

FORMATS = ("csv", "jsonl", "parquet", "avro")
COMPRESSIONS = ("none", "gzip")


def file_format(
    name: str,
    fields: tuple[Field, ...],
    *,
    export_name: str,
    delimiter: str = ",",
    header: bool = True,
    quoting: str = "minimal",
    null_marker: str = "",
    compress: str = "none",
    max_rows: int = 0,
    block_bytes: int = BLOCK_BYTES,
) -> FileFormat:
    """The format `name` (csv, jsonl, parquet or avro) for columns `fields`.

    `delimiter`, `header`, `quoting` and `null_marker` are for CSV alone. `compress` gzip makes CSV and JSON lines gzip
    files; Parquet and Avro compress inside their files, with gzip and deflate, else with snappy. Blocks have at most
    `max_rows` rows (0 is no bound) and about `block_bytes` bytes before they are compressed.

    Raises: UsageError for a format or an option there is not, and for a column that the format cannot hold.
    """
    if name not in FORMATS:
        raise UsageError(f"export {export_name}: format {name!r} is none of {', '.join(FORMATS)}")
    if compress not in COMPRESSIONS:
        raise UsageError(f"export {export_name}: compress {compress!r} is none of {', '.join(COMPRESSIONS)}")
    _require_known_types(export_name, fields)
    packed = compress == "gzip"
    if name == "avro":
        form = AvroFormat(name=export_name, fields=fields, codec="deflate" if packed else "snappy")
        _ = form.header  # refuses columns
        return AvroFiles(format=form, max_rows=max_rows, block_bytes=block_bytes)
    if name == "parquet":
        codec = "gzip" if packed else "snappy"
        return ParquetFormat(fields=fields, codec=codec, max_rows=max_rows, block_bytes=block_bytes)
    plain: FileFormat
    if name == "csv":
        plain = CsvFormat(
            export_name=export_name,
            fields=fields,
            delimiter=delimiter,
            header=header,
            quoting=quoting,
            null_marker=null_marker,
            max_rows=max_rows,
            block_bytes=block_bytes,
        )
    else:
        plain = JsonlFormat(fields=fields, max_rows=max_rows, block_bytes=block_bytes)
    return GzipFormat(plain=plain) if packed else plain


def _require_known_types(export_name: str, fields: tuple[Field, ...]) -> None:
    for field in fields:
        try:
            arrow_type(field)
        except KeyError as unknown:
            raise UsageError(
                f"export {export_name}: column {field.name!r} has type {unknown.args[0] or field.type}, which cannot be"
                " written: leave it out with columns"
            ) from None


@dataclass(frozen=True, kw_only=True)
class AvroFiles:
    """Avro object container files with all rows in their order; picklable."""

    format: AvroFormat
    max_rows: int = 0
    block_bytes: int = BLOCK_BYTES

    @property
    def extension(self) -> str:
        return "avro"

    def encoder(self) -> AvroFileEncoder:
        return AvroFileEncoder(AvroEncoder(self.format, self.block_bytes), self.max_rows)

    def assembler(self) -> Concatenation:
        return self.format.assembler()


@dataclass
class AvroFileEncoder:
    """Encodes batches as Avro blocks of at most `max_rows` rows."""

    encoder: AvroEncoder
    max_rows: int

    def blocks(self, batch: pa.RecordBatch) -> Iterator[Block]:
        """Rows of `batch` in their order -> blocks.

        Raises: ValueError for a null in a REQUIRED column.
        """
        rows = batch.num_rows
        if not rows:
            return
        bounds = np.append(np.arange(0, rows, self.max_rows or rows), rows)
        for block in self.encoder.blocks(batch, None, bounds):
            yield Block(block.rows, block.data)
