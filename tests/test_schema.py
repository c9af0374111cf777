"""Table names and schemas as values."""

from __future__ import annotations

from dataclasses import replace

import pytest

from wharf.model.errors import UsageError
from wharf.model.schema import Field, TableId, fingerprint


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("p-1.d.t", ("p-1", "d", "t")),
        ("p-1:d.t", ("p-1", "d", "t")),
        ("example.com:p.d.t", ("example.com:p", "d", "t")),
        ("p.d_1.größe-2$20250301", ("p", "d_1", "größe-2$20250301")),
        ("d.t", ("mine", "d", "t")),
    ],
)
def test_a_table_name_is_read(text: str, expected: tuple[str, str, str]) -> None:
    table = TableId.parse(text, flag="x", project="mine")
    assert table == expected
    assert TableId.parse(str(table), flag="x") == table


def test_a_table_has_a_path_for_the_read_api() -> None:
    assert TableId("p", "d", "t").path == "projects/p/datasets/d/tables/t"


@pytest.mark.parametrize("text", ["", "t", "d.t", "p..t", "p.d.", "p.d-1.t", "p.d.t`", "p.d.a b", "p.d.t/u", "P.d.t"])
def test_anything_else_is_refused_by_flag(text: str) -> None:
    with pytest.raises(UsageError, match=r"--x: .* is not a table name: write project.dataset.table"):
        TableId.parse(text, flag="x")


def test_fields_are_read_from_the_rest_api() -> None:
    resource = {
        "name": "s",
        "type": "RECORD",
        "mode": "REPEATED",
        "description": "Ä",
        "fields": [
            {"name": "i", "type": "INTEGER", "mode": "REQUIRED"},
            {"name": "f", "type": "FLOAT"},
            {"name": "b", "type": "BOOLEAN", "mode": "NULLABLE"},
            {"name": "n", "type": "NUMERIC", "precision": "10", "scale": "2"},
            {"name": "r", "type": "RANGE", "rangeElementType": {"type": "DATE"}},
        ],
    }
    assert Field.from_api(resource) == Field(
        name="s",
        type="STRUCT",
        mode="REPEATED",
        description="Ä",
        fields=(
            Field(name="i", type="INT64", mode="REQUIRED"),
            Field(name="f", type="FLOAT64"),
            Field(name="b", type="BOOL"),
            Field(name="n", type="NUMERIC", precision=10, scale=2),
            Field(name="r", type="RANGE", range_element="DATE"),
        ),
    )


def test_both_spellings_of_a_type_mean_the_same() -> None:
    for legacy, standard in (("INTEGER", "INT64"), ("float", "FLOAT64"), ("BOOLEAN", "BOOL"), ("RECORD", "STRUCT")):
        assert Field.from_api({"name": "a", "type": legacy}) == Field.from_api({"name": "a", "type": standard})


CHILD = Field(name="x", type="NUMERIC")
FIELD = Field(name="a", type="STRUCT", fields=(CHILD,))


@pytest.mark.parametrize(
    "changed",
    [
        (),
        (FIELD, FIELD),
        (replace(FIELD, name="b"),),
        (replace(FIELD, mode="REPEATED"),),
        (replace(FIELD, fields=(replace(CHILD, type="STRING"),)),),
        (replace(FIELD, fields=(replace(CHILD, precision=5),)),),
        (replace(FIELD, fields=()), CHILD),
    ],
)
def test_a_changed_schema_has_another_fingerprint(changed: tuple[Field, ...]) -> None:
    assert fingerprint(changed) != fingerprint((FIELD,))


def test_descriptions_do_not_change_the_fingerprint() -> None:
    described = replace(FIELD, description="b", fields=(replace(CHILD, description="c"),))
    assert fingerprint((described,)) == fingerprint((FIELD,))
