"""The routes about the server itself, and the page."""

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import JSONResponse, Response
from typing_extensions import TypedDict

from tina_azr.serve.errors import documented
from tina_azr.serve.pages import INDEX, Pages
from tina_azr.serve.service import Service
from tina_azr.serve.types import ApiError

TEXT = {"text/plain": {"schema": {"type": "string"}}}
PAGE = {"text/html": {"schema": {"type": "string"}}}


class ModelCard(TypedDict):
    """The served model."""

    id: str
    object: str
    created: int
    owned_by: str


class ModelList(TypedDict):
    """All of them: one."""

    object: str
    data: list[ModelCard]


class Status(TypedDict):
    """`ok`, or what it is not."""

    status: str


def status_routes(service: Service) -> APIRouter:
    """`/`, `/static`, `/health`, `/ready`, `/metrics`, `/v1/models`."""
    router = APIRouter()
    pages = Pages()
    card: ModelCard = {"id": service.model.name, "object": "model", "created": service.model.created, "owned_by": "tina-azr"}

    @router.get("/", include_in_schema=False)
    def page() -> Response:
        return pages.file(INDEX)

    @router.get("/static/{path:path}", include_in_schema=False)
    def static(path: str) -> Response:
        return pages.file(path)

    @router.get("/health", tags=["status"], responses={200: {"model": Status}, **documented(503)}, response_model=None)
    async def health() -> Status:
        """Whether the server works; it need not take requests."""
        if service.room.broken:
            raise ApiError(503, "the engine has failed", kind="server_error", code="broken")
        return {"status": "ok"}

    @router.get("/ready", tags=["status"], responses={200: {"model": Status}, **documented(503)}, response_model=None)
    async def ready() -> Status:
        """Whether it takes requests."""
        if not service.room.ready:
            raise ApiError(503, "the server takes no requests", kind="server_error", code="not_ready")
        return {"status": "ok"}

    @router.get(
        "/metrics", tags=["status"], response_model=None, responses={200: {"content": TEXT, "description": "Prometheus' text."}}
    )
    async def metrics() -> Response:
        """Counters, gauges, histograms."""
        service.metrics.in_flight.set(service.room.in_flight)
        return Response(service.metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    @router.get("/v1/models", tags=["models"], responses={200: {"model": ModelList}, **documented()}, response_model=None)
    async def models() -> ModelList:
        """The one model."""
        return {"object": "list", "data": [card]}

    @router.get(
        "/v1/models/{name:path}", tags=["models"], responses={200: {"model": ModelCard}, **documented(404)}, response_model=None
    )
    async def model(name: str) -> Response:
        """The one model by its name."""
        if name != card["id"]:
            raise ApiError(404, "there is no model of that name here", param="model", code="model_not_found")
        return JSONResponse(card)

    return router
