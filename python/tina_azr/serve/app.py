"""The application: the routes behind the gate, and the engine room that opens and closes with it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI

from tina_azr.config import ServeConfig
from tina_azr.engine.types import ChatEngine
from tina_azr.serve.access.hosts import OwnAddress
from tina_azr.serve.access.middleware import Gate, GateRules
from tina_azr.serve.engine_thread import EngineRoom
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
    """The server as an ASGI application. Its lifespan owns the engine: from then on nobody else may touch it.

    `port` is the one that it is really reached at, for the check of the Host header; None: that of the settings. The engine room is
    `app.state.room`.
    """
    metrics = Metrics()
    room = EngineRoom(engine, capacity=settings.queue, request_seconds=settings.request_seconds, ping_seconds=limits.ping_seconds)
    room.observe = metrics.observe
    service = Service(
        room=room,
        model=model,
        settings=settings,
        metrics=metrics,
        checker=checker,
        key_required=key is not None,
        server_limits=limits,
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with room:
            yield

    # The pages of the API's documentation that FastAPI brings load from a CDN: the description alone is served.
    app = FastAPI(title="tina-azr", version=version("tina-azr"), lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.room = room
    add_handlers(app)
    for routes in (chat_routes, tina_routes, status_routes):
        app.include_router(routes(service))
    rules = GateRules(
        address=OwnAddress(settings.host, settings.port if port is None else port, settings.hosts),
        key=key,
        body_bytes=limits.body_bytes,
        read_seconds=limits.read_seconds,
    )
    app.add_middleware(Gate, rules=rules, metrics=metrics)
    _describe_refusals(app)
    return app


def _describe_refusals(app: FastAPI) -> None:
    """Bodies that are wrong are answered 400, not the framework's 422: so says the description."""
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
