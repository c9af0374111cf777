"""How the files of a batch are read and how their rows reach the table: flags, and `_config/load.json` over them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from wharf.model.config_mistakes import Findings
from wharf.model.errors import UsageError
from wharf.model.json_document import Place, kind, parse
from wharf.model.loading import load_document as written
from wharf.model.schema import Field

APPEND, REPLACE_PARTITION, REPLACE_TABLE, MERGE = written.WRITE_MODES
AVRO, PARQUET, ORC = "AVRO", "PARQUET", "ORC"
CSV, JSON = "CSV", "NEWLINE_DELIMITED_JSON"

_ENDINGS = {
    ".csv": CSV,
    ".tsv": CSV,
    ".txt": CSV,
    ".json": JSON,
    ".jsonl": JSON,
    ".ndjson": JSON,
    ".avro": AVRO,
    ".parquet": PARQUET,
    ".pq": PARQUET,
    ".orc": ORC,
}
_TEXT = (CSV, JSON)
# BigQuery ignores some of these where they mean nothing, and refuses the job for others.
_ONLY_OF = {
    "fieldDelimiter": (CSV,),
    "skipLeadingRows": (CSV,),
    "quote": (CSV,),
    "nullMarker": (CSV,),
    "nullMarkers": (CSV,),
    "allowJaggedRows": (CSV,),
    "allowQuotedNewlines": (CSV,),
    "preserveAsciiControlCharacters": (CSV,),
    "sourceColumnMatch": (CSV,),
    "columnNameCharacterMap": (CSV, PARQUET),
    "jsonExtension": (JSON,),
    "encoding": _TEXT,
    "maxBadRecords": _TEXT,
    "autodetect": _TEXT,
    "dateFormat": _TEXT,
    "datetimeFormat": _TEXT,
    "timeFormat": _TEXT,
    "timestampFormat": _TEXT,
    "timeZone": _TEXT,
    "useAvroLogicalTypes": (AVRO,),
    "referenceFileSchemaUri": (AVRO, PARQUET, ORC),
    "parquetOptions": (PARQUET,),
}
_ONE_OF = {"nullMarker", "nullMarkers"}  # a job may have one of them
_TRUNCATE = "truncate"
_MODES = {"WRITE_APPEND": APPEND, "WRITE_TRUNCATE": _TRUNCATE}


@dataclass(frozen=True, kw_only=True)
class LoadOptions:
    """What can differ from batch to batch. Batches with equal options may share a job.

    `load`: fields of a load job's configuration in the REST API, sorted, each value as JSON text, so that the whole
    can be hashed; `job_fields` has them as a mapping. `partitioning` (JSON text as well), `clustering` and `schema` are
    what `load.json` says of a table that is to be made; flags and `schema.json` are not in them.
    """

    load: tuple[tuple[str, str], ...] = ()
    write_mode: str = APPEND
    merge_keys: tuple[str, ...] = ()
    schema_update_options: tuple[str, ...] = ()
    partitioning: str = ""
    clustering: tuple[str, ...] = ()
    schema: tuple[Field, ...] | None = None

    @property
    def job_fields(self) -> dict[str, Any]:
        """`load` as the API takes it."""
        return {name: json.loads(text) for name, text in self.load}

    @property
    def time_partitioning(self) -> dict[str, Any] | None:
        """`partitioning` as the API takes it."""
        return json.loads(self.partitioning) if self.partitioning else None

    def with_fields(self, **fields: Any) -> LoadOptions:
        """These options with further fields of the job's configuration; None takes one out."""
        merged = {name: value for name, value in (self.job_fields | fields).items() if value is not None}
        return replace(self, load=tuple((name, json.dumps(merged[name], sort_keys=True)) for name in sorted(merged)))

    def of_format(self, source_format: str) -> LoadOptions:
        """These options for files of `source_format`: without the fields that are for other formats only."""
        others = {name: None for name, formats in _ONLY_OF.items() if source_format not in formats}
        return self.with_fields(**others, sourceFormat=source_format)


def merge_options(flags: LoadOptions, documents: Sequence[tuple[str, str]], *, has_partition: bool) -> LoadOptions:
    """`flags` with what the `load.json`s, (URI, text) with the nearest first, say; key by key the nearest one counts.

    A key that is null is as if nobody had said anything. `has_partition`: whether the batch's files have a timestamp,
    so that WRITE_TRUNCATE is meant for its partition and not for the whole table.

    Raises: DocumentError, a UsageError, with every mistake of the first document that has some.
    """
    said: dict[str, Any] = {}
    for uri, text in reversed(documents):
        nearer = _said(uri, text)
        if nearer.keys() & _ONE_OF:
            said = {key: value for key, value in said.items() if key not in _ONE_OF}
        said |= nearer
    mode = said.pop("writeMode", None) or flags.write_mode
    if mode == _TRUNCATE:
        mode = REPLACE_PARTITION if has_partition else REPLACE_TABLE
    keys = tuple(said.pop("mergeKeys", None) or flags.merge_keys)
    if mode == MERGE and not keys:
        raise UsageError("write mode merge needs its key columns: --merge_keys, or mergeKeys in _config/load.json")
    updates = said.pop("schemaUpdateOptions", None)
    return LoadOptions(
        write_mode=mode,
        merge_keys=keys,
        schema_update_options=flags.schema_update_options if updates is None else tuple(sorted(updates)),
        partitioning=said.pop("timePartitioning", None) or "",
        clustering=said.pop("clustering", None) or (),
        schema=said.pop("schema", None),
    ).with_fields(**(flags.job_fields | said))


