"""Access tokens: fetched once for many requests, ahead of their end, and what happens when there are none."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.servers.http_thread import HttpThread, Reply, Request
from wharf.connectors.google_http import GoogleHttp
from wharf.model.errors import UsageError
from wharf.model.launching.errors import LaunchBusy

KEY = generate_private_key(65537, 2048).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


class TokenServer(HttpThread):
    """Gives tokens `token 1`, `token 2`, ... of `seconds`; any other request is answered with its token."""

    def __init__(self) -> None:
        super().__init__()
        self.status, self.seconds, self.tokens = 200, 3600, 0
        self.is_open = threading.Event()
        self.is_open.set()

    def reply(self, request: Request) -> Reply:
        if request.method == "GET":
            return _reply(200, {"token": request.headers.get("Authorization", "")})
        self.is_open.wait(10)
        self.tokens += 1
        token = {"access_token": f"token {self.tokens}", "expires_in": self.seconds}
        return _reply(self.status, token if self.status == 200 else {"error": "invalid_grant"})


def _reply(status: int, document: object) -> Reply:
    return status, {"Content-Type": "application/json"}, json.dumps(document).encode()


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TokenServer]:
    """The one that Google's default credentials, a service account's key, get their tokens from."""
    with TokenServer() as running:
        account = {"type": "service_account", "client_email": "a@p.iam.gserviceaccount.com", "private_key": KEY}
        (tmp_path / "key.json").write_text(json.dumps({**account, "token_uri": f"{running.url}/token"}))
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "key.json"))
        yield running


async def token(http: GoogleHttp, server: TokenServer) -> str:
    """The token that a request had."""
    return str((await http.send("GET", server.url)).document["token"])


def test_many_requests_at_once_share_one_token(server: TokenServer) -> None:
    async def many() -> set[str]:
        async with GoogleHttp() as http:
            return set(await asyncio.gather(*(token(http, server) for _ in range(20))))

    assert asyncio.run(many()) == {"Bearer token 1"}
    assert server.tokens == 1


def test_an_anonymous_request_has_no_token_and_needs_no_credentials(server: TokenServer) -> None:
    async def one() -> str:
        async with GoogleHttp() as http:
            return str((await http.send("GET", server.url, anonymous=True)).document["token"])

    assert asyncio.run(one()) == ""
    assert server.tokens == 0


def test_a_token_that_ends_soon_is_replaced_while_nobody_waits(server: TokenServer) -> None:
    async def some() -> None:
        async with GoogleHttp() as http:
            server.seconds = 60
            assert await token(http, server) == "Bearer token 1"
            server.seconds = 3600
            server.is_open.clear()  # the next one takes its time
            assert {await token(http, server) for _ in range(5)} == {"Bearer token 1"}
            server.is_open.set()
            for _ in range(500):
                if await token(http, server) != "Bearer token 1":
                    break
                await asyncio.sleep(0.01)
            assert await token(http, server) == "Bearer token 2"

    asyncio.run(some())
    assert server.tokens == 2


def test_a_token_that_cannot_be_replaced_in_time_is_used_as_long_as_it_lasts(server: TokenServer) -> None:
    async def some() -> None:
        async with GoogleHttp() as http:
            server.seconds = 60
            assert await token(http, server) == "Bearer token 1"
            server.status = 400
            for _ in range(3):
                assert await token(http, server) == "Bearer token 1"
                await asyncio.sleep(0.05)

    asyncio.run(some())


def test_refused_credentials_are_for_a_person_to_mend(server: TokenServer) -> None:
    async def one() -> None:
        async with GoogleHttp() as http:
            server.status = 400
            with pytest.raises(UsageError, match="credentials are missing or refused; run gcloud auth"):
                await token(http, server)
            server.status = 200
            assert await token(http, server) == "Bearer token 2"

    asyncio.run(one())


def test_a_token_server_that_gives_no_answer_is_busy(server: TokenServer, tmp_path: Path) -> None:
    key = json.loads((tmp_path / "key.json").read_text())
    (tmp_path / "key.json").write_text(json.dumps({**key, "token_uri": "http://127.0.0.1:9/token"}))

    async def one() -> None:
        async with GoogleHttp() as http:
            with pytest.raises(LaunchBusy, match="no access token can be had"):
                await token(http, server)

    asyncio.run(one())


def test_a_body_that_is_no_json_is_told_by_its_status() -> None:
    from wharf.connectors.google_http import Answer

    for body in (b"<html>", b"[1]", b"", b'{"error": "invalid_grant"}', b'{"error": {}}'):
        assert Answer(502, {}, body).message == "HTTP status 502"
