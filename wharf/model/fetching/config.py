"""The configuration of an API for one client, as typed values; validated once, at the edge.

    text + environment variables + client's name -> ApiConfig

`wharf.model.fetching.document` says what each key may hold; here and in the modules beside it (`config_auth`,
`config_endpoints`) stands what keys mean together. A mistake does not hide another one.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from wharf.model.config_document import NAME
from wharf.model.config_mistakes import Findings
from wharf.model.config_notifications import level, settings
from wharf.model.errors import UsageError
from wharf.model.fetching import document as written
from wharf.model.fetching.api import Api, Limits, Retries
from wharf.model.fetching.config_auth import auth_of
from wharf.model.fetching.config_endpoints import endpoints_of, headers_of
from wharf.model.flags import nearest
from wharf.model.json_document import Place, parse
from wharf.model.notification import Notifications
from wharf.model.schema import TableId

METADATA_TABLE = "wharf.api_fetches"
_LOCAL = {"localhost", "127.0.0.1", "::1"}


@dataclass(frozen=True, kw_only=True)
class ApiConfig:
    """A whole configuration, complete and checked; holds references to secrets and no secret."""

    uri: str  # where it was read from
    api: Api
    bucket: str  # gs://BUCKET[/PREFIX] or a local folder, without a slash at its end
    dataset: str
    project: str  # empty: the credentials' own
    metadata_table: str  # project.dataset.table, or dataset.table in `project`
    raw_mode: str  # typed or json
    notifications: Notifications
    warnings: tuple[str, ...] = ()


def load_api(
    text: str, *, uri: str, variables: Mapping[str, str] | None = None, client_name: str = "", project: str = ""
) -> ApiConfig:
    """The configuration that `text`, read from `uri`, describes for a client.

    `client_name` and `project` go before everything else. Of `variables`, CLIENT_NAME goes before the document's
    client, and GOOGLE_CLOUD_PROJECT counts where the document names no project.

    Raises: DocumentError, a UsageError, that lists every mistake by its path.
    """
    variables = variables or {}
    data, repeated = parse(text, uri)
    findings = Findings({})
    for place in repeated:
        findings.wrong(place, "is given more than once: keep one")
    client_name = _client_name(data, client_name or variables.get("CLIENT_NAME", ""), findings)
    # Endpoints are checked one by one, so that one with a mistake does not hide another one's.
    raw = _filled({**data, "endpoints": {}}, client_name)
    document = findings.check(raw, written.Document, ())
    client = document.clients.get(client_name, written.Client())
    api = Api(
        name=document.api or "",
        client_name=client_name,
        base_url=_base_url(document, client, client_name, findings),
        headers=tuple(
            {
                **dict(headers_of(document.headers, ("headers",), findings)),
                **dict(headers_of(client.headers, ("clients", client_name, "headers"), findings)),
            }.items()
        ),
        auth=auth_of(
            [(document.auth, ("auth",)), (client.auth, ("clients", client_name, "auth"))], uri=uri, findings=findings
        ),
        limits=Limits(**document.limits.model_dump(exclude={"minute_remaining", "day_remaining"})),
        retries=Retries(**document.retries.model_dump()),
        tenant_header=document.tenant_header or "",
        tenants=_tenants(document, client, client_name, findings),
        endpoints=endpoints_of(_filled(data.get("endpoints"), client_name), document.endpoint_defaults, findings),
        minute_remaining=document.limits.minute_remaining or "",
        day_remaining=document.limits.day_remaining or "",
    )
    if not document.api and findings.sound((), "api"):
        findings.wrong(("api",), "is missing: a name for the API, such as xero")
    said = level(document.notifications, ("notifications",), uri, findings)
    _check_encryption(api, findings)
    config = ApiConfig(
        uri=uri,
        api=api,
        bucket=_bucket(document, client, client_name, findings),
        dataset=_dataset(document, client, client_name, findings),
        project=project or client.project or document.project or variables.get("GOOGLE_CLOUD_PROJECT", ""),
        metadata_table=_metadata_table(document, findings),
        raw_mode=document.raw_mode,
        notifications=settings(
            said, {"slack": ("notifications", "slack"), "email": ("notifications", "email")}, findings
        ),
        warnings=findings.warnings,
    )
    findings.raise_if_any(uri)
    return config


def select(api: Api, names: Sequence[str]) -> Api:
    """`api` with the endpoints called `names` and those that they are fetched for; all of them if there are no names.

    Raises: UsageError for a name that there is not.
    """
    by_name = {endpoint.name: endpoint for endpoint in api.endpoints}
    wanted: set[str] = set()
    for name in names:
        if name not in by_name:
            raise UsageError(f"--endpoints: {api.name} has no endpoint {name!r}{nearest(name, by_name)}")
        while name:
            wanted.add(name)
            name = by_name[name].parent
    return dataclasses.replace(
        api, endpoints=tuple(each for each in api.endpoints if not wanted or each.name in wanted)
    )


def check_remote_secrets(config: ApiConfig) -> None:
    """Make sure that workers on other machines can read every secret.

    Raises: UsageError for a reference to something that only this machine has.
    """
    auth, told = config.api.auth, config.notifications
    found = [auth.password, auth.client_id, auth.client_secret, auth.token]
    found += [told.slack.webhook if told.slack else None, told.email.password if told.email else None]
    for secret in filter(None, found):
        if secret.scheme in {"env", "file"} or (secret.scheme == "config" and not secret.rest.startswith("gs://")):
            raise UsageError(
                f"{secret} is a secret that workers cannot read: keep it in Secret Manager and refer to it by "
                "projects/PROJECT/secrets/NAME"
            )


def _client_name(data: Mapping[str, Any], said: str, findings: Findings) -> str:
    own, clients = data.get("client_name"), data.get("clients")
    clients = clients if isinstance(clients, dict) else {}
    name = said or (own if isinstance(own, str) else "")
    if not name and len(clients) == 1:
        name = next(iter(clients))
    place: Place = ("client_name",)
    if not name:
        known = f"; there are {', '.join(clients)}" if clients else ", or write it here"
        findings.wrong(place, f"is missing: give --client_name, or set CLIENT_NAME{known}")
    elif not re.fullmatch(NAME, name):
        findings.wrong(place, f"{name[:60]!r} is no name: use letters, digits, '.', '_' and '-'")
    elif clients and name not in clients:
        findings.wrong(("clients",), f"has no {name!r}{nearest(name, clients)}")
    return name


def _filled(data: Any, client_name: str) -> Any:
    """A copy of `data` with the client's name in its texts; without a name, which is a mistake already, as it is."""
    if isinstance(data, str):
        return data.replace("{client_name}", client_name) if client_name else data
    if isinstance(data, list):
        return [_filled(item, client_name) for item in data]
    if isinstance(data, dict):
        return {key: _filled(value, client_name) for key, value in data.items()}
    return data


