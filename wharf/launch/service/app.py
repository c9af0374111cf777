"""The service as one ASGI application.

    POST /  /export  /run        launch                          launching.py
    POST /pubsub                 launch what a message asks for  launching.py
    POST /events/storage         launch loads of what landed     incidents.py
    POST /events/dataflow        take in how a job ended         incidents.py, endings.py
    GET  /runs  /runs/ID         runs, as JSON (ID as a page)    overview.py
    GET  /                       runs, for people                pages.py
    GET  /health  /openapi.json

Everything passes `Edge` first.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from google.api_core.exceptions import GoogleAPICallError, RetryError
from google.auth.exceptions import GoogleAuthError
from requests.exceptions import RequestException
from starlette.exceptions import HTTPException

from wharf import __version__
from wharf.connectors.endpoints import Endpoints
from wharf.connectors.launcher import Launcher
from wharf.connectors.run_history import RunHistory
from wharf.launch.service import incidents, launching, overview, pages
from wharf.launch.service.bodies import schemas
from wharf.launch.service.edge import OPEN, Edge
from wharf.launch.service.endings import Endings
from wharf.launch.service.identity_tokens import IdentityTokens
from wharf.launch.service.pages import Pages
from wharf.launch.service.problems import Refusal, answer
from wharf.model.errors import RunFailed, UsageError
from wharf.model.launching.config import LaunchConfig
from wharf.model.launching.errors import LaunchBusy

_PASSING = (RunFailed, GoogleAPICallError, RetryError, GoogleAuthError, RequestException)
_NO_TELEMETRY: Any = {"tracing": False, "metrics": False, "logs": False}


def make_app(config: LaunchConfig, endpoints: Endpoints, tokens: IdentityTokens | None = None) -> FastAPI:
    """The service for one launch configuration; with `tokens` callers must show who they are.

    Raises: google.auth.exceptions.GoogleAuthError without usable credentials for BigQuery.
    """
    history = RunHistory(endpoints.bigquery_client(config.project), config.tables)
    launcher = Launcher(config, endpoints, fail_job=history.fail_job)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with launcher:
            yield

    app = FastAPI(
        title="Wharf",
        summary="Launches runs of Wharf's pipelines and shows them",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # it would send callers to whatever host they named
        telemetry=_NO_TELEMETRY,
        lifespan=lifespan,
        exception_handlers={
            Refusal: _refused,
            HTTPException: _refused_by_framework,
            RequestValidationError: _refused_by_validation,
            UsageError: _to_be_mended,
            **dict.fromkeys(_PASSING, _to_be_repeated),
        },
    )
    app.add_middleware(Edge, tokens=tokens)

    @app.get("/health", tags=["operation"], summary="Say that the service answers")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    app.include_router(launching.router(config, launcher))
    app.include_router(incidents.router(config, launcher, Endings(config, endpoints, launcher, history)))
    shown = Pages(history, config.project, config.region)
    app.include_router(overview.router(launcher, history, shown))
    app.include_router(pages.router(shown, partial(overview.recent, launcher)))
    app.openapi = lambda: _description(app, is_guarded=tokens is not None)  # type: ignore[method-assign]
    return app


def _description(app: FastAPI, *, is_guarded: bool) -> dict[str, Any]:
    """The OpenAPI description: what FastAPI makes of the routes, and what they cannot say."""
    if app.openapi_schema:
        return app.openapi_schema
    made = get_openapi(title=app.title, summary=app.summary, version=app.version, routes=app.routes)
    made["components"]["schemas"].update(schemas())
    for path, methods in made["paths"].items():
        for operation in methods.values():
            operation["responses"].pop("422", None)  # what FastAPI would answer; here it is 400
            if is_guarded:
                operation["security"] = [] if path in OPEN else [{"identityToken": []}]
    for name in ("HTTPValidationError", "ValidationError"):
        made["components"]["schemas"].pop(name, None)
    if is_guarded:
        scheme = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "Google's OIDC token"}
        made["components"]["securitySchemes"] = {"identityToken": scheme}
    app.openapi_schema = made
    return made


async def _refused(_: Request, refusal: Any) -> Response:
    return answer(refusal)


async def _refused_by_framework(_: Request, error: Any) -> Response:
    """There is no such route or method."""
    return answer(Refusal(error.status_code, str(error.detail), headers=error.headers))


async def _refused_by_validation(_: Request, error: Any) -> Response:
    first = error.errors()[0]
    field = str(first["loc"][-1])
    return answer(Refusal(400, f"{field}: {first['msg']}", field=field))


async def _to_be_mended(_: Request, error: Exception) -> Response:
    """The request was right; what stands behind the service is not."""
    return answer(Refusal(500, str(error)))


async def _to_be_repeated(_: Request, error: Exception) -> Response:
    """The caller's next try may pass: Pub/Sub, Scheduler and Eventarc try again by themselves."""
    text = str(error) if isinstance(error, RunFailed) else f"Google gives no answer ({type(error).__name__}); try again"
    after = error.retry_after if isinstance(error, LaunchBusy) else 5
    return answer(Refusal(503, text, headers={"Retry-After": str(max(1, round(after)))}))
