"""Requests and responses of `/v1/responses`. In a stream each event has a name and a number, and items open, grow and close."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from tina_azr.engine.types import (
    Answering,
    Event,
    Failed,
    Finished,
    FinishReason,
    Generation,
    GenerationRequest,
    Message,
    ReasoningEnded,
    Started,
    Thinking,
)
from tina_azr.serve.in_flight import InFlightRequest
from tina_azr.serve.openai.request import (
    Body,
    Content,
    RequestFields,
    RequestLimits,
    Role,
    Text,
    TextFormat,
    Tokens,
    check_model,
    message,
    reject_unsupported,
)
from tina_azr.serve.openai.sse import block
from tina_azr.serve.tina_object import Tina, at_end, at_reasoning_end, at_start, completion_tokens
from tina_azr.serve.types import ServedModel


class OutputText(TypedDict):
    """Text of the answer."""

    type: str
    text: str
    annotations: list[str]
    logprobs: list[str]


class ReasoningText(TypedDict):
    """Text of the reasoning."""

    type: str
    text: str


class MessageItem(TypedDict):
    """Output item with the answer."""

    id: str
    type: str
    status: str
    role: str
    content: list[OutputText]


class ReasoningItem(TypedDict):
    """Output item with the reasoning, if it is visible."""

    id: str
    type: str
    status: str
    summary: list[str]
    content: list[ReasoningText]


class InputDetails(TypedDict):
    """Breakdown of the input tokens."""

    cached_tokens: int


class OutputDetails(TypedDict):
    """Breakdown of the output tokens."""

    reasoning_tokens: int


class ResponseUsage(TypedDict):
    """Token counts of the request."""

    input_tokens: int
    input_tokens_details: InputDetails
    output_tokens: int
    output_tokens_details: OutputDetails
    total_tokens: int


class IncompleteDetails(TypedDict):
    """Reason why a response is incomplete."""

    reason: str


class ResponseError(TypedDict):
    """Reason why the response failed."""

    code: str
    message: str


class ResponseObject(TypedDict):
    """Response in OpenAI's format."""

    id: str
    object: str
    created_at: int
    status: str
    error: ResponseError | None
    incomplete_details: IncompleteDetails | None
    instructions: None
    model: str
    output: list[ReasoningItem | MessageItem]
    parallel_tool_calls: bool
    previous_response_id: None
    store: bool
    temperature: float
    text: dict[str, dict[str, str]]
    tool_choice: str
    tools: list[str]
    top_p: float
    usage: ResponseUsage | None
    tina: NotRequired[Tina]


def response_object(in_flight: InFlightRequest, model: ServedModel, created: int, *, status: str) -> ResponseObject:
    """Return a response without output."""
    request = in_flight.request
    return {
        "id": in_flight.id,
        "object": "response",
        "created_at": created,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "model": model.name,
        "output": [],
        "parallel_tool_calls": False,
        "previous_response_id": None,
        "store": False,
        "temperature": model.defaults.temperature if request.temperature is None else request.temperature,
        "text": {"format": {"type": "text"}},
        "tool_choice": "none",
        "tools": [],
        "top_p": model.defaults.top_p if request.top_p is None else request.top_p,
        "usage": None,
    }


def finished_response(in_flight: InFlightRequest, model: ServedModel, created: int, generation: Generation) -> ResponseObject:
    """Return the whole response of a finished completion."""
    whole = generation.finish_reason is FinishReason.STOP
    response = response_object(in_flight, model, created, status="completed" if whole else "incomplete")
    response["incomplete_details"] = None if whole else {"reason": "max_output_tokens"}
    response["output"] = output_items(in_flight, generation)
    response["usage"] = response_usage(generation)
    response["tina"] = at_end(generation, in_flight, model)
    return response


def output_items(in_flight: InFlightRequest, generation: Generation) -> list[ReasoningItem | MessageItem]:
    """Return the output items: the reasoning, if it is visible, and the answer."""
    items: list[ReasoningItem | MessageItem] = []
    if in_flight.request.visible and generation.reasoning is not None:
        items.append(reasoning_item(in_flight, generation.reasoning))
    status = "completed" if generation.finish_reason is FinishReason.STOP else "incomplete"
    return [*items, message_item(in_flight, generation.answer, status=status)]


def reasoning_item(in_flight: InFlightRequest, text: str | None, *, status: str = "completed") -> ReasoningItem:
    """Return a reasoning item. A `text` of None makes an item that has just begun."""
    content: Sequence[ReasoningText] = () if text is None else ({"type": "reasoning_text", "text": text},)
    return {"id": f"rs_{in_flight.id}", "type": "reasoning", "status": status, "summary": [], "content": list(content)}


def message_item(in_flight: InFlightRequest, text: str | None, *, status: str = "completed") -> MessageItem:
    """Return an answer item. A `text` of None makes an item that has just begun."""
    content = [] if text is None else [output_text(text)]
    return {"id": f"msg_{in_flight.id}", "type": "message", "status": status, "role": "assistant", "content": content}


