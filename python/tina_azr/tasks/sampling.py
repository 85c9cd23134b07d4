"""How much each task is wanted, as a reference and for another try: pure rules. Axis: `_N` tasks."""

import numpy as np
from numpy.typing import NDArray

RECENCY = 400
"""Tasks over which the preference for recent references falls to 1/e."""
EASIEST = 0.9
"""A reference is preferred when its task is solved sometimes, and at most this often."""
LONG_ENOUGH = 4
"""Steps from which a longer reference is not preferred any more."""
UNPREFERRED = 0.02
"""Weight of the others beside a preferred one."""

Floats = NDArray[np.float64]


def reference_weights(pass_rates_N: Floats, steps_N: Floats) -> Floats:
    """Probabilities of tasks, newest first, to be shown to a proposer: recent, solved sometimes, long. NaN: never tried."""
    if not len(pass_rates_N):
        return np.zeros(0)
    # A comparison with NaN is false: what was never tried is not preferred.
    solved_sometimes_N = (pass_rates_N > 0.0) & (pass_rates_N <= EASIEST)
    preference_N = np.where(solved_sometimes_N, np.minimum(1.0, np.maximum(steps_N, 1.0) / LONG_ENOUGH), UNPREFERRED)
    weights_N = preference_N * np.exp(-np.arange(len(pass_rates_N)) / RECENCY)
    return np.asarray(weights_N / weights_N.sum())


def retry_weights(pass_rates_N: Floats) -> Floats:
    """Probabilities of tasks to be tried once more: those of uncertain outcome, and what was never tried (NaN)."""
    rates_N = np.where(np.isnan(pass_rates_N), 0.5, pass_rates_N)
    weights_N = 4.0 * rates_N * (1.0 - rates_N) + UNPREFERRED
    return np.asarray(weights_N / weights_N.sum())


def forecast_weights(c0_N: Floats) -> Floats:
    """Probabilities of tasks to be tried once more by forecast: 0.1 + 4 c0 (1 - c0); NaN (no forecast) counts as even odds.

    Low confidence is sought out by sampling, which no gradient can game, and not by a reward.
    """
    odds_N = np.where(np.isnan(c0_N), 0.5, c0_N)
    weights_N = 0.1 + 4.0 * odds_N * (1.0 - odds_N)
    return np.asarray(weights_N / weights_N.sum())
