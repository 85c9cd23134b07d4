"""The routes that ask the model something."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import StringConstraints
from starlette.responses import JSONResponse, Response
from typing_extensions import TypedDict

from tina_azr.serve.errors import documented
from tina_azr.serve.openai.chat import ChatCompletion, ChatRequest, ChatTeller, StreamOptions, chat_completion
from tina_azr.serve.openai.request import Body, Text
from tina_azr.serve.openai.responses import ResponseObject, ResponsesRequest, ResponsesTeller, finished_response
from tina_azr.serve.openai.sse import EventStream
from tina_azr.serve.service import Service, begin, finish, new_id, now

EVENT = {
    "type": "object",
    "description": "One event. Its `data` is JSON on one line, or `[DONE]`.",
    "properties": {"event": {"type": "string"}, "data": {"type": "string", "minLength": 1}},
    "required": ["data"],
    "additionalProperties": False,
}
STREAM: dict[str, Any] = {"text/event-stream": {"schema": EVENT}}
"""In OpenAPI before 3.2 the schema of a stream is that of each event."""
REFUSALS = documented(404, 408, 413, 415, 429, 503)


class ControlRequest(Body):
    """What to do to a running request."""

    id: Annotated[Text, StringConstraints(min_length=1, max_length=128)]
    """The `id` of its chunks."""
    action: Literal["reasoning_end"]
    """`reasoning_end`: close the thought at the next step and answer."""


class ControlAnswer(TypedDict):
    """Whether it was done."""

    ok: bool


def chat_routes(service: Service) -> APIRouter:
    """`/v1/chat/completions`, its control, `/v1/responses`."""
    router = APIRouter(tags=["chat"])

    @router.post(
        "/v1/chat/completions",
        response_model=None,
        responses={**REFUSALS, 200: {"model": ChatCompletion, "content": STREAM, "description": "The response, or its stream."}},
    )
    async def chat_completions(body: ChatRequest, request: Request) -> Response:
        """Answer a conversation; with `stream` as server-sent events, ended by `[DONE]`."""
        run = await begin(service.room, new_id("chatcmpl-"), body.to_engine(service.model, service.limits), request.receive)
        created = now()
        if body.stream:
            include_usage = (body.stream_options or StreamOptions()).include_usage
            return EventStream(run, ChatTeller(run, service.model, created, include_usage=include_usage))
        return JSONResponse(chat_completion(run, await finish(run, request.receive), service.model, created))

    @router.post("/v1/chat/completions/control", response_model=None, responses={**REFUSALS, 200: {"model": ControlAnswer}})
    async def control(body: ControlRequest) -> ControlAnswer:
        """Answer now: `ok` is false where the request is unknown, over, or does not think (any more)."""
        return {"ok": await service.room.answer_now(body.id)}

    @router.post(
        "/v1/responses",
        response_model=None,
        responses={**REFUSALS, 200: {"model": ResponseObject, "content": STREAM, "description": "The response, or its stream."}},
    )
    async def responses(body: ResponsesRequest, request: Request) -> Response:
        """The same in the form of OpenAI's Responses API. Nothing is stored."""
        run = await begin(service.room, new_id("resp_"), body.to_engine(service.model, service.limits), request.receive)
        created = now()
        if body.stream:
            return EventStream(run, ResponsesTeller(run, service.model, created))
        (generation,) = await finish(run, request.receive)
        return JSONResponse(finished_response(run, service.model, created, generation))

    return router
