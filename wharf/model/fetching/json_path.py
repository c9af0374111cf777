"""JSONPath (RFC 9535): compiled once, and fast where a path only names fields, items and `[*]`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

_STEP = re.compile(r"""\.([A-Za-z_][A-Za-z0-9_]*)|\['([^'\\]*)'\]|\["([^"\\]*)"\]|\[(0|-?[1-9]\d*)\]|(\[\*\]|\.\*)""")
_ALL: Final = object()


class JsonPath:
    """A compiled path; made by `json_path`, and pickled as its text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._steps = _simple_steps(text)
        self._query: Any = None
        if self._steps is None:
            import jsonpath_rfc9535

            self._query = jsonpath_rfc9535.compile(text)

    def __repr__(self) -> str:
        return f"JsonPath({self.text!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return json_path, (self.text,)

    @property
    def is_single(self) -> bool:
        """Whether the path leads to one value at most."""
        return _ALL not in self._steps if self._steps is not None else bool(self._query.singular_query())

    def first(self, value: Any, default: Any = None) -> Any:
        """The first thing that the path leads to in `value`, or `default`."""
        found = self.all(value)
        return found[0] if found else default

    def firsts(self, records: Iterable[Mapping[str, Any]]) -> list[Any]:
        """The first thing in each of `records`; None where there is none."""
        if self._steps and len(self._steps) == 1 and isinstance(name := self._steps[0], str):
            return [record.get(name) for record in records]
        return [self.first(record) for record in records]

    def all(self, value: Any) -> list[Any] | None:
        """Everything that the path leads to in `value`; a list that the path ends in is itself the answer, no copy.

        None, which says more than an empty list: not even what stands before a `[*]` is there.
        """
        if self._steps is None:
            return list(self._query.find(value).values())
        return _walk(value, self._steps)


@lru_cache(maxsize=1024)
def json_path(text: str) -> JsonPath:
    """`text` compiled.

    Raises: ValueError that says what is wrong with it.
    """
    try:
        return JsonPath(text)
    except Exception as error:
        # The parser has exceptions of its own that share no base with Python's; they tell of the path alone.
        if type(error).__module__.startswith("jsonpath_rfc9535"):
            raise ValueError(str(error)) from None
        raise


def _simple_steps(text: str) -> tuple[Any, ...] | None:
    """The names, indices and `[*]` that a path consists of; None if there is more to it."""
    if not text.startswith("$"):
        return None
    steps: list[Any] = []
    at = 1
    while at < len(text):
        match = _STEP.match(text, at)
        if not match:
            return None
        dotted, single, double, index, star = match.groups()
        names = [each for each in (dotted, single, double) if each is not None]
        steps.append(_ALL if star else int(index) if index else names[0])
        at = match.end()
    return tuple(steps)


def _walk(value: Any, steps: tuple[Any, ...]) -> list[Any] | None:
    for at, step in enumerate(steps):
        if step is _ALL:
            items = value if isinstance(value, list) else list(value.values()) if isinstance(value, dict) else None
            rest = steps[at + 1 :]
            if items is None or not rest:
                return items
            return [found for item in items for found in _walk(item, rest) or ()]
        if isinstance(step, str):
            if not isinstance(value, dict) or step not in value:
                return None
            value = value[step]
        else:
            if not isinstance(value, list) or not -len(value) <= step < len(value):
                return None
            value = value[step]
    return [value]
