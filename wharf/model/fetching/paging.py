"""How one page leads to the next: `(endpoint, request, page) -> the next request, or None at the end`.

Nothing here asks or remembers anything: what a later page must know of earlier ones travels in its request, which can
be written down as JSON and taken up again by another process.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import quote, urlencode

from wharf.model.errors import RunFailed
from wharf.model.fetching.api import Endpoint, Paging
from wharf.model.fetching.json_path import json_path
from wharf.model.fetching.links import near, next_in_header

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class Request:
    """One GET. `headers` are all of them but those of authorisation and the User-Agent.

    `number` counts the pages of a fetch from 1, whatever the API calls them; `seen` are the records of the pages before
    this one, `full` those of the first page.
    """

    url: str  # absolute; of a next link with its query
    params: Pairs = ()
    headers: Pairs = ()
    number: int = 1
    seen: int = 0
    full: int = 0

    @cached_property
    def full_url(self) -> str:
        """URL and parameters, encoded as they are sent."""
        if not self.params:
            return self.url
        joint = "&" if "?" in self.url else "?"
        return f"{self.url}{joint}{urlencode(self.params, quote_via=quote, safe='/,:')}"

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Request:
        """What `dataclasses.asdict` gave, also when it was JSON in between."""
        pairs = {name: tuple((key, value) for key, value in data[name]) for name in ("params", "headers")}
        return cls(**{**data, **pairs})


@dataclass(frozen=True, kw_only=True)
class Page:
    """An answer as its paging sees it; `number` is its request's. `records` are those of `body`, not copies."""

    status: int
    headers: Mapping[str, str]
    body: Any = field(repr=False)
    records: Sequence[dict[str, Any]] = field(repr=False)
    number: int

    def header(self, name: str) -> str:
        """The value of a header, whatever its case; empty if there is none."""
        return next((value for key, value in self.headers.items() if key.lower() == name.lower()), "")

    def value(self, place: str) -> Any:
        """What is at `place`, a JSONPath in the body or `header:NAME`; None if nothing is."""
        if place.startswith("header:"):
            return self.header(place.removeprefix("header:").strip()) or None
        return json_path(place).first(self.body) if place else None


def first(endpoint: Endpoint, opening: Request) -> Request:
    """The request of the first page, from one that has everything but paging (see `requests.opening`)."""
    paging = endpoint.paging
    params = opening.params
    if paging.size_param and paging.size:
        params = with_param(params, paging.size_param, str(paging.size))
    # What was asked for already stays, such as an offset to go on from.
    if paging.kind in {"page", "offset"} and paging.param not in dict(params):
        start = paging.first if paging.kind == "page" else 0
        params = with_param(params, paging.param, str(start))
    return dataclasses.replace(opening, params=params)


def next_request(endpoint: Endpoint, request: Request, page: Page) -> Request | None:
    """The request of the page behind `page`, which answered `request`; None if that was the last one.

    Raises: RunFailed if the answer leads away from the API's host, or says something that is no cursor or number.
    """
    paging = endpoint.paging
    if paging.kind == "none" or _says_no_more(endpoint, page):
        return None
    if paging.kind == "cursor":
        cursor = page.value(paging.cursor)
        if cursor is None or cursor is False or cursor == "":
            _check_end(endpoint, page, paging.cursor)
            return None
        return _after(request, page, params=with_param(request.params, paging.param, _text(endpoint, page, cursor)))
    if paging.kind == "link":
        link = _next_link(endpoint, page)
        if not link:
            _check_end(endpoint, page, paging.link)
            return None
        try:
            url = near(request.url, link)
        except ValueError as error:
            raise _strange(endpoint, page, f"the link to the next page {error}") from None
        return _after(request, page, url=url, params=())
    if _is_last(endpoint, request, page):
        return None
    following = _following(endpoint, request, page)
    return _after(request, page, params=with_param(request.params, paging.param, following))