def _written(key: str, document: written.Document, client: written.Client, client_name: str) -> tuple[str, Place]:
    """What the client or else the document says at `key`, and where that stands."""
    own: str = getattr(client, key)
    return (own, ("clients", client_name, key)) if own else (getattr(document, key), (key,))


def _base_url(document: written.Document, client: written.Client, client_name: str, findings: Findings) -> str:
    url, place = _written("base_url", document, client, client_name)
    try:
        parts = urlsplit(url)
        sound = parts.scheme in {"http", "https"} and parts.hostname and parts.netloc.isascii() and (parts.port or True)
    except ValueError:
        sound = False
    if not url and findings.sound((), "base_url"):
        findings.wrong(place, "is missing: the URL that paths stand below, such as https://api.example.com/v1")
    elif url and (not sound or parts.query or parts.fragment):
        findings.wrong(place, "is not a URL like https://api.example.com/v1")
    elif url and (parts.username or parts.password):
        findings.wrong(place, "holds credentials: write them as auth, by a reference")
    return url.rstrip("/")


def _tenants(
    document: written.Document, client: written.Client, client_name: str, findings: Findings
) -> tuple[str, ...]:
    place: Place = ("clients", client_name, "tenants") if client.tenants else ("tenants",)
    tenants = client.tenants or document.tenants
    if document.tenant_header and not tenants and findings.sound((), "tenants", "clients", "tenant_header"):
        findings.wrong(place, f"is missing: whom does {document.tenant_header} name?")
    if len(tenants) > 1 and not document.tenant_header and findings.sound((), "tenant_header"):
        findings.wrong(("tenant_header",), "is missing: without it each tenant would get the same answers")
    for index, tenant in enumerate(tenants):
        if not tenant.strip() or tenant in tenants[:index]:
            findings.wrong((*place, index), "is empty, or there already")
    return tuple(tenants) or ("",)


def _bucket(document: written.Document, client: written.Client, client_name: str, findings: Findings) -> str:
    bucket, place = _written("bucket", document, client, client_name)
    if not bucket:
        if findings.sound((), "bucket"):
            findings.wrong(place, "is missing: a bucket, gs://bucket/prefix or a local folder for the raw files")
    elif re.fullmatch(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]", bucket):
        return f"gs://{bucket}"
    elif not re.match(r"gs://[a-z0-9]|[/~.]", bucket):
        findings.wrong(place, "is neither a bucket's name nor gs://bucket/prefix nor a folder like /data or ./data")
    return bucket.rstrip("/") or "/"


def _dataset(document: written.Document, client: written.Client, client_name: str, findings: Findings) -> str:
    dataset, place = _written("dataset", document, client, client_name)
    if not dataset and findings.sound((), "dataset"):
        findings.wrong(place, "is missing: the dataset of the raw tables")
    elif dataset and not re.fullmatch(r"\w{1,1024}", dataset, re.ASCII):
        findings.wrong(place, f"{dataset[:60]!r} is no dataset's name: use letters, digits and underscores")
    return dataset


def _metadata_table(document: written.Document, findings: Findings) -> str:
    table = document.metadata_table or METADATA_TABLE
    try:
        TableId.parse(table, flag="metadata_table", project="project")
    except UsageError:
        findings.wrong(("metadata_table",), "is not a table's name: write project.dataset.table")
    return table


def _check_encryption(api: Api, findings: Findings) -> None:
    try:
        parts = urlsplit(api.base_url)
    except ValueError:
        return
    if parts.scheme == "http" and parts.hostname not in _LOCAL and api.auth.kind != "none":
        findings.doubtful(("base_url",), "http:// sends credentials unencrypted: anybody on the way can read them")
