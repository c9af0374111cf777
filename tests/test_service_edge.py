"""What every request meets: its size, its form, who sends it, and what is told and logged of faults."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.launches import launch_config
from tests.servers.dataflow_api import DataflowApi
from tests.servers.storage_api import StorageApi
from tests.servers.token_issuer import CALLER, TokenIssuer
from tests.serving import NO_BIGQUERY, SERVED, Process, push, serving
from wharf.connectors.endpoints import Endpoints
from wharf.launch.service import connections, edge
from wharf.launch.service.identity_tokens import IdentityTokens

AUDIENCE = "https://wharf.example"
LIMIT = 1 << 20
TRACE = "105445aa7843bc8bf206b12000100000"


@pytest.fixture(scope="module")
def dataflow() -> Iterator[DataflowApi]:
    with DataflowApi() as running:
        yield running


@pytest.fixture(scope="module")
def endpoints(dataflow: DataflowApi) -> Iterator[Endpoints]:
    with StorageApi() as storage:
        yield Endpoints(dataflow=dataflow.url, storage=storage.url, **NO_BIGQUERY)


@pytest.fixture(scope="module")
def client(endpoints: Endpoints) -> Iterator[httpx.Client]:
    with serving(launch_config(jobs=SERVED["jobs"]), endpoints) as url, httpx.Client(base_url=url, timeout=30) as made:
        yield made


@pytest.fixture(scope="module")
def issuer() -> Iterator[TokenIssuer]:
    with TokenIssuer() as running:
        yield running


@pytest.fixture(scope="module")
def guarded(endpoints: Endpoints, issuer: TokenIssuer) -> Iterator[httpx.Client]:
    tokens = IdentityTokens(AUDIENCE, [CALLER], issuer.url)
    with (
        serving(launch_config(jobs=SERVED["jobs"]), endpoints, tokens) as url,
        httpx.Client(base_url=url, timeout=30) as made,
    ):
        yield made


def post(client: httpx.Client, content: bytes, kind: str = "application/json") -> httpx.Response:
    return client.post("/export", content=content, headers={"Content-Type": kind})


def test_a_body_of_a_mebibyte_is_read_and_one_byte_more_is_not(client: httpx.Client) -> None:
    filling = b'{"period": "2024", "x": "' + b"x" * (LIMIT - 27) + b'"}'
    assert len(filling) == LIMIT
    assert post(client, filling).status_code == 400
    answer = post(client, filling + b" ")
    assert (answer.status_code, answer.json()["error"]) == (
        413,
        "the body has 1048577 bytes; 1,048,576 are the most",
    )


def test_a_body_that_says_it_is_huge_is_refused_before_it_comes(client: httpx.Client) -> None:
    with socket.create_connection((client.base_url.host, client.base_url.port or 80), timeout=10) as connection:
        head = "POST /pubsub HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n"
        connection.sendall(head.format(10**12).encode())
        answer = connection.recv(4096)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in answer.lower()


@pytest.mark.parametrize("length", ["-1", "1e3", "12, 12", "x"])
def test_a_length_that_is_no_number_is_refused(client: httpx.Client, length: str) -> None:
    with socket.create_connection((client.base_url.host, client.base_url.port or 80), timeout=10) as connection:
        head = (
            f"POST /pubsub HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        )
        connection.sendall(head.encode())
        assert connection.recv(4096)[:12] in {b"HTTP/1.1 400", b"HTTP/1.1 413"}


def ended(connection: socket.socket) -> bytes:
    """Everything that comes until the service closes the connection."""
    return b"".join(iter(lambda: connection.recv(65_536), b""))


def test_headers_without_end_are_refused(client: httpx.Client) -> None:
    with socket.create_connection((client.base_url.host, client.base_url.port or 80), timeout=10) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: here\r\nX: ")
        with contextlib.suppress(OSError):
            for _ in range(500):
                connection.sendall(b"x" * 65_536)
        with contextlib.suppress(ConnectionResetError):
            assert b"200 OK" not in ended(connection)


@pytest.mark.parametrize(
    ("sent", "answered"),
    [
        (b"", b""),
        (b"GET /health HTTP/1.1\r\nHost: here\r\n", b""),
        (b"GET /health HTTP/1.1\r\nHost: here\r\n\r\nGET", b"HTTP/1.1 200 OK"),
        (b"POST /run HTTP/1.1\r\nHost: here\r\nContent-Length: 9\r\n\r\n{", b"HTTP/1.1 408 Request Timeout"),
    ],
)
def test_who_does_not_go_on_is_not_waited_for(
    client: httpx.Client, sent: bytes, answered: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "LONGEST_HEAD", 0.3)
    monkeypatch.setattr(edge, "LONGEST_BODY", 0.3)
    with socket.create_connection((client.base_url.host, client.base_url.port or 80), timeout=3) as connection:
        connection.sendall(sent)
        assert ended(connection).partition(b"\r\n")[0] == answered


def test_a_chunked_body_is_refused_once_it_is_too_large(client: httpx.Client) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while sent < 50 * LIMIT:
            sent += 65_536
            yield b"x" * 65_536

    try:
        answer = client.post("/export", content=endless(), headers={"Content-Type": "application/json"})
    except httpx.WriteError:
        pass  # the connection was closed on us while we were still writing
    else:
        assert answer.status_code == 413
        assert answer.json()["error"]
    assert sent < 20 * LIMIT


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"{", "the body: line 1, column 2: this is not JSON"),
        (b"[]", "the body: must be an object"),
        (b"null", "the body: must be an object"),
        (b'"text"', "the body: must be an object"),
        (b"\xff\xfe\x00", "the body: is not text in UTF-8"),
        (b"\xef\xbb\xbf{}", "the body: "),
        (b'{"period": "202402", "period": "202403"}', "the body: period is given more than once"),
        (b"[" * 500_000, "the body: holds a number or a nesting too large"),
        (b'{"a":' * 100_000, "the body: holds a number or a nesting too large"),
        (b'{"period": ' + b"9" * 10_000 + b"}", "the body: holds a number or a nesting too large"),
        (b'{"period": NaN}', "period: must be text"),
        (b'{"period": 1e999}', "period: must be text"),
        (b'{"name": "\\ud800"}', "the body: holds half a character"),
        (b'{"name": "\\u0000"}', "name: there is no job"),
        (b'{"x": ["\\udfff"]}', "the body: holds half a character"),
    ],
)
def test_json_of_a_strange_kind_is_refused(client: httpx.Client, content: bytes, text: str) -> None:
    answer = post(client, content)
    assert (answer.status_code, text in answer.json()["error"]) == (400, True), answer.text


@pytest.mark.parametrize(
    "content",
    [
        b"{" + b",".join(b'"%d":0' % number for number in range(90_000)) + b"}",
        b"{" + b",".join(b'"%d":0' % number for number in range(90_000)) + b',"0":0}',
        b'{"' + b"period" * 170_000 + b'": 0}',
        b'{"name": "' + b"measurement" * 90_000 + b'"}',
    ],
    ids=["keys", "a key twice", "a long key", "a long name"],
)
def test_a_body_of_a_mebibyte_is_judged_at_once_and_not_sent_back(client: httpx.Client, content: bytes) -> None:
    began = time.monotonic()
    answer = post(client, content)
    assert time.monotonic() - began < 3, "nobody else is served meanwhile"
    assert (answer.status_code, len(answer.content) < 5_000) == (400, True)


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/json; charset=utf-8", 400),
        ("application/cloudevents+json", 400),
        ("application/octet-stream", 400),  # Cloud Scheduler's, unless it is told otherwise
        ("APPLICATION/JSON", 400),
        ("text/plain", 415),  # what a page of another site can have a browser send
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=x", 415),
        ("", 415),
        ("\u00e4", 415),
    ],
)
def test_a_body_must_say_that_it_is_json(client: httpx.Client, kind: str, status: int) -> None:
    answer = client.post("/export", content=b'{"period": "x"}', headers={"Content-Type": kind.encode()})
    assert answer.status_code == status, answer.text


def test_a_page_of_another_site_launches_nothing(client: httpx.Client, dataflow: DataflowApi) -> None:
    before = len(dataflow.jobs)
    for origin in ("https://evil.example", "null", "http://[", f"https://{client.base_url.host}"):
        assert client.post("/export", headers={"Origin": origin}).status_code == 403
    assert len(dataflow.jobs) == before
    own = f"http://{client.base_url.host}:{client.base_url.port}"
    assert client.post("/export", json={"period": "x"}, headers={"Origin": own}).status_code == 400


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/export", 405),
        ("DELETE", "/runs", 405),
        ("GET", "/docs", 404),
        ("GET", "/runs/", 404),  # a redirection would go to the host that the caller named
    ],
)
def test_what_there_is_not_is_told_as_json(client: httpx.Client, method: str, path: str, status: int) -> None:
    answer = client.request(method, path)
    assert (answer.status_code, answer.json()["request_id"]) == (status, answer.headers["X-Request-Id"])


def test_without_an_audience_nobody_is_asked_who_he_is(client: httpx.Client) -> None:
    assert client.get("/health").json() == {"status": "ok"}
    assert client.post("/run", json={}, headers={"Idempotency-Key": "open"}).status_code == 202


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/"),
        ("POST", "/export"),
        ("POST", "/run"),
        ("POST", "/pubsub"),
        ("POST", "/events/storage"),
        ("POST", "/events/dataflow"),
        ("GET", "/"),
        ("GET", "/runs"),
        ("GET", "/runs/any"),
        ("GET", "/nothing"),
        ("GET", "//health"),
        ("GET", "/health/"),
        ("GET", "/health/../runs"),
        ("GET", "/%68ealth/../runs"),
    ],
)
def test_with_an_audience_everything_needs_a_token(guarded: httpx.Client, method: str, path: str) -> None:
    with socket.create_connection((guarded.base_url.host, guarded.base_url.port or 80), timeout=10) as connection:
        connection.sendall(f"{method} {path} HTTP/1.1\r\nHost: here\r\nContent-Length: 0\r\n\r\n".encode())
        answer = connection.recv(4096).decode()
    assert answer.startswith("HTTP/1.1 401 ")
    assert "www-authenticate: bearer" in answer.lower()


def test_health_and_the_description_are_open(guarded: httpx.Client) -> None:
    assert guarded.get("/health").status_code == 200
    description = guarded.get("/openapi.json").json()
    assert description["paths"]["/export"]["post"]["security"] == [{"identityToken": []}]
    assert description["paths"]["/health"]["get"]["security"] == []


def test_a_token_opens_the_service_to_its_account(
    guarded: httpx.Client, issuer: TokenIssuer, dataflow: DataflowApi
) -> None:
    def status(token: str) -> int:
        sent = push({"route": "/run"}, "guarded")
        return guarded.post("/pubsub", json=sent, headers={"Authorization": f"Bearer {token}"}).status_code

    before = len(dataflow.jobs)
    assert status(issuer.token(aud="https://other.example")) == 401
    assert status(issuer.token(email="somebody@else.example")) == 403
    head, _, signature = issuer.token().split(".")
    assert status(f"{head}.e30.{signature}") == 401
    assert len(dataflow.jobs) == before
    assert status(issuer.token()) == 202
    assert len(dataflow.jobs) == before + 1


def test_a_body_is_not_read_before_the_token_is_judged(guarded: httpx.Client) -> None:
    assert post(guarded, b"[" * 500_000).status_code == 401


def test_without_the_issuer_tokens_are_judged_later(endpoints: Endpoints, issuer: TokenIssuer) -> None:
    tokens = IdentityTokens(AUDIENCE, [CALLER], "http://127.0.0.1:9/certs")
    with serving(launch_config(jobs=SERVED["jobs"]), endpoints, tokens) as url:
        answer = httpx.get(f"{url}/runs", headers={"Authorization": f"Bearer {issuer.token()}"})
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")


def test_log_lines_name_the_request_and_its_trace(endpoints: Endpoints, tmp_path: Path) -> None:
    with Process(SERVED, endpoints, tmp_path) as service:
        headers = {"X-Cloud-Trace-Context": f"{TRACE}/1;o=1", "X-Request-Id": "of the caller's choice"}
        bad = httpx.post(f"{service.url}/export", json={"period": "2025\n{}"}, headers=headers)
        good = httpx.post(f"{service.url}/export", json={"period": "202401"})
        lines = {line.get("request_id", ""): line for line in service.lines}
    refused = lines[bad.json()["request_id"]]
    assert refused["severity"] == "WARNING"
    assert refused["message"].startswith("400: period: ")
    assert refused["logging.googleapis.com/trace"] == f"projects/my-project/traces/{TRACE}"
    assert refused["request"] == "POST /export"
    launched = lines[good.headers["X-Request-Id"]]
    assert launched["severity"] == "INFO"
    assert launched["job_id"] == good.json()["job_id"]
    assert "logging.googleapis.com/trace" not in launched


def test_a_fault_of_ours_leaves_no_trace_outside_the_logs(endpoints: Endpoints, tmp_path: Path) -> None:
    records = tmp_path / "records"
    run_id = "measurements-20240101-20240201-0123456789abcdef"
    (records / f"{run_id}.json").mkdir(parents=True)  # which nobody expects there
    with Process({**SERVED, "records": str(records)}, endpoints, tmp_path) as service:
        answer = httpx.get(f"{service.url}/runs/{run_id}")
        (line,) = (line for line in service.lines if "stack_trace" in line)
    assert answer.status_code == 500
    assert answer.json() == {
        "error": "something went wrong; the logs tell what",
        "request_id": answer.headers["X-Request-Id"],
    }
    assert line["severity"] == "ERROR"
    assert line["request_id"] == answer.headers["X-Request-Id"]
    assert "IsADirectoryError" in line["stack_trace"]