def rest(endpoint: Endpoint, request: Request, page: Page) -> tuple[Request, ...]:
    """The requests of all further pages, to be sent side by side; empty where only one page leads to the next.

    They are known once the first page says how many pages or records there are, and pages are numbered.
    """
    paging, size = endpoint.paging, len(page.records)
    if paging.kind not in {"page", "offset"} or paging.offset_from or not size or _says_no_more(endpoint, page):
        return ()
    pages = pages_of(endpoint, page)
    if pages is None and (total := total_of(endpoint, page)) is not None:
        pages = request.number + -(-(total - request.seen - size) // size)
    found: list[Request] = []
    while pages is not None and request.number < pages:
        step = 1 if paging.kind == "page" else size
        following = str(int(dict(request.params)[paging.param]) + step)
        request = _after(request, page, params=with_param(request.params, paging.param, following))
        found.append(request)
    return tuple(found)


def is_lasting(paging: Paging) -> bool:
    """Whether a request of a later page asks for the same when records have come and gone before it.

    What stands behind a record does; the number of a page does not, and a link may hold one.
    """
    return paging.kind in {"none", "cursor"} or bool(paging.offset_from)


def total_of(endpoint: Endpoint, page: Page) -> int | None:
    """How many records there are, as `page` has it; None if it does not say."""
    return _whole_number(endpoint, page, endpoint.paging.total, "number of records")


def pages_of(endpoint: Endpoint, page: Page) -> int | None:
    """How many pages there are, as `page` has it; None if it does not say."""
    return _whole_number(endpoint, page, endpoint.paging.pages, "number of pages")


def page_said(endpoint: Endpoint, page: Page) -> int | None:
    """Which page the server says this is; None if it does not say."""
    return _whole_number(endpoint, page, endpoint.paging.page, "number of the page")


def with_param(params: Pairs, name: str, value: str) -> Pairs:
    """`params` with one parameter set, in its place if it was there."""
    if any(key == name for key, _ in params):
        return tuple((key, value if key == name else old) for key, old in params)
    return (*params, (name, value))


def _after(request: Request, page: Page, **changes: Any) -> Request:
    return dataclasses.replace(
        request,
        number=request.number + 1,
        seen=request.seen + len(page.records),
        full=request.full or len(page.records),
        **changes,
    )


def _check_end(endpoint: Endpoint, page: Page, place: str) -> None:
    """Refuse to end where the API says that there is more, or with a first page that is full and names no other.

    Nobody can tell such a page from a wrong `place`. What says null there, or has other links, has said that it is all.
    """
    paging, count = endpoint.paging, len(page.records)
    if page.value(paging.more) is not None:
        raise _strange(endpoint, page, f"{paging.more} says that there is more, and nothing at {place} leads on")
    is_whole = page.number > 1 or not paging.size or count < paging.size or total_of(endpoint, page) is not None
    if (
        is_whole
        or page.value(place) is not None
        or (not place.startswith("header:") and json_path(place).all(page.body))
    ):
        return
    raise RunFailed(
        f"endpoint {endpoint.name}, page 1: it is full ({count} records), and nothing is at {place}, which would lead "
        f"to the next one; is it called so? If there are no more records, ask for another size than {paging.size}"
    )


def _says_no_more(endpoint: Endpoint, page: Page) -> bool:
    more = page.value(endpoint.paging.more)
    return more is not None and str(more).lower() in {"false", "0", "no"}


def _is_last(endpoint: Endpoint, request: Request, page: Page) -> bool:
    """Whether numbered pages end here. Only an empty page ends them where nothing promises more than that."""
    paging, records = endpoint.paging, len(page.records)
    if page.value(paging.more) is not None:
        return False  # it said that there is more
    if (pages := pages_of(endpoint, page)) is not None:
        return request.number >= pages
    if (total := total_of(endpoint, page)) is not None:
        return request.seen + records >= total or not records
    # A server may cap the size that it is asked for: then the first page, not the size, says what a full page is.
    full = (request.full or records) if paging.size_param else paging.size
    return not records or bool(paging.size and records < full)


def _following(endpoint: Endpoint, request: Request, page: Page) -> str:
    paging = endpoint.paging
    if paging.offset_from:
        value = json_path(paging.offset_from).first(page.records[-1]) if page.records else None
        return _text(endpoint, page, value)
    now = int(dict(request.params)[paging.param])
    return str(now + (1 if paging.kind == "page" else len(page.records)))


def _next_link(endpoint: Endpoint, page: Page) -> str:
    place = endpoint.paging.link
    link = page.value(place)
    if link is None or link is False:
        return ""
    text = _text(endpoint, page, link)
    return next_in_header(text) if place.startswith("header:") else text.strip()


def _whole_number(endpoint: Endpoint, page: Page, place: str, name: str) -> int | None:
    value = page.value(place)
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:  # -1 means: not counted
        return value
    if isinstance(value, str | float) and re.fullmatch(r"\d+(\.0*)?", str(value)):
        return int(float(value))
    raise _strange(endpoint, page, f"the {name} at {place} is not a whole number")


def _text(endpoint: Endpoint, page: Page, value: Any) -> str:
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return str(value)
    raise _strange(endpoint, page, "what should lead to the next page is neither text nor a number")


def _strange(endpoint: Endpoint, page: Page, what: str) -> RunFailed:
    return RunFailed(f"endpoint {endpoint.name}, page {page.number}: {what}; does its paging fit this API?")
