"""Routes for the server's status, its model, and the page."""

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import JSONResponse, Response
from typing_extensions import TypedDict

from tina_azr.serve.errors import error_responses
from tina_azr.serve.pages import INDEX, Pages
from tina_azr.serve.service import Service
from tina_azr.serve.types import ApiError

TEXT = {"text/plain": {"schema": {"type": "string"}}}
PAGE = {"text/html": {"schema": {"type": "string"}}}


class ModelCard(TypedDict):
    """Served model in OpenAI's format."""

    id: str
    object: str
    created: int
    owned_by: str


class ModelList(TypedDict):
    """List of models, which has one entry."""

    object: str
    data: list[ModelCard]


class Status(TypedDict):
    """Status of the server: `ok`."""

    status: str


def status_routes(service: Service) -> APIRouter:
    """Build the routes `/`, `/static`, `/health`, `/ready`, `/metrics` and `/v1/models`."""
    router = APIRouter()
    pages = Pages()
    card: ModelCard = {"id": service.model.name, "object": "model", "created": service.model.created, "owned_by": "tina-azr"}

    @router.get("/", include_in_schema=False)
    def page() -> Response:
        return pages.file(INDEX)

    @router.get("/static/{path:path}", include_in_schema=False)
    def static(path: str) -> Response:
        return pages.file(path)

    @router.get("/health", tags=["status"], responses={200: {"model": Status}, **error_responses(503)}, response_model=None)
    async def health() -> Status:
        """Report whether the engine works. It may refuse requests all the same."""
        if service.engine_thread.broken:
            raise ApiError(503, "the engine has failed", kind="server_error", code="broken")
        return {"status": "ok"}

    @router.get("/ready", tags=["status"], responses={200: {"model": Status}, **error_responses(503)}, response_model=None)
    async def ready() -> Status:
        """Report whether requests are accepted."""
        if not service.engine_thread.ready:
            raise ApiError(503, "the server accepts no requests now", kind="server_error", code="not_ready")
        return {"status": "ok"}

    @router.get(
        "/metrics",
        tags=["status"],
        response_model=None,
        responses={200: {"content": TEXT, "description": "Prometheus' text format."}},
    )
    async def metrics() -> Response:
        """Return counters, gauges and histograms."""
        service.metrics.in_flight.set(service.engine_thread.completions_in_flight)
        return Response(service.metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    @router.get("/v1/models", tags=["models"], responses={200: {"model": ModelList}, **error_responses()}, response_model=None)
    async def models() -> ModelList:
        """List the one model."""
        return {"object": "list", "data": [card]}

    @router.get(
        "/v1/models/{name:path}",
        tags=["models"],
        responses={200: {"model": ModelCard}, **error_responses(404)},
        response_model=None,
    )
    async def model(name: str) -> Response:
        """Return the one model by its name."""
        if name != card["id"]:
            raise ApiError(
                404, "there is no model of that name on this server; GET /v1/models lists it", param="model", code="model_not_found"
            )
        return JSONResponse(card)

    return router
