"""`POST /v1/responses`: the body, and what the engine is asked for it. Nothing is stored: a conversation is sent whole each time."""

from typing import Any, Literal

from pydantic import Field

from tina_azr.engine.types import GenerationRequest, Message
from tina_azr.serve.bodies import (
    Body,
    Content,
    RequestLimits,
    Role,
    Seed,
    Share,
    Temperature,
    Text,
    Tokens,
    check_model,
    conversation,
    message,
    seed_of,
    unsupported,
)
from tina_azr.serve.budgets import BudgetFields
from tina_azr.serve.types import ServedModel


class InputMessage(Body):
    """A turn of the conversation."""

    type: Literal["message"] = "message"
    role: Role
    content: Content


class InputReasoning(Body):
    """A thought of an earlier response that a client sends back. It is not read."""

    type: Literal["reasoning"]


class TextFormat(Body):
    """`text.format`; text is all that there is."""

    type: Literal["text", "json_object", "json_schema"]


class TextOptions(Body):
    """`text`."""

    format: TextFormat | None = None


class ResponsesRequest(BudgetFields):
    """The body."""

    input: Text | list[InputMessage | InputReasoning] = Field(min_length=1)
    model: Text | None = None
    """The model's name; left out: the one that is served."""
    instructions: Text | None = None
    """A system message before the others."""
    stream: bool | None = None
    max_output_tokens: Tokens | None = None
    """Thought and answer together."""
    temperature: Temperature | None = None
    top_p: Share | None = None
    seed: Seed | None = None
    """Left out: another one each time."""
    text: TextOptions | None = None
    tools: list[Any] | None = None
    tool_choice: Any = None
    background: bool | None = None
    previous_response_id: Text | None = None
    """Only null: responses are not stored."""

    def to_engine(self, model: ServedModel, limits: RequestLimits) -> GenerationRequest:
        """The engine's request. Raises ApiError for what this server does not have or does not do."""
        check_model(self.model, model)
        unsupported(
            {
                "tools": bool(self.tools) and self.tool_choice != "none",
                "background": bool(self.background),
                "previous_response_id": self.previous_response_id is not None,
                "text.format": self.text is not None and self.text.format is not None and self.text.format.type != "text",
            }
        )
        thought = self.thought()
        asked = self.max_output_tokens
        return GenerationRequest(
            messages=conversation(self._turns(), limits, "input"),
            max_tokens=None if asked is None else min(asked, model.context_limit),
            temperature=self.temperature,
            top_p=self.top_p,
            seed=seed_of(self.seed),
            budget_tokens=thought.budget_tokens,
            budget_quantile=thought.budget_quantile,
            visible=thought.visible and limits.allow_visible,
        )

    def _turns(self) -> list[Message]:
        given = [InputMessage(role="user", content=self.input)] if isinstance(self.input, str) else self.input
        system = [Message(role="system", content=self.instructions)] if self.instructions else []
        return system + [message(turn.role, turn.content) for turn in given if isinstance(turn, InputMessage)]
