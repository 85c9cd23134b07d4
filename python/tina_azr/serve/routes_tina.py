"""Routes below `/v1/tina`: server information, Markdown rendering, and one program in the sandbox."""

from functools import partial
from importlib.metadata import version
from typing import Annotated

from fastapi import APIRouter
from pydantic import StringConstraints
from typing_extensions import TypedDict

from tina_azr.errors import SandboxError
from tina_azr.sandbox.types import OutcomeView
from tina_azr.serve import markdown
from tina_azr.serve.errors import error_responses
from tina_azr.serve.openai.request import Body, Text
from tina_azr.serve.service import Service
from tina_azr.serve.tina_object import CalibrationView, calibration_view
from tina_azr.serve.types import ApiError
from tina_azr.serve.work_queue import WorkQueue

MAX_MARKDOWN_CHARS = 100_000
MAX_PROGRAM_CHARS = 20_000
MAX_CALL_CHARS = 2_000
MAX_QUEUED_PROGRAMS = 4
"""Most programs that run in the sandbox or wait for it; the next request gets status 429."""
MAX_QUEUED_RENDERINGS = 16
"""Most Markdown texts that are rendered or wait for it."""


class RenderRequest(Body):
    """Markdown to render."""

    markdown: Annotated[Text, StringConstraints(max_length=MAX_MARKDOWN_CHARS)]


class Rendered(TypedDict):
    """Sanitised HTML."""

    html: str


class SandboxRequest(Body):
    """Program to run in the sandbox."""

    program: Annotated[Text, StringConstraints(min_length=1, max_length=MAX_PROGRAM_CHARS)]
    call: Annotated[Text, StringConstraints(max_length=MAX_CALL_CHARS)] | None = None
    """Expression to evaluate after the program, for example `f(3)`; null runs only the program."""


class DefaultsView(TypedDict):
    """Sampling parameters of a request that gives none."""

    max_tokens: int
    max_think_tokens: int
    temperature: float
    top_p: float
    top_k: int


class Info(TypedDict):
    """Properties of this server."""

    model: str
    embedded: bool
    prompts: str
    note: str
    thoughts_allowed: bool
    context_limit: int
    defaults: DefaultsView
    heads: bool
    abstain_below: float | None
    calibration: CalibrationView
    sandbox: bool
    version: str
    key_required: bool


def tina_routes(service: Service) -> APIRouter:
    """Build all routes below `/v1/tina`."""
    router = APIRouter(prefix="/v1/tina", tags=["tina"])
    render_queue, sandbox_queue = WorkQueue(MAX_QUEUED_RENDERINGS), WorkQueue(MAX_QUEUED_PROGRAMS)

    @router.get("/info", responses={200: {"model": Info}, **error_responses()}, response_model=None)
    async def info() -> Info:
        """Describe this server: its model, its defaults, and what it allows."""
        model, defaults = service.model, service.model.defaults
        return {
            "model": model.name,
            "embedded": model.embedded,
            "prompts": model.prompts.value,
            "note": model.note,
            "thoughts_allowed": service.settings.allow_visible_reasoning,
            "context_limit": model.context_limit,
            "defaults": {
                "max_tokens": defaults.max_tokens,
                "max_think_tokens": defaults.max_think_tokens,
                "temperature": defaults.temperature,
                "top_p": defaults.top_p,
                "top_k": defaults.top_k,
            },
            "heads": model.heads,
            "abstain_below": service.settings.abstain_below,
            "calibration": calibration_view(model.calibration),
            "sandbox": service.checker is not None,
            "version": version("tina-azr"),
            "key_required": service.key_required,
        }

    @router.post("/render", responses={200: {"model": Rendered}, **error_responses(408, 413, 415, 429)}, response_model=None)
    async def render(body: RenderRequest) -> Rendered:
        """Render Markdown as sanitised HTML."""
        return {"html": await render_queue.run(partial(markdown.render, body.markdown))}

    @router.post(
        "/sandbox", responses={200: {"model": OutcomeView}, **error_responses(404, 408, 413, 415, 429, 503)}, response_model=None
    )
    async def sandbox(body: SandboxRequest) -> OutcomeView:
        """Run one program on two images of the interpreter, under the server's policy and limits."""
        if service.checker is None:
            raise ApiError(404, "this server has no sandbox", code="no_sandbox")
        job = (body.program, [body.call or "None"])
        try:
            outcomes = await sandbox_queue.run(partial(service.checker.check_many, [job]))
        except SandboxError as error:
            raise ApiError(503, f"the sandbox failed: {error}", kind="server_error", code="sandbox_failed") from error
        return outcomes[0][0].view()

    return router
