"""`_config/load.json` and `_config/schema.json` as they are written: what each key may hold.

The keys are those of `JobConfigurationLoad` and `TableFieldSchema` of BigQuery's REST API (v2), and Wharf's own
`writeMode` and `mergeKeys`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

WRITE_MODES = ("append", "replace_partition", "replace_table", "merge")
FORMATS = ("CSV", "NEWLINE_DELIMITED_JSON", "AVRO", "PARQUET", "ORC")
ENCODINGS = ("UTF-8", "ISO-8859-1", "UTF-16BE", "UTF-16LE", "UTF-32BE", "UTF-32LE")
GRANULARITIES = ("hour", "day", "month", "year")
SCHEMA_UPDATE_OPTIONS = ("ALLOW_FIELD_ADDITION", "ALLOW_FIELD_RELAXATION")

_CREATED = "is Wharf's own: it makes missing tables"
REFUSED = {
    "sourceUris": "is Wharf's own: the files of the directory",
    "fileSetSpecType": "is Wharf's own: the files of the directory",
    "destinationTable": "is Wharf's own: name the table by --destination_table or by the directory",
    "destinationTableProperties": f"{_CREATED} with --table_labels",
    "createDisposition": _CREATED,
    "destinationEncryptionConfiguration": f"{_CREATED}: set the key on the dataset, so that staging tables have it too",
    "rangePartitioning": f"{_CREATED}, partitioned by time: make this one before it is loaded",
    "hivePartitioningOptions": "is Wharf's own: key=value folders become columns",
    "projectionFields": "is of Datastore backups, which Wharf does not load",
    "schemaInline": "is no longer BigQuery's: write schema",
    "schemaInlineFormat": "is no longer BigQuery's: write schema",
    "createSession": "is not for loads that run beside others",
    "connectionProperties": "is not for loads that run beside others",
    "copyFilesOnly": "is not for loads that go through a staging table",
}


def _number(value: Any) -> Any:
    """BigQuery's clients write 64-bit numbers as text."""
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value


def _upper(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


Number = Annotated[int, BeforeValidator(_number), Field(ge=0)]
Column = Annotated[str, Field(pattern=r"^[^\s,.`]+$", examples=["order_id"])]


class _Model(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, hide_input_in_errors=True, alias_generator=to_camel
    )


class TimePartitioning(_Model):
    type: Annotated[Literal["HOUR", "DAY", "MONTH", "YEAR"], BeforeValidator(_upper)] = "DAY"
    field: Column | None = None
    expiration_ms: Annotated[Number, Field(ge=1)] | None = None
    require_partition_filter: bool = False


class Clustering(_Model):
    fields: list[Column] = Field(default=[], min_length=1, max_length=4)


class ParquetOptions(_Model):
    enum_as_string: bool = False
    enable_list_inference: bool = False
    map_target_type: Literal["MAP_TARGET_TYPE_UNSPECIFIED", "ARRAY_OF_STRUCT"] = "MAP_TARGET_TYPE_UNSPECIFIED"


class RangeElementType(_Model):
    type: Annotated[Literal["DATE", "DATETIME", "TIMESTAMP"], BeforeValidator(_upper)] = "DATE"


class SchemaField(_Model):
    """A column. Nothing is required here: what is missing is looked for afterwards."""

    name: Column = ""
    type: Annotated[
        Literal[
            "STRING", "BYTES", "INT64", "INTEGER", "FLOAT64", "FLOAT", "BOOL", "BOOLEAN", "TIMESTAMP", "DATE", "TIME",
            "DATETIME", "INTERVAL", "GEOGRAPHY", "NUMERIC", "BIGNUMERIC", "JSON", "RANGE", "STRUCT", "RECORD",
        ],
        BeforeValidator(_upper),
    ] = ""  # type: ignore[assignment]  # fmt: skip
    mode: Annotated[Literal["NULLABLE", "REQUIRED", "REPEATED"], BeforeValidator(_upper)] = "NULLABLE"
    description: str = ""
    precision: Number | None = None
    scale: Number | None = None
    range_element_type: RangeElementType | None = None
    fields: list[SchemaField] = []
    # What a schema printed by `bq show` may hold, and Wharf's tables do not.
    policy_tags: Any = None
    data_policies: Any = None
    max_length: Any = None
    default_value_expression: Any = None
    collation: Any = None
    rounding_mode: Any = None

    @property
    def unheeded(self) -> list[str]:
        """The keys given here that no table Wharf makes would have."""
        keys = ("policy_tags", "data_policies", "max_length", "default_value_expression", "collation", "rounding_mode")
        return [to_camel(key) for key in keys if getattr(self, key)]


class Schema(_Model):
    fields: list[SchemaField] = []


class Load(_Model):
    """What may be said of how files are read, and of how their rows reach the table."""

    source_format: Literal["CSV", "NEWLINE_DELIMITED_JSON", "AVRO", "PARQUET", "ORC"] | None = None
    field_delimiter: Annotated[str, Field(min_length=1)] | None = None
    skip_leading_rows: Number | None = None
    quote: str | None = None
    encoding: Literal["UTF-8", "ISO-8859-1", "UTF-16BE", "UTF-16LE", "UTF-32BE", "UTF-32LE"] | None = None
    null_marker: str | None = None
    null_markers: list[str] | None = None
    allow_jagged_rows: bool | None = None
    allow_quoted_newlines: bool | None = None
    preserve_ascii_control_characters: bool | None = None
    source_column_match: Literal["POSITION", "NAME"] | None = None
    json_extension: Literal["GEOJSON"] | None = None
    date_format: str | None = None
    datetime_format: str | None = None
    time_format: str | None = None
    timestamp_format: str | None = None
    time_zone: str | None = None
    timestamp_target_precision: list[int] | None = None
    use_avro_logical_types: bool | None = None
    parquet_options: ParquetOptions | None = None
    decimal_target_types: list[Literal["NUMERIC", "BIGNUMERIC", "STRING"]] | None = None
    reference_file_schema_uri: str | None = None
    column_name_character_map: Literal["STRICT", "V1", "V2"] | None = None
    autodetect: bool | None = None
    max_bad_records: Number | None = None
    ignore_unknown_values: bool | None = None
    schema_: Schema | None = Field(default=None, alias="schema")
    time_partitioning: TimePartitioning | None = None
    clustering: Clustering | None = None
    schema_update_options: list[Literal["ALLOW_FIELD_ADDITION", "ALLOW_FIELD_RELAXATION"]] | None = None
    write_disposition: Literal["WRITE_APPEND", "WRITE_TRUNCATE", "WRITE_EMPTY"] | None = None
    write_mode: Literal["append", "replace_partition", "replace_table", "merge"] | None = None
    merge_keys: list[Column] | None = Field(default=None, min_length=1)
