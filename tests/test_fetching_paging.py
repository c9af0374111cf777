"""Paging: every kind fetches every record once, and ends."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fetched import URL, Answer, endpoint, ids, page_of, pages, pages_side_by_side, things
from wharf.model.errors import RunFailed
from wharf.model.fetching.api import Endpoint, Paging
from wharf.model.fetching.links import next_in_header
from wharf.model.fetching.paging import Request, first, next_request, rest

COUNTS = st.integers(0, 47)
SIZES = st.integers(1, 10)


def numbered(count: int, cap: int = 1000, **told: Any) -> Any:
    """An API with numbered pages, which serves no page larger than `cap`."""

    def answer(request: Request, params: dict[str, str]) -> Answer:
        size, number = min(int(params.get("size", 5)), cap), int(params["page"])
        body = {"data": things(count)[(number - 1) * size : number * size]}
        facts = {"total": count, "pages": -(-count // size), "page": number, "more": number * size < count}
        return {f"X-{name}": str(facts[name]) for name in told}, body | {name: facts[name] for name in told}

    return answer


def by_offset(count: int, cap: int = 1000) -> Any:
    def answer(request: Request, params: dict[str, str]) -> Answer:
        start = int(params["offset"])
        return {}, {"data": things(count)[start : start + min(int(params.get("limit", 5)), cap)], "total": count}

    return answer


@given(COUNTS, SIZES, st.sampled_from(["", "total", "pages", "more"]), st.booleans())
def test_numbered_pages_give_every_record_whatever_the_api_tells(
    count: int, size: int, told: str, header: bool
) -> None:
    place = {told: f"header:x-{told}" if header else f"$.{told}"} if told else {}
    declared = endpoint(Paging(kind="page", param="page", size_param="size", size=size, **place))
    assert ids(pages(declared, numbered(count, **{told: True} if told else {}))) == list(range(count))


@given(COUNTS, SIZES, SIZES)
def test_a_server_that_caps_the_size_that_it_is_asked_for_still_gives_every_record(
    count: int, size: int, cap: int
) -> None:
    declared = endpoint(Paging(kind="page", param="page", size_param="size", size=size))
    assert ids(pages(declared, numbered(count, cap))) == list(range(count))
    declared = endpoint(Paging(kind="offset", param="offset", size_param="limit", size=size))
    assert ids(pages(declared, by_offset(count, cap))) == list(range(count))


@given(COUNTS, SIZES, SIZES, st.sampled_from(["total", "pages"]))
def test_pages_side_by_side_are_the_pages_one_after_the_other(count: int, size: int, cap: int, told: str) -> None:
    declared = endpoint(Paging(kind="page", param="page", size_param="size", size=size, **{told: f"$.{told}"}))
    api = numbered(count, cap, **{told: True})
    assert sorted(ids(pages_side_by_side(declared, api))) == list(range(count))
    one_by_one = [request for request, _ in pages(declared, api)]
    assert sorted((each for each, _ in pages_side_by_side(declared, api)), key=lambda each: each.number) == one_by_one


@given(COUNTS, SIZES)
def test_offsets_side_by_side_give_every_record(count: int, size: int) -> None:
    declared = endpoint(Paging(kind="offset", param="offset", size_param="limit", size=size, total="$.total"))
    assert sorted(ids(pages_side_by_side(declared, by_offset(count)))) == list(range(count))


@given(COUNTS, st.integers(1, 9))
def test_offsets_may_come_from_the_last_record(count: int, size: int) -> None:
    journals = [{"id": number, "JournalNumber": 3 * number + 1} for number in range(count)]

    def answer(request: Request, params: dict[str, str]) -> Answer:
        return {}, {"data": [each for each in journals if each["JournalNumber"] > int(params["offset"])][:size]}

    declared = endpoint(Paging(kind="offset", param="offset", offset_from="$.JournalNumber"))
    assert ids(pages(declared, answer)) == list(range(count))


@given(COUNTS, SIZES, st.booleans())
def test_cursors_lead_on_until_there_is_none(count: int, size: int, in_header: bool) -> None:
    def answer(request: Request, params: dict[str, str]) -> Answer:
        start = int(params.get("after", "c0").removeprefix("c"))
        following = f"c{start + size}" if start + size < count else None
        headers = {"x-next": following} if in_header and following else {}
        return headers, {"data": things(count)[start : start + size], "next": None if in_header else following}

    declared = endpoint(Paging(kind="cursor", param="after", cursor="header:X-Next" if in_header else "$.next"))
    assert ids(pages(declared, answer)) == list(range(count))


def test_a_cursor_that_is_always_there_ends_where_the_api_says_that_there_is_no_more() -> None:
    def answer(request: Request, params: dict[str, str]) -> Answer:
        start = int(params.get("starting_after", -1)) + 1
        return {}, {"data": things(7)[start : start + 3], "has_more": start + 3 < 7}

    declared = endpoint(Paging(kind="cursor", param="starting_after", cursor="$.data[-1].id", more="$.has_more"))
    fetched = list(pages(declared, answer))
    assert ids(iter(fetched)) == list(range(7))
    assert len(fetched) == 3


@pytest.mark.parametrize("relative", [True, False])
@pytest.mark.parametrize("in_body", [True, False])
def test_links_in_header_or_body_relative_or_not_lead_through_all_pages(relative: bool, in_body: bool) -> None:
    def answer(request: Request, params: dict[str, str]) -> Answer:
        query = parse_qs(urlsplit(request.full_url).query)
        number = int(query.get("page", ["1"])[0])
        link = f"{'/things' if relative else URL}?page={number + 1}&per_page=4&q=a%20b"
        headers = {"link": f'<{URL}?page=1>; rel="first", <{link}>; rel="next"'} if number < 3 and not in_body else {}
        body = {"data": things(10)[(number - 1) * 4 : number * 4], "next": link if number < 3 and in_body else None}
        return headers, body

    declared = endpoint(Paging(kind="link", link="$.next" if in_body else "header:Link", size_param="per_page", size=4))
    fetched = list(pages(declared, answer))
    assert ids(iter(fetched)) == list(range(10))
    assert [request.full_url for request, _ in fetched] == [
        f"{URL}?per_page=4",
        f"{URL}?page=2&per_page=4&q=a%20b",
        f"{URL}?page=3&per_page=4&q=a%20b",
    ]


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.example/things?page=2",
        "//evil.example/things",
        "http://api.example/things",
        "https://api.example:8443/things",
        "https://api.example@evil.example/",
        "https://api.example.evil.example/",
        "https://[half",
        "ftp://api.example/things",
    ],
)
def test_a_link_away_from_the_host_that_was_asked_is_refused(link: str) -> None:
    declared = endpoint(Paging(kind="link", link="$.next"))
    request = first(declared, Request(url=URL))
    with pytest.raises(RunFailed, match=r"endpoint things, page 1: the link to the next page (leads to|is not)"):
        next_request(declared, request, page_of({"data": things(1), "next": link}))


def test_a_default_port_is_the_same_host() -> None:
    declared = endpoint(Paging(kind="link", link="$.next"))
    found = next_request(declared, Request(url=URL), page_of({"next": "https://API.example:443/things?p=2#x"}))
    assert found
    assert found.full_url == "https://API.example:443/things?p=2"


@pytest.mark.parametrize(
    ("header", "target"),
    [
        ('<https://a/?page=2>; rel="next"', "https://a/?page=2"),
        ("<https://a/2>; rel=next", "https://a/2"),
        ('<https://a/1>; rel="prev", <https://a/3>; rel="next"; title="x, <y>; rel=z"', "https://a/3"),
        ('<https://a/3>; title="next, please"; rel="last"', ""),
        ('<https://a/?a=1,2;b>; rel="start NEXT"', "https://a/?a=1,2;b"),
        ('<https://a/3>;REL = "next"', "https://a/3"),
        ('</p?page=2>; title="a \\" b"; rel="next"', "/p?page=2"),
        ("https://a/plain", "https://a/plain"),
        ("", ""),
    ],
)
def test_link_headers_are_read_as_rfc_8288_has_them(header: str, target: str) -> None:
    assert next_in_header(header) == target


def test_a_request_keeps_its_headers_and_other_parameters_on_all_pages() -> None:
    declared = endpoint(Paging(kind="page", param="page", size_param="size", size=2))
    opening = Request(url=URL, params=(("order", "id ASC"), ("f", "a"), ("f", "b&c")), headers=(("X-T", "1"),))
    request = first(declared, opening)
    found = next_request(declared, request, page_of({"data": things(2)}))
    assert found == Request(
        url=URL,
        params=(*opening.params, ("size", "2"), ("page", "2")),
        headers=opening.headers,
        number=2,
        seen=2,
        full=2,
    )
    assert found.full_url == f"{URL}?order=id%20ASC&f=a&f=b%26c&size=2&page=2"


def test_an_offset_that_is_asked_for_already_stays() -> None:
    declared = endpoint(Paging(kind="offset", param="offset", offset_from="$.n"))
    assert first(declared, Request(url=URL, params=(("offset", "77"),))).params == (("offset", "77"),)


@pytest.mark.parametrize("paging", [Paging(), Paging(kind="link", link="$.next"), Paging(kind="cursor", cursor="$.c")])
def test_pages_that_only_one_another_lead_to_have_no_rest(paging: Paging) -> None:
    declared: Endpoint = endpoint(paging)
    assert rest(declared, Request(url=URL), page_of({"data": things(3), "next": "?p=2", "c": "x"})) == ()


@pytest.mark.parametrize("total", [True, "many", -1.5, -1, {"n": 3}])
def test_a_total_that_is_no_number_is_refused(total: Any) -> None:
    declared = endpoint(Paging(kind="page", param="page", size=2, total="$.total"))
    with pytest.raises(RunFailed, match=r"the number of records at \$\.total is not a whole number"):
        next_request(declared, first(declared, Request(url=URL)), page_of({"data": things(2), "total": total}))


def test_a_cursor_that_is_an_object_is_refused_without_showing_it() -> None:
    declared = endpoint(Paging(kind="cursor", param="c", cursor="$.c"))
    with pytest.raises(RunFailed, match="neither text nor a number") as caught:
        next_request(declared, Request(url=URL), page_of({"c": {"secret": 1}}))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("paging", "body", "headers"),
    [
        (Paging(kind="cursor", param="c", cursor="$.nxt", size=3), {"data": things(3), "next": "c2"}, {}),
        (Paging(kind="link", link="$.links.next", size=3), {"data": things(3)}, {}),
        (Paging(kind="link", link="header:Link", size=3), {"data": things(3)}, {}),
    ],
)
def test_a_full_first_page_without_a_next_is_no_end(paging: Paging, body: Any, headers: dict[str, str]) -> None:
    declared, request = endpoint(paging), Request(url=URL)
    with pytest.raises(RunFailed, match=r"endpoint things, page 1: it is full \(3 records\), and nothing is at"):
        next_request(declared, request, page_of(body, headers=headers))


@pytest.mark.parametrize(
    ("paging", "body", "headers"),
    [
        (Paging(kind="cursor", param="c", cursor="$.next", size=3), {"data": things(3), "next": None}, {}),
        (Paging(kind="cursor", param="c", cursor="$.next", size=3), {"data": things(2)}, {}),
        (Paging(kind="cursor", param="c", cursor="$.next"), {"data": things(3)}, {}),
        (Paging(kind="cursor", param="c", cursor="$.next", size=3, total="$.n"), {"data": things(3), "n": 3}, {}),
        (
            Paging(kind="cursor", param="c", cursor="$.id", size=3, more="$.more"),
            {"data": things(3), "more": False},
            {},
        ),
        (Paging(kind="link", link="header:Link", size=3), {"data": things(3)}, {"Link": '<a>; rel="last"'}),
    ],
)
def test_a_first_page_that_says_so_or_is_not_full_is_the_end(
    paging: Paging, body: Any, headers: dict[str, str]
) -> None:
    assert next_request(endpoint(paging), Request(url=URL), page_of(body, headers=headers)) is None


def test_an_answer_that_promises_more_and_does_not_lead_there_is_no_end() -> None:
    paging = Paging(kind="cursor", param="c", cursor="$.next", more="$.more")
    with pytest.raises(RunFailed, match=r"\$\.more says that there is more, and nothing at \$\.next leads on"):
        next_request(endpoint(paging), Request(url=URL, number=4), page_of({"data": [], "more": True}, number=4))
