"""Task-Relative REINFORCE++: one baseline and one scale for each of the six strata (role x mode).

A = (r - mean) / std over the stratum's samples (Zhao et al., "Absolute Zero", 2025). The published code takes mean
and deviation over *tokens*, so that a long response counts for more; `trr_pp_tokens` is that, `trr_pp` counts every sample once.
"""

import numpy as np

from tina_azr.train.advantages.types import Advantages, Moments, RewardTable


def trr_pp(table: RewardTable) -> Advantages:
    """Each sample counts once."""
    return _standardised(table, Moments.within(table.strata_N, table.rewards_N))


def trr_pp_tokens(table: RewardTable) -> Advantages:
    """Each sample counts as often as it has trained tokens: parity with the published code."""
    return _standardised(table, Moments.within(table.strata_N, table.rewards_N, table.tokens_N.astype(np.float64)))


def _standardised(table: RewardTable, moments: Moments) -> Advantages:
    return Advantages(values_N=moments.standardise(table.rewards_N), strata_dropped=moments.cells_flat)
