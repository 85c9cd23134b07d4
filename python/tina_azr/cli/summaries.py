"""Text summaries of a completion's introspection, for the footer of a chat and the panel of an observation."""

from tina_azr.cli.turns import Clock, Turn
from tina_azr.engine.types import FinishReason, Generation, ThinkStop
from tina_azr.formatting import percent, rate
from tina_azr.introspection.types import BudgetDecision, BudgetSource

STOPS: dict[ThinkStop, str] = {
    ThinkStop.CLOSED: "closed by itself",
    ThinkStop.SLACK: "closed by itself, over budget",
    ThinkStop.THINK_LIMIT: "closed at the think limit",
    ThinkStop.ANSWER_NOW: "closed on request",
    ThinkStop.UNFINISHED: "not finished",
}
"""Why reasoning ended."""
SOURCES: dict[BudgetSource, str] = {
    BudgetSource.PREDICTED: "predicted",
    BudgetSource.REQUESTED: "requested",
    BudgetSource.DEFAULT: "default",
}
FINISHES: dict[FinishReason, str] = {
    FinishReason.STOP: "complete",
    FinishReason.LENGTH: "cut off at the token limit",
    FinishReason.CANCELLED: "stopped",
}
"""Why a completion ended."""


def format_budget(decision: BudgetDecision) -> str:
    """Format a budget: `budget 52 predicted`."""
    return f"budget {decision.budget} {SOURCES[decision.source]}"


def format_tokens(count: int) -> str:
    """Format a number of tokens: `1 token`, `34 tokens`."""
    return f"{count} token{'' if count == 1 else 's'}"


def format_reasoning(generation: Generation, clock: Clock) -> str:
    """Format the line that replaces folded reasoning: `Thought for 0.4 s, 34 tokens, closed by itself`."""
    return f"Thought for {clock.think:.1f} s, {format_tokens(generation.think_tokens)}, {STOPS[generation.think_stop]}"


def format_footer(turn: Turn) -> str:
    """Format one line: plan, budget, tokens used, why the reasoning ended, confidence before and after, speed."""
    generation = turn.generation
    forecast = generation.forecast
    parts = []
    if forecast is not None:
        parts.append(f"plan {forecast.plan_choice} {percent(forecast.plan[forecast.plan_choice], 0)}")
    parts += [format_budget(generation.decision), f"used {generation.think_tokens}", STOPS[generation.think_stop]]
    if generation.finish_reason is not FinishReason.STOP:
        parts.append(FINISHES[generation.finish_reason])
    if forecast is not None:
        parts.append(f"confidence {percent(forecast.confidence_before, 0)} -> {percent(generation.confidence_after, 0)}")
    parts.append(f"{rate(turn.clock.tokens_per_second)} tokens/s")
    return " · ".join(parts)


def list_warnings(generation: Generation) -> list[str]:
    """Return warnings about a completion for the user."""
    found = [] if generation.decision.warning is None else [generation.decision.warning]
    if generation.abstain:
        found.append("the model does not trust this answer: check it before you use it")
    if generation.leak:
        found.append("the answer holds a think tag: its end may be part of the reasoning")
    return found