def format_of(uri: str) -> str | None:
    """The source format that the ending of a file's name stands for, None for an ending that says nothing.

    Raises: UsageError for a packed file that BigQuery does not read.
    """
    name = uri.rsplit("/", 1)[-1].lower()
    plain = name.removesuffix(".gz")
    found = next((format_ for ending, format_ in _ENDINGS.items() if plain.endswith(ending)), None)
    if plain != name and found and found not in _TEXT:
        raise UsageError(
            f"{uri}: BigQuery reads gzip of CSV and JSON only: {found} files are compressed inside; deliver it unpacked"
        )
    return found


def parse_schema(text: str, uri: str) -> tuple[Field, ...]:
    """The columns that a `schema.json` names: a list of the API's fields, or an object with `fields`.

    Raises: DocumentError, a UsageError, with every mistake.
    """
    try:
        is_list = isinstance(json.loads(text), list)
    except (ValueError, RecursionError):
        is_list = False  # parse() says what is wrong
    data, repeated = parse(f'{{"fields": {text}}}' if is_list else text, uri)
    findings = Findings({})
    for place in repeated:
        findings.wrong(place, "is given more than once: keep one")
    fields = _schema(data, (), findings)
    findings.raise_if_any(uri)
    return fields


def _said(uri: str, text: str) -> dict[str, Any]:
    """What one document says: fields of the job, and Wharf's own keys as the values they become."""
    data, repeated = parse(text, uri)
    findings = Findings({})
    for place in repeated:
        findings.wrong(place, "is given more than once: keep one")
    data, place = _unwrapped(data, findings)
    for key in written.REFUSED.keys() & data.keys():
        findings.wrong((*place, key), written.REFUSED[key])
    data = {key: value for key, value in data.items() if key not in written.REFUSED}
    schema = _schema(data["schema"], (*place, "schema"), findings) if data.get("schema") is not None else None
    load = findings.check({**data, "schema": None}, written.Load, place)
    said = load.model_dump(by_alias=True, exclude_unset=True, exclude={"schema_", "write_disposition"})
    if "schema" in data:
        said["schema"] = schema
    if load.time_partitioning:
        part = load.time_partitioning.model_dump(by_alias=True, exclude_unset=True, exclude_none=True)
        if "field" in part:  # another column, which the flags' granularity is not meant for
            part.setdefault("type", load.time_partitioning.type)
        said["timePartitioning"] = json.dumps(part, sort_keys=True)
    if load.clustering:
        said["clustering"] = tuple(load.clustering.fields)
    if load.null_marker is not None and load.null_markers is not None:
        findings.wrong((*place, "nullMarkers"), "is given beside nullMarker: keep one")
    if load.write_disposition:
        if load.write_mode:
            findings.wrong((*place, "writeDisposition"), "is given beside writeMode: keep one")
        elif load.write_disposition not in _MODES:
            findings.wrong(
                (*place, "writeDisposition"),
                "WRITE_EMPTY would refuse every batch after the first: write WRITE_APPEND or WRITE_TRUNCATE",
            )
        else:
            said["writeMode"] = _MODES[load.write_disposition]
    findings.raise_if_any(uri)
    return said


def _unwrapped(data: dict[str, Any], findings: Findings) -> tuple[dict[str, Any], Place]:
    """The load's own part of a document that may be a whole job, and its place."""
    place: Place = ()
    for wrapper in ("configuration", "load"):
        if wrapper in data:
            for key in data.keys() - {wrapper}:
                findings.wrong((*place, key), f"stands beside {wrapper}, where nothing is read: move it inside")
            place = (*place, wrapper)
            inner: Any = data[wrapper]
            if not isinstance(inner, dict):
                findings.wrong(place, f"must be an object, not {kind(inner)}")
                return {}, place
            data = inner
    return data, place


def _schema(data: Any, place: Place, findings: Findings) -> tuple[Field, ...]:
    """Columns from a `TableSchema`; empty where they have mistakes."""
    schema = findings.check(data, written.Schema, place)
    if not findings.sound(place, "fields"):
        return ()
    _check_columns(schema.fields, (*place, "fields"), findings)
    if not findings.sound(place, "fields"):
        return ()
    return tuple(Field.from_api(field.model_dump(by_alias=True)) for field in schema.fields)


def _check_columns(columns: Sequence[written.SchemaField], place: Place, findings: Findings) -> None:
    if not columns:
        findings.wrong(place, "holds no column")
    names: set[str] = set()
    for number, column in enumerate(columns):
        here = (*place, number)
        for key in ("name", "type"):
            if not getattr(column, key):
                findings.wrong((*here, key), "is missing")
        if column.name.lower() in names:
            findings.wrong((*here, "name"), f"{column.name} is there already; BigQuery's names have no case")
        names.add(column.name.lower())
        for key in column.unheeded:
            findings.wrong((*here, key), "is nothing Wharf gives a column: make the table with it before it is loaded")
        if column.type in {"STRUCT", "RECORD"}:
            _check_columns(column.fields, (*here, "fields"), findings)
        elif column.fields:
            findings.wrong((*here, "fields"), f"belongs to a STRUCT, and the type is {column.type}")
