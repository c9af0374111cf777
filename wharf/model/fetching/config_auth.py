"""The `auth` of an API's configuration: that of all clients, and what one has of its own, key by key before it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from wharf.model.config_mistakes import Findings
from wharf.model.config_secrets import reference
from wharf.model.fetching import document as written
from wharf.model.fetching.api import Auth
from wharf.model.json_document import Place, pointer
from wharf.model.secrets import SecretRef, is_reference

# kind -> keys it needs, and keys it may have
_KEYS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "none": ((), ()),
    "basic": (("username", "password"), ()),
    "api_key": (("password",), ("header", "param")),
    "bearer": (("password",), ()),
    "client_credentials": (("token_url", "client_id", "client_secret"), ("scope",)),
    "refresh_token": (("token_url", "client_id", "token"), ("client_secret", "scope")),
}
_ROTATED = re.compile(r"file:.+|projects/[^/]+/secrets/[^/]+")


def auth_of(levels: Sequence[tuple[written.Auth, Place]], *, uri: str, findings: Findings) -> Auth:
    """The levels, each with its place, as one value: later ones go first, key by key, or wholly with a kind."""
    places: dict[str, Place] = {}
    found: dict[str, Any] = {}
    for auth, place in levels:
        if auth.has("kind"):
            found, places = {}, {}
        for key in auth.model_fields_set:
            found[key], places[key] = getattr(auth, key), (*place, key)
    top = levels[0][1]
    kind = found.get("kind", "none")
    needed, possible = _KEYS[kind]
    for key in needed:
        if not found.get(key) and findings.sound(top, key, "kind") and key not in places:
            findings.wrong((*top, key), f"is missing: {kind} needs it")
    for key in found:
        if key not in {"kind", *needed, *possible} and findings.sound(top, "kind"):
            findings.wrong(places[key], f"does not belong to the kind {kind}")
    if kind == "api_key" and bool(found.get("header")) == bool(found.get("param")) and findings.sound(top, "header"):
        findings.wrong((*top, "header"), "or param must say, one of them, where the key goes")
    if (url := found.get("token_url")) and not re.match(r"https?://[^/\s@]+(/|$)", url):
        findings.wrong(places["token_url"], "is not a URL like https://identity.example.com/connect/token")
    elif url and urlsplit(url).scheme == "http" and urlsplit(url).hostname not in {"localhost", "127.0.0.1", "::1"}:
        findings.doubtful(places["token_url"], "http:// sends credentials unencrypted")
    _check_rotated(found.get("token"), places, findings)
    secrets: dict[str, SecretRef | None] = {
        key: reference(found[key], places[key], uri, findings)
        for key in ("password", "client_secret", "token")
        if key in found and findings.sound(places[key][:-1], key)
    }
    if client_id := found.get("client_id"):
        secrets["client_id"] = _public(client_id, places["client_id"], uri, findings)
    texts: dict[str, Any] = {key: found.get(key) or "" for key in ("username", "header", "param", "token_url", "scope")}
    return Auth(kind=kind, **texts | secrets)


def _check_rotated(token: SecretStr | None, places: dict[str, Place], findings: Findings) -> None:
    """A refresh token is replaced by each use: it must be kept where the new one can be put."""
    if token and not _ROTATED.fullmatch(token.get_secret_value()):
        findings.wrong(
            places["token"],
            "must be a place where each new token can be put: projects/P/secrets/S without a version, or file:PATH",
        )


def _public(client_id: SecretStr, place: Place, uri: str, findings: Findings) -> SecretRef | None:
    """An app's id is no secret: it may stand literally, without a warning."""
    text = client_id.get_secret_value()
    if not is_reference(text) and text.strip():
        return SecretRef(f"config:{uri}#{pointer(place)}")
    return reference(client_id, place, uri, findings)
