"""Requests and responses of `/v1/chat/completions`: the body, the whole response, and the chunks of a stream."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Annotated, Any, NotRequired

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
    stop_strings,
)
from tina_azr.serve.openai.sse import block
from tina_azr.serve.tina_object import Tina, at_end, at_reasoning_end, at_start, completion_tokens
from tina_azr.serve.types import ServedModel, bad_request, server_error

FINISH = {FinishReason.STOP: "stop", FinishReason.LENGTH: "length", FinishReason.CANCELLED: "length"}
"""OpenAI's clients have no `cancelled`. A limit of the server ended such a completion, and `tina.ended_by` names it."""
MIN_LOGPROB = -9999.0
"""OpenAI's substitute for minus infinity, which JSON cannot express."""

Logprob = tuple[int, str, float]


class TokenLogprob(TypedDict):
    """Answer token with its log-probability."""

    token: str
    logprob: float
    bytes: list[int]
    top_logprobs: list[dict[str, float]]


class Logprobs(TypedDict):
    """Log-probabilities of an answer, or of a part of it."""

    content: list[TokenLogprob]
    refusal: None


class CompletionDetails(TypedDict):
    """Breakdown of the completion tokens."""

    reasoning_tokens: int


class Usage(TypedDict):
    """Token counts of a request."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    completion_tokens_details: CompletionDetails


class AssistantMessage(TypedDict):
    """The answer, and the reasoning under both of its names if it is visible."""

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
    """New text of a chunk."""

    role: str
    content: str
    reasoning_content: str
    reasoning: str


class ChunkChoice(TypedDict):
    """New part of one completion."""

    index: int
    delta: Delta
    logprobs: Logprobs | None
    finish_reason: str | None


class ChatChunk(TypedDict):
    """Chunk of a stream."""

    id: str
    object: str
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: NotRequired[Usage | None]
    tina: NotRequired[Tina]


def logprobs(tokens: Sequence[Logprob] | None) -> Logprobs | None:
    """Return log-probabilities in OpenAI's format; None if they were not requested."""
    if tokens is None:
        return None
    return {"content": [_token(text, value) for _, text, value in tokens], "refusal": None}


def usage(generations: Sequence[Generation]) -> Usage:
    """Count the tokens of a request. The prompt counts once for all its completions."""
    prompt = generations[0].prompt_tokens
    completion = sum(completion_tokens(generation) for generation in generations)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "completion_tokens_details": {"reasoning_tokens": sum(generation.think_tokens for generation in generations)},
    }


def assistant_message(generation: Generation, *, visible: bool) -> AssistantMessage:
    """Return the message of a completion. The reasoning never becomes `content`, even if the answer is empty."""
    message: AssistantMessage = {"role": "assistant", "content": generation.answer, "refusal": None}
    if visible and generation.reasoning is not None:
        message["reasoning_content"] = message["reasoning"] = generation.reasoning
    return message


def _token(text: str, value: float) -> TokenLogprob:
    finite = max(value, MIN_LOGPROB)
    return {"token": text, "logprob": finite, "bytes": list(text.encode("utf-8", "replace")), "top_logprobs": []}


def chat_completion(
    in_flight: InFlightRequest, generations: Sequence[Generation], model: ServedModel, created: int
) -> ChatCompletion:
    """Return the whole response. Its `tina` belongs to the first choice; with several choices each also has its own."""
    tinas = [at_end(generation, in_flight, model) for generation in generations]
    choices: list[Choice] = [
        {
            "index": generation.index,
            "message": assistant_message(generation, visible=in_flight.request.visible),
            "logprobs": logprobs(generation.answer_logprobs),
            "finish_reason": FINISH[generation.finish_reason],
        }
        for generation in generations
    ]
    if len(choices) > 1:
        for choice, tina in zip(choices, tinas, strict=True):
            choice["tina"] = tina
    return {
        "id": in_flight.id,
        "object": "chat.completion",
        "created": created,
        "model": model.name,
        "choices": choices,
        "usage": usage(generations),
        "tina": tinas[0],
    }


