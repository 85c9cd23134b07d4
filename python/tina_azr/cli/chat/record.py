"""JSON record of a turn, as `tina-azr chat --json` prints it. Its keys are those of the server's `tina` object."""

from typing import Any

from tina_azr.cli.turns import Turn
from tina_azr.introspection.types import Forecast


def turn_record(turn: Turn, *, model: str, prompt: str, seed: int) -> dict[str, Any]:
    """Return the record of one turn. `tina-azr chat --help` describes it."""
    generation, clock = turn.generation, turn.clock
    forecast, decision = generation.forecast, generation.decision
    return {
        "model": model,
        "prompt": prompt,
        "answer": generation.answer,
        "thought": generation.reasoning,
        "seed": seed,
        "finish_reason": generation.finish_reason.value,
        "plan": None if forecast is None else _plan(forecast),
        "budget": {
            "predicted": None if forecast is None else {str(key): tokens for key, tokens in forecast.budget_quantiles.items()},
            "budget": decision.budget,
            "wall": decision.think_limit,
            "source": decision.source.value,
            "warning": decision.warning,
        },
        "used": generation.think_tokens,
        "think_stop": generation.think_stop.value,
        "forced_close": generation.forced_close,
        "leak": generation.leak,
        "c0": None if forecast is None else forecast.confidence_before,
        "cE": generation.confidence_after,
        "abstain": generation.abstain,
        "calibration": generation.calibration_digest,
        "timing": {
            "prompt_tokens": generation.prompt_tokens,
            "think_tokens": generation.think_tokens,
            "answer_tokens": generation.answer_tokens,
            "seconds": round(clock.total, 4),
            "think_seconds": round(clock.think, 4),
            "time_to_first_token": round(clock.first_token, 4),
            "tokens_per_second": round(clock.tokens_per_second, 1),
        },
    }


def _plan(forecast: Forecast) -> dict[str, Any]:
    return {"choice": forecast.plan_choice.value, "probabilities": {plan.value: share for plan, share in forecast.plan.items()}}
