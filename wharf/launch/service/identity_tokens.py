"""Who calls: the OIDC identity tokens that Pub/Sub, Cloud Scheduler and Eventarc send along.

Anybody can have Google sign a token for any audience, so a token says something only together with the accounts that
are allowed. Where Cloud Run's own IAM checks callers it removes the signature from the token that it passes on
(https://cloud.google.com/run/docs/troubleshooting#signature-removed), and nothing is left to be checked here.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Collection
from typing import Any, NamedTuple

import aiohttp
import jwt

from wharf.model.errors import UsageError

GOOGLE_CERTS = "https://www.googleapis.com/oauth2/v3/certs"
_ISSUERS = ["https://accounts.google.com", "accounts.google.com"]
_CLOCK_SKEW = 30  # seconds
_REMEMBERED = 1_000  # tokens
_TIMEOUT = aiohttp.ClientTimeout(total=5)
_REASONS: tuple[tuple[type[jwt.PyJWTError], str], ...] = (
    (jwt.ExpiredSignatureError, "has expired"),
    (jwt.ImmatureSignatureError, "is of the future; is the clock of its sender right?"),
    (jwt.InvalidAudienceError, "is for another audience"),
    (jwt.InvalidIssuerError, "is not of Google's issuer"),
    (jwt.MissingRequiredClaimError, "lacks a claim: iss, aud, iat, exp and email are needed"),
    (jwt.InvalidAlgorithmError, "is not signed with RS256"),
    (jwt.InvalidSignatureError, "has a signature that does not fit"),
)
_log = logging.getLogger(__name__)


class Pace(NamedTuple):
    """How often the issuer's keys are asked for; all in seconds.

    They are kept as long as their Cache-Control says, within `shortest` and `longest`. Two fetches are `pause` apart,
    however many tokens name keys that nobody knows. Old keys do for `last_resort` where new ones cannot be had.
    """

    shortest: float = 60.0
    longest: float = 86_400.0
    pause: float = 30.0
    pause_after_failure: float = 2.0
    last_resort: float = 86_400.0


class TokenRefused(Exception):
    """The caller is not let in: 401 without a token that holds, 403 for an account that is not allowed."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class KeysMissing(Exception):
    """The issuer's keys cannot be had, so that no token can be judged."""


class IdentityTokens:
    """Judges tokens for `audience` of `accounts`; `certs_url` answers with the issuer's JSON Web Key Set."""

    def __init__(
        self, audience: str, accounts: Collection[str], certs_url: str = GOOGLE_CERTS, pace: Pace | None = None
    ) -> None:
        if not accounts:
            raise UsageError(
                "--audience without --service_accounts lets everybody in: Google signs anybody's token for any audience"
            )
        self._audience, self._accounts, self._certs_url = audience, frozenset(accounts), certs_url
        self._pace = pace or Pace()
        self._keys: dict[str, Any] = {}
        # Whom a header vouched for, and until when: Pub/Sub sends one token for an hour, and verifying it takes longer
        # than the rest of reading a request.
        self._known: dict[str, tuple[str, float]] = {}
        self._fresh_until = self._next_try = float("-inf")  # on the monotonic clock
        self._fetching = asyncio.Lock()

    async def caller(self, authorization: str) -> str:
        """The e-mail address that the header `authorization` vouches for.

        Raises: TokenRefused. KeysMissing.
        """
        if (known := self._known.get(authorization)) and time.time() < known[1] + _CLOCK_SKEW:
            return known[0]
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise TokenRefused(401, "an identity token is needed: Authorization: Bearer ...")
        if token.endswith(".SIGNATURE_REMOVED_BY_GOOGLE"):
            raise TokenRefused(
                401, "the token's signature was removed: where Cloud Run's IAM checks callers, leave --audience out"
            )
        try:
            header = jwt.get_unverified_header(token)
            claims = jwt.decode(
                token,
                await self._key(header.get("kid")),
                algorithms=["RS256"],
                audience=self._audience,
                issuer=_ISSUERS,
                leeway=_CLOCK_SKEW,
                options={"require": ["iss", "aud", "iat", "exp", "email"]},
            )
        except (jwt.PyJWTError, ValueError, RecursionError) as error:
            reason = next((text for kind, text in _REASONS if isinstance(error, kind)), "cannot be read")
            raise TokenRefused(401, f"the token {reason}") from error
        email = claims["email"]
        if claims.get("email_verified") is not True or not isinstance(email, str) or email not in self._accounts:
            raise TokenRefused(403, f"{email} may not call this service; see --service_accounts")
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[authorization] = (email, claims["exp"])
        return email

    async def _key(self, kid: object) -> Any:
        """The issuer's public key of that name, fetched where it is unknown or the known ones are old."""
        if self._lacks(kid):
            async with self._fetching:
                if self._lacks(kid) and time.monotonic() > self._next_try:
                    await self._fetch()
            if time.monotonic() > self._fresh_until + self._pace.last_resort:
                raise KeysMissing
        if kid not in self._keys:
            raise TokenRefused(401, "the token is signed with a key that its issuer does not have")
        return self._keys[str(kid)]

    def _lacks(self, kid: object) -> bool:
        return kid not in self._keys or time.monotonic() > self._fresh_until

    async def _fetch(self) -> None:
        try:
            async with (
                aiohttp.ClientSession(timeout=_TIMEOUT, raise_for_status=True, trust_env=True) as session,
                session.get(self._certs_url, allow_redirects=False) as answer,
            ):
                keys = jwt.PyJWKSet.from_dict(await answer.json(content_type=None)).keys
        except (aiohttp.ClientError, TimeoutError, jwt.PyJWTError, ValueError, TypeError, AttributeError) as error:
            _log.warning("the keys at %s cannot be had (%s)", self._certs_url, type(error).__name__)
            self._next_try = time.monotonic() + self._pace.pause_after_failure
            return
        self._keys = {key.key_id: key.key for key in keys if key.key_id and key.key_type == "RSA"}
        stated = re.search(r"max-age=(\d{1,9})", answer.headers.get("Cache-Control", ""))
        kept = min(max(float(stated[1]) if stated else 0.0, self._pace.shortest), self._pace.longest)
        self._fresh_until, self._next_try = time.monotonic() + kept, time.monotonic() + self._pace.pause
