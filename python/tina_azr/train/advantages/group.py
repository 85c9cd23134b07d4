"""Solver samples standardised within their own group, as GRPO does (Shao et al., "DeepSeekMath", 2024); proposers as in TRR++.

A = (r - mean of the group) / std of the group. A proposer's prompt is sampled once, so its group is the stratum.
"""

import numpy as np

from tina_azr.train.advantages.types import Advantages, Moments, RewardTable


def group(table: RewardTable) -> Advantages:
    """Groups without spread are dropped and counted, as are proposer strata without spread."""
    stratum = Moments.within(table.strata_N, table.rewards_N)
    own = Moments.within(table.groups_N, table.rewards_N)
    return Advantages(
        values_N=np.where(table.solver_N, own.standardise(table.rewards_N), stratum.standardise(table.rewards_N)),
        strata_dropped=stratum.cells_flat,
        groups_dropped=len(np.unique(table.groups_N[table.solver_N & own.flat_N])),
    )