def output_text(text: str) -> OutputText:
    """Return the single content part of an answer."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def response_usage(generation: Generation) -> ResponseUsage:
    """Count the tokens of the completion."""
    tokens = completion_tokens(generation)
    return {
        "input_tokens": generation.prompt_tokens,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": tokens,
        "output_tokens_details": {"reasoning_tokens": generation.think_tokens},
        "total_tokens": generation.prompt_tokens + tokens,
    }


class ResponsesEncoder:
    """Encoder of events as blocks of a stream."""

    def __init__(self, in_flight: InFlightRequest, model: ServedModel, created: int) -> None:
        self._in_flight = in_flight
        self._model = model
        self._created = created
        self._number = -1
        self._position = -1
        """Index of the newest output item."""
        self._reasoning: str | None = None
        """Reasoning text so far; None if it is hidden or closed."""
        self._answer: str | None = None
        """Answer text so far; None before it begins."""

    def start(self) -> Iterator[str]:
        yield self._block("response.created", {"response": self._response()})

    def encode(self, event: Event) -> Iterator[str]:
        match event:
            case Started():
                yield self._block("response.in_progress", {"response": {**self._response(), "tina": at_start(event, self._model)}})
            case Thinking(text=text):
                if text and self._in_flight.request.visible:
                    yield from self._reasoning_delta(text)
            case ReasoningEnded():
                yield from self._close_reasoning(at_reasoning_end(event))
            case Answering(text=text):
                if text:
                    yield from self._answer_delta(text)
            case Finished(generation=generation):
                yield from self._finish(generation)
            case Failed(message=message):
                response = self._response(status="failed")
                response["error"] = {"code": "server_error", "message": message}
                yield self._block("response.failed", {"response": response})

    def end(self) -> Iterable[str]:
        return ()

    def _reasoning_delta(self, text: str) -> Iterator[str]:
        if self._reasoning is None:
            self._reasoning = ""
            self._position += 1
            item = reasoning_item(self._in_flight, None, status="in_progress")
            yield self._block("response.output_item.added", {"output_index": self._position, "item": item})
        self._reasoning += text
        yield self._block("response.reasoning_text.delta", {**self._place(f"rs_{self._in_flight.id}"), "delta": text})

    def _close_reasoning(self, tina: Tina) -> Iterator[str]:
        if self._reasoning is not None:
            yield self._block("response.reasoning_text.done", {**self._place(f"rs_{self._in_flight.id}"), "text": self._reasoning})
            item = reasoning_item(self._in_flight, self._reasoning)
            yield self._block("response.output_item.done", {"output_index": self._position, "item": item})
            self._reasoning = None
        yield self._block("response.in_progress", {"response": {**self._response(), "tina": tina}})

    def _answer_delta(self, text: str) -> Iterator[str]:
        if self._answer is None:
            yield from self._open_answer()
        self._answer = (self._answer or "") + text
        yield self._block("response.output_text.delta", {**self._place(f"msg_{self._in_flight.id}"), "delta": text, "logprobs": []})

    def _open_answer(self) -> Iterator[str]:
        self._answer = ""
        self._position += 1
        item = message_item(self._in_flight, None, status="in_progress")
        yield self._block("response.output_item.added", {"output_index": self._position, "item": item})
        yield self._block("response.content_part.added", {**self._place(f"msg_{self._in_flight.id}"), "part": output_text("")})

    def _finish(self, generation: Generation) -> Iterator[str]:
        response = finished_response(self._in_flight, self._model, self._created, generation)
        if self._reasoning is not None:
            # The completion ended inside the reasoning.
            yield self._block("response.reasoning_text.done", {**self._place(f"rs_{self._in_flight.id}"), "text": self._reasoning})
            item = reasoning_item(self._in_flight, self._reasoning, status="incomplete")
            yield self._block("response.output_item.done", {"output_index": self._position, "item": item})
        if self._answer is None:
            yield from self._open_answer()
        place = self._place(f"msg_{self._in_flight.id}")
        yield self._block("response.output_text.done", {**place, "text": generation.answer, "logprobs": []})
        yield self._block("response.content_part.done", {**place, "part": output_text(generation.answer)})
        yield self._block("response.output_item.done", {"output_index": self._position, "item": response["output"][-1]})
        yield self._block(f"response.{response['status']}", {"response": response})

    def _response(self, *, status: str = "in_progress") -> ResponseObject:
        return response_object(self._in_flight, self._model, self._created, status=status)

    def _place(self, item: str) -> dict[str, object]:
        return {"item_id": item, "output_index": self._position, "content_index": 0}

    def _block(self, name: str, fields: Mapping[str, object]) -> str:
        self._number += 1
        return block({"type": name, "sequence_number": self._number, **fields}, name)


class InputMessage(Body):
    """Message of the conversation."""

    type: Literal["message"] = "message"
    role: Role
    content: Content


class InputReasoning(Body):
    """Reasoning of an earlier response that a client sends back. It is ignored."""

    type: Literal["reasoning"]


class TextOptions(Body):
    """Field `text`."""

    format: TextFormat | None = None


class ResponsesRequest(RequestFields):
    """Body of a Responses API request."""

    input: Text | list[InputMessage | InputReasoning] = Field(min_length=1)
    instructions: Text | None = None
    """System message that precedes the others."""
    max_output_tokens: Tokens | None = None
    """Most tokens of reasoning and answer together."""
    text: TextOptions | None = None
    background: bool | None = None
    previous_response_id: Text | None = None
    """Only null is supported: responses are not stored."""

    def to_engine(self, model: ServedModel, limits: RequestLimits) -> GenerationRequest:
        """Return the engine's request. Raises ApiError for an unknown model or an unsupported feature."""
        check_model(self.model, model)
        reject_unsupported(
            {
                "tools": self.wants_tools(),
                "background": bool(self.background),
                "previous_response_id": self.previous_response_id is not None,
                "text.format": self.text is not None and self.text.format is not None and self.text.format.type != "text",
            }
        )
        return self.base_request(self._turns(), "input", self.max_output_tokens, model, limits)

    def _turns(self) -> list[Message]:
        given = [InputMessage(role="user", content=self.input)] if isinstance(self.input, str) else self.input
        system = [Message(role="system", content=self.instructions)] if self.instructions else []
        return system + [message(turn.role, turn.content) for turn in given if isinstance(turn, InputMessage)]
