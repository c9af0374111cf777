"""The configuration of an API as it is written: what each key may hold, and its JSON Schema.

As in `wharf.model.config_document`, these models check one key at a time; what keys mean together stands in
`wharf.model.fetching.config` and beside it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from wharf.model.config_document import NAME, Line, Notifications, Secret, Table, _Model, _without_titles

HEADER_NAME = r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"  # a header's name (RFC 9110, 5.6.2)

Name = Annotated[str, Field(pattern=NAME, examples=["acme"])]
HeaderName = Annotated[str, Field(pattern=HEADER_NAME, examples=["X-Api-Key"])]
Headers = dict[str, Line]
_SCALAR: dict[str, Any] = {"type": ["string", "number", "boolean"]}
Path = Annotated[str, Field(min_length=1)]  # a JSONPath; `a.b` stands for `$.a.b`


class Auth(_Model):
    kind: Literal["none", "basic", "api_key", "bearer", "client_credentials", "refresh_token"] = Field(
        default="none", description="how requests are authorised"
    )
    username: Line = Field(default="", description="basic: the account")
    password: Secret | None = Field(
        default=None, description="basic, api_key, bearer: a reference to the password, key or token"
    )
    header: HeaderName | None = Field(
        default=None, description="api_key: the header that carries the key; this or param"
    )
    param: Line = Field(default="", description="api_key: the parameter that carries it")
    token_url: Line = Field(default="", description="OAuth2: where access tokens are asked for")
    client_id: Secret | None = Field(default=None, description="OAuth2: the app's id, or a reference to it")
    client_secret: Secret | None = Field(default=None, description="OAuth2: a reference to the app's secret")
    scope: Line = Field(default="", description="OAuth2: what is asked for, separated by blanks")
    token: Secret | None = Field(
        default=None,
        description="refresh_token: where the refresh token is kept, and each new one is put: projects/P/secrets/S "
        "without a version, or file:PATH",
    )


class Limits(_Model):
    concurrent: int = Field(default=5, ge=1, le=1000, description="requests at once, of each tenant")
    per_minute: int | None = Field(default=None, ge=1, description="requests in a minute, of each tenant")
    per_day: int | None = Field(default=None, ge=1, description="requests in a day, of each tenant")
    app_per_minute: int | None = Field(default=None, ge=1, description="requests in a minute, of all tenants together")
    burst: int | None = Field(
        default=None,
        ge=1,
        description="requests that the API takes at once after a pause; by default a minute's worth",
    )
    minute_remaining: HeaderName | None = Field(
        default=None, description="the header that tells how many are left in this minute"
    )
    day_remaining: HeaderName | None = Field(
        default=None, description="the header that tells how many are left in this day"
    )


class Retries(_Model):
    attempts: int = Field(default=8, ge=1, le=100, description="how often one request is tried")
    total_seconds: float = Field(default=600, ge=1, le=86400, description="for how long, in all")
    timeout_seconds: float = Field(default=60, ge=1, le=3600, description="how long one answer may take")


class Paging(_Model):
    kind: Literal["none", "page", "offset", "cursor", "link"] = Field(
        default="none", description="what leads from one page to the next"
    )
    param: Line = Field(default="", description="page, offset, cursor: the parameter that carries it")
    size_param: Line = Field(default="", description="the parameter that asks for a page's size")
    size: int = Field(
        default=0,
        ge=0,
        description="records on a page, as asked for by size_param or as the API's documentation says; page and offset "
        "end at a page with fewer, without a size only at an empty one",
    )
    first: int = Field(default=1, ge=0, description="page: the number of the first page")
    cursor: Path | None = Field(
        default=None, description="cursor: JSONPath in the body, or header:NAME, of the next cursor; none: the end"
    )
    link: Path | None = Field(
        default=None, description="link: JSONPath in the body, or header:Link (RFC 8288), of the next page's URL"
    )
    offset_from: Path | None = Field(
        default=None, description="offset: JSONPath in the last record of the next offset, if it is no count of records"
    )
    total: Path | None = Field(
        default=None, description="JSONPath or header:NAME of the number of records there are; fewer are a failure"
    )
    pages: Path | None = Field(
        default=None, description="page: JSONPath or header:NAME of the number of pages, which then are fetched at once"
    )
    page: Path | None = Field(
        default=None, description="page: JSONPath or header:NAME of the number of the page that was answered"
    )
    more: Path | None = Field(
        default=None, description="JSONPath or header:NAME of true or false: whether there are further pages"
    )


class Incremental(_Model):
    header: HeaderName | None = Field(
        default=None, description="the header that asks for what is new, such as If-Modified-Since; this or param"
    )
    param: Line = Field(default="", description="the parameter that asks for what is new")
    cursor: Path | None = Field(
        default=None,
        description="JSONPath in a record; its highest value is where the next run begins. By default that is the time "
        "at which the run began",
    )
    format: Line = Field(
        default="%Y-%m-%dT%H:%M:%S",
        description="how a time in UTC is sent: strftime, http (RFC 9110), epoch or epoch_ms; empty: the cursor is no "
        "time and is sent as it is",
    )
    lookback_seconds: int = Field(default=0, ge=0, description="how much is asked for once more")
    start: Line = Field(default="", description="where the first run begins; by default it asks for everything")


class Endpoint(_Model):
    description: str = Field(default="", description="for readers; ignored")
    enabled: bool = Field(default=True, description="false switches the endpoint off")
    path: Line = Field(
        default="", description="below base_url, by default the endpoint's name; {x} stands for a field of its parent"
    )
    params: dict[str, Any] = Field(
        default={},
        description="parameters of each request; a list repeats one",
        json_schema_extra={"additionalProperties": {"anyOf": [_SCALAR, {"type": "array", "items": _SCALAR}]}},
    )
    headers: Headers = Field(default={}, description="headers besides those of all endpoints")
    records: Path = Field(default="$[*]", description="JSONPath of the records in an answer")
    records_optional: bool = Field(
        default=False, description="true: an answer without what `records` names has none; by default it is a failure"
    )
    paging: Paging | None = Field(default=None, description="how pages follow one another; null: there is one page")
    incremental: Incremental | None = Field(
        default=None, description="how only what is new is asked for; null: everything each time"
    )
    primary_key: list[Path] = Field(
        default=[], description="JSONPaths in a record; the view shows the latest row of each key", min_length=1
    )
    times: list[Line] = Field(
        default=[],
        description="fields of a record that are times, by their names: new columns for them are TIMESTAMPs",
        examples=[["updated_at"]],
    )
    parent: Line = Field(default="", description="another endpoint; this one is fetched for each of its records")
    parent_fields: dict[str, Path] = Field(
        default={}, description="placeholder in path or params -> JSONPath in the parent's record"
    )


class Client(_Model):
    """What is different for one client."""

    tenants: list[Line] = Field(default=[], description="its tenants", min_length=1)
    auth: Auth = Field(
        default_factory=Auth, description="key by key before the auth of all clients; with a kind, instead of it"
    )
    headers: Headers = Field(default={}, description="besides those of all clients")
    base_url: Line = Field(default="", description="its base URL")
    bucket: Line = Field(default="", description="where its raw files go")
    dataset: Line = Field(default="", description="where its tables are")
    project: Line = Field(default="", description="the project of the dataset")


class Document(_Model):
    """An API, fetched into Cloud Storage and BigQuery. {client_name} stands for the client's name."""

    schema_: str = Field(default="", alias="$schema", description="for editors; ignored")
    description: str = Field(default="", description="for readers; ignored")
    api: Name | None = Field(default=None, description="a name for the API; a folder of raw files is named so")
    client_name: Name | None = Field(
        default=None, description="whose data it is, by default; --client_name and CLIENT_NAME go before it"
    )
    base_url: Line = Field(default="", description="the URL that paths of endpoints stand below")
    headers: Headers = Field(default={}, description="headers of each request")
    auth: Auth = Field(default_factory=Auth, description="how requests are authorised")
    limits: Limits = Field(default_factory=Limits, description="how fast the API may be asked")
    retries: Retries = Field(default_factory=Retries, description="how long a request is tried")
    tenant_header: HeaderName | None = Field(default=None, description="the header that names the tenant")
    tenants: list[Line] = Field(default=[], description="the tenants; each gets all endpoints", min_length=1)
    clients: dict[str, Client] = Field(default={}, description="what is different, by the client's name")
    bucket: Line = Field(default="", description="where raw files go: a bucket, gs://bucket/prefix or a local folder")
    dataset: Line = Field(default="", description="the dataset of the raw tables", examples=["raw_{client_name}"])
    project: Line = Field(default="", description="the project that pays; --project goes before it")
    metadata_table: Table | None = Field(default=None, description="where runs are recorded")
    raw_mode: Literal["typed", "json"] = Field(
        default="typed", description="raw tables with typed columns, or with one JSON column"
    )
    notifications: Notifications = Field(default_factory=Notifications, description="who is told how a run ended")
    endpoint_defaults: Endpoint = Field(
        default_factory=Endpoint, description="keys of endpoints that do not have them themselves"
    )
    endpoints: dict[str, Endpoint] = Field(default={}, description="the endpoints, by name")


def json_schema() -> dict[str, Any]:
    """The JSON Schema, draft 2020-12, of a configuration."""
    schema = Document.model_json_schema(by_alias=True)
    for key in ("endpoints", "clients"):
        schema["properties"][key]["propertyNames"] = {"pattern": NAME}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Wharf: api_to_bigquery",
        **_without_titles(schema),
        "required": ["api", "base_url", "bucket", "dataset", "endpoints"],
    }
