"""Guards: an API that ends early, or never, fails its endpoint and says what was seen."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fetched import URL, Answer, endpoint, ids, pages, things
from wharf.model.errors import RunFailed
from wharf.model.fetching.api import Paging
from wharf.model.fetching.guards import Guard
from wharf.model.fetching.paging import Request
from wharf.model.fetching.records import read_page

BY_PAGE = Paging(kind="page", param="page", size_param="size", size=2)


def failure(declared: Any, api: Any) -> str:
    with pytest.raises(RunFailed) as caught:
        list(pages(declared, api))
    return str(caught.value)


def test_page_one_for_ever_is_a_repeated_page() -> None:
    def api(request: Request, params: dict[str, str]) -> Answer:
        return {}, {"data": things(2)}

    assert failure(endpoint(BY_PAGE), api) == (
        "endpoint things: page 2 repeats page 1 byte for byte (2 records): the API does not follow the paging that is "
        "configured"
    )


def test_the_same_keys_in_other_bytes_are_a_repeated_page() -> None:
    def api(request: Request, params: dict[str, str]) -> Answer:
        return {}, {"data": [{**each, "asked_at": params["page"]} for each in things(2)]}

    declared = endpoint(BY_PAGE, primary_key=("$.id",))
    assert "page 2 repeats page 1 with the same keys (2 records)" in failure(declared, api)


def test_records_without_keys_say_nothing_of_a_page() -> None:
    def api(request: Request, params: dict[str, str]) -> Answer:
        number = int(params["page"])
        return {}, {"data": [{"id": None, "n": number}] * 2 if number < 4 else []}

    assert len(list(pages(endpoint(BY_PAGE, primary_key=("$.id",)), api))) == 4


def test_a_cursor_that_goes_round_in_circles_is_found() -> None:
    def api(request: Request, params: dict[str, str]) -> Answer:
        number = request.number
        return {}, {"data": [{"id": number}], "next": f"c{number % 3}"}

    declared = endpoint(Paging(kind="cursor", param="c", cursor="$.next"))
    assert failure(declared, api) == (
        "endpoint things: page 5 is asked for as page 2 was: the answer to page 4 leads back to it"
    )


def test_an_offset_that_does_not_move_is_found() -> None:
    def api(request: Request, params: dict[str, str]) -> Answer:
        return {}, {"data": [], "more": True}

    declared = endpoint(Paging(kind="offset", param="offset", more="$.more"))
    assert "page 2 is asked for as page 1 was" in failure(declared, api)


def test_fewer_records_than_the_api_counts_are_a_failure() -> None:
    def api(request: Request, params: dict[str, str]) -> Answer:
        return {}, {"data": things(2), "total": 9, "next": None}

    declared = endpoint(Paging(kind="cursor", param="c", cursor="$.next", total="$.total"))
    assert failure(declared, api) == (
        "endpoint things: 2 records came on 1 pages, and the API says that there are 9: page 1, with 2 records, led to "
        "no other"
    )


def test_an_endpoint_without_pages_may_not_hold_back_records_either() -> None:
    def api(request: Request, params: dict[str, str]) -> Answer:
        return {}, {"data": things(100), "total": 101}

    assert "100 records came on 1 pages" in failure(endpoint(Paging(total="$.total")), api)


def test_records_that_vanish_while_pages_are_fetched_are_no_failure() -> None:
    def api(request: Request, params: dict[str, str]) -> Answer:
        number = int(params["page"])
        return {}, {"data": things(5)[2 * number - 2 : 2 * number], "total": 7 - number}

    declared = endpoint(Paging(kind="page", param="page", size=2, total="$.total"))
    assert ids(pages(declared, api)) == [0, 1, 2, 3, 4]  # the first page said 6


@pytest.mark.parametrize(("says", "asked"), [(1, 2), (3, 2)])
def test_a_page_that_says_that_it_is_another_one_fails(says: int, asked: int) -> None:
    def api(request: Request, params: dict[str, str]) -> Answer:
        number = int(params["page"])
        return {}, {"data": [{"id": 2 * number}, {"id": 2 * number + 1}], "page": 1 if number == 1 else says}

    declared = endpoint(Paging(kind="page", param="page", size=2, page="$.page"))
    assert failure(declared, api) == (
        f"endpoint things: page {asked} was asked for, and the answer says that it is page {says}"
    )


def test_pages_that_count_from_zero_are_what_they_say() -> None:
    def api(request: Request, params: dict[str, str]) -> Answer:
        number = int(params["page"])
        return {}, {"data": things(5)[2 * number : 2 * number + 2], "page": number}

    declared = endpoint(Paging(kind="page", param="page", size=2, first=0, page="$.page"))
    assert ids(pages(declared, api)) == [0, 1, 2, 3, 4]


def test_an_empty_page_before_the_last_one_fails() -> None:
    def api(request: Request, params: dict[str, str]) -> Answer:
        number = int(params["page"])
        return {}, {"data": [] if number == 2 else [{"id": number}], "pages": 3}

    declared = endpoint(Paging(kind="page", param="page", pages="$.pages"))
    assert "page 2 holds no records, and the API says that more pages follow" in failure(declared, api)


def test_pages_without_end_are_bounded() -> None:
    def api(request: Request, params: dict[str, str]) -> Answer:
        return {}, {"data": [{"id": request.number}], "next": f"c{request.number}"}

    declared = endpoint(Paging(kind="cursor", param="c", cursor="$.next"))
    assert failure(declared, api) == "endpoint things: more than 50 pages were answered: it does not end"


def test_a_fetch_that_is_taken_up_again_counts_what_it_had() -> None:
    declared = endpoint(Paging(kind="page", param="page", size=2, total="$.total"))
    body = b'{"data": [{"id": 5}], "total": 5}'
    request = Request(url=URL, params=(("page", "3"),), number=3, seen=4, full=2)
    guard = Guard(declared, records=4, pages=2)
    guard.see(request, read_page(declared, request, 200, {}, body), body)
    guard.finish()
    assert (guard.records, guard.pages) == (5, 3)
