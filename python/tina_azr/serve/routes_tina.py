"""The routes that are ours: facts of this server, Markdown for the page, one program in the sandbox."""

from functools import partial
from importlib.metadata import version
from typing import Annotated

from fastapi import APIRouter
from pydantic import StringConstraints
from typing_extensions import TypedDict

from tina_azr.errors import SandboxError
from tina_azr.sandbox.types import OutcomeView
from tina_azr.serve import markdown
from tina_azr.serve.errors import documented
from tina_azr.serve.openai.request import Body, Text
from tina_azr.serve.service import Service
from tina_azr.serve.tina_object import CalibrationView, calibration_view
from tina_azr.serve.types import ApiError
from tina_azr.serve.work_queue import Turnstile

LONGEST_MARKDOWN = 100_000
LONGEST_PROGRAM = 20_000
LONGEST_CALL = 2_000
MOST_PROGRAMS = 4
"""In the sandbox or waiting for it; one more is answered 429."""
MOST_RENDERINGS = 16
"""The same for Markdown."""


class RenderRequest(Body):
    """Markdown to be shown."""

    markdown: Annotated[Text, StringConstraints(max_length=LONGEST_MARKDOWN)]


class Rendered(TypedDict):
    """HTML that may be put into a page."""

    html: str


class SandboxRequest(Body):
    """One program."""

    program: Annotated[Text, StringConstraints(min_length=1, max_length=LONGEST_PROGRAM)]
    call: Annotated[Text, StringConstraints(max_length=LONGEST_CALL)] | None = None
    """Evaluated after the program, such as `f(3)`; null: the program alone."""


class DefaultsView(TypedDict):
    """What a request that does not say otherwise is sampled with."""

    max_tokens: int
    max_think_tokens: int
    temperature: float
    top_p: float
    top_k: int


class Info(TypedDict):
    """Facts of this server."""

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
    """Everything below `/v1/tina`."""
    router = APIRouter(prefix="/v1/tina", tags=["tina"])
    rendering, running = Turnstile(MOST_RENDERINGS), Turnstile(MOST_PROGRAMS)

    @router.get("/info", responses={200: {"model": Info}, **documented()}, response_model=None)
    async def info() -> Info:
        """What this server is and allows."""
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

    @router.post("/render", responses={200: {"model": Rendered}, **documented(408, 413, 415, 429)}, response_model=None)
    async def render(body: RenderRequest) -> Rendered:
        """Markdown as sanitised HTML."""
        return {"html": await rendering.through(partial(markdown.render, body.markdown))}

    @router.post(
        "/sandbox", responses={200: {"model": OutcomeView}, **documented(404, 408, 413, 415, 429, 503)}, response_model=None
    )
    async def sandbox(body: SandboxRequest) -> OutcomeView:
        """Run one program on two images of the interpreter, under the server's policy and limits."""
        if service.checker is None:
            raise ApiError(404, "this server has no sandbox", code="no_sandbox")
        job = (body.program, [body.call or "None"])
        try:
            outcomes = await running.through(partial(service.checker.check_many, [job]))
        except SandboxError as error:
            raise ApiError(503, f"the sandbox failed: {error}", kind="server_error", code="sandbox_failed") from error
        return outcomes[0][0].view()

    return router
