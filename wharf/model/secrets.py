"""References to secrets: where one is, never what it is."""

from __future__ import annotations

import re
from dataclasses import dataclass

from wharf.model.errors import UsageError

_SECRET_MANAGER = re.compile(r"^projects/[^/]+/secrets/[^/]+(/versions/[^/]+)?$")
_FORMS = "projects/PROJECT/secrets/NAME/versions/latest, env:NAME or file:PATH"


@dataclass(frozen=True)
class SecretRef:
    """Where a secret is, as text; a value that may be pickled, logged and shown.

    `projects/P/secrets/S[/versions/V]` (Secret Manager), `env:NAME`, `file:PATH`, or `config:URI#/json/pointer`: a
    secret that stands literally in a configuration file, and stays there until a worker reads it.
    """

    text: str

    def __post_init__(self) -> None:
        if not is_reference(self.text):
            raise UsageError(f"not a reference to a secret: write {_FORMS}")  # it may be the secret itself

    def __str__(self) -> str:
        return self.text

    @property
    def scheme(self) -> str:
        """`projects`, `env`, `file` or `config`."""
        return re.split("[/:]", self.text)[0]

    @property
    def rest(self) -> str:
        """What follows `env:`, `file:` or `config:`."""
        return self.text.partition(":")[2]


def is_reference(text: str) -> bool:
    """Whether `text` has the form of a reference; any other text is taken to be a secret."""
    return bool(_SECRET_MANAGER.match(text) or re.match(r"^(env|file|config):\S", text))
