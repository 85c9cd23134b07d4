"""What introspection adds to a proposer's reward: pure rules of a forecast that was made before the task was tried."""

from collections.abc import Sequence

import numpy as np

from tina_azr.introspection.types import Forecast, Plan

LOWEST, HIGHEST = -0.25, 1.0


def calibration_surprise(pass_rate: float, c0: float, group_size: int) -> float:
    """Debiased squared error of the forecast `c0`, where some tries succeed and some do not; else 0. In [-0.25, 1].

    E (p_hat - c0)^2 is (p - c0)^2 + p (1 - p) / G, and p_hat (1 - p_hat) / (G - 1) estimates the second term without bias: pure noise
    earns nothing on average. The gate keeps impossible and trivial tasks out, and with it noise earns a hair less than nothing:
    -(p^2 (1 - p)^G + (1 - p)^2 p^G) where c0 = p.
    """
    if not 0.0 < pass_rate < 1.0:
        return 0.0
    value = (pass_rate - c0) ** 2 - pass_rate * (1.0 - pass_rate) / (group_size - 1)
    return min(HIGHEST, max(LOWEST, value))


def seed_legacy(forecast: Forecast, *, min_think_tokens: int) -> float:
    """The founding document's score of a self-report, kept for comparison. In [0.2, 1.8].

    High for `stop`, low confidence and a tiny budget, whatever comes of the task.
    """
    plan = {Plan.STOP: 1.0, Plan.VERIFY: 0.5}.get(forecast.plan_choice, 0.2)
    return plan + 0.5 * (forecast.confidence_before < 0.5) + 0.3 * (forecast.budget_quantiles[0.8] <= min_think_tokens + 4)


def centred(values: Sequence[float], modes: Sequence[str]) -> list[float]:
    """Values less the mean of their mode: no mode is paid for being harder to forecast."""
    means = {mode: float(np.mean([v for v, other in zip(values, modes, strict=True) if other == mode])) for mode in set(modes)}
    return [value - means[mode] for value, mode in zip(values, modes, strict=True)]