class ChatEncoder:
    """Encoder of events as chunks of a stream."""

    def __init__(self, in_flight: InFlightRequest, model: ServedModel, created: int, *, include_usage: bool) -> None:
        self._in_flight = in_flight
        self._model = model
        self._created = created
        self._include_usage = include_usage
        self._generations: list[Generation] = []

    def start(self) -> Iterable[str]:
        return ()

    def encode(self, event: Event) -> Iterator[str]:
        match event:
            case Started():
                for index in range(self._in_flight.request.n):
                    yield self._chunk(index, {"role": "assistant", "content": ""}, tina=at_start(event, self._model))
            case Thinking():
                yield self._reasoning_delta(event)
            case ReasoningEnded():
                yield self._chunk(event.index, {}, tina=at_reasoning_end(event))
            case Answering():
                if event.text or event.logprobs:
                    tokens = logprobs(event.logprobs) if self._in_flight.request.logprobs else None
                    yield self._chunk(event.index, {"content": event.text}, tokens=tokens)
            case Finished(generation=generation):
                self._generations.append(generation)
                tina = at_end(generation, self._in_flight, self._model)
                yield self._chunk(generation.index, {}, finish=FINISH[generation.finish_reason], tina=tina)
            case Failed(message=message):
                yield block(server_error(message).body())

    def end(self) -> Iterator[str]:
        if self._include_usage and self._generations:
            yield block({**self._frame([]), "usage": usage(self._generations)})
        yield "data: [DONE]\n\n"

    def _reasoning_delta(self, event: Thinking) -> str:
        delta: Delta = {}
        if event.text and self._in_flight.request.visible:
            delta = {"reasoning_content": event.text, "reasoning": event.text}
        return self._chunk(event.index, delta, tina={"used": event.think_tokens})

    def _chunk(
        self, index: int, delta: Delta, *, tina: Tina | None = None, tokens: Logprobs | None = None, finish: str | None = None
    ) -> str:
        chunk = self._frame([{"index": index, "delta": delta, "logprobs": tokens, "finish_reason": finish}])
        if tina is not None:
            chunk["tina"] = tina
        return block(chunk)

    def _frame(self, choices: list[ChunkChoice]) -> ChatChunk:
        chunk: ChatChunk = {
            "id": self._in_flight.id,
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self._model.name,
            "choices": choices,
        }
        if self._include_usage:
            chunk["usage"] = None
        return chunk


Penalty = Annotated[float, Field(ge=-2, le=2)]


class ChatMessage(Body):
    """Message of the conversation. Reasoning that a client sends back (`reasoning_content`, `reasoning`) is ignored."""

    role: Role
    content: Content | None = None


class StreamOptions(Body):
    """Field `stream_options`."""

    include_usage: bool = False
    """Send the usage in a separate chunk at the end."""


class ChatRequest(RequestFields):
    """Body of a chat completion request."""

    messages: list[ChatMessage] = Field(min_length=1)
    stream_options: StreamOptions | None = None
    n: Annotated[int, Field(ge=1, le=1_024)] | None = None
    """Number of completions."""
    max_completion_tokens: Tokens | None = None
    """Most tokens of reasoning and answer together."""
    max_tokens: Tokens | None = None
    """Old name of `max_completion_tokens`."""
    top_k: Annotated[int, Field(ge=-1, le=1_000_000)] | None = None
    """0 or -1 keeps all tokens."""
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    stop: Text | list[Text] | None = None
    """Strings that end the answer. They never end the reasoning."""
    logprobs: bool | None = None
    """Return log-probabilities of the answer's tokens."""
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    """Only 0 is supported: alternative tokens are not kept."""
    functions: list[Any] | None = None
    response_format: TextFormat | None = None
    logit_bias: dict[str, Any] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None

    def to_engine(self, model: ServedModel, limits: RequestLimits) -> GenerationRequest:
        """Return the engine's request. Raises ApiError for an unknown model or an unsupported feature."""
        check_model(self.model, model)
        reject_unsupported(
            {
                "tools": self.wants_tools(),
                "functions": bool(self.functions),
                "response_format": self.response_format is not None and self.response_format.type != "text",
                "logit_bias": bool(self.logit_bias),
                "presence_penalty": bool(self.presence_penalty),
                "frequency_penalty": bool(self.frequency_penalty),
                "top_logprobs": bool(self.top_logprobs),
            }
        )
        n = 1 if self.n is None else self.n
        if n > limits.choices:
            raise bad_request(f"n is {n}; at most {limits.choices} completions of one prompt are allowed", "n")
        for position, turn in enumerate(self.messages):
            if turn.content is None and turn.role != "assistant":
                raise bad_request("a message needs content", f"messages.{position}.content")
        max_tokens = self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens
        turns = [message(turn.role, turn.content) for turn in self.messages]
        return replace(
            self.base_request(turns, "messages", max_tokens, model, limits),
            n=n,
            top_k=0 if self.top_k == -1 else self.top_k,
            min_p=self.min_p,
            stop=stop_strings(self.stop),
            logprobs=bool(self.logprobs),
        )
