"""`wharf serve`: the HTTP service that launches runs and shows them."""

from __future__ import annotations

import argparse
import os
import socket
from typing import Any

from wharf.launch.launch_config import named_launch_config
from wharf.launch.parser import add_command
from wharf.model.errors import UsageError

_PORT = 8080
_GRACE = 9  # seconds for requests at work after SIGTERM; Cloud Run gives ten
_IDLE = 620  # seconds; Google's front end keeps a connection for ten minutes, and must be the one that ends it


def register(commands: Any) -> None:
    """Add `serve` to the commands of a parser."""
    serve = add_command(commands, "serve", _serve, "launch runs that HTTP, Pub/Sub and schedules ask for, and show all")
    serve.add_argument("--launch_config", metavar="FILE", help="what can be launched; by default $WHARF_LAUNCH_CONFIG")
    serve.add_argument("--host", metavar="ADDRESS", default="0.0.0.0", help="where to listen (default: everywhere)")  # noqa: S104 - a container's only door
    serve.add_argument("--port", metavar="N", type=int, help=f"by default $PORT, or {_PORT}")
    serve.add_argument("--audience", metavar="URL", help="ask for identity tokens that are made out to this audience")
    serve.add_argument(
        "--service_accounts", metavar="EMAILS", default="", help="who may call then, separated by commas"
    )
    serve.add_argument("--certs_url", metavar="URL", help="the keys that tokens are signed with; by default Google's")
    serve.epilog = (
        "Without --audience nobody is asked who he is: leave it out only on your own machine, or where Cloud Run's IAM "
        "checks callers (it takes the signature from the tokens it has checked). With it, everything but /health and "
        "/openapi.json needs a token: POST, /runs and the pages."
    )


def _serve(arguments: argparse.Namespace) -> int:
    import gc

    import uvicorn

    from wharf.connectors.endpoints import Endpoints, service_port
    from wharf.launch.service import logs
    from wharf.launch.service.app import make_app
    from wharf.launch.service.connections import Connection
    from wharf.launch.service.identity_tokens import GOOGLE_CERTS, IdentityTokens

    accounts = [each.strip() for each in arguments.service_accounts.split(",") if each.strip()]
    if accounts and not arguments.audience:
        raise UsageError("--service_accounts needs --audience: the URL that tokens are made out to")
    tokens = None
    if arguments.audience:
        tokens = IdentityTokens(arguments.audience, accounts, arguments.certs_url or GOOGLE_CERTS)
    endpoints = Endpoints.resolve()
    config = named_launch_config(arguments, endpoints)
    if not config:
        raise UsageError("--launch_config is missing: name the file that says what can be launched")
    port = arguments.port if arguments.port is not None else service_port() or _PORT
    door = _listening(arguments.host, port)
    logs.configure(config.project)
    server = uvicorn.Server(
        uvicorn.Config(
            make_app(config, endpoints, tokens),
            http=Connection,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            ws="none",
            lifespan="on",
            timeout_graceful_shutdown=_GRACE,
            timeout_keep_alive=_IDLE,
        )
    )
    # What is imported stays: looking through all of it now and then would hold requests up for a tenth of a second.
    gc.collect()
    gc.freeze()
    try:
        server.run(sockets=[door])
    except KeyboardInterrupt:
        pass  # uvicorn has finished what was at work, and hands the signal on
    return 0 if server.started else 1


def _listening(host: str, port: int) -> socket.socket:
    """Raises: UsageError if the port is taken, or the address none of this machine's."""
    try:
        return socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=2048
        )
    except (OSError, OverflowError) as error:
        why = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else error
        raise UsageError(f"cannot listen on {host}, port {port}: {why}; choose another --port or --host") from error
