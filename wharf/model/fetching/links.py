"""Links to next pages: in headers (RFC 8288), and as URLs that must not lead away."""

from __future__ import annotations

import re
from urllib.parse import urljoin, urlsplit

from wharf.model.fetching.urls import origin

_LINK = re.compile(r"""<([^>]*)>((?:\s*;\s*[^\s=;,]+(?:\s*=\s*(?:"(?:[^"\\]|\\.)*"|[^\s";,]*))?)*)\s*(?:,|$)""")
_REL = re.compile(r""";\s*rel\s*=\s*(?:"([^"]*)"|([^\s";,]*))""", re.IGNORECASE)


def next_in_header(header: str) -> str:
    """The target of `rel="next"` in a Link header (RFC 8288, section 3), or of a header that is a URL; empty: none."""
    if not header.lstrip().startswith("<"):
        return header.strip()
    for target, parameters in _LINK.findall(header):
        if (rel := _REL.search(parameters)) and "next" in (rel[1] or rel[2]).lower().split():
            return str(target).strip()
    return ""


def near(asked: str, link: str) -> str:
    """`link`, which may be relative to the URL that was `asked`, as a URL of the same host.

    Raises: ValueError that says what is wrong with it. Another host would be sent our token.
    """
    try:
        url = urljoin(asked, link)
        is_near = origin(url) == origin(asked)
    except ValueError:
        raise ValueError("is not a URL") from None
    if not is_near:
        there, here = urlsplit(url), urlsplit(asked)
        raise ValueError(
            f"leads to {there.scheme}://{there.hostname}, away from {here.scheme}://{here.netloc}, and credentials are "
            "not sent there"
        )
    return url.partition("#")[0]
