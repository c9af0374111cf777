"""The API client against a real server with faults: what is tried again, what fails, and what errors show."""

from __future__ import annotations

import asyncio
import dataclasses
import gzip
import json
import logging
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.servers import api_server as faults
from tests.servers.api_server import UNLIMITED, ApiServer
from wharf.connectors.endpoints import Endpoints, proxy_for
from wharf.connectors.fetching.budget import Budget, DayBudgetSpent
from wharf.connectors.fetching.http import ApiClient, Counts, Response
from wharf.connectors.fetching.tokens import TokenSource
from wharf.local.api_limits import ServerLimits
from wharf.model.errors import RunFailed, ServerRefused
from wharf.model.fetching.api import Api, Auth, Limits, Retries
from wharf.model.fetching.paging import Request
from wharf.model.fetching.urls import masked, origin, sendable
from wharf.model.secrets import SecretRef

KEY = Auth(kind="api_key", param="api_key", password=SecretRef("env:TEST_API_KEY"))


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_API_KEY", "demo-key")


def declared(server: ApiServer, **changes: Any) -> Api:
    return Api(
        **{
            "name": "shop",
            "client_name": "c",
            "base_url": server.url,
            "auth": KEY,
            "retries": Retries(attempts=4, total_seconds=20, timeout_seconds=5),
            "minute_remaining": "X-MinLimit-Remaining",
            "day_remaining": "X-DayLimit-Remaining",
            **changes,
        }
    )


def get(server: ApiServer, path: str = "/v2/orders", counts: Counts | None = None, **changes: Any) -> Response:
    async def main() -> Response:
        api = declared(server, **changes)
        async with ApiClient(api, Budget.of(api), TokenSource(api.auth, Endpoints())) as client:
            return await client.get(Request(url=f"{server.url}{path}"), counts)

    return asyncio.run(main())


def failure(server: ApiServer, path: str = "/v2/orders", kind: type[Exception] = RunFailed, **changes: Any) -> str:
    with pytest.raises(kind) as caught:
        get(server, path, **changes)
    assert "demo-key" not in str(caught.value) + repr(caught.value.__cause__)
    return str(caught.value)


def test_an_answer_is_whole_and_counted() -> None:
    with ApiServer(limits=UNLIMITED) as server:
        counts = Counts()
        answer = get(server, counts=counts)
        assert json.loads(answer.body)["total"] == 250
        assert (answer.status, answer.headers["content-type"][:16]) == (200, "application/json")
        assert (counts.requests, counts.retries, counts.bytes) == (1, 0, len(answer.body))
        assert len(answer.request_id) == 32


@pytest.mark.parametrize(
    "make",
    [
        faults.Refuses,
        faults.Fails,
        partial(faults.Fails, status=502, coding="br"),
        faults.Drops,
        faults.Truncates,
        faults.TruncatesGzip,
    ],
    ids=lambda make: getattr(make, "__name__", "Fails in another coding"),
)
def test_what_passes_is_tried_again(make: Callable[..., ApiServer]) -> None:
    with make(limits=UNLIMITED, times=2) as server:
        counts = Counts()
        answer = get(server, counts=counts)
        assert json.loads(answer.body)["total"] == 250
        assert (counts.requests, counts.retries) == (3, 2)
        assert server.answers == 3, "none is sent that is not counted"


def test_a_body_that_ends_with_its_connection_is_known_to_be_truncated() -> None:
    with faults.Truncates(limits=UNLIMITED, times=1, tells_length=False) as server:
        counts = Counts()
        get(server, counts=counts)
        assert counts.retries == 1


@pytest.mark.parametrize("make", [faults.Drips, faults.Hangs], ids=lambda make: make.__name__)
def test_an_answer_that_takes_too_long_is_given_up(make: Callable[..., ApiServer]) -> None:
    with make(limits=UNLIMITED, times=1) as server:
        began, counts = time.monotonic(), Counts()
        get(server, counts=counts, retries=Retries(attempts=3, timeout_seconds=0.5))
        assert counts.retries == 1
        assert time.monotonic() - began < 4


def test_a_wait_that_the_server_asks_for_is_kept() -> None:
    with faults.Refuses(limits=UNLIMITED, times=1, retry_after="0.8") as server:
        counts = Counts()
        get(server, counts=counts)
        first, second = (seen.at for seen in server.seen)
        assert second - first >= 0.8
        assert 0.2 < counts.throttled_seconds <= 0.8


def test_attempts_end() -> None:
    with faults.Fails(limits=UNLIMITED, times=100, status=503) as server:
        text = failure(server, retries=Retries(attempts=2))
        assert "no usable answer in 2 attempts; the last: status 503" in text
        assert len(server.seen) == 2


