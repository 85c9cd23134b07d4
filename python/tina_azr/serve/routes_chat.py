"""Routes that generate completions."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import StringConstraints
from starlette.responses import JSONResponse, Response
from typing_extensions import TypedDict

from tina_azr.serve.errors import error_responses
from tina_azr.serve.openai.chat import ChatCompletion, ChatEncoder, ChatRequest, StreamOptions, chat_completion
from tina_azr.serve.openai.request import Body, Text
from tina_azr.serve.openai.responses import ResponseObject, ResponsesEncoder, ResponsesRequest, finished_response
from tina_azr.serve.openai.sse import EventStream
from tina_azr.serve.service import Service, new_id, now, submit_request, wait_for_generations

EVENT = {
    "type": "object",
    "description": "One event. Its `data` is JSON on one line, or `[DONE]`.",
    "properties": {"event": {"type": "string"}, "data": {"type": "string", "minLength": 1}},
    "required": ["data"],
    "additionalProperties": False,
}
STREAM: dict[str, Any] = {"text/event-stream": {"schema": EVENT}}
"""In OpenAPI before 3.2 the schema of a stream is that of each event."""
REFUSALS = error_responses(404, 408, 413, 415, 429, 503)


class ControlRequest(Body):
    """Command for a running request."""

    id: Annotated[Text, StringConstraints(min_length=1, max_length=128)]
    """The `id` of its chunks."""
    action: Literal["reasoning_end"]
    """`reasoning_end`: close the reasoning at the next step and answer."""


class ControlAnswer(TypedDict):
    """Whether the command took effect."""

    ok: bool


def chat_routes(service: Service) -> APIRouter:
    """Build the routes of `/v1/chat/completions`, its control endpoint, and `/v1/responses`."""
    router = APIRouter(tags=["chat"])

    @router.post(
        "/v1/chat/completions",
        response_model=None,
        responses={**REFUSALS, 200: {"model": ChatCompletion, "content": STREAM, "description": "The response, or its stream."}},
    )
    async def chat_completions(body: ChatRequest, request: Request) -> Response:
        """Answer a conversation; with `stream` as server-sent events, ended by `[DONE]`."""
        in_flight = await submit_request(
            service.engine_thread, new_id("chatcmpl-"), body.to_engine(service.model, service.limits), request.receive
        )
        created = now()
        if body.stream:
            include_usage = (body.stream_options or StreamOptions()).include_usage
            return EventStream(in_flight, ChatEncoder(in_flight, service.model, created, include_usage=include_usage))
        return JSONResponse(
            chat_completion(in_flight, await wait_for_generations(in_flight, request.receive), service.model, created)
        )

    @router.post("/v1/chat/completions/control", response_model=None, responses={**REFUSALS, 200: {"model": ControlAnswer}})
    async def control(body: ControlRequest) -> ControlAnswer:
        """Close the reasoning and answer now. `ok` is false if the request is unknown, over, or not reasoning."""
        return {"ok": await service.engine_thread.answer_now(body.id)}

    @router.post(
        "/v1/responses",
        response_model=None,
        responses={**REFUSALS, 200: {"model": ResponseObject, "content": STREAM, "description": "The response, or its stream."}},
    )
    async def responses(body: ResponsesRequest, request: Request) -> Response:
        """Answer in the form of OpenAI's Responses API. Nothing is stored."""
        in_flight = await submit_request(
            service.engine_thread, new_id("resp_"), body.to_engine(service.model, service.limits), request.receive
        )
        created = now()
        if body.stream:
            return EventStream(in_flight, ResponsesEncoder(in_flight, service.model, created))
        (generation,) = await wait_for_generations(in_flight, request.receive)
        return JSONResponse(finished_response(in_flight, service.model, created, generation))

    return router
