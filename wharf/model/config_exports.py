"""The `exports` of a configuration: from either way of writing them to checked values."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from wharf.model import config_document as written
from wharf.model import sftp_export
from wharf.model.config_mistakes import Findings
from wharf.model.config_notifications import Level, level, merged, settings
from wharf.model.errors import UsageError
from wharf.model.json_document import Place, kind
from wharf.model.notification import Notifications
from wharf.model.sftp_export import SftpExport
from wharf.model.windows import zone

_CSV_ONLY = ("delimiter", "header", "quoting", "null_marker")
_TAB = ("\\t", "tab", "TAB")


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What an export takes from the rest of the document."""

    uri: str
    expiration_days: int
    overwrite: str
    notifications: Level


def exports(data: Any, around: Surroundings, findings: Findings) -> dict[str, SftpExport]:
    """The value of the key `exports` -> exports by name, in the document's order."""
    found: dict[str, tuple[Place, SftpExport]] = {}
    for place, name, export in _items(data, findings):
        made = _export(export, name, place, around, findings)
        if name in found:
            key: Place = (*place, "name")
            findings.wrong(key, f"{name!r} is the name of another export too")
        elif made:
            found[name] = (place, made)
    places = {export.name: place for place, export in found.values()}
    on = [export for _, export in found.values() if export.enabled]
    for second, first in sftp_export.name_collisions(on):
        findings.wrong(
            (*places[second.name], "destination_filename"),
            f"gives the names that {first.name} gives: add {{export_name}}, or another directory",
        )
    return {name: export for name, (_, export) in found.items()}


def _items(data: Any, findings: Findings) -> Iterator[tuple[Place, str, written.Export]]:
    """(place, name, what is written there) of each export; those without a usable name have one that is made up."""
    top: Place = ("exports",)
    if not isinstance(data, dict | list):
        findings.wrong(top, "is missing" if data is None else f"must be an object or a list, not {kind(data)}")
    elif not data:
        findings.wrong(top, "is empty: there is nothing to export")
    elif isinstance(data, dict):
        for name, item in data.items():
            yield (*top, name), name, findings.check(item, written.Export, (*top, name))
            # Not before: all that is said of the export would be within this mistake.
            _check_name(name, (*top, name), findings)
    else:
        for index, item in enumerate(data):
            place = (*top, index)
            named = item if isinstance(item, dict) else {}
            name = named.get("name")
            if isinstance(item, dict):
                _check_name(name, (*place, "name"), findings)
            rest = {key: value for key, value in named.items() if key != "name"}
            export = findings.check(rest if named else item, written.NamedExport, place)
            yield place, name if isinstance(name, str) else f"export {index}", export


def _check_name(name: Any, place: Place, findings: Findings) -> None:
    if name is None:
        findings.wrong(place, "is missing")
    elif not isinstance(name, str):
        findings.wrong(place, f"must be text, not {kind(name)}")
    elif not re.fullmatch(written.NAME, name) or name.endswith("\n"):
        findings.wrong(place, "is not a name: write up to 128 letters, digits, _, . and -, a letter or digit first")
    elif name == "all":
        findings.wrong(place, "is no name for an export: --export_name all means every one")


def _export(
    export: written.Export, name: str, place: Place, around: Surroundings, findings: Findings
) -> SftpExport | None:
    """None if what is wrong with it stands in the way of a value."""
    on = export.enabled and export.query != "" and (export.query is None or bool(export.query.strip()))
    if on and findings.sound(place, "source_table", "query") and bool(export.source_table) == bool(export.query):
        both = "give source_table or query, not both" if export.query else "give source_table or query"
        findings.wrong((*place, "source_table"), both)
    export_type = _export_type(export, place, findings)
    format_, compress = _format(export, place, findings)
    made = SftpExport(
        name=name,
        enabled=on,
        source_table=export.source_table or "",
        query=(export.query or "").strip().rstrip(";"),
        export_type=export_type,
        date_column=export.date_column or "",
        days_lookback=export.days_lookback,
        timestamp_column=export.timestamp_column or "",
        time_zone=_time_zone(export, place, findings),
        columns=_columns(export, place, findings),
        row_restriction=export.row_restriction.strip(),
        format=format_,
        delimiter=_delimiter(export, place, findings),
        header=export.header,
        quoting=export.quoting,
        null_marker=export.null_marker,
        compress=compress,
        max_rows_per_file=export.max_rows_per_file,
        max_bytes_per_file=export.max_bytes_per_file,
        expiration_days=export.expiration_days or around.expiration_days,
        destination_filename="",
        directory=_directory(export, place, findings),
        when_empty=export.when_empty if export.has("when_empty") else _when_empty(export_type),
        notifications=_notifications(export, place, around, findings) if on else Notifications(),
    )
    filename = _filename(export, made, place, around.overwrite, findings)
    return SftpExport(**{**vars(made), "destination_filename": filename}) if filename else None