def test_a_wait_beyond_the_total_time_is_not_waited_for() -> None:
    with faults.Refuses(limits=UNLIMITED, times=100, retry_after="60") as server:
        began = time.monotonic()
        assert "status 429" in failure(server, retries=Retries(total_seconds=5))
        assert time.monotonic() - began < 3


def test_a_server_that_is_not_there_is_told() -> None:
    with ApiServer(limits=UNLIMITED) as server:
        pass
    assert "Cannot connect" in failure(server, retries=Retries(attempts=2))


def test_another_status_fails_at_once_with_the_first_part_of_the_body() -> None:
    text = '{"Title": "Bad", "Echo": "demo-key", "Detail": "' + "long " * 100 + '"}'
    with faults.Fails(limits=UNLIMITED, times=1, status=400, text=text) as server:
        found = failure(server, "/v2/orders?access_token=abc&page=2")
        assert "/v2/orders?access_token=***&page=2: status 400: " in found
        assert '{"Title": "Bad", "Echo": "***", "Detail"' in found
        assert len(found) < 400
        assert len(server.seen) == 1


@pytest.mark.parametrize(
    ("kind", "text", "seen"),
    [
        ("text/html", "<!DOCTYPE html><title>Log in</title>", "web page"),
        ("application/json", "<!DOCTYPE html><title>Log in</title>", "web page"),
        ("text/csv", "a,b", "text/csv instead of JSON"),
        ("application/json", "", "an empty body"),
    ],
)
def test_a_success_that_is_no_json_fails(kind: str, text: str, seen: str) -> None:
    with faults.SendsPage(limits=UNLIMITED, times=1, kind=kind, text=text) as server:
        assert seen in failure(server)


def test_json_may_be_called_plain_text() -> None:
    with faults.SendsPage(limits=UNLIMITED, times=1, kind="text/plain", text="[1]") as server:
        assert get(server).body == b"[1]"


def test_what_has_not_changed_has_no_body() -> None:
    with faults.Fails(limits=UNLIMITED, times=1, status=304, text="") as server:
        assert (get(server).status, get(server).status) == (304, 200)


def test_credentials_do_not_follow_a_redirect_to_another_host() -> None:
    with ApiServer(limits=UNLIMITED) as other:
        place = f"{other.url}/v2/orders"
        with faults.Redirects(limits=UNLIMITED, times=1, place=place) as server:
            assert f"leads to {origin(other.url)}" in failure(server)
        assert not other.seen
    with faults.Redirects(limits=UNLIMITED, times=1, place="/v2/customers") as server:
        assert b'"items"' in get(server).body
    with faults.Redirects(limits=UNLIMITED, times=100) as server:
        assert "for ever" in failure(server)


def test_headers_that_come_twice_or_are_long_arrive_whole() -> None:
    long = f'<{"x" * 20_000}>; rel="next"'

    class Links(ApiServer):
        async def answer(self, request: web.Request) -> web.StreamResponse:
            answer = await super().answer(request)
            answer.headers.add("Link", '<a>; rel="prev"')
            answer.headers.add("link", long)
            return answer

    with Links(limits=UNLIMITED) as server:
        assert get(server).headers["link"] == f'<a>; rel="prev", {long}'


def test_requests_go_through_the_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with ApiServer(limits=UNLIMITED) as proxy:
        monkeypatch.setenv("http_proxy", f"http://me:pw@127.0.0.1:{proxy.port}")
        api = declared(proxy, base_url="http://api.example")

        async def main() -> Response:
            async with ApiClient(api, Budget.of(api), TokenSource(api.auth, Endpoints())) as client:
                return await client.get(Request(url="http://api.example/v2/orders"))

        assert json.loads(asyncio.run(main()).body)["total"] == 250
        assert get(proxy).status == 200, "this machine is asked itself"
        assert (proxy_for("http://api.example"), proxy_for(proxy.url)) == (f"http://me:pw@127.0.0.1:{proxy.port}", None)
        monkeypatch.setenv("no_proxy", "api.example")
        assert proxy_for("http://api.example") is None


def test_answers_are_decompressed_and_bounded() -> None:
    with faults.Compresses(limits=UNLIMITED) as server:
        assert json.loads(get(server).body)["total"] == 250

    async def bounded(server: ApiServer, largest: int) -> None:
        api = declared(server)
        async with ApiClient(api, Budget.of(api), TokenSource(KEY, Endpoints()), largest_body=largest) as client:
            await client.get(Request(url=f"{server.url}/v2/orders"))

    for server in (faults.Compresses(limits=UNLIMITED), ApiServer(limits=UNLIMITED)):
        with server, pytest.raises(RunFailed, match="/v2/orders: the answer is longer than 9,000 bytes"):
            asyncio.run(bounded(server, 9_000))


def test_a_page_of_20_mb_arrives() -> None:
    body = b"[" + b",".join([b'{"text": "' + b"x" * 1000 + b'"}'] * 20_000) + b"]"
    with faults.Replies(limits=UNLIMITED, body=body) as server:
        assert get(server).body == body


