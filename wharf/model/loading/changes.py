"""Whether staged rows fit their table, and how it must change for them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from wharf.model.errors import RunFailed
from wharf.model.loading.sql_text import sql_type
from wharf.model.schema import Field

# What an INSERT converts by itself: https://cloud.google.com/bigquery/docs/reference/standard-sql/conversion_rules
_WIDENED = {
    "INT64": {"NUMERIC", "BIGNUMERIC", "FLOAT64"},
    "NUMERIC": {"BIGNUMERIC", "FLOAT64"},
    "BIGNUMERIC": {"FLOAT64"},
    "DATE": {"DATETIME"},
}
_ADDITION, _RELAXATION = "ALLOW_FIELD_ADDITION", "ALLOW_FIELD_RELAXATION"


@dataclass(frozen=True)
class Changes:
    """Columns to add, NULLABLE or REPEATED, and names of REQUIRED columns that may be NULL from now on."""

    added: tuple[Field, ...] = ()
    relaxed: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.relaxed)


def compare(
    table: Sequence[Field], staged: Sequence[Field], filled: Collection[str] = (), allowed: Collection[str] = ()
) -> Changes:
    """What must change in a table with the columns `table` so that rows with the columns `staged` can be inserted.

    `filled`: columns that Wharf gives a value converted to their type. `allowed`: the `schema_update_options`.

    Raises: RunFailed with every difference that is not allowed, and what would allow it.
    """
    there = {field.name.lower(): field for field in table}
    here = {field.name.lower(): field for field in staged}
    own = {name.lower() for name in filled}
    added, relaxed, wrong = [], [], []
    for name, field in here.items():
        if name not in there:
            if _ADDITION in allowed:
                added.append(_nullable(field))
            else:
                wrong.append(
                    f"column {field.name} ({sql_type(field)}) is not in the table: add it, or allow that with "
                    f"--schema_update_options={_ADDITION}"
                )
        elif name not in own:
            wrong += _differences(there[name], field, field.name)
            # Without the permission the rows are taken as long as none is NULL there.
            if there[name].mode == "REQUIRED" and field.mode == "NULLABLE" and _RELAXATION in allowed:
                relaxed.append(there[name].name)
    for name, field in there.items():
        if field.mode == "REQUIRED" and name not in here and name not in own:
            if _RELAXATION in allowed:
                relaxed.append(field.name)
            else:
                wrong.append(
                    f"column {field.name} ({sql_type(field)} REQUIRED) is not in the files: deliver it, or allow it to "
                    f"become NULLABLE with --schema_update_options={_RELAXATION}"
                )
    if wrong:
        raise RunFailed("the files do not fit the table: " + "; ".join(wrong))
    return Changes(tuple(added), tuple(relaxed))


def _differences(there: Field, here: Field, path: str) -> list[str]:
    """How `here` differs so that BigQuery would not convert it; fields of a STRUCT by dotted paths."""
    if (there.mode == "REPEATED") != (here.mode == "REPEATED"):
        return [_difference(there, here, path)]
    if there.type == here.type == "STRUCT":
        return _struct_differences(there, here, path)
    fits = here.type == there.type and here.range_element == there.range_element
    # Neither an ARRAY's items nor a STRUCT's fields are converted.
    widened = there.type in _WIDENED.get(here.type, ()) and there.mode != "REPEATED" and "." not in path
    return [] if fits or widened else [_difference(there, here, path)]


def _struct_differences(there: Field, here: Field, path: str) -> list[str]:
    theirs = {field.name.lower(): field for field in there.fields}
    ours = {field.name.lower(): field for field in here.fields}
    wrong = []
    for name, field in ours.items():
        if name in theirs:
            wrong += _differences(theirs[name], field, f"{path}.{field.name}")
        else:
            wrong.append(
                f"field {path}.{field.name} ({sql_type(field)}) is not in the table, and none can be added within a "
                "STRUCT while loading: add it to the table, and deliver it in all files"
            )
    wrong += [
        f"field {path}.{field.name} ({sql_type(field)}) is not in the files: a STRUCT is inserted whole, so deliver "
        "it, or name all fields in _config/schema.json where the format takes it"
        for name, field in theirs.items()
        if name not in ours
    ]
    if not wrong and list(theirs) != list(ours):
        order = ", ".join(field.name for field in there.fields)
        wrong.append(f"the fields of {path} come in another order than in the table: write them as {order}")
    return wrong


def _difference(there: Field, here: Field, path: str) -> str:
    return (
        f"column {path} is {sql_type(there)} in the table and {sql_type(here)} in the files, which BigQuery does not "
        "convert: deliver the table's type, or convert it in _config/bq_transform.sql"
    )


def _nullable(field: Field) -> Field:
    return replace(field, mode="REPEATED" if field.mode == "REPEATED" else "NULLABLE")
