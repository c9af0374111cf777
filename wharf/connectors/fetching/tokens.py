"""What authorises a request: basic, API key, bearer token, and OAuth2's client credentials and refresh tokens."""

from __future__ import annotations

import asyncio
import base64
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from wharf import __version__
from wharf.connectors.endpoints import Endpoints, is_loopback
from wharf.connectors.fetching.refresh_tokens import RefreshTokenStore, open_store
from wharf.connectors.retry import pause
from wharf.connectors.secrets import resolve
from wharf.model.errors import RunFailed, ServerRefused, UsageError
from wharf.model.fetching.api import Auth
from wharf.model.secrets import SecretRef

if TYPE_CHECKING:
    from httpx import Response

_ATTEMPTS = 5
_SECONDS_PER_ANSWER = 30.0
_LONGEST_PAUSE = 8.0
_LEEWAY_SECONDS = 60.0  # before its end a token is renewed, so that no request starts with one that ends on its way
_DEFAULT_LIFETIME = 300.0  # where the server does not say it

Document = dict[str, Any]


@dataclass(frozen=True)
class Credentials:
    """What is added to a request; nothing of it is shown."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    params: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)

    def mask(self, text: str) -> str:
        """`text` without the secrets."""
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return text


class TokenSource:
    """Holds the credentials of one API for all requests of an event loop, and renews them once for all who wait.

    Nothing is read or sent before the first `credentials()`.
    """

    def __init__(self, auth: Auth, endpoints: Endpoints) -> None:
        self._auth = auth
        self._endpoints = endpoints
        self._current: Credentials | None = None
        self._ends = float("inf")
        self._renewing = asyncio.Lock()
        self._store: RefreshTokenStore | None = None
        if auth.kind == "refresh_token":
            self._store = open_store(_needed(auth.token, "token"), endpoints)

    async def credentials(self) -> Credentials:
        """What the next request is sent with. Raises: UsageError, ServerRefused, RunFailed."""
        if self._current is None or time.monotonic() >= self._ends:
            async with self._renewing:
                if self._current is None or time.monotonic() >= self._ends:
                    self._current = await self._renewed(keep_seconds=60.0)
        return self._current

    async def refused(self, used: Credentials) -> bool:
        """The API answered 401 to `used`: whether there are others now, with which the request is worth another try.

        Raises: UsageError, ServerRefused, RunFailed.
        """
        async with self._renewing:
            if self._current is used:  # else another request has seen to it meanwhile
                self._current = await self._renewed(keep_seconds=0.0)
            return self._current is not None and self._current.secrets != used.secrets

    async def _renewed(self, keep_seconds: float) -> Credentials:
        auth = self._auth
        if auth.kind == "client_credentials":
            form = {"grant_type": "client_credentials"} | ({"scope": auth.scope} if auth.scope else {})
            return self._bearer(await asyncio.to_thread(self._ask, form))
        if self._store is not None:
            # A thread ends what it began, also where the run is cancelled meanwhile: no new token is left unstored.
            return self._bearer(await asyncio.to_thread(_exchange, self._store, self._refresh))
        if auth.kind == "none":
            return Credentials()
        ref = _needed(auth.password, "password")
        secret = await asyncio.to_thread(resolve, ref, self._endpoints, keep_seconds=keep_seconds)
        if auth.kind == "basic":
            pair = base64.b64encode(f"{auth.username}:{secret}".encode()).decode()
            return Credentials({"authorization": f"Basic {pair}"}, secrets=(secret, pair))
        if auth.kind == "bearer":
            return Credentials({"authorization": f"Bearer {secret}"}, secrets=(secret,))
        if auth.kind == "api_key" and auth.param:
            return Credentials(params={auth.param: secret}, secrets=(secret, quote(secret, safe="")))
        if auth.kind == "api_key" and auth.header:
            return Credentials({auth.header.lower(): secret}, secrets=(secret,))
        raise UsageError(f"auth: there is no such kind, or it lacks header or param: {auth.kind}")

    def _bearer(self, document: Document) -> Credentials:
        token = str(document["access_token"])
        lifetime = document.get("expires_in")
        seconds = float(lifetime) if isinstance(lifetime, int | float) else _DEFAULT_LIFETIME
        self._ends = time.monotonic() + seconds - min(_LEEWAY_SECONDS, seconds / 10)
        return Credentials({"authorization": f"Bearer {token}"}, secrets=(token,))

    def _refresh(self, token: str) -> Document:
        return self._ask({"grant_type": "refresh_token", "refresh_token": token})

    def _ask(self, form: Mapping[str, str]) -> Document:
        """Ask the token's server. Raises: UsageError, InvalidGrant, ServerRefused, RunFailed."""
        from httpx import Client, HTTPError

        identity = resolve(_needed(self._auth.client_id, "client_id"), self._endpoints)
        headers = {"accept": "application/json", "user-agent": f"wharf/{__version__}"}
        if self._auth.client_secret:
            secret = resolve(self._auth.client_secret, self._endpoints)
            pair = f"{quote(identity, safe='')}:{quote(secret, safe='')}"  # RFC 6749, 2.3.1
            headers["authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        else:
            form = {**form, "client_id": identity}
        url, seen = self._auth.token_url, ""
        with Client(timeout=_SECONDS_PER_ANSWER, headers=headers, trust_env=not is_loopback(url)) as client:
            for attempt in range(1, _ATTEMPTS + 1):
                try:
                    response = client.post(url, data=form)
                except HTTPError as error:
                    seen = type(error).__name__
                else:
                    if response.status_code == 200:
                        return _document(response, url)
                    if response.status_code != 429 and response.status_code < 500:
                        raise _refusal(response, url)
                    seen = f"status {response.status_code}"
                if attempt < _ATTEMPTS:
                    time.sleep(pause(attempt, _LONGEST_PAUSE))
        raise RunFailed(f"{url}: no token in {_ATTEMPTS} attempts, the last ended with {seen}; try again")


class InvalidGrant(ServerRefused):
    """The refresh token counts no more."""


def _exchange(store: RefreshTokenStore, ask: Callable[[str], Document]) -> Document:
    with store.sole_writer():
        token = store.read()
        try:
            document = ask(token)
        except InvalidGrant:
            # Another run used the token first; its successor is there, or will be in a moment.
            token = _successor(store, token)
            if not token:
                raise
            document = ask(token)
        new = document.get("refresh_token")
        if isinstance(new, str) and new and new != token:
            store.write(new)
        return document


def _successor(store: RefreshTokenStore, token: str) -> str:
    deadline = time.monotonic() + store.successor_seconds
    while (found := store.read()) == token:
        if time.monotonic() >= deadline:
            return ""
        time.sleep(0.25)
    return found


def _document(response: Response, url: str) -> Document:
    try:
        document = response.json()
    except ValueError:
        document = None
    if not isinstance(document, dict) or not isinstance(document.get("access_token"), str):
        raise RunFailed(f"{url}: answers 200 without an access_token; is it the address of the token's server?")
    return document


def _refusal(response: Response, url: str) -> ServerRefused:
    try:
        code = str(response.json()["error"])
    except (ValueError, KeyError, TypeError):
        code = ""
    code = code if re.fullmatch(r"[a-z_]{1,40}", code) else ""  # whatever else stands there may hold what was sent
    if code == "invalid_grant":
        return InvalidGrant(f"{url}: refuses the refresh token (invalid_grant); log in again and store a new one")
    return ServerRefused(
        f"{url}: gives no token: status {response.status_code}{f', {code}' if code else ''}; "
        "check client_id, client_secret and scope"
    )


def _needed(ref: SecretRef | None, name: str) -> SecretRef:
    if ref is None:
        raise UsageError(f"auth: {name} is missing")
    return ref
