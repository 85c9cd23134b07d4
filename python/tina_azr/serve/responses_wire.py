"""What `/v1/responses` answers with, as JSON: the objects of OpenAI's Responses API that hold text, and `tina`."""

from collections.abc import Sequence
from typing import NotRequired

from typing_extensions import TypedDict

from tina_azr.engine.types import FinishReason, Generation
from tina_azr.serve.introspection import Tina, at_end, completion_tokens
from tina_azr.serve.run import Run
from tina_azr.serve.types import ServedModel


class OutputText(TypedDict):
    """The answer's text."""

    type: str
    text: str
    annotations: list[str]
    logprobs: list[str]


class ReasoningText(TypedDict):
    """The thought's text."""

    type: str
    text: str


class MessageItem(TypedDict):
    """The answer."""

    id: str
    type: str
    status: str
    role: str
    content: list[OutputText]


class ReasoningItem(TypedDict):
    """The thought, where it is visible."""

    id: str
    type: str
    status: str
    summary: list[str]
    content: list[ReasoningText]


class InputDetails(TypedDict):
    """What input tokens are made of."""

    cached_tokens: int


class OutputDetails(TypedDict):
    """What output tokens are made of."""

    reasoning_tokens: int


class ResponseUsage(TypedDict):
    """Tokens of the request."""

    input_tokens: int
    input_tokens_details: InputDetails
    output_tokens: int
    output_tokens_details: OutputDetails
    total_tokens: int


class IncompleteDetails(TypedDict):
    """Why a response is not complete."""

    reason: str


class ResponseError(TypedDict):
    """Why there is none."""

    code: str
    message: str


class ResponseObject(TypedDict):
    """The response."""

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


def response_object(run: Run, model: ServedModel, created: int, *, status: str) -> ResponseObject:
    """A response without output."""
    request = run.request
    return {
        "id": run.id,
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


def finished_response(run: Run, model: ServedModel, created: int, generation: Generation) -> ResponseObject:
    """The response with everything in it."""
    whole = generation.finish_reason is FinishReason.STOP
    response = response_object(run, model, created, status="completed" if whole else "incomplete")
    response["incomplete_details"] = None if whole else {"reason": "max_output_tokens"}
    response["output"] = output_items(run, generation)
    response["usage"] = response_usage(generation)
    response["tina"] = at_end(generation, run, model)
    return response


def output_items(run: Run, generation: Generation) -> list[ReasoningItem | MessageItem]:
    """The thought, where it is visible, and the answer."""
    items: list[ReasoningItem | MessageItem] = []
    if run.request.visible and generation.thought is not None:
        items.append(reasoning_item(run, generation.thought))
    status = "completed" if generation.finish_reason is FinishReason.STOP else "incomplete"
    return [*items, message_item(run, generation.answer, status=status)]


def reasoning_item(run: Run, text: str | None, *, status: str = "completed") -> ReasoningItem:
    """A thought; None: one that has begun."""
    content: Sequence[ReasoningText] = () if text is None else ({"type": "reasoning_text", "text": text},)
    return {"id": f"rs_{run.id}", "type": "reasoning", "status": status, "summary": [], "content": list(content)}


def message_item(run: Run, text: str | None, *, status: str = "completed") -> MessageItem:
    """An answer; None: one that has begun."""
    content = [] if text is None else [output_text(text)]
    return {"id": f"msg_{run.id}", "type": "message", "status": status, "role": "assistant", "content": content}


def output_text(text: str) -> OutputText:
    """The one part of an answer."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def response_usage(generation: Generation) -> ResponseUsage:
    """Tokens of the one completion."""
    tokens = completion_tokens(generation)
    return {
        "input_tokens": generation.prompt_tokens,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": tokens,
        "output_tokens_details": {"reasoning_tokens": generation.think_tokens},
        "total_tokens": generation.prompt_tokens + tokens,
    }
