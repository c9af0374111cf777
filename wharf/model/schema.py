"""A BigQuery table's name and schema as plain values."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from wharf.model.errors import UsageError

# BigQuery answers with either spelling of a type, depending on who asked.
_STANDARD_NAMES = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL", "RECORD": "STRUCT"}

_TABLE = re.compile(r"([a-z0-9.:-]*[a-z0-9])[.:]([A-Za-z0-9_]+)\.([^\s.`/:]+)")


class TableId(NamedTuple):
    """`project.dataset.table`."""

    project: str
    dataset: str
    table: str

    def __str__(self) -> str:
        return f"{self.project}.{self.dataset}.{self.table}"

    @property
    def path(self) -> str:
        """The name the Storage Read API uses."""
        return f"projects/{self.project}/datasets/{self.dataset}/tables/{self.table}"

    @classmethod
    def parse(cls, text: str, *, flag: str, project: str | None = None) -> TableId:
        """`project.dataset.table`, or `dataset.table` where a default project is known.

        Raises: UsageError naming the flag.
        """
        full = f"{project}.{text}" if project and text.count(".") == 1 and ":" not in text else text
        match = _TABLE.fullmatch(full)
        if not match:
            raise UsageError(f"--{flag}: {text!r} is not a table name: write project.dataset.table")
        return cls(*match.groups())


@dataclass(frozen=True, kw_only=True)
class Field:
    """One column, or one field of a STRUCT column. `type` is a standard SQL name (INT64, STRUCT, ...)."""

    name: str
    type: str
    mode: str = "NULLABLE"
    description: str = ""
    precision: int | None = None
    scale: int | None = None
    range_element: str = ""
    fields: tuple[Field, ...] = ()

    @classmethod
    def from_api(cls, resource: dict[str, Any]) -> Field:
        """A `TableFieldSchema` of BigQuery's REST API (v2, `tables` resource)."""
        type_ = resource["type"].upper()
        number = {name: int(resource[name]) for name in ("precision", "scale") if resource.get(name)}
        return cls(
            name=resource["name"],
            type=_STANDARD_NAMES.get(type_, type_),
            mode=(resource.get("mode") or "NULLABLE").upper(),
            description=resource.get("description") or "",
            precision=number.get("precision"),
            scale=number.get("scale"),
            range_element=(resource.get("rangeElementType") or {}).get("type", ""),
            fields=tuple(cls.from_api(field) for field in resource.get("fields", ())),
        )

    def to_api(self) -> dict[str, Any]:
        """The same as a `TableFieldSchema`."""
        resource: dict[str, Any] = {"name": self.name, "type": self.type, "mode": self.mode}
        resource |= {"description": self.description} if self.description else {}
        resource |= {name: str(value) for name in ("precision", "scale") if (value := getattr(self, name)) is not None}
        resource |= {"rangeElementType": {"type": self.range_element}} if self.range_element else {}
        return resource | ({"fields": [field.to_api() for field in self.fields]} if self.fields else {})


def fingerprint(fields: tuple[Field, ...]) -> str:
    """A digest that changes when the schema does; descriptions do not count."""

    def shape(field: Field) -> dict[str, Any]:
        return {
            **asdict(field),
            "description": "",
            "fields": [shape(child) for child in field.fields],
        }

    text = json.dumps([shape(field) for field in fields], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
