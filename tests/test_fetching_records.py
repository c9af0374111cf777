"""Records: nothing of them is lost between an answer's bytes and JSON lines."""

from __future__ import annotations

import json
import pickle
from typing import Any

import jsonpath_rfc9535
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fetched import URL, endpoint
from wharf.model.errors import RunFailed
from wharf.model.fetching.json_path import json_path
from wharf.model.fetching.paging import Request
from wharf.model.fetching.records import find, lines, parse, read_page

EXTRAS = {"_fetched_at": "2026-01-02T03:04:05Z", "_page": 7, "_request_id": "r", "_run_id": "x", "_tenant": "t"}
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**40), 10**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)
RECORDS = st.lists(st.dictionaries(st.text(max_size=8), VALUES, max_size=6), max_size=8)


@given(RECORDS)
def test_records_come_back_from_their_lines_with_what_is_told_of_them(records: list[dict[str, Any]]) -> None:
    body = json.dumps({"data": records}).encode()
    found = find(endpoint(), parse(body))
    written = lines(found, EXTRAS)
    assert found == records
    assert [json.loads(line) for line in written.decode().split("\n")[:-1]] == [EXTRAS | each for each in records]
    assert written.endswith(b"\n") or not records


@given(VALUES, st.booleans())
def test_a_body_is_parsed_to_what_it_says_pretty_or_not(value: Any, pretty: bool) -> None:
    body = json.dumps(value, indent=1 if pretty else None, ensure_ascii=pretty).encode("utf-8", "replace")
    assert parse(body) == json.loads(body)


@pytest.mark.parametrize(
    "number",
    [2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, 10**19, 10**20, 12345678901234567890123456789],
)
@pytest.mark.parametrize("before", range(9))
def test_integers_of_any_size_and_at_any_place_keep_their_digits(number: int, before: int) -> None:
    text = f'{{"data": [{{{" " * before}"n":{number}}}]}}'
    records = find(endpoint(), parse(text.encode()))
    assert records == [{"n": number}]
    assert f'"n":{number}}}'.encode() in lines(records, EXTRAS)


@pytest.mark.parametrize("sign", ["", "-"])
def test_integers_of_all_lengths_are_exact(sign: str) -> None:
    for length in range(17, 45):
        digits = sign + ("9876543210" * 5)[:length]
        for before in range(8):
            body = f"{' ' * before}[{digits}]".encode()
            assert parse(body) == [int(digits)], body


def test_what_is_told_stands_first_and_a_field_of_its_name_is_kept_beside_it() -> None:
    record = {"_page": "own", "_page_": "too", "a": 1}
    (line,) = lines([record], EXTRAS).splitlines()
    assert list(json.loads(line)) == [*EXTRAS, "_page__", "_page_", "a"]
    assert json.loads(line) == {**EXTRAS, "_page__": "own", "_page_": "too", "a": 1}
    assert record == {"_page": "own", "_page_": "too", "a": 1}


def test_an_empty_record_is_a_line_of_what_is_told() -> None:
    assert [json.loads(line) for line in lines([{}, {"a": 1}], EXTRAS).splitlines()] == [EXTRAS, {**EXTRAS, "a": 1}]


def test_line_breaks_stay_inside_their_text() -> None:
    records = [{"text": "a\nb\r\n\u2028c"}, {"text": "\x00"}]
    assert [json.loads(line)["text"] for line in lines(records, EXTRAS).split(b"\n")[:-1]] == [
        "a\nb\r\n\u2028c",
        "\x00",
    ]


def test_half_a_surrogate_pair_does_not_lose_the_page() -> None:
    records = find(endpoint(), parse(rb'{"data": [{"name": "cut \ud83d", "n": 1}]}'))
    assert json.loads(lines(records, {"_page": 1})) == {"_page": 1, "name": "cut ?", "n": 1}


def test_deep_nesting_is_kept() -> None:
    body = b'{"data": [{"deep": ' + b'{"a":' * 300 + b"1" + b"}" * 300 + b"}]}"
    assert json.loads(lines(find(endpoint(), parse(body)), EXTRAS))["deep"] == json.loads(body)["data"][0]["deep"]


