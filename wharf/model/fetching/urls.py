"""URLs of an API: whose they are, and how they may be shown."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from urllib.parse import quote, unquote, urlencode, urlsplit, urlunsplit

_PORTS = {"http": 80, "https": 443}
_URL_CHARACTERS = "%!#$&'()*+,/:;=?@[]~"
_SECRET = re.compile(r"(?i)token|secret|passw|pwd|signature|^sig$|api[-_]?key|^key$|credential|^auth")


def origin(url: str) -> str:
    """Scheme, host and port: what credentials are meant for."""
    parts = urlsplit(url)
    return f"{parts.scheme.lower()}://{(parts.hostname or '').lower()}:{parts.port or _PORTS.get(parts.scheme.lower())}"


def masked(url: str, secret_params: Container[str] = ()) -> str:
    """`url` without user and password, and without the values of parameters that are secret or are called as such."""
    parts = urlsplit(url)
    pairs = []
    for pair in parts.query.split("&") if parts.query else []:
        name, equals, _ = pair.partition("=")
        hidden = unquote(name) in secret_params or _SECRET.search(unquote(name))
        pairs.append(f"{name}{equals}***" if hidden else pair)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "&".join(pairs), ""))


def sendable(url: str, params: Mapping[str, str]) -> str:
    """`url` with `params` instead of those of these names, as it is sent: what no URL may hold is encoded."""
    if params:
        parts = urlsplit(url)
        kept = [pair for pair in parts.query.split("&") if pair and unquote(pair.partition("=")[0]) not in params]
        url = urlunsplit(parts._replace(query="&".join([*kept, urlencode(params, quote_via=quote)])))
    return quote(url, safe=_URL_CHARACTERS)
