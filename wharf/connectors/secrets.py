"""Secrets: from a reference to the value, on the machine that needs it.

Values from Secret Manager and from configurations are remembered for a minute in the process, so that the hundred
DoFns of a worker ask once. A secret that is rotated is therefore seen a minute later by every new connection, also
in a run that goes on for days; `latest` is asked for anew each time.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import google_crc32c
from google.api_core import exceptions
from google.auth.exceptions import GoogleAuthError

from wharf.connectors.config import read_text
from wharf.connectors.endpoints import Endpoints, environment_variable
from wharf.connectors.retry import POLICY, RETRYABLE
from wharf.model.errors import RunFailed, UsageError
from wharf.model.json_document import at, parse
from wharf.model.secrets import SecretRef, is_reference

_SECONDS_PER_ANSWER = 20.0

_remembered: dict[tuple[SecretRef, Endpoints], tuple[float, str]] = {}


def resolve(ref: SecretRef, endpoints: Endpoints, *, keep_seconds: float = 60.0) -> str:
    """The secret that `ref` leads to; a line break at the end of a single line is left out, keys stay as they are.

    `keep_seconds`: for how long an answer from far away is good enough.

    Raises: UsageError that names the reference and the remedy. RunFailed if there is no answer.
    """
    when, value = _remembered.get((ref, endpoints), (0.0, ""))
    if value and time.monotonic() - when < keep_seconds:
        return value
    read = {"env": _from_environment, "file": _from_file, "projects": _from_secret_manager, "config": _from_config}
    value = _trimmed(read[ref.scheme](ref, endpoints))
    if not value:
        raise UsageError(f"{ref}: is empty; put the secret there")
    if ref.scheme in {"projects", "config"}:
        _remembered[ref, endpoints] = (time.monotonic(), value)
    return value


def _from_environment(ref: SecretRef, endpoints: Endpoints) -> str:
    value = environment_variable(ref.rest)
    if value is None:
        raise UsageError(
            f"{ref}: the variable is not set on this machine; set it, or, as workers on Dataflow do not get the "
            "launcher's variables, keep the secret in Secret Manager"
        )
    return value


def _from_file(ref: SecretRef, endpoints: Endpoints) -> str:
    try:
        return Path(ref.rest).expanduser().read_bytes().decode()
    except FileNotFoundError as error:
        raise UsageError(f"{ref}: there is no such file on this machine; put it there, or mend the path") from error
    except UnicodeDecodeError:
        raise UsageError(f"{ref}: is not text in UTF-8; is it the right file?") from None
    except (OSError, ValueError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or "the path is not one"
        raise UsageError(f"{ref}: cannot be read: {reason}; mend the path or the file's permissions") from error


def _from_secret_manager(ref: SecretRef, endpoints: Endpoints) -> str:
    payload = _access(ref, endpoints)
    data: bytes = payload.data
    if "data_crc32c" in payload and payload.data_crc32c != google_crc32c.value(data):
        raise RunFailed(f"{ref}: arrived damaged, its checksum differs; try again")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise UsageError(f"{ref}: is not text in UTF-8; store it as text") from None


def _access(ref: SecretRef, endpoints: Endpoints) -> Any:
    name = ref.text if "/versions/" in ref.text else f"{ref.text}/versions/latest"
    try:
        client = endpoints.secret_manager_client()
        try:
            return client.access_secret_version(name=name, retry=POLICY, timeout=_SECONDS_PER_ANSWER).payload
        finally:
            client.transport.close()
    except exceptions.NotFound as error:
        raise UsageError(f"{ref}: no such secret, or no such version; is the name right, and the project?") from error
    except exceptions.Forbidden as error:
        raise UsageError(
            f"{ref}: no permission; grant roles/secretmanager.secretAccessor on it to the account that runs this, "
            "on Dataflow the workers' service account"
        ) from error
    except (*RETRYABLE, exceptions.RetryError) as error:
        raise RunFailed(f"{ref}: Secret Manager gives no answer ({type(error).__name__}); try again") from error
    except (exceptions.Unauthorized, GoogleAuthError) as error:
        raise UsageError(
            f"{ref}: credentials are missing or refused; run gcloud auth application-default login"
        ) from error
    except exceptions.BadRequest as error:
        raise UsageError(f"{ref}: this version is disabled or destroyed; enable it, or name another one") from error
    except exceptions.GoogleAPICallError as error:
        raise RunFailed(f"{ref}: Secret Manager answers {type(error).__name__}; try again") from error


def _from_config(ref: SecretRef, endpoints: Endpoints) -> str:
    uri, _, pointer = ref.rest.partition("#")
    document, _ = parse(read_text(uri, endpoints), uri)
    try:
        value = at(document, pointer)
    except LookupError as error:
        raise UsageError(f"{ref}: the configuration has no such key any more; start the run again") from error
    if not isinstance(value, str) or not value:
        raise UsageError(f"{ref}: is not a secret any more; start the run again")
    # Mended since the run began: the place holds a reference now.
    if is_reference(value) and not value.startswith("config:"):
        return resolve(SecretRef(value), endpoints)
    return value


def _trimmed(text: str) -> str:
    line = text.rstrip("\r\n")
    return text if "\n" in line else line
