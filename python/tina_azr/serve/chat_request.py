"""`POST /v1/chat/completions`: the body, and what the engine is asked for it."""

from dataclasses import replace
from typing import Annotated, Any

from pydantic import Field

from tina_azr.engine.types import GenerationRequest
from tina_azr.serve.bodies import Body, Content, RequestLimits, Role, Text, Tokens, check_model, message, stops, unsupported
from tina_azr.serve.request_fields import RequestFields, TextFormat
from tina_azr.serve.types import ServedModel, refused

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
