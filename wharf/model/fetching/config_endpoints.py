"""The `endpoints` of an API's configuration, over `endpoint_defaults`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from wharf.model.config_document import NAME
from wharf.model.config_mistakes import Findings
from wharf.model.fetching import document as written
from wharf.model.fetching.api import Endpoint, Incremental, Paging
from wharf.model.fetching.cursors import moment
from wharf.model.fetching.json_path import json_path
from wharf.model.fetching.paging import Pairs
from wharf.model.fetching.requests import PLACEHOLDER
from wharf.model.flags import nearest
from wharf.model.json_document import Place, kind

# kind -> keys it needs, and keys it may have
_PAGING: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "none": ((), ("total",)),
    "page": (("param",), ("size_param", "size", "first", "total", "pages", "page", "more")),
    "offset": (("param",), ("size_param", "size", "offset_from", "total", "page", "first", "more")),
    "cursor": (("param", "cursor"), ("size_param", "size", "total", "more")),
    "link": (("link",), ("size_param", "size", "total", "page", "first", "more")),
}
_SECRET_HEADERS = {"authorization", "proxy-authorization", "cookie"}


def endpoints_of(data: Any, defaults: written.Endpoint, findings: Findings) -> tuple[Endpoint, ...]:
    """The endpoints that are switched on, in the document's order; each after its parent's checks."""
    if not isinstance(data, dict) or not data:
        text = "is missing: name at least one endpoint" if not data else f"must be an object, not {kind(data)}"
        findings.wrong(("endpoints",), text)
        return ()
    reader = _Reader(defaults, findings)
    found = {name: endpoint for name, raw in data.items() if (endpoint := reader.endpoint(name, raw))}
    for name, endpoint in found.items():
        _check_parent(name, endpoint, found, data, findings)
    if not found:
        findings.wrong(("endpoints",), "are all switched off")
    return tuple(found.values())


def headers_of(headers: Mapping[str, str], place: Place, findings: Findings) -> Pairs:
    """Headers as pairs; what authorises requests belongs to `auth`, as a reference."""
    for name in headers:
        if not re.fullmatch(written.HEADER_NAME, name):
            findings.wrong((*place, name), "is no header's name")
        if name.lower() in _SECRET_HEADERS:
            findings.wrong((*place, name), "would hold a secret: write it as auth, by a reference")
    return tuple(headers.items())


class _Reader:
    def __init__(self, defaults: written.Endpoint, findings: Findings) -> None:
        self._defaults = defaults
        self._findings = findings

    def endpoint(self, name: str, raw: Any) -> Endpoint | None:
        """The endpoint written as `raw`; None if it is switched off."""
        place: Place = ("endpoints", name)
        if not re.fullmatch(NAME, name):
            self._findings.wrong(place, "is no name: use letters, digits, '.', '_' and '-', and path for the rest")
        said = self._findings.check(raw, written.Endpoint, place)

        def pick(key: str) -> tuple[Any, Place]:
            if said.has(key) or not self._defaults.has(key):
                return getattr(said, key), (*place, key)
            return getattr(self._defaults, key), ("endpoint_defaults", key)

        if not pick("enabled")[0]:
            return None
        path, where = pick("path")
        if "://" in path or path.startswith("//") or "#" in path or "?" in path:
            self._findings.wrong(where, "must be below base_url, without parameters, which stand in params")
        parent_fields, fields_place = pick("parent_fields")
        keys, keys_place = pick("primary_key")
        return Endpoint(
            name=name,
            path=path or name,
            params=self._params(*pick("params")),
            headers=headers_of(*pick("headers"), self._findings),
            records=self._path(*pick("records")),
            records_optional=pick("records_optional")[0],
            paging=self._paging(*pick("paging")),
            incremental=self._incremental(*pick("incremental")),
            primary_key=tuple(self._path(key, (*keys_place, index)) for index, key in enumerate(keys)),
            times=self._times(*pick("times")),
            parent=pick("parent")[0],
            parent_fields=tuple((key, self._path(text, (*fields_place, key))) for key, text in parent_fields.items()),
        )

    def _params(self, params: Mapping[str, Any], place: Place) -> Pairs:
        found: list[tuple[str, str]] = []
        for name, value in params.items():
            for each in value if isinstance(value, list) else [value]:
                if not isinstance(each, str | int | float):
                    self._findings.wrong((*place, name), f"must be text, a number, true or false, not {kind(each)}")
                found.append((name, str(each).lower() if isinstance(each, bool) else str(each)))
        return tuple(found)

    def _times(self, names: list[str], place: Place) -> tuple[str, ...]:
        for index, name in enumerate(names):
            if name.startswith("$") or not name.strip():
                self._findings.wrong((*place, index), "is no field's name, such as updated_at")
        return tuple(names)

    def _path(self, text: str, place: Place) -> str:
        """A JSONPath in full; `a.b` stands for `$.a.b`."""
        full = text if text.startswith("$") else f"$.{text}"
        try:
            json_path(full)
        except ValueError as error:
            self._findings.wrong(place, f"is not a JSONPath: {error}")
            return "$"
        return full

    def _path_or_header(self, text: str | None, place: Place) -> str:
        if not text:
            return ""
        if text.startswith("header:"):
            if not re.fullmatch(written.HEADER_NAME, text.removeprefix("header:")):
                self._findings.wrong(place, "names no header: write one like header:Link")
            return text
        return self._path(text, place)

    def _paging(self, said: written.Paging | None, place: Place) -> Paging:
        if said is None:
            return Paging()
        needed, possible = _PAGING[said.kind]
        for key in needed:
            if not getattr(said, key) and self._findings.sound(place, key, "kind"):
                self._findings.wrong((*place, key), f"is missing: the kind {said.kind} needs it")
        for key in sorted(said.model_fields_set - {"kind", *needed, *possible}):
            if self._findings.sound(place, "kind"):
                self._findings.wrong((*place, key), f"does not belong to the kind {said.kind}")
        if said.size_param and not said.size and self._findings.sound(place, "size"):
            self._findings.wrong((*place, "size"), "is missing: how much does size_param ask for?")
        places = {
            key: self._path_or_header(getattr(said, key), (*place, key))
            for key in ("cursor", "link", "offset_from", "total", "pages", "page", "more")
        }
        return Paging(**said.model_dump(include={"kind", "param", "size_param", "size", "first"}) | places)

    def _incremental(self, said: written.Incremental | None, place: Place) -> Incremental | None:
        if said is None:
            return None
        if bool(said.header) == bool(said.param) and self._findings.sound(place, "header", "param"):
            self._findings.wrong((*place, "header"), "or param must say, one of them, what carries the cursor")
        if said.format not in {"", "http", "epoch", "epoch_ms"} and "%" not in said.format:
            self._findings.wrong((*place, "format"), "is none of http, epoch, epoch_ms and a strftime format")
        if not said.format and said.lookback_seconds:
            self._findings.wrong((*place, "lookback_seconds"), "needs times, and the empty format says there are none")
        if not said.format and not said.cursor and self._findings.sound(place, "cursor"):
            self._findings.wrong((*place, "cursor"), "is missing: with the empty format, no time can stand for it")
        if said.start and said.format:
            try:
                moment(said.start)
            except ValueError:
                self._findings.wrong((*place, "start"), "is not a time: write one like 2024-01-31T00:00:00Z")
        return Incremental(
            header=said.header or "",
            param=said.param,
            cursor=self._path(said.cursor, (*place, "cursor")) if said.cursor else "",
            format=said.format,
            lookback_seconds=said.lookback_seconds,
            start=said.start,
        )


def _check_parent(
    name: str, endpoint: Endpoint, found: Mapping[str, Endpoint], data: Mapping[str, Any], findings: Findings
) -> None:
    place: Place = ("endpoints", name)
    asked = {match for text in (endpoint.path, *dict(endpoint.params).values()) for match in PLACEHOLDER.findall(text)}
    fields = set(dict(endpoint.parent_fields))
    for each in sorted(asked - fields):
        findings.wrong((*place, "parent_fields"), f"has no {each}, which stands in path or params")
    for each in sorted(fields - asked):
        findings.wrong((*place, "parent_fields", each), f"is nowhere: write {{{each}}} in path or params")
    if not endpoint.parent:
        if fields:
            findings.wrong((*place, "parent"), "is missing: whose fields are these?")
        return
    if endpoint.parent not in found:
        why = "is switched off" if endpoint.parent in data else f"is no endpoint{nearest(endpoint.parent, data)}"
        findings.wrong((*place, "parent"), f"{endpoint.parent!r} {why}")
        return
    if endpoint.incremental:
        findings.doubtful(
            (*place, "incremental"), f"what a new record of {endpoint.parent} had before the cursor is never asked for"
        )
    if not fields and findings.sound(place, "parent_fields"):
        findings.wrong((*place, "parent_fields"), "is missing: what of the parent's records stands in path or params?")
    ancestors, each = {name}, endpoint.parent
    while each in found:
        if each in ancestors:
            findings.wrong((*place, "parent"), "leads back to this endpoint")
            return
        ancestors.add(each)
        each = found[each].parent
