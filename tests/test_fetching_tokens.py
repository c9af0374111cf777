"""Tokens: gotten, renewed once for all who wait, and their successors stored before anything depends on them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.servers.api_server import UNLIMITED, ApiServer
from tests.servers.secret_manager import SecretManager
from wharf.connectors.endpoints import Endpoints
from wharf.connectors.fetching.budget import Budget
from wharf.connectors.fetching.http import ApiClient
from wharf.connectors.fetching.tokens import TokenSource
from wharf.local.api_login import Login
from wharf.model.errors import ServerRefused, UsageError, WharfError
from wharf.model.fetching.api import Api, Auth, Limits
from wharf.model.fetching.paging import Request
from wharf.model.secrets import SecretRef

NOWHERE = Endpoints()
FIRST = "demo-refresh-token-0"
SECRET = "projects/p/secrets/xero-refresh"


@pytest.fixture(autouse=True)
def _client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_CLIENT_ID", "demo-client")
    monkeypatch.setenv("TEST_CLIENT_SECRET", "demo-secret")
    monkeypatch.setenv("TEST_API_KEY", "demo-key")


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "refresh-token"
    path.write_text(f"{FIRST}\n")
    return path


def oauth(server: ApiServer, token: str = "", kind: str = "refresh_token") -> Auth:
    return Auth(
        kind=kind,
        token_url=server.token_url,
        client_id=SecretRef("env:TEST_CLIENT_ID"),
        client_secret=SecretRef("env:TEST_CLIENT_SECRET"),
        token=SecretRef(token) if token else None,
    )


async def ask(server: ApiServer, auth: Auth, endpoints: Endpoints = NOWHERE, times: int = 1) -> list[int]:
    """Statuses of requests that are sent at once."""
    xero = auth.kind in {"refresh_token", "client_credentials"}
    path = "/api.xro/2.0/Organisation" if xero else "/v2/orders"
    api = Api(name="xero", client_name="c", base_url=server.url, auth=auth, limits=Limits(concurrent=10))
    headers = (("xero-tenant-id", "demo-tenant"),) if xero else ()
    async with ApiClient(api, Budget(api.limits), TokenSource(auth, endpoints)) as client:
        request = Request(url=f"{server.url}{path}", headers=headers)
        return [answer.status for answer in await asyncio.gather(*(client.get(request) for _ in range(times)))]


def run(main: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(main)


@pytest.mark.parametrize(
    "auth",
    [
        Auth(kind="bearer", password=SecretRef("env:TEST_API_KEY")),
        Auth(kind="basic", username="me", password=SecretRef("env:TEST_API_KEY")),
        Auth(kind="api_key", header="X-Api-Key", password=SecretRef("env:TEST_API_KEY")),
        Auth(kind="api_key", param="api_key", password=SecretRef("env:TEST_API_KEY")),
    ],
    ids=["bearer", "basic", "header", "param"],
)
def test_a_static_key_opens_the_api(auth: Auth) -> None:
    with ApiServer(limits=UNLIMITED) as server:
        assert run(ask(server, auth)) == [200]


def test_client_credentials_get_one_token_for_many_requests() -> None:
    with ApiServer(limits=UNLIMITED) as server:
        assert run(ask(server, oauth(server, kind="client_credentials"), times=20)) == [200] * 20
        assert server.login.granted == {"client_credentials": 1}


@dataclass
class _SeesFile(ApiServer):
    """Notes what is stored at the moment of each request."""

    path: Path = Path()
    stored: list[bool] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.stored.append(self.path.read_text().strip() == self.login.refresh_token)
        return await super().answer(request)


def test_a_new_refresh_token_is_stored_before_the_access_token_is_used(token_file: Path) -> None:
    with _SeesFile(limits=UNLIMITED, path=token_file) as server:
        run(ask(server, oauth(server, f"file:{token_file}"), times=5))
        assert server.stored == [True] * 5
        assert server.login.granted == {"refresh_token": 1}
        assert server.login.refresh_token != FIRST
    assert token_file.stat().st_mode & 0o077 == 0


def test_a_run_that_was_cancelled_while_it_got_a_token_still_stores_it(token_file: Path) -> None:
    async def main(server: ApiServer) -> None:
        source = TokenSource(oauth(server, f"file:{token_file}"), NOWHERE)
        task = asyncio.create_task(source.credentials())
        await asyncio.sleep(0.15)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    with ApiServer(limits=UNLIMITED, login=_Slow(grace_seconds=0)) as server:
        run(main(server))
        assert token_file.read_text().strip() == server.login.refresh_token != FIRST


@dataclass
class _Slow(Login):
    async def answer(self, request: web.Request) -> web.Response:
        answer = await super().answer(request)
        await asyncio.sleep(0.4)
        return answer


def in_threads(*mains: Coroutine[Any, Any, Any]) -> list[Any]:
    """Each on a loop of its own, as runs are."""
    found: list[Any] = []
    threads = [threading.Thread(target=lambda main=main: found.append(asyncio.run(main))) for main in mains]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_two_runs_at_once_use_the_file_in_turns(token_file: Path) -> None:
    with ApiServer(limits=UNLIMITED, login=_Slow(grace_seconds=0)) as server:
        auth = oauth(server, f"file:{token_file}")
        assert in_threads(*(ask(server, auth) for _ in range(3))) == [[200]] * 3
        assert server.login.granted == {"refresh_token": 3}
        assert token_file.read_text().strip() == server.login.refresh_token


def test_two_runs_at_once_find_each_others_token_in_secret_manager() -> None:
    with (
        SecretManager({SECRET: [FIRST.encode()]}) as secrets,
        ApiServer(limits=UNLIMITED, login=_Slow(grace_seconds=0)) as server,
    ):
        endpoints = Endpoints(secret_manager=f"http://{secrets.address}")
        assert in_threads(*(ask(server, oauth(server, SECRET), endpoints) for _ in range(2))) == [[200]] * 2
        assert server.login.granted["refresh_token"] == 2
        assert secrets.secrets[SECRET][-1].decode() == server.login.refresh_token


def test_tokens_that_end_in_mid_run_are_renewed_once_for_all(token_file: Path) -> None:
    async def main(server: ApiServer) -> None:
        auth = oauth(server, f"file:{token_file}")
        source = TokenSource(auth, NOWHERE)
        api = Api(name="xero", client_name="c", base_url=server.url, auth=auth, limits=Limits(concurrent=10))
        request = Request(url=f"{server.url}/api.xro/2.0/Users", headers=(("xero-tenant-id", "demo-tenant"),))
        async with ApiClient(api, Budget(api.limits), source) as client:
            await client.get(request)
            server.login.revoke()
            await asyncio.gather(*(client.get(request) for _ in range(10)))

    with ApiServer(limits=UNLIMITED, latency=0.02) as server:
        run(main(server))
        assert server.login.granted == {"refresh_token": 2}


def test_a_token_is_renewed_before_it_ends(token_file: Path) -> None:
    async def main(server: ApiServer) -> None:
        source = TokenSource(oauth(server, f"file:{token_file}"), NOWHERE)
        first = await source.credentials()
        assert await source.credentials() is first
        await asyncio.sleep(0.46)
        assert await source.credentials() is not first

    with ApiServer(limits=UNLIMITED, login=Login(token_seconds=0.5)) as server:
        run(main(server))


def refusal(server: ApiServer, auth: Auth, kind: type[WharfError], endpoints: Endpoints = NOWHERE) -> str:
    with pytest.raises(kind) as caught:
        run(ask(server, auth, endpoints))
    text = repr(caught.value) + str(caught.value)
    for secret in (FIRST, "demo-secret", "demo-key", "spent-token"):
        assert secret not in text
    return str(caught.value)


def test_a_refresh_token_that_counts_no_more_is_told_without_showing_it(token_file: Path) -> None:
    token_file.write_text("spent-token")
    with ApiServer(limits=UNLIMITED) as server:
        assert "log in again" in refusal(server, oauth(server, f"file:{token_file}"), ServerRefused)
    assert token_file.read_text() == "spent-token"


def test_a_wrong_client_secret_is_told(token_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_CLIENT_SECRET", "wrong")
    with ApiServer(limits=UNLIMITED) as server:
        assert "invalid_client" in refusal(server, oauth(server, f"file:{token_file}"), ServerRefused)


def test_a_refused_key_fails_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_API_KEY", "wrong")
    with ApiServer(limits=UNLIMITED) as server:
        auth = Auth(kind="bearer", password=SecretRef("env:TEST_API_KEY"))
        assert "status 401" in refusal(server, auth, ServerRefused)
        assert len(server.seen) == 1


@pytest.mark.parametrize("place", ["env:TEST_API_KEY", f"{SECRET}/versions/3"])
def test_a_refresh_token_must_be_where_it_can_be_replaced(place: str) -> None:
    with pytest.raises(UsageError, match="file:PATH, or projects"):
        TokenSource(Auth(kind="refresh_token", token=SecretRef(place)), NOWHERE)


def test_nothing_is_asked_for_where_the_token_could_not_be_stored(tmp_path: Path) -> None:
    with ApiServer(limits=UNLIMITED) as server:
        assert "cannot be replaced" in refusal(server, oauth(server, f"file:{tmp_path}/none/token"), UsageError)
        assert not server.login.granted


def test_a_missing_permission_to_add_versions_names_the_role() -> None:
    class _ReadOnly(SecretManager):
        def add(self, resource: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
            return 403, {"error": {"code": 403, "message": "no", "status": "PERMISSION_DENIED"}}

    with _ReadOnly({SECRET: [FIRST.encode()]}) as secrets, ApiServer(limits=UNLIMITED) as server:
        endpoints = Endpoints(secret_manager=f"http://{secrets.address}")
        assert "secretVersionAdder" in refusal(server, oauth(server, SECRET), UsageError, endpoints)


def test_credentials_show_nothing(token_file: Path) -> None:
    async def main(server: ApiServer) -> None:
        credentials = await TokenSource(oauth(server, f"file:{token_file}"), NOWHERE).credentials()
        assert "access-" not in repr(credentials) + str(credentials)
        assert credentials.mask(f"x {credentials.secrets[0]}") == "x ***"

    with ApiServer(limits=UNLIMITED) as server:
        run(main(server))
