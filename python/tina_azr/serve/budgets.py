"""The think-budget fields of other servers, mapped to ours. One table, so that each name is written once.

Numbers say the budget itself and win over an effort; two that differ are refused. An effort picks a quantile of the forecast. Switching
thinking off is a budget of 0.
"""

from dataclasses import dataclass
from typing import Annotated, Literal, TypeVar

from pydantic import ConfigDict, Field

from tina_azr.serve.bodies import Body
from tina_azr.serve.types import refused

Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
Value = TypeVar("Value")
Budget = Annotated[int, Field(ge=0, le=2**31 - 1)]

QUANTILES: dict[str, float] = {"low": 0.5, "medium": 0.8, "high": 0.95, "xhigh": 0.95, "max": 0.95}
"""Effort -> quantile of the forecast; the efforts that are missing here mean a budget of 0."""


class ReasoningOptions(Body):
    """`reasoning` as OpenRouter and the Responses API have it, with `visible`, which is ours."""

    effort: Effort | None = None
    """Which quantile of the forecast is the budget."""
    max_tokens: Budget | None = None
    """Think tokens to aim at."""
    enabled: bool | None = None
    """False: a budget of 0."""
    exclude: bool | None = None
    """True: no thought in the response, whatever else is said."""
    visible: bool | None = None
    """True: the thought's text, where the server allows it."""


class ThinkingOptions(Body):
    """`thinking` as Anthropic's and DeepSeek's clients have it."""

    type: Literal["enabled", "disabled", "adaptive"] | None = None
    budget_tokens: Budget | None = None
    """Think tokens to aim at."""


class TemplateOptions(Body):
    """The only template arguments that are taken; any other is refused."""

    model_config = ConfigDict(extra="forbid")

    enable_thinking: bool | None = None
    """False: a budget of 0."""
    thinking_budget: Budget | None = None
    """Think tokens to aim at."""
    reasoning_effort: Effort | None = None
    """Which quantile of the forecast is the budget."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Thinking:
    """What a request says about its thought."""

    budget_tokens: int | None
    budget_quantile: float | None
    visible: bool


class BudgetFields(Body):
    """Mixed into request bodies."""

    thinking_token_budget: Budget | None = None
    """Think tokens to aim at (vLLM's name)."""
    thinking_budget: Budget | None = None
    """Think tokens to aim at (Qwen's and SGLang's name)."""
    thinking_budget_tokens: Budget | None = None
    """Think tokens to aim at (llama.cpp's name)."""
    thinking: ThinkingOptions | None = None
    reasoning: ReasoningOptions | None = None
    reasoning_effort: Effort | None = None
    """Which quantile of the forecast is the budget: low .5, medium .8, high .95; none and minimal: a budget of 0."""
    include_reasoning: bool | None = None
    """True: the thought's text, where the server allows it."""
    chat_template_kwargs: TemplateOptions | None = None

    def thought(self) -> Thinking:
        """The budget and whether the text is asked for. Raises ApiError where two fields contradict each other."""
        thinking = self.thinking or ThinkingOptions()
        reasoning = self.reasoning or ReasoningOptions()
        template = self.chat_template_kwargs or TemplateOptions()
        numbers: dict[str, int | None] = {
            "thinking_token_budget": self.thinking_token_budget,
            "thinking_budget": self.thinking_budget,
            "thinking_budget_tokens": self.thinking_budget_tokens,
            "thinking.budget_tokens": thinking.budget_tokens,
            "reasoning.max_tokens": reasoning.max_tokens,
            "chat_template_kwargs.thinking_budget": template.thinking_budget,
            "thinking.type": 0 if thinking.type == "disabled" else None,
            "reasoning.enabled": 0 if reasoning.enabled is False else None,
            "chat_template_kwargs.enable_thinking": 0 if template.enable_thinking is False else None,
        }
        efforts: dict[str, str | None] = {
            "reasoning_effort": self.reasoning_effort,
            "reasoning.effort": reasoning.effort,
            "chat_template_kwargs.reasoning_effort": template.reasoning_effort,
        }
        budget = _agreed(numbers)
        effort = _agreed(efforts)
        if budget is None and effort is not None and effort not in QUANTILES:
            budget = 0
        return Thinking(
            budget_tokens=budget,
            budget_quantile=QUANTILES[effort] if budget is None and effort is not None else None,
            visible=bool(reasoning.visible or self.include_reasoning) and not reasoning.exclude,
        )


def _agreed(fields: dict[str, Value | None]) -> Value | None:
    """The one value that all fields agree on."""
    given = {name: value for name, value in fields.items() if value is not None}
    if len(set(given.values())) > 1:
        names = list(given)
        raise refused(f"{' and '.join(names)} say different things about the thought: give one of them", names[-1])
    return next(iter(given.values()), None)
