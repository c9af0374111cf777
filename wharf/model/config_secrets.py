"""Secrets in a configuration become references at once; one that stands there literally, to its own place."""

from __future__ import annotations

import re

from pydantic import SecretStr

from wharf.model.config_mistakes import Findings
from wharf.model.json_document import Place, pointer
from wharf.model.secrets import SecretRef, is_reference


def reference(secret: SecretStr | None, place: Place, uri: str, findings: Findings) -> SecretRef | None:
    """The reference that `secret`, which stands at `place` of the document `uri`, is or gets."""
    if secret is None:
        return None
    text = secret.get_secret_value()
    if is_reference(text):
        return SecretRef(text)
    if not text.strip():
        findings.wrong(place, "is empty: leave it out, or write a reference to a secret")
        return None
    if re.match(r"(env|file|config):|projects/[^/]+/secrets\b", text):
        findings.wrong(place, "is half a reference: write projects/P/secrets/S/versions/latest, env:NAME or file:PATH")
        return None
    findings.doubtful(
        place,
        "a secret stands here literally; better keep it in Secret Manager and write projects/P/secrets/S, "
        "or env:NAME, or file:PATH",
    )
    return SecretRef(f"config:{uri}#{pointer(place)}")
