"""FastAPI application: the routes, the access middleware, and the engine thread that starts and stops with it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI

from tina_azr.config import ServeConfig
from tina_azr.engine.types import ChatEngine
from tina_azr.serve.access.hosts import OwnAddress
from tina_azr.serve.access.middleware import AccessMiddleware, AccessRules
from tina_azr.serve.engine_thread import EngineThread
from tina_azr.serve.errors import add_handlers
from tina_azr.serve.metrics import Metrics
from tina_azr.serve.routes_chat import chat_routes
from tina_azr.serve.routes_status import status_routes
from tina_azr.serve.routes_tina import tina_routes
from tina_azr.serve.service import Checker, Service
from tina_azr.serve.types import ServedModel, ServerLimits


def build_app(
    engine: ChatEngine,
    *,
    model: ServedModel,
    settings: ServeConfig,
    key: str | None = None,
    checker: Checker | None = None,
    port: int | None = None,
    limits: ServerLimits = ServerLimits(),  # noqa: B008 - frozen
) -> FastAPI:
    """Build the server as an ASGI application.

    Its lifespan owns the engine. From then on no other code may call the engine. `port` is the port that clients use, for the check
    of the Host header; None means the port of the settings. The engine thread is `app.state.engine_thread`.
    """
    metrics = Metrics()
    engine_thread = EngineThread(
        engine, capacity=settings.queue, request_seconds=settings.request_seconds, ping_seconds=limits.ping_seconds
    )
    engine_thread.observe = metrics.observe
    service = Service(
        engine_thread=engine_thread,
        model=model,
        settings=settings,
        metrics=metrics,
        checker=checker,
        key_required=key is not None,
        server_limits=limits,
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with engine_thread:
            yield

    # FastAPI's documentation pages load scripts from a CDN, so only /openapi.json is served.
    app = FastAPI(title="tina-azr", version=version("tina-azr"), lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.engine_thread = engine_thread
    add_handlers(app)
    for routes in (chat_routes, tina_routes, status_routes):
        app.include_router(routes(service))
    rules = AccessRules(
        address=OwnAddress(settings.host, settings.port if port is None else port, settings.hosts),
        key=key,
        body_bytes=limits.body_bytes,
        read_seconds=limits.read_seconds,
    )
    app.add_middleware(AccessMiddleware, rules=rules, metrics=metrics)
    _describe_errors(app)
    return app


def _describe_errors(app: FastAPI) -> None:
    """Remove status 422 from /openapi.json: this server answers an invalid body with 400."""
    framework = app.openapi

    def describe() -> dict[str, Any]:
        description = framework()
        for operations in description["paths"].values():
            for operation in operations.values():
                operation["responses"].pop("422", None)
        for name in ("HTTPValidationError", "ValidationError"):
            description.get("components", {}).get("schemas", {}).pop(name, None)
        return description

    app.openapi = describe  # type: ignore[method-assign]
