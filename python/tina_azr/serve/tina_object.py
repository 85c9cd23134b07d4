"""The `tina` object of responses and chunks: the model's forecast, its budget and its confidence."""

import time

from typing_extensions import TypedDict

from tina_azr.engine.types import Generation, ReasoningEnded, Started
from tina_azr.introspection.types import BudgetDecision, Forecast
from tina_azr.serve.in_flight import InFlightRequest
from tina_azr.serve.types import CalibrationCard, ServedModel


class PlanView(TypedDict):
    """Choice of the plan head before reasoning."""

    choice: str
    probabilities: dict[str, float]


class BudgetView(TypedDict):
    """Think tokens: forecast, budget (the target) and think limit (the hard cap, key `wall`)."""

    predicted: dict[str, int] | None
    budget: int
    wall: int
    source: str
    warning: str | None


class CalibrationView(TypedDict):
    """Data that the confidence was calibrated on; nulls if it was not calibrated."""

    digest: str | None
    n: int | None
    ece: float | None
    date: str | None


class Timing(TypedDict):
    """Counts and seconds of one completion."""

    prompt_tokens: int
    think_tokens: int
    answer_tokens: int
    seconds: float
    think_seconds: float
    tokens_per_second: float
    time_to_first_token: float


class ContextView(TypedDict):
    """Fill level of the context, in tokens."""

    used: int
    limit: int


class Tina(TypedDict, total=False):
    """The `tina` object. A chunk holds what is new; the last chunk and a whole response hold everything."""

    plan: PlanView | None
    budget: BudgetView
    used: int
    think_stop: str | None
    forced_close: bool
    leak: bool
    c0: float | None
    cE: float | None
    abstain: bool
    calibration: CalibrationView
    context: ContextView
    timing: Timing
    tag_tokens: dict[str, int]
    ended_by: str | None


def calibration_view(card: CalibrationCard) -> CalibrationView:
    """Return the calibration card in the form that clients get."""
    return {"digest": card.digest, "n": card.n, "ece": card.ece, "date": card.date}


def at_start(started: Started, model: ServedModel) -> Tina:
    """Return the fields that are known before the first token."""
    return {
        **_forecast(started.forecast, started.decision),
        "used": 0,
        "think_stop": None,
        "forced_close": False,
        "leak": False,
        "cE": None,
        "abstain": False,
        "calibration": calibration_view(model.calibration),
        "context": {"used": started.prompt_tokens, "limit": model.context_limit},
    }


def at_reasoning_end(ended: ReasoningEnded) -> Tina:
    """Return the fields that are new at `</think>`."""
    return {
        "used": ended.think_tokens,
        "think_stop": ended.think_stop.value,
        "forced_close": ended.forced_close,
        "cE": ended.confidence_after,
    }


def at_end(generation: Generation, in_flight: InFlightRequest, model: ServedModel) -> Tina:
    """Return all fields of a finished completion."""
    card = model.calibration if generation.calibration_digest == model.calibration.digest else CalibrationCard()
    tina: Tina = {
        **_forecast(generation.forecast, generation.decision),
        "used": generation.think_tokens,
        "think_stop": generation.think_stop.value,
        "forced_close": generation.forced_close,
        "leak": generation.leak,
        "cE": generation.confidence_after,
        "abstain": generation.abstain,
        "calibration": {**calibration_view(card), "digest": generation.calibration_digest},
        "context": {"used": generation.prompt_tokens + completion_tokens(generation), "limit": model.context_limit},
        "timing": _timing(generation, in_flight),
        "tag_tokens": dict(generation.tag_tokens),
        "ended_by": None if in_flight.ended_by is None else in_flight.ended_by.value,
    }
    return tina


def completion_tokens(generation: Generation) -> int:
    """Count all ids after the prompt: reasoning, `</think>`, answer, stop id."""
    return len(generation.completion.ids_T)


def _forecast(forecast: Forecast | None, decision: BudgetDecision) -> Tina:
    budget: BudgetView = {
        "predicted": None if forecast is None else {f"{q:g}": round(n) for q, n in forecast.budget_quantiles.items()},
        "budget": decision.budget,
        "wall": decision.think_limit,
        "source": decision.source.value,
        "warning": decision.warning,
    }
    if forecast is None:
        return {"plan": None, "budget": budget, "c0": None}
    probabilities = {plan.value: probability for plan, probability in forecast.plan.items()}
    return {
        "plan": {"choice": forecast.plan_choice.value, "probabilities": probabilities},
        "budget": budget,
        "c0": forecast.confidence_before,
    }


def _timing(generation: Generation, in_flight: InFlightRequest) -> Timing:
    now = time.monotonic()
    first = now if in_flight.first_token is None else in_flight.first_token
    reasoning_ended = in_flight.reasoning_ended.get(generation.index, now)
    tokens = completion_tokens(generation)
    spent = now - first
    return {
        "prompt_tokens": generation.prompt_tokens,
        "think_tokens": generation.think_tokens,
        "answer_tokens": generation.answer_tokens,
        "seconds": round(now - in_flight.submitted, 4),
        "think_seconds": round(max(reasoning_ended - first, 0.0), 4),
        "tokens_per_second": round(tokens / spent, 2) if spent > 0 else 0.0,
        "time_to_first_token": round(first - in_flight.submitted, 4),
    }
