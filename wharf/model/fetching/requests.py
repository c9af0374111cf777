"""The first request of an endpoint: base URL, parent's fields, parameters, headers, tenant and cursor in it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from wharf.model.errors import RunFailed
from wharf.model.fetching import paging
from wharf.model.fetching.api import Api, Endpoint
from wharf.model.fetching.cursors import sent
from wharf.model.fetching.json_path import json_path
from wharf.model.fetching.paging import Pairs, Request, with_param

PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


def first_request(
    api: Api, endpoint: Endpoint, *, tenant: str = "", cursor: str = "", parent: Mapping[str, str] | None = None
) -> Request:
    """The request of an endpoint's first page.

    `cursor`: the last one that was committed. `parent`: what `parents` found for one record of the parent.

    Raises: RunFailed if the cursor cannot be sent.
    """
    return paging.first(endpoint, opening(api, endpoint, tenant=tenant, cursor=cursor, parent=parent))


def opening(
    api: Api, endpoint: Endpoint, *, tenant: str = "", cursor: str = "", parent: Mapping[str, str] | None = None
) -> Request:
    """The same without what its paging adds."""
    fields = parent or {}
    path = PLACEHOLDER.sub(lambda match: quote(fields[match[1]], safe=""), endpoint.path)
    params: Pairs = tuple(
        (name, PLACEHOLDER.sub(lambda match: fields[match[1]], value)) for name, value in endpoint.params
    )
    headers = list(api.headers) + list(endpoint.headers)
    if api.tenant_header and tenant:
        headers.append((api.tenant_header, tenant))
    if (incremental := endpoint.incremental) and (since := sent(incremental, cursor)):
        if incremental.header:
            headers.append((incremental.header, since))
        else:
            params = with_param(params, incremental.param, since)
    return Request(
        url=f"{api.base_url.rstrip('/')}/{path.lstrip('/')}".rstrip("/"),
        params=params,
        headers=tuple({name.lower(): (name, value) for name, value in headers}.values()),  # the last of a name counts
    )


def parents(endpoint: Endpoint, records: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, str]]:
    """What fills the placeholders of a child `endpoint`, for each record of its parent that has it.

    Raises: RunFailed if a value is neither text nor a number.
    """
    paths = [(name, json_path(path)) for name, path in endpoint.parent_fields]
    for record in records:
        values = {name: path.first(record) for name, path in paths}
        if any(value is None or value == "" for value in values.values()):
            continue
        for name, value in values.items():
            if not isinstance(value, str | int | float):
                raise RunFailed(
                    f"endpoint {endpoint.name}: {name} of a record of {endpoint.parent} is neither text nor a number; "
                    "which field does parent_fields mean?"
                )
        yield {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in values.items()}
