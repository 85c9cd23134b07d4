"""Types of introspection: plans, forecasts and budget decisions. Axes: `_L` tapped layers."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Plan(StrEnum):
    """Reasoning plan, in the order of the plan head's logits."""

    OUTLINE = "outline"
    VERIFY = "verify"
    DECOMPOSE = "decompose"
    STOP = "stop"
    """Answering without reasoning is as good."""


class BudgetSource(StrEnum):
    """Source of a budget."""

    PREDICTED = "predicted"
    """A quantile of the budget head."""
    REQUESTED = "requested"
    """The caller's number."""
    DEFAULT = "default"
    """No heads: the engine's `max_think_tokens`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """Predictions of the heads from a prompt, before any reasoning."""

    plan: Mapping[Plan, float]
    """Probabilities, sum 1."""
    plan_choice: Plan
    budget_quantiles: Mapping[float, float]
    """Think tokens of a correct answer, at .5, .8 and .95; rising."""
    confidence_before: float
    """Probability of a correct answer, in [0, 1]; calibrated if there is a calibration."""
    alpha_L: tuple[float, ...] | None
    """Attention over tapped layers, sum 1; None for heads without attention."""
    layers_L: tuple[int, ...]
    """Tapped decoder layers, counted from 0."""
    plan_by_layer_L: tuple[Plan, ...] | None
    """Plan that the state of each layer would choose by itself; None for heads without that output."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetDecision:
    """Budget and think limit of one prompt, decided from forecast, request and settings."""

    budget: int
    """Reasoning tokens to aim at."""
    think_limit: int
    """Reasoning tokens after which the closing ids are forced; at least `budget`."""
    source: BudgetSource
    warning: str | None = None
    """For people: the budget is far below what the prompt needs, or had to be cut to leave room for an answer."""
