"""Calibrated predictions from tapped states. The one place where heads are read: self-play, engine and reports use it.

Axes: `_N` prompts or rollouts, `_L` tapped layers, `_H` hidden, `_X` features of the reasoning.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from tina_azr.errors import ModelError
from tina_azr.introspection.calibration import Calibration
from tina_azr.introspection.heads import QUANTILES
from tina_azr.introspection.heads_file import AnyHeads
from tina_azr.introspection.types import Forecast, Plan
from tina_azr.rollout.types import Completion

PLANS = tuple(Plan)
LONG_REASONING = 10.0
"""log(1 + 22,000 tokens): scales the length of reasoning to about 0 to 1."""


def close_extras(completion: Completion) -> NDArray[np.float32]:
    """Return the heads' further inputs at `</think>`: [3].

    Length of the reasoning (log1p, scaled), mean log-probability of its sampled tokens, and whether it was closed by force.
    """
    reasoning = slice(0, completion.think_tokens)
    return reasoning_extras(completion.logprobs_T[reasoning], completion.forced_T[reasoning])


def reasoning_extras(logprobs_T: NDArray[np.float32], forced_T: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the same features from the tokens before `</think>`."""
    sampled = logprobs_T[~forced_T]
    mean = float(sampled.mean()) if len(sampled) else 0.0
    return np.array([np.log1p(len(sampled)) / LONG_REASONING, mean, float(forced_T.any())], dtype=np.float32)


def _check_finite(*arrays: NDArray[np.float32]) -> None:
    if not all(np.isfinite(array).all() for array in arrays):
        raise ModelError("the model's hidden states are not finite numbers: its weights are damaged, or training has diverged")


class Introspector:
    """Reader of heads, which may be trained in place at the same time."""

    def __init__(self, heads: AnyHeads, calibration: Calibration | None = None) -> None:
        self.heads = heads
        self.calibration = calibration or Calibration.identity()

    @property
    def taps(self) -> tuple[int, ...]:
        """Decoder layers whose states it reads."""
        return self.heads.shape.taps

    @torch.inference_mode()
    def forecasts(self, states_NLH: NDArray[np.float32], modes: Sequence[str | None] | None = None) -> list[Forecast]:
        """Return one forecast for each prompt. `modes` are task modes, for calibrations with a map for each mode.

        Raises ModelError for states that are not finite, as `close_confidences` does.
        """
        _check_finite(states_NLH)
        predictions = self.heads.predict(torch.from_numpy(states_NLH))
        plans_NP = predictions.plan_logits_NP.softmax(-1).tolist()
        tokens_NQ = predictions.log_quantiles_NQ.clamp(max=LONG_REASONING + 4).expm1().clamp(min=0.0).tolist()
        confidence_N = predictions.c0_logits_N.sigmoid().tolist()
        alpha_NL = predictions.alpha_NL.tolist() if predictions.alpha_NL is not None else [None] * len(confidence_N)
        layer_plans_NL = (
            predictions.plan_logits_NLP.argmax(-1).tolist()
            if predictions.plan_logits_NLP is not None
            else [None] * len(confidence_N)
        )
        return [
            self._forecast(plan_P, tokens_Q, confidence, alpha_L, layer_plans_L, mode)
            for plan_P, tokens_Q, confidence, alpha_L, layer_plans_L, mode in zip(
                plans_NP, tokens_NQ, confidence_N, alpha_NL, layer_plans_NL, modes or [None] * len(confidence_N), strict=True
            )
        ]

    def _forecast(
        self,
        plan_P: list[float],
        tokens_Q: list[float],
        confidence: float,
        alpha_L: list[float] | None,
        layer_plans_L: list[int] | None,
        mode: str | None,
    ) -> Forecast:
        plan = self.calibration.apply_plan(dict(zip(PLANS, plan_P, strict=True)))
        return Forecast(
            plan=plan,
            plan_choice=self.calibration.choose_plan(plan),
            budget_quantiles=self.calibration.apply_budget(dict(zip(QUANTILES, tokens_Q, strict=True))),
            confidence_before=self.calibration.apply_confidence(confidence, mode, moment="c0"),
            alpha_L=tuple(alpha_L) if alpha_L is not None else None,
            layers_L=self.taps,
            plan_by_layer_L=tuple(PLANS[index] for index in layer_plans_L) if layer_plans_L is not None else None,
        )

    @torch.inference_mode()
    def close_confidences(
        self, states_NLH: NDArray[np.float32], extras_NX: NDArray[np.float32], modes: Sequence[str | None] | None = None
    ) -> list[float]:
        """Return the confidence after reasoning, from the states at `</think>` and `close_extras`."""
        _check_finite(states_NLH, extras_NX)
        raw_N = self.heads.close_logits(torch.from_numpy(states_NLH), torch.from_numpy(extras_NX)).sigmoid().tolist()
        return [
            self.calibration.apply_confidence(raw, mode, moment="cE")
            for raw, mode in zip(raw_N, modes or [None] * len(raw_N), strict=True)
        ]
