"""bigquery_to_avro: an export as asked for, made of its flags."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from wharf.model.avro_flags import FLAGS
from wharf.model.errors import UsageError
from wharf.model.flags import given, nearest
from wharf.model.schema import Field, TableId
from wharf.model.windows import DATE_TYPES, Window, month_window, parse_instant, previous_month, zone


@dataclass(frozen=True, kw_only=True)
class AvroExport:
    """One export as asked for, checked as far as that goes without asking BigQuery."""

    source_table: TableId | None
    query: str
    temp_dataset: tuple[str, str] | None  # (project, dataset)
    output: str
    window: Window
    date_column: str
    vendor_column: str
    columns: tuple[str, ...]  # empty: all
    row_restriction: str
    codec: str
    keep_partition_columns: bool
    write_mode: str
    target_file_bytes: int
    metadata_table: TableId
    files_table: TableId
    export_name: str
    project: str
    settings: str  # the flags, as JSON

    @classmethod
    def from_flags(cls, values: Mapping[str, str], *, project: str | None, now: dt.datetime) -> AvroExport:
        """Checked flag values -> an export. `project` pays for jobs; the table's own by default. `now` is aware.

        Raises: UsageError.
        """
        if bool(values["source_table"]) == bool(values["query"]):
            raise UsageError("give exactly one of --source_table and --query")
        if not values["output"]:
            raise UsageError("--output is missing: write gs://bucket/prefix or a local folder")
        if re.match(r"gs:(?!//[^/])|(?!gs:)[A-Za-z][A-Za-z0-9+.-]*://", values["output"]):
            raise UsageError(f"--output: {values['output']!r} is neither gs://bucket/prefix nor a local folder")
        table = (
            TableId.parse(values["source_table"], flag="source_table", project=project)
            if values["source_table"]
            else None
        )
        project = project or (table.project if table else None)
        if not project:
            raise UsageError("--project is missing: with --query nothing else says who pays for it")
        metadata = TableId.parse(values["metadata_table"], flag="metadata_table", project=project)
        files = values["files_table"]
        return cls(
            source_table=table,
            query=values["query"].strip().rstrip(";"),
            temp_dataset=_temp_dataset(values, project),
            output=values["output"].rstrip("/") or "/",
            window=_window(values, now),
            date_column=values["date_column"],
            vendor_column=values["vendor_column"],
            columns=tuple(dict.fromkeys(name for name in values["columns"].split(",") if name)),
            row_restriction=values["row_restriction"].strip(),
            codec=values["codec"],
            keep_partition_columns=values["partition_columns"] == "keep",
            write_mode=values["write_mode"],
            target_file_bytes=int(values["target_file_bytes"]),
            metadata_table=metadata,
            files_table=TableId.parse(files, flag="files_table", project=project)
            if files
            else metadata._replace(table=f"{metadata.table}_files"),
            export_name=values["export_name"] or (table.table if table else "query"),
            project=project,
            settings=json.dumps(given(FLAGS, values)),
        )

    @property
    def source(self) -> str:
        """What is read, for people."""
        return str(self.source_table) if self.source_table else self.query

    @property
    def sql_source(self) -> str:
        """What is read, behind FROM."""
        # The query may end in a comment, which must not take the bracket with it.
        return f"`{self.source_table}`" if self.source_table else f"({self.query}\n)"

    def read_fields(self, schema: tuple[Field, ...]) -> tuple[Field, ...]:
        """The columns to read: the exported ones, and those that the partitions come from.

        Raises: UsageError for a column that is missing or has the wrong type.
        """
        by_name = {field.name: field for field in schema}
        for flag, name in self._named_columns():
            if name not in by_name:
                raise UsageError(f"--{flag}: {self.source} has no column {name!r}{nearest(name, by_name)}")
        self._require(by_name[self.date_column], "date_column", DATE_TYPES)
        self._require(by_name[self.vendor_column], "vendor_column", ("STRING", "INT64"))
        names = dict.fromkeys([*(self.columns or by_name), self.date_column, self.vendor_column])
        return tuple(by_name[name] for name in names)

    def file_fields(self, schema: tuple[Field, ...]) -> tuple[Field, ...]:
        """The columns the files hold.

        Raises: UsageError if none are left.
        """
        dropped = set() if self.keep_partition_columns else {self.date_column, self.vendor_column}
        names = [name for name in (self.columns or [field.name for field in schema]) if name not in dropped]
        if not names:
            raise UsageError("--partition_columns drop leaves no column to write: name others with --columns")
        by_name = {field.name: field for field in schema}
        return tuple(by_name[name] for name in names)

    def restriction(self, date_type: str) -> str:
        """The window and --row_restriction as one SQL condition."""
        window = self.window.restriction(self.date_column, date_type)
        return f"({window}) AND ({self.row_restriction})" if self.row_restriction else window

    def _named_columns(self) -> list[tuple[str, str]]:
        named = [("columns", name) for name in self.columns]
        return [*named, ("date_column", self.date_column), ("vendor_column", self.vendor_column)]

    def _require(self, field: Field, flag: str, types: tuple[str, ...]) -> None:
        if field.type not in types or field.mode == "REPEATED":
            found = f"ARRAY<{field.type}>" if field.mode == "REPEATED" else field.type
            raise UsageError(
                f"--{flag}: column {field.name!r} of {self.source} is {found}; it must be {' or '.join(types)}"
            )


def _window(values: Mapping[str, str], now: dt.datetime) -> Window:
    time_zone = zone(values["time_zone"])
    start, end, period = values["when_read_from"], values["when_read_to"], values["period"]
    if period and (start or end):
        raise UsageError("give --period or --when_read_from and --when_read_to, not both")
    if period:
        return month_window(period, time_zone)
    if bool(start) != bool(end):
        missing = "when_read_to" if start else "when_read_from"
        raise UsageError(f"--{missing} is missing: a window has both ends")
    if not start:
        return previous_month(now, time_zone)
    return Window(parse_instant(start, flag="when_read_from"), parse_instant(end, flag="when_read_to"), time_zone)


def _temp_dataset(values: Mapping[str, str], project: str) -> tuple[str, str] | None:
    text = values["temp_dataset"]
    if not values["query"]:
        return None
    if not text:
        raise UsageError("--temp_dataset is missing: --query is materialised there first, in the data's location")
    *owner, dataset = re.split(r"[.:](?=[A-Za-z0-9_]+$)", text)
    return (owner[0] if owner else project, dataset)
