"""What the bodies of both APIs have in common, and what the engine is asked because of it."""

from collections.abc import Sequence
from typing import Any, Literal

from tina_azr.engine.types import GenerationRequest, Message
from tina_azr.serve.bodies import Body, RequestLimits, Seed, Share, Temperature, Text, conversation, seed_of
from tina_azr.serve.budgets import BudgetFields
from tina_azr.serve.types import ServedModel


class TextFormat(Body):
    """`response_format` or `text.format`; text is all that there is."""

    type: Literal["text", "json_object", "json_schema"]


class RequestFields(BudgetFields):
    """Base of a body that asks for an answer."""

    model: Text | None = None
    """The model's name; left out: the one that is served."""
    stream: bool | None = None
    temperature: Temperature | None = None
    top_p: Share | None = None
    seed: Seed | None = None
    """Left out: another one each time."""
    tools: list[Any] | None = None
    tool_choice: Any = None

    def wants_tools(self) -> bool:
        """Whether tools may be called."""
        return bool(self.tools) and self.tool_choice != "none"

    def asked(
        self, turns: Sequence[Message], param: str, max_tokens: int | None, model: ServedModel, limits: RequestLimits
    ) -> GenerationRequest:
        """The engine's request as far as these fields decide it; `param` is the field of the turns. Raises ApiError."""
        thought = self.thought()
        return GenerationRequest(
            messages=conversation(turns, limits, param),
            max_tokens=None if max_tokens is None else min(max_tokens, model.context_limit),
            temperature=self.temperature,
            top_p=self.top_p,
            seed=seed_of(self.seed),
            budget_tokens=thought.budget_tokens,
            budget_quantile=thought.budget_quantile,
            visible=thought.visible and limits.allow_visible,
        )
