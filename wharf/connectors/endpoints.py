"""Where the outside systems are: the one reader of environment variables.

`Endpoints` is a plain value. It travels inside pickled transforms, and each process builds its own
clients from it, so that workers reach an emulator or a private service endpoint as the launcher does.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from wharf.model.config_environment import VARIABLES
from wharf.model.errors import UsageError

if TYPE_CHECKING:
    from google.cloud.bigquery import Client as BigQueryClient
    from google.cloud.bigquery_storage_v1.services.big_query_read import BigQueryReadClient
    from google.cloud.secretmanager_v1 import SecretManagerServiceClient
    from google.cloud.storage import Client as StorageClient

_LARGEST_MESSAGE = 256 * 1024 * 1024  # ReadRows responses may be 128 MB; gRPC's own limit is 4 MB.


@dataclass(frozen=True, kw_only=True)
class Endpoints:
    """Addresses that replace Google's own; None means the public service with default credentials.

    `bigquery`, `storage`, `secret_manager` and `dataflow` are URLs (`http://localhost:9050`); `bigquery_storage` and
    `pubsub` are `host:port`.
    The three `*_emulated` flags mark emulators: no credentials are sent, gRPC is plain text.
    """

    bigquery: str | None = None
    bigquery_storage: str | None = None
    storage: str | None = None
    secret_manager: str | None = None  # always an emulator
    dataflow: str | None = None  # always a stand-in
    pubsub: str | None = None  # always an emulator; Beam's own client finds it by the variable
    bigquery_emulated: bool = False
    bigquery_storage_emulated: bool = False

    @classmethod
    def resolve(
        cls,
        *,
        bigquery: str | None = None,
        bigquery_storage: str | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> Endpoints:
        """Merge flags with the emulator variables; a flag wins.

        Raises: UsageError if BigQuery is emulated and its Storage API is not, or the other way round:
        half a run would silently go to the cloud.
        """
        rest_emulator = environ.get("BIGQUERY_EMULATOR_HOST")
        grpc_emulator = environ.get("BIGQUERY_STORAGE_EMULATOR_HOST")
        rest_emulated = is_loopback(bigquery) if bigquery else bool(rest_emulator)
        grpc_emulated = is_loopback(bigquery_storage) if bigquery_storage else bool(grpc_emulator)
        if rest_emulated != grpc_emulated:
            raise UsageError(
                "BigQuery's REST API and its Storage API must both be emulated or both be real: "
                "set BIGQUERY_EMULATOR_HOST and BIGQUERY_STORAGE_EMULATOR_HOST together"
            )
        storage_host = environ.get("STORAGE_EMULATOR_HOST")
        return cls(
            bigquery=as_url(bigquery or rest_emulator, "http" if rest_emulated else "https"),
            bigquery_storage=_without_scheme(bigquery_storage or grpc_emulator),
            storage=as_url(storage_host, "http"),
            secret_manager=as_url(environ.get("SECRET_MANAGER_EMULATOR_HOST") or None, "http"),
            dataflow=as_url(environ.get("DATAFLOW_EMULATOR_HOST") or None, "http"),
            pubsub=_without_scheme(environ.get("PUBSUB_EMULATOR_HOST")) or None,
            bigquery_emulated=rest_emulated,
            bigquery_storage_emulated=grpc_emulated,
        )

    def bigquery_client(self, project: str | None) -> BigQueryClient:
        """A BigQuery REST client billed to `project` (None: the credentials' own project).

        Raises: google.auth.exceptions.GoogleAuthError without usable credentials.
        """
        from google.api_core.client_options import ClientOptions
        from google.auth.credentials import AnonymousCredentials
        from google.cloud import bigquery

        options = ClientOptions(api_endpoint=self.bigquery) if self.bigquery else None
        credentials = AnonymousCredentials() if self.bigquery_emulated else None
        return _for_threads(bigquery.Client(project=project, credentials=credentials, client_options=options))

    def read_client(self) -> BigQueryReadClient:
        """A Storage Read API client; keepalive pings notice a connection that died silently.

        The generated one: the client around it resumes broken streams in a way of its own.
        """
        from google.cloud.bigquery_storage_v1.services.big_query_read import BigQueryReadClient
        from google.cloud.bigquery_storage_v1.services.big_query_read.transports import (
            BigQueryReadGrpcTransport,
        )

        if not self.bigquery_storage:
            return BigQueryReadClient()
        options = [
            ("grpc.max_receive_message_length", _LARGEST_MESSAGE),
            ("grpc.keepalive_time_ms", 30_000),
        ]
        if self.bigquery_storage_emulated:
            import grpc

            channel = grpc.insecure_channel(self.bigquery_storage, options=options)
        else:
            channel = BigQueryReadGrpcTransport.create_channel(self.bigquery_storage, options=options)
        return BigQueryReadClient(transport=BigQueryReadGrpcTransport(channel=channel))

    def storage_client(self) -> StorageClient:
        """A Cloud Storage client."""
        from google.api_core.client_options import ClientOptions
        from google.auth.credentials import AnonymousCredentials
        from google.cloud import storage

        if self.storage:
            options = ClientOptions(api_endpoint=self.storage)
            client = storage.Client(project="local", credentials=AnonymousCredentials(), client_options=options)
        else:
            client = storage.Client()
        return _for_threads(client)

    def secret_manager_client(self) -> SecretManagerServiceClient:
        """A Secret Manager client, over REST: a worker that asks once or twice needs no channel of gRPC's.

        Raises: google.auth.exceptions.GoogleAuthError without usable credentials.
        """
        from google.auth.credentials import AnonymousCredentials
        from google.cloud.secretmanager_v1 import SecretManagerServiceClient
        from google.cloud.secretmanager_v1.services.secret_manager_service.transports import (
            SecretManagerServiceRestTransport,
        )

        if not self.secret_manager:
            return SecretManagerServiceClient(transport="rest")
        scheme, _, host = self.secret_manager.rstrip("/").partition("://")
        transport = SecretManagerServiceRestTransport(host=host, url_scheme=scheme, credentials=AnonymousCredentials())
        return SecretManagerServiceClient(transport=transport)

    def environment(self) -> dict[str, str]:
        """The variables from which `resolve` makes this value again, for a child process or a shell."""
        variables = {
            "BIGQUERY_EMULATOR_HOST": self.bigquery if self.bigquery_emulated else None,
            "BIGQUERY_STORAGE_EMULATOR_HOST": self.bigquery_storage if self.bigquery_storage_emulated else None,
            "STORAGE_EMULATOR_HOST": self.storage,
            "SECRET_MANAGER_EMULATOR_HOST": self.secret_manager,
            "DATAFLOW_EMULATOR_HOST": self.dataflow,
            "PUBSUB_EMULATOR_HOST": self.pubsub,
        }
        return {name: value for name, value in variables.items() if value}


def _for_threads(client: Any) -> Any:
    """One client serves many threads; requests keeps ten connections and throws further ones away."""
    from requests.adapters import HTTPAdapter

    for scheme in ("https://", "http://"):
        client._http.mount(scheme, HTTPAdapter(pool_connections=4, pool_maxsize=128))
    return client


def overrides(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables that go before a configuration's keys, those that are set."""
    return {name: environ[name] for name in VARIABLES if environ.get(name)}


def api_variables(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables that the configuration of an API heeds, those that are set."""
    return {name: environ[name] for name in ("CLIENT_NAME", "GOOGLE_CLOUD_PROJECT") if environ.get(name)}


def default_project(environ: Mapping[str, str] = os.environ) -> str | None:
    """Who pays, if the environment says so."""
    return environ.get("GOOGLE_CLOUD_PROJECT") or None


def launch_config(environ: Mapping[str, str] = os.environ) -> str | None:
    """Where the launch configuration is, if the environment says so."""
    return environ.get("WHARF_LAUNCH_CONFIG") or None


def load_state_table(environ: Mapping[str, str] = os.environ) -> str | None:
    """Where batches of files are recorded, if the environment says so."""
    return environ.get("BQ_LOAD_STATE_TABLE") or None


def environment_variable(name: str, environ: Mapping[str, str] = os.environ) -> str | None:
    """The value of a variable that a secret's reference names; None if it is not set."""
    return environ.get(name)


def as_url(host: str | None, scheme: str) -> str | None:
    """`localhost:9050` -> `http://localhost:9050`; a URL and None stay as they are."""
    if not host or "://" in host:
        return host
    return f"{scheme}://{host}"


def is_loopback(host: str | None) -> bool:
    """Whether `host` (with or without scheme and port) names this machine: only emulators live there."""
    name = _without_scheme(host) or ""
    return name.split("/")[0].rsplit(":", 1)[0] in {"localhost", "127.0.0.1", "[::1]"}


def service_port(environ: Mapping[str, str] = os.environ) -> int | None:
    """Where a container's platform wants it to listen, if it says so.

    Raises: UsageError.
    """
    port = environ.get("PORT") or None
    if port and not port.isdecimal():
        raise UsageError(f"PORT: {port!r} is no port")
    return int(port) if port else None


def proxy_for(url: str) -> str | None:
    """The proxy that the environment names for requests to `url`; none leads to this machine."""
    parts = urlsplit(url)
    if is_loopback(url) or proxy_bypass(parts.hostname or ""):
        return None
    return getproxies().get(parts.scheme)


def _without_scheme(host: str | None) -> str | None:
    return host.split("://", 1)[-1].rstrip("/") if host else None