def test_a_byte_order_mark_is_passed_over() -> None:
    assert parse(b"\xef\xbb\xbf[1]") == [1]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b'{"a": 1',
        b"<html>secret</html>",
        b'{"a": NaN}',
        b'{"a": 1e999}',
        b"\xff\xfe\xfd",
        b"[" * 100_000,
        b'{"n": %s}' % (b"9" * 5000),
    ],
    ids=["nothing", "a blank", "cut off", "HTML", "NaN", "too large", "not UTF-8", "too deep", "too many digits"],
)
def test_what_is_not_json_is_refused_without_showing_it(body: bytes) -> None:
    with pytest.raises(ValueError, match=f"the answer of {len(body)} bytes is not JSON") as caught:
        parse(body)
    assert "secret" not in str(caught.value)
    assert "99" not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "body", "records"),
    [
        ("$[*]", [{"a": 1}, {"a": 2}], [{"a": 1}, {"a": 2}]),
        ("$", [{"a": 1}], [{"a": 1}]),
        ("$", {"a": 1}, [{"a": 1}]),
        ("$", None, []),
        ("$.data", {"data": [{"a": 1}]}, [{"a": 1}]),
        ("$.data", {"data": {"a": 1}}, [{"a": 1}]),
        ("$.data[*]", {"data": None}, []),
        ("$.data[*]", {"data": []}, []),
        ("$.by_id.*", {"by_id": {"x": {"a": 1}, "y": {"a": 2}}}, [{"a": 1}, {"a": 2}]),
        ("$['odd name'][0].rows[*]", {"odd name": [{"rows": [{"a": 1}]}]}, [{"a": 1}]),
        ("$.groups[*].items[*]", {"groups": [{"items": [{"a": 1}]}, {}, {"items": [{"a": 2}]}]}, [{"a": 1}, {"a": 2}]),
        ("$..row", {"x": {"row": {"a": 1}}, "y": [{"row": {"a": 2}}]}, [{"a": 1}, {"a": 2}]),
        ("$.data[?@.a > 1]", {"data": [{"a": 1}, {"a": 2}]}, [{"a": 2}]),
        ("$.ids[*]", {"ids": [1, "b", None, [2]]}, [{"value": 1}, {"value": "b"}, {"value": None}, {"value": [2]}]),
    ],
)
def test_records_are_where_the_path_leads(path: str, body: Any, records: list[Any]) -> None:
    assert find(endpoint(records=path), body) == records


def test_records_are_the_parsers_own_objects() -> None:
    body = {"data": [{"a": 1}]}
    assert find(endpoint(), body) is body["data"]


@pytest.mark.parametrize("body", [{"Error": "you have no permission", "Code": 14}, {}, [1], "text", 3])
def test_an_answer_without_the_records_is_a_failure_and_not_an_empty_page(body: Any) -> None:
    request = Request(url=URL, number=4)
    with pytest.raises(RunFailed, match=r"endpoint things, page 4: nothing is at \$\.data\[\*\]") as caught:
        read_page(endpoint(), request, 200, {}, json.dumps(body).encode())
    assert "permission" not in str(caught.value)


def test_records_may_be_declared_optional() -> None:
    assert find(endpoint(records_optional=True), {"kind": "list"}) == []


@pytest.mark.parametrize("status", [204, 205, 304])
def test_an_answer_that_has_no_body_has_no_records(status: int) -> None:
    assert read_page(endpoint(), Request(url=URL), status, {}, b"").records == []


@pytest.mark.parametrize(
    "path", ["$", "$.a", "$['a']", '$["b c"]', "$.a[0].b", "$.a[-1]", "$.a[*].b", "$.*", "$[*][*]"]
)
@given(value=VALUES | st.just({"a": [{"b": 1}, {"b": None}, 3], "b c": 2}))
def test_simple_paths_lead_where_the_standards_own_parser_says(path: str, value: Any) -> None:
    assert (json_path(path).all(value) or []) == jsonpath_rfc9535.compile(path).find(value).values()


@pytest.mark.parametrize("path", ["$.a[", "a", "$.a..", "$[?", ""])
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        json_path(path)


def test_a_path_survives_pickling() -> None:
    for text in ("$.a", "$..a"):
        assert pickle.loads(pickle.dumps(json_path(text))).all({"a": 1}) == [1]
