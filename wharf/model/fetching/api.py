"""A declared API: where it is, how one logs in, how fast it may be asked, and its endpoints."""

from __future__ import annotations

from dataclasses import dataclass, field

from wharf.model.secrets import SecretRef


@dataclass(frozen=True, kw_only=True)
class Auth:
    """How requests are authorised. `kind` says which of the other fields count.

    none | basic (username, password) | api_key (header or param, password) | bearer (password) |
    client_credentials (token_url, client_id, client_secret, scope) |
    refresh_token (token_url, client_id, client_secret, token: where the current refresh token is kept and rotated)
    """

    kind: str = "none"
    username: str = ""
    password: SecretRef | None = None
    header: str = ""
    param: str = ""
    token_url: str = ""
    client_id: SecretRef | None = None
    client_secret: SecretRef | None = None
    scope: str = ""
    token: SecretRef | None = None  # file:PATH, or projects/P/secrets/S without a version


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What the API allows each tenant, and all tenants of the app together; None: no such limit.

    The server's own headers correct it while a run goes on.
    """

    concurrent: int = 5
    per_minute: int | None = None
    per_day: int | None = None
    app_per_minute: int | None = None
    burst: int | None = None  # that may go at once after a pause; None: a minute's worth, as windows allow it


@dataclass(frozen=True, kw_only=True)
class Retries:
    """How long a request is tried: attempts, and seconds in all."""

    attempts: int = 8
    total_seconds: float = 600.0
    timeout_seconds: float = 60.0


@dataclass(frozen=True, kw_only=True)
class Paging:
    """How pages follow one another. `kind` says which fields count.

    none | page (param, size_param, size, first) | offset (param, size_param, size; or `offset_from`: JSONPath of the
    last record's value that is the next offset, as Xero's Journals have it) |
    cursor (param, cursor: JSONPath in the body, or `header:NAME`) |
    link (link: JSONPath of the next URL in the body, or `header:Link` for RFC 8288)
    """

    kind: str = "none"
    param: str = ""
    size_param: str = ""
    size: int = 0
    first: int = 1
    cursor: str = ""
    link: str = ""
    offset_from: str = ""
    total: str = ""  # JSONPath, or header:NAME, of the number of records there are, where the API says it
    pages: str = ""  # the same of the number of pages; then pages can be fetched side by side
    page: str = ""  # JSONPath of the number of the page that the server says it answered with
    more: str = ""  # JSONPath, or header:NAME, of a true or false: whether there are further pages


@dataclass(frozen=True, kw_only=True)
class Incremental:
    """How only what is new is asked for. `header` (If-Modified-Since) or `param` carries the cursor.

    `cursor`: JSONPath in a record of the value whose highest is the next cursor; empty: the time the run began.
    `format`: strftime of the value sent, `http` (RFC 9110 date), `epoch` or `epoch_ms`; empty: cursors are no times and
    are sent as they are. `lookback_seconds` is asked for once more each time.
    """

    header: str = ""
    param: str = ""
    cursor: str = ""
    format: str = "%Y-%m-%dT%H:%M:%S"
    lookback_seconds: int = 0
    start: str = ""  # where the first run begins; empty: without the condition


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """One thing to fetch. `path` may hold `{field}` of its parent's records; then it is fetched for each of those."""

    name: str
    path: str
    params: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    records: str = "$[*]"  # JSONPath of the records in a page's body
    records_optional: bool = False  # a page may do without what `records` names; that is no record then
    paging: Paging = field(default_factory=Paging)
    incremental: Incremental | None = None
    primary_key: tuple[str, ...] = ()  # JSONPaths in a record
    times: tuple[str, ...] = ()  # fields of a record that are TIMESTAMP columns of a new table
    parent: str = ""  # an endpoint's name
    parent_fields: tuple[tuple[str, str], ...] = ()  # (placeholder, JSONPath in the parent's record)


@dataclass(frozen=True, kw_only=True)
class Api:
    """An API for one client. Its tenants share the app; each gets all endpoints."""

    name: str
    client_name: str
    base_url: str
    headers: tuple[tuple[str, str], ...] = ()
    auth: Auth = field(default_factory=Auth)
    limits: Limits = field(default_factory=Limits)
    retries: Retries = field(default_factory=Retries)
    tenant_header: str = ""  # such as xero-tenant-id
    tenants: tuple[str, ...] = ("",)
    endpoints: tuple[Endpoint, ...] = ()
    minute_remaining: str = ""  # name of the header that tells the requests left in this minute
    day_remaining: str = ""
