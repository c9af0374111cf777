"""Small APIs as functions, and the loop that fetches all their pages: what tests of paging and guards are made of."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from wharf.model.fetching.api import Endpoint, Paging
from wharf.model.fetching.guards import Guard
from wharf.model.fetching.paging import Page, Request, first, next_request, rest
from wharf.model.fetching.records import read_page

Answer = tuple[Mapping[str, str], Any]  # headers and body
Api = Callable[[Request, dict[str, str]], Answer]
URL = "https://api.example/things"


def endpoint(paging: Paging | None = None, **keys: Any) -> Endpoint:
    keys = {"name": "things", "path": "things", "records": "$.data[*]", **keys}
    return Endpoint(paging=paging or Paging(), **keys)


def things(count: int) -> list[dict[str, Any]]:
    return [{"id": number} for number in range(count)]


def page_of(body: Any, *, number: int = 1, headers: Mapping[str, str] | None = None) -> Page:
    records = body.get("data", []) if isinstance(body, dict) else []
    return Page(status=200, headers=headers or {}, body=body, records=records, number=number)


def pages(declared: Endpoint, api: Api, *, guarded: bool = True) -> Iterator[tuple[Request, Page]]:
    """Each request with its page, from the first to the last, one after the other."""
    guard = Guard(declared, max_pages=50)
    request: Request | None = first(declared, Request(url=URL))
    while request:
        page = _ask(declared, api, request, guard if guarded else None)
        yield request, page
        request = next_request(declared, Request.from_dict(json.loads(json.dumps(asdict(request)))), page)
    guard.finish()


def pages_side_by_side(declared: Endpoint, api: Api) -> Iterator[tuple[Request, Page]]:
    """The same, with all pages behind the first asked for in any order."""
    guard = Guard(declared, max_pages=50)
    request = first(declared, Request(url=URL))
    page = _ask(declared, api, request, guard)
    yield request, page
    for further in reversed(rest(declared, request, page)):
        yield further, _ask(declared, api, further, guard)
    guard.finish()


def ids(fetched: Iterator[tuple[Request, Page]]) -> list[int]:
    return [record["id"] for _, page in fetched for record in page.records]


def _ask(declared: Endpoint, api: Api, request: Request, guard: Guard | None) -> Page:
    headers, body = api(request, dict(request.params))
    text = json.dumps(body).encode()
    page = read_page(declared, request, 200, headers, text)
    if guard:
        guard.see(request, page, text)
    return page
