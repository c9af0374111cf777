"""First requests: parent's fields, tenant and cursor in their places; and cursors as they are kept and sent."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fetched import endpoint
from wharf.model.errors import RunFailed
from wharf.model.fetching.api import Api, Incremental, Paging
from wharf.model.fetching.cursors import highest, later, moment, sent
from wharf.model.fetching.requests import first_request, opening, parents

API = Api(
    name="x",
    client_name="acme",
    base_url="https://api.example/v2/",
    headers=(("Accept", "application/json"), ("X-Version", "1")),
    tenant_header="xero-tenant-id",
)
SINCE = Incremental(header="If-Modified-Since", lookback_seconds=600)


def test_a_first_request_has_everything() -> None:
    declared = endpoint(
        Paging(kind="page", param="page", size_param="pageSize", size=100),
        path="/Invoices",
        params=(("order", "InvoiceID ASC"),),
        headers=(("x-version", "2"),),
        incremental=SINCE,
    )
    request = first_request(API, declared, tenant="t1", cursor="2026-03-01T00:05:00+00:00")
    assert request.full_url == "https://api.example/v2/Invoices?order=InvoiceID%20ASC&pageSize=100&page=1"
    assert dict(request.headers) == {
        "Accept": "application/json",
        "x-version": "2",
        "xero-tenant-id": "t1",
        "If-Modified-Since": "2026-02-28T23:55:00",
    }


def test_without_a_cursor_and_a_tenant_neither_is_sent() -> None:
    request = opening(API, endpoint(incremental=SINCE))
    assert dict(request.headers) == {"Accept": "application/json", "X-Version": "1"}


def test_a_cursor_may_be_a_parameter_also_the_one_that_pages_go_by() -> None:
    declared = endpoint(
        Paging(kind="offset", param="offset", offset_from="$.n"),
        params=(("offset", "0"),),
        incremental=Incremental(param="offset", cursor="$.n", format=""),
    )
    assert first_request(API, declared, cursor="812").params == (("offset", "812"),)


@given(st.text(min_size=1))
def test_a_parents_field_stays_one_part_of_the_path(value: str) -> None:
    declared = endpoint(path="o/{order}/lines", params=(("of", "{order}"),), parent_fields=(("order", "$.id"),))
    try:
        request = opening(API, declared, parent={"order": value})
    except UnicodeEncodeError:
        return
    assert request.url.count("/") == "https://api.example/v2/o/1/lines".count("/")
    assert not set("?#& ") & set(request.url)
    assert request.params == (("of", value),)


def test_each_record_of_a_parent_is_asked_for_once_it_has_the_fields() -> None:
    declared = endpoint(parent="orders", parent_fields=(("order", "$.id"), ("shop", "$.shop.name")))
    records: list[dict[str, Any]] = [
        {"id": 7, "shop": {"name": "a/b"}},
        {"id": 8, "shop": None},
        {"id": None, "shop": {"name": "c"}},
        {"id": 0, "shop": {"name": True}},
    ]
    assert list(parents(declared, records)) == [{"order": "7", "shop": "a/b"}, {"order": "0", "shop": "true"}]
    with pytest.raises(RunFailed, match="order of a record of orders is neither text nor a number"):
        list(parents(declared, [{"id": {"x": 1}, "shop": {"name": "a"}}]))


@pytest.mark.parametrize(
    "value",
    [
        "2015-08-13T02:59:16.79+00:00",
        "2015-08-13T02:59:16.790Z",
        "2015-08-13T02:59:16.79",
        "2015-08-13 04:59:16.790+02:00",
        "/Date(1439434756790)/",
        "/Date(1439434756790+1200)/",
        1439434756790,
        1439434756.79,
        "1439434756790",
        "1439434756.79",
    ],
)
def test_times_are_understood_as_apis_write_them(value: Any) -> None:
    assert moment(value) == dt.datetime(2015, 8, 13, 2, 59, 16, 790_000, tzinfo=dt.UTC)


def test_an_http_date_and_a_day_are_times() -> None:
    assert moment("Thu, 13 Aug 2015 02:59:16 GMT") == dt.datetime(2015, 8, 13, 2, 59, 16, tzinfo=dt.UTC)
    assert moment("2015-08-13") == dt.datetime(2015, 8, 13, tzinfo=dt.UTC)


@pytest.mark.parametrize("value", ["", "x", "12", True, "2015-13-01", 1e300, float("nan"), "/Date(99999999999999999)/"])
def test_what_is_no_time_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        moment(value)


@given(st.lists(st.datetimes(min_value=dt.datetime(1971, 1, 1), max_value=dt.datetime(2100, 1, 1)), min_size=1))
def test_the_highest_time_counts_however_each_is_written(times: list[dt.datetime]) -> None:
    zone = dt.timezone(dt.timedelta(hours=5))
    utc = [each.replace(microsecond=0, tzinfo=dt.UTC) for each in times]
    forms = [
        lambda each: each.isoformat(),
        lambda each: each.isoformat().replace("+00:00", "Z"),
        lambda each: each.astimezone(zone).isoformat(),
        lambda each: f"/Date({int(each.timestamp() * 1000)}+0000)/",
    ]
    ways = len(forms) if len(times) % 2 else 1  # all written alike, or each in its own way
    records: list[dict[str, Any]] = [{"at": forms[index % ways](each)} for index, each in enumerate(utc)]
    incremental = Incremental(header="If-Modified-Since", cursor="$.at")
    found = highest(incremental, [*records, {"at": None}, {}], "")
    assert moment(found) == max(utc)
    assert highest(incremental, records[:1], found) == found
    assert highest(incremental, [], "") == ""


def test_times_that_are_written_alike_and_differ_in_their_zone_are_compared_as_times() -> None:
    records = [{"at": "2026-01-01T10:00:00+09:00"}, {"at": "2026-01-01T05:00:00+00:00"}]
    assert highest(Incremental(header="h", cursor="$.at"), records, "") == "2026-01-01T05:00:00.000000+00:00"


def test_the_later_of_two_cursors_is_kept() -> None:
    times = Incremental(header="h", cursor="$.at")
    assert later(times, "2026-01-01T10:00:00+00:00", "") == "2026-01-01T10:00:00+00:00"
    early, late = "2026-01-01T10:00:00.000000+00:00", "2026-01-01T10:00:00.000001+00:00"
    assert later(times, early, late) == later(times, late, early) == late
    assert later(Incremental(param="p", cursor="$.id", format=""), "9", "10") == "10"


def test_cursors_that_are_no_times_grow_as_numbers_or_as_text() -> None:
    by_number = Incremental(param="since_id", cursor="$.meta.id", format="")
    assert highest(by_number, [{"meta": {"id": 9}}, {"meta": {"id": 10}}, {}], "8") == "10"
    assert highest(by_number, [{"meta": {"id": "9"}}, {"meta": {"id": "123456789012345678901234"}}], "99") == (
        "123456789012345678901234"
    )
    assert highest(by_number, [{"meta": {"id": "b"}}, {"meta": {"id": "a"}}], "") == "b"
    assert sent(by_number, "10") == "10"


@pytest.mark.parametrize("value", ["hidden", "0001-01-01T00:00:00+01:00"])
def test_a_cursor_that_is_no_time_names_the_remedy(value: str) -> None:
    with pytest.raises(RunFailed, match=r"a value at \$\.at is not a time.*format") as caught:
        highest(Incremental(header="h", cursor="$.at"), [{"at": value}], "")
    assert value not in str(caught.value)


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("http", "Sun, 01 Mar 2026 00:00:00 GMT"),
        ("epoch", "1772323200"),
        ("epoch_ms", "1772323200000"),
        ("%Y-%m-%dT%H:%M:%SZ", "2026-03-01T00:00:00Z"),
        ("%Y%m%d", "20260301"),
    ],
)
def test_a_cursor_is_sent_as_the_api_wants_it_less_the_lookback(form: str, text: str) -> None:
    assert sent(Incremental(param="since", format=form, lookback_seconds=86_400), "2026-03-02T01:00:00+01:00") == text


def test_the_first_run_begins_where_the_configuration_says() -> None:
    assert sent(Incremental(param="since", start="2020-01-01"), "") == "2020-01-01T00:00:00"
    assert sent(Incremental(param="since"), "") == ""
    assert sent(Incremental(param="since", lookback_seconds=10**9), "1971-01-01") == "1970-01-01T00:00:00"
    assert sent(Incremental(param="since", lookback_seconds=60), "0001-01-01T00:00:00+00:00") == "1970-01-01T00:00:00"
