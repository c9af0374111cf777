"""JSON documents that people write: parsed strictly, with a name for every place in them.

A place is a tuple of keys and indices. People are shown `exports[1].format`; a reference to a secret holds the JSON
pointer (RFC 6901) `/exports/1/format`.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from wharf.model.errors import UsageError

Place = tuple[str | int, ...]


class Mistake(NamedTuple):
    """Something that must be mended: where, and what is wrong. Its text never holds a secret."""

    path: str
    text: str

    def __str__(self) -> str:
        return f"{self.path}: {self.text}" if self.path else self.text


class DocumentError(UsageError):
    """A document with mistakes, all of them; a line for each."""

    def __init__(self, uri: str, mistakes: Sequence[Mistake]) -> None:
        super().__init__(uri, mistakes)
        self.uri = uri
        self.mistakes = tuple(mistakes)

    def __str__(self) -> str:
        if len(self.mistakes) == 1:
            return f"{self.uri}: {self.mistakes[0]}"
        return "\n".join([f"{self.uri} has {len(self.mistakes)} mistakes", *(f"  {each}" for each in self.mistakes)])


class _Object(dict[str, Any]):
    """An object that remembers which of its keys came more than once."""

    repeated: tuple[str, ...] = ()


def parse(text: str, uri: str) -> tuple[dict[str, Any], list[Place]]:
    """The object that `text` is, and the places of keys that were given more than once; `uri` is for the error.

    Raises: DocumentError, with line and column if it is no JSON.
    """
    try:
        data = json.loads(text, object_pairs_hook=_object)
        repeated = list(_repeated(data, ()))
    except json.JSONDecodeError as error:
        # What follows a colon and a blank in the parser's message is a piece of the document.
        reason = error.msg.partition(": ")[0]
        place = f"line {error.lineno}, column {error.colno}"
        raise DocumentError(uri, [Mistake(place, f"this is not JSON ({reason})")]) from None
    except (ValueError, RecursionError):
        raise DocumentError(uri, [Mistake("", "holds a number or a nesting too large to be read")]) from None
    if not isinstance(data, dict):
        raise DocumentError(uri, [Mistake("", f"must be an object, {{...}}, not {kind(data)}")])
    return data, repeated


def shown(place: Place) -> str:
    """`("exports", 1, "format")` -> `exports[1].format`."""
    text = ""
    for step in place:
        if isinstance(step, int):
            text += f"[{step}]"
        elif re.fullmatch(r"[\w$-]+", step):
            text += f".{step}" if text else step
        else:
            text += f"[{json.dumps(step)}]"
    return text


def pointer(place: Place) -> str:
    """`("exports", 1, "a/b")` -> `/exports/1/a~1b`."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in place)


def at(data: Any, pointer: str) -> Any:
    """What a JSON pointer leads to in `data`.

    Raises: LookupError if it leads nowhere.
    """
    for step in pointer.split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(data, list) and key.isdecimal():
            data = data[int(key)]
        elif isinstance(data, dict):
            data = data[key]
        else:
            raise LookupError(pointer)
    return data


def kind(value: Any) -> str:
    """What a JSON value is, for people; never the value."""
    if value is None:
        return "null"
    kinds = (
        (bool, "true or false"),
        (str, "text"),
        (int, "a number"),
        (float, "a decimal number"),
        (list, "a list"),
        (dict, "an object"),
    )
    return next(name for types, name in kinds if isinstance(value, types))


def _object(pairs: list[tuple[str, Any]]) -> _Object:
    made = _Object(pairs)
    if len(made) < len(pairs):
        times = Counter(key for key, _ in pairs)
        made.repeated = tuple(key for key in made if times[key] > 1)
    return made


def _repeated(data: Any, place: Place) -> Iterator[Place]:
    if isinstance(data, _Object):
        yield from ((*place, key) for key in data.repeated)
        for key, value in data.items():
            yield from _repeated(value, (*place, key))
    elif isinstance(data, list):
        for index, value in enumerate(data):
            yield from _repeated(value, (*place, index))
