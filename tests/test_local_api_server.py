"""The local API server: does it page, log in and limit as those it stands for?"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest

from tests.servers.api_server import UNLIMITED, ApiServer, RepeatsFirst, odd_body, odd_records
from wharf.local.api_limits import ServerLimits


@pytest.fixture(scope="module")
def server() -> Iterator[ApiServer]:
    with ApiServer(limits=UNLIMITED, tenants=("a", "b")) as running:
        yield running


def login(server: ApiServer, **form: str) -> httpx.Response:
    form = form or {"grant_type": "client_credentials"}
    return httpx.post(server.token_url, data=form, auth=("demo-client", "demo-secret"))


def xero(server: ApiServer, path: str, tenant: str = "a", **headers: str) -> httpx.Response:
    token = login(server).json()["access_token"]
    headers |= {"authorization": f"Bearer {token}", "xero-tenant-id": tenant}
    return httpx.get(f"{server.url}/api.xro/2.0/{path}", headers=headers)


def other(server: ApiServer, url: str) -> httpx.Response:
    url = url if url.startswith("http") else f"{server.url}{url}"
    return httpx.get(url, headers={"x-api-key": "demo-key"}).raise_for_status()


def test_xero_pages_its_invoices(server: ApiServer) -> None:
    last = xero(server, "Invoices?page=3&pageSize=100").json()
    assert last["pagination"] == {"page": 3, "pageSize": 100, "pageCount": 3, "itemCount": 250}
    assert len(last["Invoices"]) == 50
    assert xero(server, "Invoices?page=4&pageSize=100").json()["Invoices"] == []
    assert len({i["InvoiceID"] for t in "ab" for i in xero(server, "Invoices?page=1", t).json()["Invoices"]}) == 200


def test_xero_goes_through_journals_by_their_numbers(server: ApiServer) -> None:
    numbers = [journal["JournalNumber"] for journal in xero(server, "Journals?offset=200").json()["Journals"]]
    assert numbers == list(range(201, 251))


def test_xero_sends_small_things_whole(server: ApiServer) -> None:
    assert len(xero(server, "Organisation").json()["Organisations"]) == 1
    assert "pagination" not in xero(server, "Accounts").json()


@pytest.mark.parametrize("name", ["Quotes", "LinkedTransactions"])
def test_xero_does_not_say_how_many_quotes_there_are(server: ApiServer, name: str) -> None:
    pages = [xero(server, f"{name}?page={page}").json() for page in (1, 3, 4)]
    assert [len(page[name]) for page in pages] == [100, 50, 0]
    assert not any("pagination" in page for page in pages)


def test_what_changes_is_sent_as_changed() -> None:
    with ApiServer(limits=UNLIMITED, tenants=("a", "b")) as own:
        own.change("a", "Invoices", 2, Status="PAID")
        for tenant, expected in (("a", ["PAID", "PAID"]), ("b", [])):
            found = xero(own, "Invoices", tenant, **{"If-Modified-Since": "2026-01-01"}).json()["Invoices"]
            assert [invoice["Status"] for invoice in found] == expected
        assert len(xero(own, "Invoices", "a").json()["Invoices"]) == 250


@pytest.mark.parametrize("since", ["2025-01-01T04:00:00", "Wed, 01 Jan 2025 04:00:00 GMT"])
def test_xero_sends_what_was_changed_since(server: ApiServer, since: str) -> None:
    found = xero(server, "Contacts?page=1", **{"If-Modified-Since": since}).json()["Contacts"]
    assert len(found) == 9
    assert all(int(re.findall(r"\d+", contact["UpdatedDateUTC"])[0]) > 1735704000000 for contact in found)


def test_xero_refuses_strangers(server: ApiServer) -> None:
    assert xero(server, "Users", tenant="c").status_code == 403
    assert httpx.get(f"{server.url}/api.xro/2.0/Users").status_code == 401
    assert httpx.get(f"{server.url}/v2/orders").status_code == 401
    assert xero(server, "Nothing").status_code == 404


def test_a_refresh_token_is_replaced_and_its_predecessor_has_some_grace() -> None:
    with ApiServer(limits=UNLIMITED) as own:
        first = own.login.refresh_token
        for token in (first, first):  # the answer to the first one was lost
            answer = login(own, grant_type="refresh_token", refresh_token=token).json()
        assert own.login.refresh_token == answer["refresh_token"] != first
        login(own, grant_type="refresh_token", refresh_token=answer["refresh_token"])
        lost = login(own, grant_type="refresh_token", refresh_token=first)
        assert (lost.status_code, lost.json()) == (400, {"error": "invalid_grant"})


def test_limits_are_told_and_kept() -> None:
    with ApiServer(limits=ServerLimits(per_minute=3, per_day=100)) as own:
        answers = [httpx.get(f"{own.url}/v2/orders", headers={"x-api-key": "demo-key"}) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert [answer.headers["x-minlimit-remaining"] for answer in answers] == ["2", "1", "0", "0"]
        assert answers[-1].headers["x-rate-limit-problem"] == "minute"
        assert 55 <= int(answers[-1].headers["retry-after"]) <= 60
        assert (own.refused(), own.most_in(60)) == (1, 3)


def test_github_leads_by_links(server: ApiServer) -> None:
    url, found = "/orgs/acme/repos?per_page=100", []
    while url:
        answer = other(server, url)
        found += answer.json()
        url = answer.links.get("next", {}).get("url", "")
    assert [repo["id"] for repo in found] == list(range(1, 251))
    assert len(other(server, f"/repos/acme/{found[0]['name']}/issues").json()) == 30


def test_cursors_stand_in_bodies_and_headers(server: ApiServer) -> None:
    first = other(server, "/v1/events?limit=200").json()
    last = other(server, f"/v1/events?limit=200&cursor={first['next_cursor']}").json()
    assert (len(last["data"]), last["next_cursor"], last["has_more"]) == (50, None, False)
    assert other(server, "/v1/audit?limit=200").headers["x-next-cursor"] == "c200"
    assert "x-next-cursor" not in other(server, "/v1/audit?limit=200&cursor=c200").headers


def test_others_tell_totals_offsets_and_next_urls(server: ApiServer) -> None:
    assert other(server, "/v2/orders?page=2").json() | {"orders": 0} == {
        "orders": 0,
        "page": 2,
        "pages": 3,
        "total": 250,
    }
    assert [item["id"] for item in other(server, "/v2/customers?offset=248").json()["items"]] == [249, 250]
    following = other(server, "/v2/products").json()["next"]
    assert other(server, other(server, following).json()["next"]).json()["next"] is None


def test_a_repeating_server_always_sends_its_first_page() -> None:
    with RepeatsFirst(limits=UNLIMITED) as own:
        assert other(own, "/v2/orders?page=3").json()["page"] == 1


def test_odd_records_are_json() -> None:
    assert json.loads(odd_body(4)) == odd_records(4)


def test_a_port_in_use_is_told_at_once() -> None:
    with ApiServer() as server, pytest.raises(OSError, match="in use"), ApiServer(port=server.port):
        pass


def test_it_runs_alone() -> None:
    command = [sys.executable, "-m", "wharf.local.api_server", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        url = process.stdout.readline().split()[0]
        assert httpx.get(url, headers={"x-api-key": "demo-key"}).status_code == 404
        process.terminate()
