"""Texts with named fields in braces, such as `{export_name}_{date}.csv`; `{{` and `}}` stand for braces."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from string import Formatter

from wharf.model.flags import nearest


def fields(template: str) -> list[str]:
    """The names of the fields of a template, in their order.

    Raises: ValueError if a brace has no partner or a field is more than a name.
    """
    found = []
    try:
        parts = list(Formatter().parse(template))
    except ValueError:
        raise ValueError("has a brace without its partner: write {{ and }} for braces themselves") from None
    for _, name, details, conversion in parts:
        if name is None:
            continue
        if details or conversion or not name.isidentifier():
            raise ValueError("may hold names in braces only, without a format, such as {date}")
        found.append(name)
    return found


def mistake(template: str, known: Iterable[str]) -> str:
    """What is wrong with a template that may use the fields `known`; empty if nothing is."""
    names = list(known)
    try:
        unknown = [name for name in fields(template) if name not in names]
    except ValueError as error:
        return str(error)
    if unknown:
        offered = ", ".join(f"{{{name}}}" for name in names)
        return f"{{{unknown[0]}}} is unknown{nearest(unknown[0], names)}; there are {offered}"
    return ""


def fill(template: str, values: Mapping[str, str]) -> str:
    """The text that a checked template becomes; fields without a value stay as they are."""
    parts = Formatter().parse(template)
    return "".join(text + ("" if name is None else values.get(name, f"{{{name}}}")) for text, name, _, _ in parts)
