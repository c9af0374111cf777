"""The configuration of exports to an SFTP server as it is written: what each key may hold, and its JSON Schema.

These models check one key at a time and are gone once `wharf.model.config` has made typed values of them. No key is
required here: what is missing may come from the environment, or, for notifications, from the level above.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from wharf.model.delivery import DeliveryProfile

_DEFAULT = DeliveryProfile()
NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$"
_COLUMN = r"^[^\s,.`]+$"
_NO_CONTROLS = r"^[^\x00-\x1f\x7f]*$"
_TABLE = r"^([A-Za-z0-9.:_-]*[A-Za-z0-9][.:])?[A-Za-z0-9_]+\.[^\s.`/:]+$"

Table = Annotated[str, Field(pattern=_TABLE, examples=["project.dataset.table"])]
Column = Annotated[str, Field(pattern=_COLUMN, examples=["created_at"])]
Name = Annotated[str, Field(pattern=NAME, examples=["orders_daily"])]
Port = Annotated[int, Field(ge=1, le=65535)]
# A pattern guards header and command lines; the value is not shown in the error.
Line = Annotated[str, Field(pattern=_NO_CONTROLS)]
Secret = SecretStr


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True, allow_inf_nan=False)

    def has(self, *names: str) -> bool:
        """Whether any of the keys was written down."""
        return not self.model_fields_set.isdisjoint(names)


class Slack(_Model):
    webhook: Secret | None = Field(default=None, description="the incoming webhook's URL, a secret: a reference to it")


class Email(_Model):
    host: Line = Field(default="", description="the SMTP server")
    port: Port | None = Field(default=None, description="by default 587 with starttls, 465 with implicit, 25 with none")
    username: Line = Field(default="", description="the account there; without one, no log-in")
    password: Secret | None = Field(
        default=None, description="a reference to its password; EMAIL_PASSWORD goes before it"
    )
    sender: Line = Field(default="", alias="from", description="the address the messages come from")
    to: list[Line] = Field(default=[], description="the addresses they go to", min_length=1)
    tls: Literal["starttls", "implicit", "none"] = Field(
        default="starttls", description="how the connection is encrypted"
    )
    ca_file: Line = Field(default="", description="a PEM file with the authority that signed the server's certificate")


class Notifications(_Model):
    slack: Slack | None = Field(default=None, description="a Slack channel; in an export null switches it off")
    email: Email | None = Field(default=None, description="e-mail; in an export null switches it off")
    on: list[Literal["success", "failure"]] = Field(
        default=["success", "failure"], description="which ends are told of"
    )
    subject: str = Field(
        default="", description="template of the subject, with {export_name}, {status}, {date} and others"
    )
    text: str = Field(
        default="", description="template of the text, with {rows}, {files}, {error}, {retry_command} and others"
    )


class Delivery(_Model):
    write: Literal["rename", "dotfile", "direct"] = Field(
        default="rename",
        description="under a temporary name and renamed, under a hidden one, or under the final name at once",
    )
    overwrite: Literal["replace", "skip-if-same", "version", "fail"] = Field(
        default="replace", description="what happens to a file that is there already"
    )
    verify: Literal["none", "size", "readback"] = Field(
        default="size", description="what is compared once a file is complete"
    )
    max_connections: int = Field(
        default=_DEFAULT.max_connections, ge=1, le=256, description="to this server, by all workers together"
    )
    open_files: int = Field(default=_DEFAULT.open_files, ge=1, le=1024, description="on one connection")
    stripes: int = Field(default=_DEFAULT.stripes, ge=1, le=256, description="connections that share a large file")
    resume: bool = Field(default=_DEFAULT.resume, description="go on with a file where a connection broke off")
    attempts: int = Field(
        default=_DEFAULT.attempts,
        ge=1,
        le=100,
        description="connections tried without progress before a file is given up",
    )
    timeout: float = Field(
        default=_DEFAULT.timeout,
        ge=1,
        le=3600,
        description="seconds without any answer before a connection counts as lost",
    )


class Sftp(_Model):
    host: Line = Field(default="", description="the server; SFTP_HOST goes before it")
    port: Port = Field(default=22, description="its port; SFTP_PORT goes before it")
    username: Line = Field(default="", description="the account there; SFTP_USERNAME goes before it")
    password: Secret | None = Field(
        default=None, description="a reference to the password; SFTP_PASSWORD goes before it"
    )
    directory: Line = Field(
        default="", description="below which files go, by default the account's; SFTP_DIRECTORY first"
    )
    path: Line = Field(default="", description="another name of directory")
    private_key: Secret | None = Field(default=None, description="a reference to a private key, PEM or OpenSSH text")
    passphrase: Secret | None = Field(default=None, description="a reference to the private key's passphrase")
    certificate: Secret | None = Field(
        default=None, description="a reference to the OpenSSH certificate of the private key"
    )
    known_hosts: Line = Field(
        default="", description="file of host keys, by default ~/.ssh/known_hosts; SFTP_KNOWN_HOSTS first"
    )
    host_key: Line = Field(
        default="", description="fingerprint of the host key, SHA256:..., instead; SFTP_HOST_KEY first"
    )
    proxy_command: Line = Field(default="", description="a command that connects; %h and %p stand for host and port")
    jump: Sftp | None = Field(default=None, description="a server to connect through, with keys like these")
    delivery: Delivery = Field(
        default_factory=Delivery, description="how the server wants its files: `wharf sftp probe` finds out"
    )


class Gcs(_Model):
    bucket: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$", examples=["my-bucket"])] | None = (
        Field(default=None, description="where files are staged, without gs://; GCS_BUCKET goes before it")
    )
    prefix: Line = Field(default="wharf/sftp", description="the folder in it")
    expiration_days: int = Field(default=7, ge=1, le=3650, description="days that staged files are kept")


class Metadata(_Model):
    export_metadata_table: Table | None = Field(
        default=None, description="where runs are recorded; EXPORT_METADATA_TABLE goes before it"
    )
    files_table: Table | None = Field(
        default=None, description="where files are recorded; by default the other name and _files"
    )


class Export(_Model):
    enabled: bool = Field(default=True, description="false switches the export off")
    source_table: Table | None = Field(default=None, description="the table to export; this or query")
    query: str | None = Field(default=None, description="SQL to export; {date} is the run's date; empty: switched off")
    export_type: Literal["full", "date_range", "incremental"] | None = Field(
        default=None,
        description="which rows; by default incremental with timestamp_column, date_range with date_column",
    )
    incremental: bool | None = Field(default=None, description="true: another way to write export_type incremental")
    date_column: Column | None = Field(default=None, description="the column whose days date_range selects")
    days_lookback: int = Field(default=1, ge=1, le=36500, description="days before the date that date_range begins")
    timestamp_column: Column | None = Field(default=None, description="the column that grows, for incremental")
    time_zone: str = Field(default="UTC", description="where days begin and end", examples=["Europe/Berlin"])
    columns: list[Column] = Field(
        default=[], description="columns to export, in this order; all by default", min_length=1
    )
    row_restriction: str = Field(default="", description="a further SQL condition on the rows")
    format: Literal["csv", "jsonl", "parquet", "avro"] = Field(
        default="csv", description="by default what the ending of destination_filename says, or else csv"
    )
    delimiter: str = Field(default=",", description="one character between CSV fields; tab may be written as tab")
    header: bool = Field(default=True, description="whether each CSV file begins with the names of the columns")
    quoting: Literal["minimal", "all", "nonnumeric", "none"] = Field(
        default="minimal", description="which CSV fields are quoted"
    )
    null_marker: Line = Field(default="", description="what stands for NULL in CSV")
    compress: Literal[True, False, "gzip", "none"] = Field(
        default=False, description="gzip; Parquet and Avro compress inside"
    )
    max_rows_per_file: int = Field(default=0, ge=0, description="rows after which another file is begun; 0: no limit")
    max_bytes_per_file: int = Field(default=0, ge=0, description="bytes near which another file is begun; 0: no limit")
    expiration_days: int | None = Field(default=None, ge=1, le=3650, description="days that staged files are kept")
    destination_filename: str = Field(
        default="", description="template of the files' names", examples=["{export_name}_{date}.csv"], min_length=1
    )
    directory: Line = Field(default="", description="folder below the server's directory")
    when_empty: Literal["send", "skip"] = Field(
        default="send", description="what a run without rows does; by default incremental skips, others send"
    )
    notifications: Notifications | None = Field(
        default=None, description="merged over those of all exports; null: none"
    )


class NamedExport(Export):
    model_config = ConfigDict(json_schema_extra={"required": ["name"]})

    name: Name = Field(default="", description="the name of the export")


class Document(_Model):
    """Exports of BigQuery tables and queries to an SFTP server."""

    schema_: str = Field(default="", alias="$schema", description="for editors; ignored")
    sftp: Sftp = Field(default_factory=Sftp, description="the server that the files go to")
    gcs: Gcs = Field(default_factory=Gcs, description="where files are staged")
    staging: Line = Field(default="", description="instead of gcs: gs://BUCKET/PREFIX or a local folder")
    metadata: Metadata = Field(default_factory=Metadata, description="where runs and files are recorded")
    metadata_table: Table | None = Field(
        default=None, description="another way to write metadata.export_metadata_table"
    )
    files_table: Table | None = Field(default=None, description="another way to write metadata.files_table")
    project: Line = Field(default="", description="the project that pays, and that tables without one are in")
    notifications: Notifications = Field(default_factory=Notifications, description="who is told how a run ended")
    debug: bool = Field(default=False, description="log more; DEBUG goes before it")
    exports: dict[str, Export] | list[NamedExport] = Field(description="the exports, by name or as a list")


def json_schema() -> dict[str, Any]:
    """The JSON Schema, draft 2020-12, of a configuration."""
    schema = Document.model_json_schema(by_alias=True)
    by_name, _ = schema["properties"]["exports"]["anyOf"]
    by_name["propertyNames"] = {"pattern": NAME}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Wharf: bigquery_to_sftp",
        **_without_titles(schema),
    }


def _without_titles(schema: Any) -> Any:
    """Pydantic repeats each key's name as its title, unless it is a property of that name."""
    if isinstance(schema, list):
        return [_without_titles(item) for item in schema]
    if isinstance(schema, dict):
        return {k: _without_titles(v) for k, v in schema.items() if k != "title" or not isinstance(v, str)}
    return schema