def test_a_certificate_that_is_not_trusted_is_not_tried_again(tmp_path: Path) -> None:
    key, certificate = str(tmp_path / "key.pem"), str(tmp_path / "cert.pem")
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=127.0.0.1", "-days", "1"]
    subprocess.run([*make, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        accepted = threading.Thread(target=_shake_hands, args=(context, listening))
        accepted.start()
        base = f"https://127.0.0.1:{listening.getsockname()[1]}"
        api = Api(name="shop", client_name="c", base_url=base, auth=KEY)

        async def main() -> None:
            async with ApiClient(api, Budget.of(api), TokenSource(KEY, Endpoints())) as client:
                await client.get(Request(url=f"{base}/v2/orders"))

        with pytest.raises(ServerRefused, match="certificate is not trusted"):
            asyncio.run(main())
        accepted.join()


def _shake_hands(context: ssl.SSLContext, listening: socket.socket) -> None:
    connection, _ = listening.accept()
    with pytest.raises(OSError, match=r"(?i)ssl|reset"):
        context.wrap_socket(connection, server_side=True)
    connection.close()


def test_what_is_compressed_otherwise_is_not_taken() -> None:
    with faults.Fails(limits=UNLIMITED, status=200, coding="br", times=100) as server:
        assert "compresses its answers with br" in failure(server)
        assert server.answers == 1


def test_several_gzip_members_are_one_body() -> None:
    from wharf.connectors.fetching.answers import _gunzip

    assert _gunzip(gzip.compress(b"[1,") + gzip.compress(b"2]"), 100) == b"[1,2]"


def test_no_secret_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), ApiServer(limits=UNLIMITED) as server:
        get(server)
    assert "demo-key" not in caplog.text


def test_a_line_break_in_a_secret_does_not_show_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_API_KEY", "demo-key\nsecond line")
    with ApiServer(limits=UNLIMITED) as server:
        auth = dataclasses.replace(KEY, kind="bearer")
        assert "line break" in failure(server, kind=ServerRefused, auth=auth)


@pytest.mark.parametrize("way", ["sliding", "fixed", "bucket"])
def test_the_permitted_rate_is_reached_without_a_refusal(way: str) -> None:
    async def main(server: ApiServer) -> float:
        limits = Limits(concurrent=5, per_minute=60)
        api = declared(server, limits=limits)
        budget = Budget(limits, minute_remaining="X-MinLimit-Remaining", minute_seconds=1.5)
        async with ApiClient(api, budget, TokenSource(KEY, Endpoints())) as client:
            began = time.monotonic()
            await asyncio.gather(*(client.get(Request(url=f"{server.url}/v2/orders")) for _ in range(181)))
            return time.monotonic() - began

    limits = ServerLimits(per_minute=60, way=way, minute_seconds=1.5)
    with ApiServer(limits=limits) as server:
        seconds = asyncio.run(main(server))
        assert server.refused() == 0
        assert server.most_in(1.5) <= 60
        # 60 at once, and then 60 in each of two minutes; each of those is longer by a request's own time.
        assert seconds < 1.5 * 3 * 1.15


def test_a_day_that_is_spent_ends_the_run() -> None:
    async def main(server: ApiServer) -> int:
        api, counts = declared(server), Counts()
        async with ApiClient(api, Budget.of(api), TokenSource(KEY, Endpoints())) as client:
            request = Request(url=f"{server.url}/v2/orders")
            for _ in range(4):
                await client.get(request, counts)
            with pytest.raises(DayBudgetSpent):
                await client.get(request, counts)
        return counts.requests

    with ApiServer(limits=dataclasses.replace(UNLIMITED, per_day=4)) as server:
        assert asyncio.run(main(server)) == 4
        assert server.refused() == 0


def test_urls_are_sent_as_they_are_but_for_what_none_may_hold() -> None:
    cursor = "http://h/p%2Fq?cursor=a%3D%3D&at=2025-03-23T10:00:00+00:00&x=1"
    assert sendable(cursor, {}) == cursor
    assert sendable("http://h/p q?name=Zoë|x", {}) == "http://h/p%20q?name=Zo%C3%AB%7Cx"
    assert sendable("http://h/p", {"key": "a b&c"}) == "http://h/p?key=a%20b%26c"
    assert sendable("http://h/p?key=old&page=2&key=older", {"key": "new"}) == "http://h/p?page=2&key=new"


def test_urls_are_shown_without_secrets() -> None:
    assert masked("https://me:pw@h/p?apikey=1&page=2&X=3#f", {"X"}) == "https://h/p?apikey=***&page=2&X=***"
    assert origin("HTTPS://H/p") == origin("https://h:443/q") != origin("http://h/p")
