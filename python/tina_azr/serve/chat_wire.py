"""What `/v1/chat/completions` answers with, as JSON: OpenAI's objects, and `tina`."""

from collections.abc import Sequence
from typing import NotRequired

from typing_extensions import TypedDict

from tina_azr.engine.types import FinishReason, Generation
from tina_azr.serve.introspection import Tina, completion_tokens

FINISH = {FinishReason.STOP: "stop", FinishReason.LENGTH: "length", FinishReason.CANCELLED: "length"}
"""Clients know no `cancelled`: a limit of the server's ended it, which `tina.ended_by` names."""
LEAST_LOGPROB = -9999.0
"""OpenAI's stand-in for minus infinity, which JSON has not."""

Logprob = tuple[int, str, float]


class TokenLogprob(TypedDict):
    """One answer token."""

    token: str
    logprob: float
    bytes: list[int]
    top_logprobs: list[dict[str, float]]


class Logprobs(TypedDict):
    """Those of an answer, or of a piece of it."""

    content: list[TokenLogprob]
    refusal: None


class CompletionDetails(TypedDict):
    """What completion tokens are made of."""

    reasoning_tokens: int


class Usage(TypedDict):
    """Tokens of a whole request."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    completion_tokens_details: CompletionDetails


class AssistantMessage(TypedDict):
    """The answer; the thought under both of its names, where it is visible."""

    role: str
    content: str
    refusal: None
    reasoning_content: NotRequired[str]
    reasoning: NotRequired[str]


class Choice(TypedDict):
    """One completion."""

    index: int
    message: AssistantMessage
    logprobs: Logprobs | None
    finish_reason: str
    tina: NotRequired[Tina]


class ChatCompletion(TypedDict):
    """The whole response."""

    id: str
    object: str
    created: int
    model: str
    choices: list[Choice]
    usage: Usage
    tina: Tina


class Delta(TypedDict, total=False):
    """What is new in a chunk."""

    role: str
    content: str
    reasoning_content: str
    reasoning: str


class ChunkChoice(TypedDict):
    """What is new of one completion."""

    index: int
    delta: Delta
    logprobs: Logprobs | None
    finish_reason: str | None


class ChatChunk(TypedDict):
    """One line of a stream."""

    id: str
    object: str
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: NotRequired[Usage | None]
    tina: NotRequired[Tina]


def logprobs(tokens: Sequence[Logprob] | None) -> Logprobs | None:
    """OpenAI's shape; None where they were not asked for."""
    if tokens is None:
        return None
    return {"content": [_token(text, value) for _, text, value in tokens], "refusal": None}


def usage(generations: Sequence[Generation]) -> Usage:
    """The prompt counts once, however many completions share it."""
    prompt = generations[0].prompt_tokens
    completion = sum(completion_tokens(generation) for generation in generations)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "completion_tokens_details": {"reasoning_tokens": sum(generation.think_tokens for generation in generations)},
    }


def assistant_message(generation: Generation, *, visible: bool) -> AssistantMessage:
    """An answer is never filled with the thought, also where it is empty."""
    message: AssistantMessage = {"role": "assistant", "content": generation.answer, "refusal": None}
    if visible and generation.thought is not None:
        message["reasoning_content"] = message["reasoning"] = generation.thought
    return message


def _token(text: str, value: float) -> TokenLogprob:
    finite = max(value, LEAST_LOGPROB)
    return {"token": text, "logprob": finite, "bytes": list(text.encode("utf-8", "replace")), "top_logprobs": []}
