"""JSON that people wrote: mistakes with their place, and places with a name."""

from __future__ import annotations

import traceback

import pytest

from tests.configs import AS_LIST, BY_NAME, URI, VARIABLES, mistakes
from wharf.model.config import load
from wharf.model.errors import UsageError
from wharf.model.json_document import at, pointer

SECRET = "hunter2-and-more"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"exports": {},\n  "sftp" {}}', f"{URI}: line 2, column 10: this is not JSON (Expecting ':' delimiter)"),
        ("", f"{URI}: line 1, column 1: this is not JSON (Expecting value)"),
        ("[1]", f"{URI}: must be an object, {{...}}, not a list"),
        ("9" * 5000, f"{URI}: holds a number or a nesting too large to be read"),
        ("[" * 100_000, f"{URI}: holds a number or a nesting too large to be read"),
    ],
)
def test_what_is_no_json_object_is_refused_with_its_place(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        load(text, uri=URI)
    assert str(caught.value) == message


def test_a_key_that_is_given_twice_is_a_mistake_at_every_depth() -> None:
    text = BY_NAME.replace('"compress": true', '"compress": true, "compress": false').replace("all_of_it", "daily")
    found = mistakes(text)
    assert found == {"exports.daily": "is given more than once: keep one"}
    text = AS_LIST.replace('"incremental": true', '"incremental": true, "incremental": true')
    found = mistakes(text, variables=VARIABLES)
    assert found == {"exports[0].incremental": "is given more than once: keep one"}


def test_malformed_json_does_not_show_a_secret() -> None:
    with pytest.raises(UsageError) as caught:
        load(f'{{"sftp": {{"password": "{SECRET}\n"', uri=URI)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert "line 1, column 40" in str(caught.value)


def test_odd_keys_have_paths_and_pointers_that_lead_to_them() -> None:
    odd = {"a/b~c d": [{"x": 1}]}
    assert at(odd, pointer(("a/b~c d", 0, "x"))) == 1
    assert '["a b"]' in next(iter(mistakes(**{"a b": 1})))
    for wrong in ("/nothing", "/a~1b~0c d/7", "/a~1b~0c d/0/x/y"):
        with pytest.raises(LookupError):
            at(odd, wrong)
