"""Everything that is wrong with a configuration, found in one go.

Pydantic finds what is wrong with single keys. Those keys are taken out and the rest is looked at further, so that
one mistake does not hide another. Pydantic's own messages are not used: they may hold what was written, and that may
be a secret.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from wharf.model.flags import nearest
from wharf.model.json_document import DocumentError, Mistake, Place, kind, shown

M = TypeVar("M", bound=BaseModel)

_KINDS = {
    "string": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "list": "a list",
    "dict": "an object",
    "model": "an object",
    "model_attributes": "an object",
}


class Findings:
    """Mistakes and warnings by their places; `variables` names the places that the environment filled."""

    def __init__(self, variables: Mapping[Place, str]) -> None:
        self._variables = variables
        self._mistakes: dict[Place, str] = {}
        self._warnings: dict[Place, str] = {}

    def wrong(self, place: Place, text: str) -> None:
        """Note a mistake; the first one at a place counts."""
        self._mistakes.setdefault(place, text)

    def doubtful(self, place: Place, text: str) -> None:
        """Note something that works and should be looked at."""
        self._warnings.setdefault(place, text)

    def sound(self, place: Place, *keys: str) -> bool:
        """Whether none of the `keys` at `place`, nor anything within or around them, has a mistake."""
        asked = [(*place, key) for key in keys]
        return not any(found[: len(each)] == each[: len(found)] for found in self._mistakes for each in asked)

    @property
    def warnings(self) -> tuple[str, ...]:
        return tuple(f"{self._name(place)}: {text}" for place, text in self._warnings.items())

    def raise_if_any(self, uri: str) -> None:
        """Raises: DocumentError with every mistake."""
        if self._mistakes:
            raise DocumentError(uri, [Mistake(self._name(place), text) for place, text in self._mistakes.items()])

    def check(self, data: Any, model: type[M], place: Place) -> M:
        """`data`, which stands at `place`, as a `model` without the keys that have mistakes."""
        if not isinstance(data, dict):
            self.wrong(place, f"must be an object, not {kind(data)}")
            data = {}
        while True:
            try:
                return model.model_validate(data)
            except ValidationError as error:
                found = error.errors(include_url=False, include_input=False)
            sound = data
            for each in found:
                self.wrong((*place, *each["loc"]), _explain(each, model, _value(data, each["loc"])))
                sound = _without(sound, each["loc"])
            data = sound

    def _name(self, place: Place) -> str:
        variable = self._variables.get(place)
        return f"{variable} ({shown(place)})" if variable else shown(place)


def _explain(error: Mapping[str, Any], model: type[BaseModel], value: Any) -> str:
    """What is wrong with `value`, in words that show it only where it is a choice or a name."""
    kind_of_error, details = error["type"], error.get("ctx", {})
    parent, field = _declaration(model, error["loc"])
    if kind_of_error == "extra_forbidden":
        keys = [each.alias or name for name, each in parent.model_fields.items()]
        return f"unknown key{nearest(str(error['loc'][-1]), keys)}"
    if kind_of_error == "literal_error":
        choices = re.findall(r"'([^']*)'|(True|False)", details["expected"])
        names = [text or word.lower() for text, word in choices]
        if not isinstance(value, str):
            return f"must be one of {', '.join(names)}"
        return f"{_short(value)} is none of {', '.join(names)}{nearest(value, names)}"
    if kind_of_error.endswith("_type") and kind_of_error.removesuffix("_type") in _KINDS:
        return f"must be {_KINDS[kind_of_error.removesuffix('_type')]}, not {kind(value)}"
    if kind_of_error == "greater_than_equal":
        return f"must be at least {details['ge']}"
    if kind_of_error == "less_than_equal":
        return f"must be at most {details['le']}"
    if kind_of_error in {"string_too_short", "too_short"}:
        return "is empty: leave it out, or fill it"
    if kind_of_error == "string_pattern_mismatch":
        example = _example(field)
        if example:
            return f"{_short(value)} is not understood: write one like {example}"
        return "holds a line break or another control character"
    return "is not a value that fits here"


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}...")


def _value(data: Any, loc: Place) -> Any:
    for step in loc:
        data = data[step]
    return data


def _without(data: Any, loc: Place) -> Any:
    """A copy of `data` without the key `loc`; a list with a wrong item goes as a whole."""
    if not isinstance(data, dict) or loc[0] not in data:
        return data  # went with an earlier mistake
    head, rest = loc[0], loc[1:]
    if rest and isinstance(rest[0], str) and isinstance(data[head], dict):
        return {**data, head: _without(data[head], rest)}
    return {key: value for key, value in data.items() if key != head}


def _declaration(model: type[BaseModel], loc: Place) -> tuple[type[BaseModel], FieldInfo | None]:
    """The model that the last key of `loc` belongs to, and the key's field if there is one."""
    field = None
    for step in loc:
        if isinstance(step, int):
            continue
        model = (_model_in(field.annotation) if field else None) or model
        field = next((each for name, each in model.model_fields.items() if (each.alias or name) == step), None)
    return model, field


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)


def _example(field: FieldInfo | None) -> str:
    """The example of a field, which may be declared with the type of its items."""
    if not field:
        return ""
    pending: list[Any] = [field, *field.metadata, field.annotation]
    while pending:
        each = pending.pop()
        if examples := getattr(each, "examples", None):
            return str(examples[0])
        pending += [*get_args(each), *getattr(each, "__metadata__", ())]
    return ""
