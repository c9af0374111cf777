"""An issuer of identity tokens: signs them with keys of its own, and serves the keys as Google serves its own.

with TokenIssuer() as issuer:
    issuer.url                                    # the JSON Web Key Set
    issuer.token(audience="https://wharf.example")
    issuer.rotate()                               # a new key; the old one is served no longer
    issuer.answers = [503]                        # the next answer; then the keys again
"""

from __future__ import annotations

import json
import time
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.servers.http_thread import HttpThread, Reply, Request

CALLER = "pubsub@my-project.iam.gserviceaccount.com"


class TokenIssuer(HttpThread):
    """Runs in a thread inside a `with` block; `fetches` counts how often the keys were asked for."""

    def __init__(self, *, max_age: int = 3600) -> None:
        super().__init__()
        self.url += "/certs"
        self.max_age = max_age
        self.fetches = 0
        self.answers: list[int] = []
        self._count = 0
        self.rotate()

    def reply(self, request: Request) -> Reply:
        self.fetches += 1
        status = self.answers.pop(0) if self.answers else 200
        headers = {"Cache-Control": f"public, max-age={self.max_age}"}
        return status, headers, json.dumps({"keys": [self.public_key]}).encode()

    def rotate(self) -> None:
        """Sign with a new key from now on."""
        self._count += 1
        self.kid = f"key{self._count}"
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    @property
    def public_key(self) -> dict[str, Any]:
        """The key as the set shows it."""
        shown = jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        return shown | {"kid": self.kid, "alg": "RS256", "use": "sig"}

    def claims(self, **changed: Any) -> dict[str, Any]:
        """What Pub/Sub's tokens hold; None leaves a claim out."""
        now = int(time.time())
        usual = {
            "iss": "https://accounts.google.com",
            "aud": "https://wharf.example",
            "azp": "113774264463038321964",
            "sub": "113774264463038321964",
            "email": CALLER,
            "email_verified": True,
            "iat": now,
            "exp": now + 3600,
        }
        return {name: value for name, value in (usual | changed).items() if value is not None}

    def token(self, **changed: Any) -> str:
        """A token with these claims."""
        return jwt.encode(self.claims(**changed), self.key, algorithm="RS256", headers={"kid": self.kid})