def _export_type(export: written.Export, place: Place, findings: Findings) -> str:
    given, incremental = export.export_type, export.incremental
    if given and incremental is not None and incremental != (given == "incremental"):
        findings.wrong(
            (*place, "incremental"), f"{str(incremental).lower()} contradicts export_type {given}: leave one out"
        )
    elif not given and incremental is None and export.timestamp_column and export.date_column:
        findings.wrong(
            (*place, "export_type"), "is missing: timestamp_column asks for incremental, date_column for date_range"
        )
    by_columns = "date_range" if export.date_column else "full"
    if given:
        type_: str = given
    elif incremental is None:
        type_ = "incremental" if export.timestamp_column else by_columns
    else:
        type_ = "incremental" if incremental else by_columns
    wanted = {"incremental": "timestamp_column", "date_range": "date_column"}
    column = wanted.get(type_)
    if column and not getattr(export, column) and findings.sound(place, "export_type", "incremental", column):
        findings.wrong((*place, column), f"is missing: {type_} needs it")
    used = {column, "days_lookback"} if type_ == "date_range" else {column}
    for key in ("date_column", "days_lookback", "timestamp_column"):
        if export.has(key) and key not in used:
            findings.doubtful((*place, key), f"is not used: the export is {type_}")
    return type_


def _format(export: written.Export, place: Place, findings: Findings) -> tuple[str, str]:
    told, gz = sftp_export.format_of(export.destination_filename)
    format_ = export.format if export.has("format") else told or "csv"
    if export.has("format") and told and told != format_:
        findings.doubtful((*place, "destination_filename"), f"looks like {told}; the file will be {format_}")
    asked = "gzip" if export.compress in (True, "gzip") else "none"
    compress = asked if export.has("compress") else gz or "none"
    if gz and (compress == "none" or format_ in {"parquet", "avro"}):
        reason = "compress says none" if compress == "none" else f"{format_} compresses inside the file"
        findings.wrong((*place, "destination_filename"), f"ends in .gz, but {reason}: leave the ending out")
    if format_ != "csv" and findings.sound(place, "format"):
        for key in _CSV_ONLY:
            if export.has(key):
                findings.wrong((*place, key), f"is for csv only; this export is {format_}")
    return format_, compress


def _filename(export: written.Export, made: SftpExport, place: Place, overwrite: str, findings: Findings) -> str:
    """The complete template; empty if there is none that works."""
    incremental = made.export_type == "incremental"
    template = sftp_export.with_gz(
        export.destination_filename
        or sftp_export.default_filename(
            format=made.format, compress=made.compress, incremental=incremental, may_split=made.may_split
        ),
        format=made.format,
        compress=made.compress,
    )
    replaces = incremental and overwrite == "replace"
    wrong = sftp_export.filename_mistake(template, may_split=made.may_split, must_differ=replaces)
    if wrong:
        findings.wrong((*place, "destination_filename"), wrong)
        return ""
    if replaces and sftp_export.is_shared_by_a_day(template):
        findings.doubtful(
            (*place, "destination_filename"), "a second run on one day replaces the file of the first: use {datetime}"
        )
    return template


def _time_zone(export: written.Export, place: Place, findings: Findings) -> str:
    try:
        return zone(export.time_zone)
    except UsageError:
        findings.wrong((*place, "time_zone"), "is not a time zone: write UTC or one like Europe/Berlin")
        return "UTC"


def _columns(export: written.Export, place: Place, findings: Findings) -> tuple[str, ...]:
    seen: set[str] = set()
    for index, name in enumerate(export.columns):
        # BigQuery's column names are the same in any case.
        if name.lower() in seen:
            findings.wrong((*place, "columns", index), f"{name!r} is there already")
        seen.add(name.lower())
    return tuple(export.columns)


def _delimiter(export: written.Export, place: Place, findings: Findings) -> str:
    text = "\t" if export.delimiter in _TAB else export.delimiter
    if len(text) != 1 or text in '"\r\n\0':
        findings.wrong((*place, "delimiter"), "must be one character, or tab, and no quote or line break")
    return text


def _directory(export: written.Export, place: Place, findings: Findings) -> str:
    text = export.directory.rstrip("/") or export.directory
    if text and (wrong := sftp_export.path_mistake(text)):
        findings.wrong((*place, "directory"), wrong)
        return ""
    return text


def _when_empty(export_type: str) -> str:
    return "skip" if export_type == "incremental" else "send"


def _notifications(export: written.Export, place: Place, around: Surroundings, findings: Findings) -> Notifications:
    if not export.has("notifications"):
        own: Level = {}
    elif export.notifications is None:
        return Notifications()
    else:
        own = level(export.notifications, (*place, "notifications"), around.uri, findings)
    places: dict[str, Place] = {
        channel: (*place, "notifications", channel) if own.get(channel) is not None else ("notifications", channel)
        for channel in ("slack", "email")
    }
    return settings(merged(around.notifications, own), places, findings)
