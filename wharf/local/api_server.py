"""APIs on this machine that behave like Xero's and others', with data made up: `python -m wharf.local.api_server`.

    POST /connect/token                   OAuth2: client_credentials, refresh_token with rotation
    GET  /api.xro/2.0/{Invoices,...}      as Xero: page/pageSize, Journals by offset, others whole; xero-tenant-id,
                                          If-Modified-Since; limits per minute, day and app with Xero's headers
    GET  /orgs/{org}/repos                as GitHub: page/per_page and Link headers
    GET  /orgs/{org}/issues               the same
    GET  /repos/{org}/{repo}/releases     the same, of each repository; and issues
    GET  /rate_limit                      one object, not paged
    GET  /v1/events?cursor=&limit=        the cursor in the body (next_cursor); /v1/audit: in the header X-Next-Cursor
    GET  /v2/orders?page=&per_page=       page, pages and total in the body
    GET  /v2/customers?offset=&limit=     offset and total
    GET  /v2/products?page=               the next page's URL in the body
    GET  /shop/customers                  meta.next_cursor and updated_since; orders by starting_after and has_more,
                                          orders/{id}/lines of each of those, events by a cursor in a header

Those that are not Xero's take an access token, or the API key as `Authorization: Bearer`, as password of basic
authorisation, as header `X-Api-Key` or as parameter `api_key`, and are limited like a tenant named `api`.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import datetime as dt
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from aiohttp import web

from wharf.local import api_pages
from wharf.local.api_data import Made, changed, records
from wharf.local.api_limits import Gate, ServerLimits
from wharf.local.api_login import Login
from wharf.local.server_thread import ServerThread


@dataclass(frozen=True)
class Seen:
    """A request as it came."""

    at: float  # time.monotonic()
    tenant: str
    path: str
    status: int


@dataclass
class ApiServer(ServerThread):
    """The server in a thread of its own, inside a `with` block.

    `records`: of each endpoint and tenant. `latency`: seconds per answer. `seen` tells of each request to the API.
    """

    records: int = 250
    tenants: tuple[str, ...] = ("demo-tenant",)
    limits: ServerLimits = field(default_factory=ServerLimits)
    login: Login = field(default_factory=Login)
    api_key: str = field(default="demo-key", repr=False)
    latency: float = 0.0
    port: int = 0

    def __post_init__(self) -> None:
        self.seen: list[Seen] = []
        self._changed: dict[tuple[str, str], Sequence[Made]] = {}
        self._app = self.limits.counter(self.limits.app_per_minute)
        self._gates: dict[str, Gate] = {}

    @property
    def url(self) -> str:
        """Where it listens, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def token_url(self) -> str:
        return f"{self.url}/connect/token"

    def refused(self) -> int:
        """How many requests were answered 429."""
        return sum(seen.status == 429 for seen in self.seen)

    def most_in(self, seconds: float, tenant: str | None = None) -> int:
        """The most requests that were let in within any `seconds`."""
        times = sorted(seen.at for seen in self.seen if seen.status != 429 and tenant in {None, seen.tenant})
        first = most = 0
        for last, at in enumerate(times):
            while times[first] <= at - seconds:
                first += 1
            most = max(most, last - first + 1)
        return most

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """The answer to a request that is authorised and within the limits; subclasses have faults here."""
        return api_pages.answer(request, self)

    def held(self, tenant: str, name: str) -> Sequence[Made]:
        """The records of a tenant's endpoint."""
        return self._changed.get((tenant, name)) or records(tenant, name, self.records)

    def change(self, tenant: str, name: str, count: int, **fields: object) -> None:
        """Give the last `count` of them other values now."""
        found = changed(self.held(tenant, name), count, dt.datetime.now(dt.UTC), **fields)
        self._changed[tenant, name] = found

    def gate(self, tenant: str) -> Gate:
        """Where a tenant's requests are counted."""
        if tenant not in self._gates:
            self._gates[tenant] = Gate(self.limits, self._app)
        return self._gates[tenant]

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/connect/token" and request.method == "POST":
            return await self.login.answer(request)
        tenant = request.headers.get("xero-tenant-id", "") if request.path.startswith("/api.xro/") else "api"
        at, status = time.monotonic(), 0
        try:
            response = self._stranger(request, tenant) or await self._let_in(request, tenant, at)
            status = response.status
            return response
        finally:
            self.seen.append(Seen(at, tenant, request.path_qs, status))

    def _stranger(self, request: web.Request, tenant: str) -> web.Response | None:
        """The answer to a request that is not authorised."""
        if tenant == "api":
            secret = _secret_of(request)
            given = {request.headers.get("x-api-key"), request.query.get("api_key"), secret}
            return (
                None
                if self.api_key in given or self.login.counts(secret)
                else web.json_response({"message": "Bad credentials"}, status=401)
            )
        if not self.login.counts(_secret_of(request)):
            return web.json_response({"Title": "Unauthorized", "Detail": "TokenExpired"}, status=401)
        if tenant not in self.tenants:
            return web.json_response({"Title": "Forbidden", "Detail": "AuthenticationUnsuccessful"}, status=403)
        return None

    async def _let_in(self, request: web.Request, tenant: str, at: float) -> web.StreamResponse:
        gate = self.gate(tenant)
        refusal = gate.refusal(at)
        if refusal is not None:
            return web.Response(status=429, headers=refusal)
        headers = gate.headers(at)
        gate.running += 1
        try:
            if self.latency:
                await asyncio.sleep(self.latency)
            response = await self.answer(request)
        except ValueError as error:
            response = web.json_response({"Title": "Bad Request", "Detail": str(error)}, status=400)
        finally:
            gate.running -= 1
        if not response.prepared:
            response.headers.update(headers)
        return response

    def runner(self) -> web.ServerRunner:
        handle: Callable[[web.Request], Awaitable[web.StreamResponse]] = self._handle
        return web.ServerRunner(web.Server(handle, access_log=None), shutdown_timeout=0.1)  # type: ignore[arg-type]


def _secret_of(request: web.Request) -> str:
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        return base64.b64decode(value).decode().partition(":")[2]
    return value


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description="APIs that behave like Xero's and others'")
    parser.add_argument("--port", type=int, default=8765)
    parser.add_argument("--records", type=int, default=250)
    parser.add_argument("--per_minute", type=int, default=60)
    arguments = parser.parse_args()
    limits = ServerLimits(per_minute=arguments.per_minute)
    with ApiServer(port=arguments.port, records=arguments.records, limits=limits) as server:
        login = server.login
        print(f"{server.url}  tenant {server.tenants[0]}, client {login.client_id}, secret {login.client_secret}")
        print(f"refresh token {login.refresh_token}, API key {server.api_key}", flush=True)
        server.wait()


if __name__ == "__main__":
    main()
