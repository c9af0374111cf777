"""Pages as the local API server sends them: as Xero, as GitHub, and as others have it."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from aiohttp import web

from wharf.local.api_data import XERO, Made, changed_since, lines, xero_page


class Holds(Protocol):
    """What a server has."""

    def held(self, tenant: str, name: str) -> Sequence[Made]:
        """The records of a tenant's endpoint."""

    @property
    def url(self) -> str: ...


def answer(request: web.Request, server: Holds) -> web.Response:
    """The answer to a GET. Raises: ValueError if a parameter is wrong."""
    path = request.path.rstrip("/")
    if path.startswith("/api.xro/2.0/") and path.rpartition("/")[2] in XERO:
        return _xero(request, path.rpartition("/")[2], server)
    for pattern, respond in _OTHERS.items():
        if re.fullmatch(pattern, path):
            name = path.strip("/").replace("/", "-")
            found = changed_since(server.held("api", name), request.query.get("since"))
            return respond(request, found, f"{server.url}{path}")
    return web.json_response({"message": "Not Found"}, status=404)


def _xero(request: web.Request, name: str, server: Holds) -> web.Response:
    found = changed_since(
        server.held(request.headers["xero-tenant-id"], name), request.headers.get("If-Modified-Since")
    )
    way = XERO[name][1]
    size = _number(request, "pageSize", 100, most=1000) if way == "page" else None
    page = _number(request, "page", 1) if way in {"page", "plain"} and "page" in request.query else None
    offset = _number(request, "offset", 0) if way == "offset" else None
    return _json(xero_page(name, found, page=page, size=size, offset=offset))


def _linked(request: web.Request, found: Sequence[Made], url: str) -> web.Response:
    page, size = _number(request, "page", 1), _number(request, "per_page", 30, most=100)
    last = max(1, -(-len(found) // size))
    kept = "".join(f"&{name}={value}" for name, value in request.query.items() if name not in {"page", "per_page"})
    links = [f'<{url}?page={number}&per_page={size}{kept}>; rel="{rel}"' for rel, number in _relations(page, last)]
    response = _json(lines(found[(page - 1) * size : page * size]))
    if links:
        response.headers["Link"] = ", ".join(links)
    return response


def _relations(page: int, last: int) -> list[tuple[str, int]]:
    relations = [("first", 1), ("prev", page - 1)] if page > 1 else []
    return [*relations, ("next", page + 1), ("last", last)] if page < last else relations


def _cursor(request: web.Request, found: Sequence[Made], url: str) -> web.Response:
    part, following = _part(request, found)
    if url.endswith("/audit"):
        response = _json(lines(part))
        if following:
            response.headers["X-Next-Cursor"] = following
        return response
    return _body("data", part, next_cursor=following, has_more=following is not None)


def _pages(request: web.Request, found: Sequence[Made], url: str) -> web.Response:
    page, size = _number(request, "page", 1), _number(request, "per_page", 100, most=1000)
    part = found[(page - 1) * size : page * size]
    return _body("orders", part, page=page, pages=-(-len(found) // size), total=len(found))


def _offset(request: web.Request, found: Sequence[Made], url: str) -> web.Response:
    offset, size = _number(request, "offset", 0), _number(request, "limit", 100, most=1000)
    return _body("items", found[offset : offset + size], offset=offset, total=len(found))


def _next_url(request: web.Request, found: Sequence[Made], url: str) -> web.Response:
    page, size = _number(request, "page", 1), 100
    following = f"{url}?page={page + 1}" if page * size < len(found) else None
    return _body("results", found[(page - 1) * size : page * size], next=following)


def _limits(request: web.Request, found: Sequence[Made], url: str) -> web.Response:
    return web.json_response({"resources": {"core": {"limit": 5000, "remaining": 4999}}})


def _customers(request: web.Request, found: Sequence[Made], url: str) -> web.Response:
    since = dt.datetime.fromtimestamp(_number(request, "updated_since", 0, most=1 << 40), dt.UTC)
    part, following = _part(request, [made for made in found if made.changed > since])
    return _body("data", part, meta={"next_cursor": following})


def _sold(request: web.Request, found: Sequence[Made], url: str) -> web.Response:
    after, size = _number(request, "starting_after", 0), _number(request, "limit", 100, most=1000)
    rest = [made for made in found if made.record["id"] > after]
    return _body("data", rest[:size], has_more=len(rest) > size)


def _order_lines(request: web.Request, found: Sequence[Made], url: str) -> web.Response:
    order = int(url.split("/")[-2])
    sold = [{"order_id": order, "line_no": number, "quantity": order % 5 + 1} for number in range(1, order % 3 + 2)]
    return web.json_response({"lines": sold})


def _happened(request: web.Request, found: Sequence[Made], url: str) -> web.Response:
    after = _number(request, "after_id", 0)
    part, following = _part(request, [made for made in found if made.record["id"] > after], "after")
    response = _body("events", part, count=len(part))
    if following:
        response.headers["X-Next-Cursor"] = following
    return response


_OTHERS: dict[str, Callable[[web.Request, Sequence[Made], str], web.Response]] = {
    r"/orgs/[\w-]+/repos": _linked,
    r"/orgs/[\w-]+/issues": _linked,
    r"/repos/[\w-]+/[\w-]+/(issues|releases)": _linked,
    r"/rate_limit": _limits,
    r"/v1/(events|audit)": _cursor,
    r"/v2/orders": _pages,
    r"/v2/customers": _offset,
    r"/v2/products": _next_url,
    r"/shop/customers": _customers,
    r"/shop/orders": _sold,
    r"/shop/orders/\d+/lines": _order_lines,
    r"/shop/events": _happened,
}


def _part(request: web.Request, found: Sequence[Made], name: str = "cursor") -> tuple[Sequence[Made], str | None]:
    """The page that the parameter `name` leads to, and the cursor of the next one."""
    cursor, size = request.query.get(name) or "c0", _number(request, "limit", 100, most=1000)
    if not re.fullmatch(r"c\d+", cursor):
        raise ValueError("there is no such cursor")
    start = int(cursor[1:])
    return found[start : start + size], f"c{start + size}" if start + size < len(found) else None


def _number(request: web.Request, name: str, default: int, most: int = 1_000_000_000) -> int:
    number = int(request.query.get(name, default))
    if not 0 <= number <= most:
        raise ValueError(f"{name} is out of range")
    return number


def _body(name: str, found: Sequence[Made], **more: Any) -> web.Response:
    return _json(b'{"' + name.encode() + b'": ' + lines(found) + b", " + json.dumps(more)[1:].encode())


def _json(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/json", charset="utf-8")
