"""OAuth2 as the local API server has it: client credentials, and refresh tokens that each use replaces, RFC 6749."""

from __future__ import annotations

import base64
import secrets
import time
from collections import Counter as Tally
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass
class Login:
    """One client. `token_seconds`: for how long an access token counts.

    `grace_seconds`: for how long a refresh token counts after it was used, as long as its successor is not.
    """

    client_id: str = "demo-client"
    client_secret: str = field(default="demo-secret", repr=False)
    refresh_token: str = field(default="demo-refresh-token-0", repr=False)
    token_seconds: float = 1800.0
    grace_seconds: float = 1800.0

    def __post_init__(self) -> None:
        self.granted: Tally[str] = Tally()  # by grant_type; `refused`: those in vain
        self._access: dict[str, float] = {}
        self._former, self._former_ends = "", 0.0

    def counts(self, access_token: str) -> bool:
        """Whether an access token opens the API."""
        return self._access.get(access_token, 0.0) > time.monotonic()

    def revoke(self) -> None:
        """Let all access tokens end now."""
        self._access.clear()

    async def answer(self, request: web.Request) -> web.Response:
        """The answer of the token endpoint."""
        form = await request.post()
        expected = base64.b64encode(f"{self.client_id}:{self.client_secret}".encode()).decode()
        if request.headers.get("authorization", "") != f"Basic {expected}":
            return self._refuse("invalid_client", 401)
        grant = str(form.get("grant_type"))
        answer: dict[str, Any] = {"token_type": "Bearer", "expires_in": self.token_seconds}
        if grant == "refresh_token":
            if not self._rotate(str(form.get("refresh_token"))):
                return self._refuse("invalid_grant", 400)
            answer["refresh_token"] = self.refresh_token
        elif grant != "client_credentials":
            return self._refuse("unsupported_grant_type", 400)
        self.granted[grant] += 1
        answer["access_token"] = f"access-{secrets.token_urlsafe(24)}"
        self._access[answer["access_token"]] = time.monotonic() + self.token_seconds
        return web.json_response(answer)

    def _refuse(self, code: str, status: int) -> web.Response:
        self.granted["refused"] += 1
        return web.json_response({"error": code}, status=status)

    def _rotate(self, token: str) -> bool:
        now = time.monotonic()
        if token == self.refresh_token:
            self._former, self._former_ends = token, now + self.grace_seconds
        elif token != self._former or now >= self._former_ends:
            return False
        self.refresh_token = f"demo-refresh-token-{secrets.token_urlsafe(12)}"
        return True
