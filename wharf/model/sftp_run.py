"""bigquery_to_sftp: its flags, and what a run of an export is before BigQuery is asked."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Mapping
from zoneinfo import ZoneInfo

from wharf.model.errors import UsageError
from wharf.model.flags import Flag, grouped, nearest
from wharf.model.patterns import DATE, NAMES, OBJECT
from wharf.model.run_flags import ENDPOINTS, LEASE, PLAN
from wharf.model.schema import Field, TableId
from wharf.model.selection import WATERMARK_TYPES
from wharf.model.sftp_export import SftpExport
from wharf.model.windows import DATE_TYPES, Window

PIPELINE = "bigquery_to_sftp"

FLAGS = (
    *grouped(
        "What to deliver",
        Flag(
            name="config",
            help="the JSON file that describes exports, server, metadata tables and notifications",
            example="gs://bucket/exports.json",
            remote=OBJECT,
            param_type="GCS_READ_FILE",
            required=True,
        ),
        Flag(
            name="export_name",
            help="which exports run: names separated by commas, or all",
            example="orders_daily,customers",
            pattern=NAMES,
            required=True,
        ),
        Flag(
            name="date",
            help="the date of the run, by default today in the export's time zone; date_range ends before it",
            example="2025-03-02",
            pattern=DATE,
        ),
    ),
    *grouped(
        "The run",
        Flag(
            name="force",
            help="repeat what is done already, begin anew what was left unfinished (an increment is completed), and "
            "take over from a run that is alive",
            is_switch=True,
        ),
        LEASE,
        PLAN,
        *ENDPOINTS,
    ),
)


def chosen(exports: Mapping[str, SftpExport], text: str) -> list[SftpExport]:
    """The exports that `--export_name` names; of `all`, those that are switched on.

    Raises: UsageError for a name there is not, or one that is switched off.
    """
    if not text:
        raise UsageError(f"--export_name is missing: name exports, or all; there are {', '.join(exports)}")
    if text == "all":
        found = [export for export in exports.values() if export.enabled]
        if not found:
            raise UsageError("--export_name all: every export is switched off")
        return found
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    for name in names:
        if name not in exports:
            raise UsageError(
                f"--export_name: there is no export {name!r}{nearest(name, exports)}; there are {', '.join(exports)}"
            )
        if not exports[name].enabled:
            raise UsageError(f"--export_name: {name} is switched off in the configuration")
    return [exports[name] for name in names]


def run_date(text: str, export: SftpExport, now: dt.datetime) -> dt.date:
    """`--date`, or today in the export's time zone.

    Raises: UsageError for a date that is none.
    """
    if not text:
        return now.astimezone(ZoneInfo(export.time_zone)).date()
    try:
        return dt.date.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"--date: {text!r} is not a date: write one like 2025-03-02") from error


def window(export: SftpExport, date: dt.date) -> Window | None:
    """What a run of `date` is a run of: the days it selects, or, for a full export, the date itself.

    None for an incremental one: each of its runs has rows of its own.
    """
    midnight = dt.datetime.combine(date, dt.time())
    if export.export_type == "incremental":
        return None
    if export.export_type == "date_range":
        return Window(midnight - dt.timedelta(days=export.days_lookback), midnight, export.time_zone)
    return Window(midnight, midnight + dt.timedelta(days=1), export.time_zone)


def new_export_id(export: SftpExport, date: dt.date, unique: str) -> str:
    """`name-YYYYMMDD-unique`."""
    return f"{export.name}-{date:%Y%m%d}-{unique}"


def settings(config_uri: str, export: SftpExport) -> str:
    """What a run's row says of how it was started, as JSON."""
    return json.dumps({"config": config_uri, "export_name": export.name})


def date_of(export_id: str) -> dt.date:
    """The date of the run that `new_export_id` named."""
    return dt.date.fromisoformat(export_id.rsplit("-", 2)[1])


def temporary_table(export_id: str, metadata: TableId) -> TableId:
    """What a run's rows are materialised in: beside the metadata table, as that dataset is there for Wharf."""
    return metadata._replace(table="wharf_" + re.sub(r"[^A-Za-z0-9_]", "_", export_id))


def exported_fields(export: SftpExport, schema: tuple[Field, ...]) -> tuple[Field, ...]:
    """The columns of the files, in their order.

    Raises: UsageError for a column that is missing, or that cannot say which rows are exported.
    """
    by_name = {field.name: field for field in schema}
    named = [("columns", name) for name in export.columns]
    if export.export_type == "date_range":
        named.append(("date_column", export.date_column))
    if export.export_type == "incremental":
        named.append(("timestamp_column", export.timestamp_column))
    for key, name in named:
        if name not in by_name:
            raise UsageError(
                f"export {export.name}: {key}: {_short(export.source)} has no column {name!r}{nearest(name, by_name)}"
            )
    _require(export, by_name, "date_column", DATE_TYPES)
    _require(export, by_name, "timestamp_column", WATERMARK_TYPES)
    return tuple(by_name[name] for name in (export.columns or by_name))


def condition(export: SftpExport, window: Window | None, schema: tuple[Field, ...]) -> str:
    """The window of a date_range and the row restriction as one SQL condition; may be empty."""
    conditions = [f"({export.row_restriction})"] if export.row_restriction else []
    if export.export_type == "date_range" and window:
        type_ = next(field.type for field in schema if field.name == export.date_column)
        conditions.insert(0, f"({window.restriction(export.date_column, type_)})")
    return " AND ".join(conditions)


def _require(export: SftpExport, by_name: Mapping[str, Field], key: str, types: tuple[str, ...]) -> None:
    needed = {"date_column": "date_range", "timestamp_column": "incremental"}[key]
    if export.export_type != needed:
        return
    field = by_name[getattr(export, key)]
    if field.type not in types or field.mode == "REPEATED":
        found = f"ARRAY<{field.type}>" if field.mode == "REPEATED" else field.type
        raise UsageError(
            f"export {export.name}: {key}: column {field.name!r} of {_short(export.source)} is {found}; "
            f"it must be {' or '.join(types)}"
        )


def _short(source: str) -> str:
    """A table's name, or the beginning of a query."""
    line = " ".join(source.split())
    return line if len(line) <= 80 else f"{line[:77]}..."
