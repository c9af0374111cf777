"""Reading a configuration: from a local file or Cloud Storage, and from the environment."""

from __future__ import annotations

import os
from pathlib import Path

from google.api_core import exceptions
from google.auth.exceptions import GoogleAuthError

from wharf.connectors.endpoints import Endpoints, api_variables, overrides
from wharf.connectors.retry import RETRYABLE
from wharf.connectors.storage import open_storage
from wharf.model import config_notifications
from wharf.model.config import SftpConfig, load
from wharf.model.errors import RunFailed, UsageError
from wharf.model.fetching.config import ApiConfig, load_api
from wharf.model.notification import Notifications


def load_config(uri: str, endpoints: Endpoints, *, project: str = "") -> SftpConfig:
    """The configuration at `uri`, a local path or gs://, with the environment's variables in it.

    `project` goes before the configuration's own.

    Raises: UsageError that lists every mistake. RunFailed if Cloud Storage gives no answer.
    """
    text = read_text(uri, endpoints)
    return load(text, uri=lasting(uri), variables=overrides(), project=project)


def load_notifications(uri: str, endpoints: Endpoints) -> Notifications:
    """Who is told, from a document that says nothing else.

    Raises: UsageError that lists every mistake. RunFailed if Cloud Storage gives no answer.
    """
    return config_notifications.load(read_text(uri, endpoints), lasting(uri))


def load_api_config(uri: str, endpoints: Endpoints, *, client_name: str = "", project: str = "") -> ApiConfig:
    """The configuration of an API at `uri`, for a client.

    Raises: UsageError that lists every mistake. RunFailed if Cloud Storage gives no answer.
    """
    text = read_text(uri, endpoints)
    return load_api(text, uri=lasting(uri), variables=api_variables(), client_name=client_name, project=project)


def read_text(uri: str, endpoints: Endpoints) -> str:
    """A whole small text file, in UTF-8 with or without a byte order mark.

    Raises: UsageError if it cannot be read. RunFailed if Cloud Storage gives no answer.
    """
    data = _from_cloud(uri, endpoints) if uri.startswith("gs://") else _from_disk(uri)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # Without the cause: a UnicodeDecodeError carries the bytes.
        raise UsageError(f"{uri}: is not text in UTF-8 (byte {error.start}); save it in UTF-8") from None


def _from_disk(uri: str) -> bytes:
    if "://" in uri:
        raise UsageError(f"{uri}: only a local path or gs://bucket/name can be read")
    try:
        return Path(uri).expanduser().read_bytes()
    except FileNotFoundError as error:
        raise UsageError(f"{uri}: there is no such file; is the path right, seen from {os.getcwd()}?") from error
    except (OSError, ValueError, RuntimeError) as error:
        raise UsageError(f"{uri}: cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _from_cloud(uri: str, endpoints: Endpoints) -> bytes:
    if not uri.removeprefix("gs://").partition("/")[2]:
        raise UsageError(f"{uri}: is no file; write gs://bucket/name")
    try:
        data = open_storage(uri, endpoints).read_all(uri)
    except exceptions.Forbidden as error:
        raise UsageError(f"{uri}: no permission; grant roles/storage.objectViewer on the bucket") from error
    except (*RETRYABLE, exceptions.RetryError) as error:
        raise RunFailed(f"{uri}: Cloud Storage gives no answer ({type(error).__name__}); try again") from error
    except (exceptions.Unauthorized, GoogleAuthError) as error:
        raise UsageError(
            f"{uri}: credentials are missing or refused; run gcloud auth application-default login"
        ) from error
    except (exceptions.GoogleAPICallError, ValueError) as error:
        raise UsageError(f"{uri}: Cloud Storage refuses this name") from error
    if data is None:
        raise UsageError(f"{uri}: there is no such file; are bucket and name right?")
    return data


def lasting(uri: str) -> str:
    """`uri` in a form that means the same in another process's working directory."""
    return uri if uri.startswith("gs://") else os.path.abspath(os.path.expanduser(uri))
