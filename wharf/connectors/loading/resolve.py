"""A landing -> the batch it is: its table, times, format, options and schema, or why it cannot be loaded."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from wharf.connectors.loading.landings import ConfigFiles, Text
from wharf.model.errors import UsageError, WharfError
from wharf.model.loading.batch import Batch, LandedFile, Landing, Part, Refused
from wharf.model.loading.destination import Destination, destination, table_name
from wharf.model.loading.landing import split
from wharf.model.loading.options import LoadOptions, format_of, merge_options, parse_schema
from wharf.model.loading.timestamps import file_time, named_time
from wharf.model.schema import Field, TableId

if TYPE_CHECKING:
    from wharf.model.loading.settings import LoadSettings


class _Said(NamedTuple):
    """What a file's path says of its rows."""

    file: LandedFile
    place: Destination
    named: dt.datetime | None

    @property
    def has_time(self) -> bool:
        return bool(self.named or self.place.partition or self.place.times)


def resolve(landing: Landing, settings: LoadSettings, config_files: ConfigFiles) -> Batch | Refused:
    """What is loaded where, and how; whatever is wrong with the landing itself is a Refused.

    Raises: UsageError or RunFailed if Cloud Storage cannot be asked.
    """
    config = config_files.of(split(landing.directory)[0])
    table = settings.destination
    try:
        table = table or _table(landing, settings)
        if not landing.files:
            empty = f" but {landing.empty} empty files" if landing.empty else ""
            raise UsageError(f"holds no data{empty}: deliver the files, then the marker again")
        if wild := next((file.uri for file in landing.files if "*" in file.uri), ""):
            raise UsageError(f"holds {wild}, and BigQuery takes a * in a name for any text: rename that file")
        said = [_read(file, settings) for file in landing.files]
        options = _options(settings.options, config.options, all(each.has_time for each in said))
        partitioning = options.time_partitioning or {}
        return Batch(
            landing=landing,
            table=table,
            parts=_parts(said, partitioning.get("type", settings.table.granularity).lower()),
            options=_of_format(options, _format(landing.files, options)),
            schema=_schema(config.schema) if config.schema else options.schema,
            transform=_decoded(config.transform) if config.transform else "",
            ordered=config.ordered,
        )
    except WharfError as error:
        return Refused(landing, f"{landing.directory}: {error}", table)


def _table(landing: Landing, settings: LoadSettings) -> TableId:
    """The one table that all files are of; one without files is of the table that its marker's path names."""
    found: dict[tuple[str, str], str] = {}
    for file in landing.files or (landing.marker,):
        found.setdefault(table_name(*_path(file, settings), settings.destination_regex), file.uri)
    if len(found) > 1:
        listed = ", ".join(f"{dataset}.{table} ({uri})" for (dataset, table), uri in found.items())
        raise UsageError(
            f"its files are of different tables: {listed}; give each table's directory a marker of its own, or mend "
            "--destination_regex"
        )
    dataset, table = next(iter(found))
    try:
        if re.fullmatch(r"[\w-]+", table):
            return TableId.parse(f"{dataset}.{table}", flag="destination_regex", project=settings.project)
    except UsageError:
        pass  # said below, with the remedy for a path
    raise UsageError(f"{dataset}.{table} cannot be a table's name: rename the folders, or mend --destination_regex")


def _path(file: LandedFile, settings: LoadSettings) -> tuple[str, str]:
    """A file's path below its bucket, and the prefix of it below which paths name tables."""
    if not file.uri.startswith(settings.prefix):
        raise UsageError(f"lies outside of --prefix {settings.prefix}: mend --prefix or --input")
    bucket, _, path = file.uri.removeprefix("gs://").partition("/")
    return path, settings.prefix.removeprefix(f"gs://{bucket}/")


def _read(file: LandedFile, settings: LoadSettings) -> _Said:
    path, prefix = _path(file, settings)
    place = destination(path, prefix, settings.destination_regex, has_table=settings.destination is not None)
    for column, _ in place.constants:
        if column.lower() == settings.table.timestamp_column.lower():
            raise UsageError(
                f"the folder {column}=... is named like the column of the files' time: choose another "
                "--timestamp_column"
            )
    if not settings.timestamp_regex:
        return _Said(file, place, None)
    return _Said(file, place, named_time(path, settings.timestamp_regex, settings.timestamp_format))


def _parts(said: Sequence[_Said], granularity: str) -> tuple[Part, ...]:
    """The files by time and columns, the earliest first."""
    found: dict[Part, list[LandedFile]] = {}
    for file, place, named in said:
        time = file_time(named, place.partition, place.times, granularity)
        key = Part(time.moment, time.replaces, place.constants, ()) if time else Part(None, None, place.constants, ())
        found.setdefault(key, []).append(file)
    parts = [Part(key.timestamp, key.replaces, key.constants, tuple(files)) for key, files in found.items()]
    return tuple(sorted(parts, key=lambda part: (part.timestamp is not None, part.timestamp, part.files[0].uri)))


def _format(files: Sequence[LandedFile], options: LoadOptions) -> str:
    """What the options say, or else what all names end in."""
    if said := options.job_fields.get("sourceFormat"):
        return str(said)
    found: dict[str, str] = {}
    for file in files:
        format_ = format_of(file.uri)
        if not format_:
            raise UsageError(
                f"the name of {file.uri} does not tell its format: rename it, or say it with --source_format or "
                "sourceFormat in _config/load.json"
            )
        found.setdefault(format_, file.uri)
    if len(found) > 1:
        mixed = ", ".join(f"{format_} ({uri})" for format_, uri in found.items())
        raise UsageError(f"its files have different formats: {mixed}; give each format a directory of its own")
    return next(iter(found))


# Most batches of a run have the same few documents above them.
@lru_cache(maxsize=256)
def _options(flags: LoadOptions, documents: tuple[Text, ...], has_partition: bool) -> LoadOptions:
    texts = [(document[0], _decoded(document)) for document in documents]
    return merge_options(flags, texts, has_partition=has_partition)


@lru_cache(maxsize=256)
def _of_format(options: LoadOptions, format_: str) -> LoadOptions:
    return options.of_format(format_)


@lru_cache(maxsize=256)
def _schema(document: Text) -> tuple[Field, ...]:
    return parse_schema(_decoded(document), document[0])


def _decoded(document: Text) -> str:
    uri, content = document
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{uri} is not UTF-8: save it so") from error
