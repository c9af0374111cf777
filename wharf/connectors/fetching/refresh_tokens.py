"""Where a refresh token is kept that every use replaces: a file, or the versions of a secret in Secret Manager.

Whoever crashes between getting a new token and storing it has lost the login, so a new token is stored at once and
durably, before anything is done with what came with it; and only one process at a time may use the stored one.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from google.api_core import exceptions
from google.auth.exceptions import GoogleAuthError

from wharf.connectors.endpoints import Endpoints
from wharf.connectors.retry import POLICY, RETRYABLE
from wharf.connectors.secrets import resolve
from wharf.model.errors import RunFailed, UsageError
from wharf.model.secrets import SecretRef

_LOCK_PATIENCE_SECONDS = 120.0
_SECONDS_PER_ANSWER = 20.0


class RefreshTokenStore(Protocol):
    """One refresh token that many processes want.

    `successor_seconds`: for how long after a refusal another process may still be about to store the token that counts.
    """

    @property
    def successor_seconds(self) -> float: ...

    @contextmanager
    def sole_writer(self) -> Iterator[None]:
        """Hold the token alone as far as the place allows it. Raises: UsageError, RunFailed."""

    def read(self) -> str:
        """The newest token. Raises: UsageError, RunFailed."""

    def write(self, token: str) -> None:
        """Store a new token durably. Raises: UsageError, RunFailed."""


def open_store(ref: SecretRef, endpoints: Endpoints) -> RefreshTokenStore:
    """The store that `ref` names. Raises: UsageError where a token cannot be replaced."""
    if ref.scheme == "file":
        return FileStore(ref, endpoints)
    if ref.scheme == "projects" and "/versions/" not in ref.text:
        return SecretManagerStore(ref, endpoints)
    raise UsageError(
        f"{ref}: a refresh token is replaced with each use, and cannot be kept there: "
        "write file:PATH, or projects/PROJECT/secrets/NAME without a version"
    )


@dataclass(frozen=True)
class FileStore:
    """A file, replaced as a whole; a lock beside it (`PATH.lock`) keeps other processes and threads away."""

    ref: SecretRef
    endpoints: Endpoints

    @property
    def successor_seconds(self) -> float:
        return 0.0  # under the lock nobody is

    @property
    def _path(self) -> Path:
        return Path(self.ref.rest).expanduser()

    @contextmanager
    def sole_writer(self) -> Iterator[None]:
        path = self._path.with_name(f"{self._path.name}.lock")
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise UsageError(
                f"{self.ref}: the token cannot be replaced there: {path}: {error.strerror}; "
                "keep it in a folder in which this account may write"
            ) from error
        try:
            self._lock(descriptor)
            yield
        finally:
            os.close(descriptor)

    def _lock(self, descriptor: int) -> None:
        deadline = time.monotonic() + _LOCK_PATIENCE_SECONDS
        while True:
            try:
                return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise RunFailed(f"{self.ref}: another process has held its lock for long; try again") from None
                time.sleep(0.02)

    def read(self) -> str:
        return resolve(self.ref, self.endpoints).strip()

    def write(self, token: str) -> None:
        aside = self._path.with_name(f"{self._path.name}.new")
        try:
            descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(f"{token}\n")
                file.flush()
                os.fsync(descriptor)
            aside.replace(self._path)
            folder = os.open(self._path.parent, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise RunFailed(
                f"{self.ref}: the new refresh token cannot be written: {error.strerror}; mend that and try again soon: "
                "the old token may be accepted for some minutes only"
            ) from error


@dataclass(frozen=True)
class SecretManagerStore:
    """The newest version of a secret counts.

    There is no lock: whoever comes late is refused by the API, and reads again.
    """

    ref: SecretRef
    endpoints: Endpoints
    successor_seconds: float = 10.0

    @contextmanager
    def sole_writer(self) -> Iterator[None]:
        yield

    def read(self) -> str:
        return resolve(self.ref, self.endpoints, keep_seconds=0).strip()

    def write(self, token: str) -> None:
        import google_crc32c

        data = token.encode()
        try:
            client = self.endpoints.secret_manager_client()
            try:
                client.add_secret_version(
                    parent=self.ref.text,
                    payload={"data": data, "data_crc32c": google_crc32c.value(data)},
                    retry=POLICY,
                    timeout=_SECONDS_PER_ANSWER,
                )
            finally:
                client.transport.close()
        except (exceptions.Forbidden, exceptions.Unauthorized, GoogleAuthError) as error:
            raise UsageError(
                f"{self.ref}: no permission to add a version; grant roles/secretmanager.secretVersionAdder on it to "
                "the account that runs this, and put a valid refresh token there again if the API refuses the old one"
            ) from error
        except (*RETRYABLE, exceptions.RetryError, exceptions.GoogleAPICallError) as error:
            raise RunFailed(
                f"{self.ref}: the new refresh token cannot be stored ({type(error).__name__}); try again soon: "
                "the old token may be accepted for some minutes only"
            ) from error
