"""Events of a run as `/v1/chat/completions` says them: one object at the end, or chunks on the way."""

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
from tina_azr.serve.in_flight import Run
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
    stops,
    unsupported,
)
from tina_azr.serve.openai.sse import block
from tina_azr.serve.tina_object import Tina, at_end, at_reasoning_end, at_start, completion_tokens
from tina_azr.serve.types import ServedModel, failed, refused

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
    if visible and generation.reasoning is not None:
        message["reasoning_content"] = message["reasoning"] = generation.reasoning
    return message


def _token(text: str, value: float) -> TokenLogprob:
    finite = max(value, LEAST_LOGPROB)
    return {"token": text, "logprob": finite, "bytes": list(text.encode("utf-8", "replace")), "top_logprobs": []}


def chat_completion(run: Run, generations: Sequence[Generation], model: ServedModel, created: int) -> ChatCompletion:
    """The whole response. Its `tina` is the first choice's; where there are several, each has its own."""
    tinas = [at_end(generation, run, model) for generation in generations]
    choices: list[Choice] = [
        {
            "index": generation.index,
            "message": assistant_message(generation, visible=run.request.visible),
            "logprobs": logprobs(generation.answer_logprobs),
            "finish_reason": FINISH[generation.finish_reason],
        }
        for generation in generations
    ]
    if len(choices) > 1:
        for choice, tina in zip(choices, tinas, strict=True):
            choice["tina"] = tina
    return {
        "id": run.id,
        "object": "chat.completion",
        "created": created,
        "model": model.name,
        "choices": choices,
        "usage": usage(generations),
        "tina": tinas[0],
    }


class ChatTeller:
    """The chunks of a stream."""

    def __init__(self, run: Run, model: ServedModel, created: int, *, include_usage: bool) -> None:
        self._run = run
        self._model = model
        self._created = created
        self._include_usage = include_usage
        self._generations: list[Generation] = []

    def opening(self) -> Iterable[str]:
        return ()

    def tell(self, event: Event) -> Iterator[str]:
        match event:
            case Started():
                for index in range(self._run.request.n):
                    yield self._chunk(index, {"role": "assistant", "content": ""}, tina=at_start(event, self._model))
            case Thinking():
                yield self._thinking(event)
            case ReasoningEnded():
                yield self._chunk(event.index, {}, tina=at_reasoning_end(event))
            case Answering():
                if event.text or event.logprobs:
                    tokens = logprobs(event.logprobs) if self._run.request.logprobs else None
                    yield self._chunk(event.index, {"content": event.text}, tokens=tokens)
            case Finished(generation=generation):
                self._generations.append(generation)
                tina = at_end(generation, self._run, self._model)
                yield self._chunk(generation.index, {}, finish=FINISH[generation.finish_reason], tina=tina)
            case Failed(message=message):
                yield block(failed(message).body())

    def closing(self) -> Iterator[str]:
        if self._include_usage and self._generations:
            yield block({**self._frame([]), "usage": usage(self._generations)})
        yield "data: [DONE]\n\n"

    def _thinking(self, event: Thinking) -> str:
        delta: Delta = {}
        if event.text and self._run.request.visible:
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
            "id": self._run.id,
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
    """One turn. Thoughts that come back with it (`reasoning_content`, `reasoning`) are not read."""

    role: Role
    content: Content | None = None


class StreamOptions(Body):
    """`stream_options`."""

    include_usage: bool = False
    """Send the usage in a chunk of its own at the end."""


class ChatRequest(RequestFields):
    """The body."""

    messages: list[ChatMessage] = Field(min_length=1)
    stream_options: StreamOptions | None = None
    n: Annotated[int, Field(ge=1, le=1_024)] | None = None
    """Completions."""
    max_completion_tokens: Tokens | None = None
    """Thought and answer together."""
    max_tokens: Tokens | None = None
    """The same under its old name."""
    top_k: Annotated[int, Field(ge=-1, le=1_000_000)] | None = None
    """0 or -1: all."""
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    stop: Text | list[Text] | None = None
    """Ends the answer, never the thought."""
    logprobs: bool | None = None
    """Of the answer's tokens."""
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    """Only 0: the tokens that were not chosen are not kept."""
    functions: list[Any] | None = None
    response_format: TextFormat | None = None
    logit_bias: dict[str, Any] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None

    def to_engine(self, model: ServedModel, limits: RequestLimits) -> GenerationRequest:
        """The engine's request. Raises ApiError for what this server does not have or does not do."""
        check_model(self.model, model)
        unsupported(
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
            raise refused(f"n is {n}, at most {limits.choices} completions of one prompt are made", "n")
        for position, turn in enumerate(self.messages):
            if turn.content is None and turn.role != "assistant":
                raise refused("a message needs content", f"messages.{position}.content")
        asked = self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens
        turns = [message(turn.role, turn.content) for turn in self.messages]
        return replace(
            self.asked(turns, "messages", asked, model, limits),
            n=n,
            top_k=0 if self.top_k == -1 else self.top_k,
            min_p=self.min_p,
            stop=stops(self.stop),
            logprobs=bool(self.logprobs),
        )
