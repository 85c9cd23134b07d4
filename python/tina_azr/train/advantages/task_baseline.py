"""Solver samples against their own task, at the scale of their stratum; proposer samples as in TRR++.

A = (r - mean of the task's group) / std of the stratum. An easy task's successes no longer outweigh a hard one's, and a group that
is all right or all wrong says nothing; unlike a group's own deviation, the stratum's does not blow up tasks that are nearly solved.
"""

import numpy as np

from tina_azr.train.advantages.types import Advantages, Moments, RewardTable


def task_baseline(table: RewardTable) -> Advantages:
    """The group's mean for solvers, the stratum's for proposers; the stratum's deviation for both."""
    stratum = Moments.within(table.strata_N, table.rewards_N)
    group = Moments.within(table.groups_N, table.rewards_N)
    baseline_N = np.where(table.solver_N, group.mean_N, stratum.mean_N)
    scale_N = np.where(stratum.flat_N, 1.0, stratum.std_N)
    # An all-equal group is exactly 0 by decree: its mean carries rounding, and a gradient of 1e-17 costs as much as one of 1.
    dead_N = stratum.flat_N | (table.solver_N & group.flat_N)
    return Advantages(
        values_N=np.where(dead_N, 0.0, (table.rewards_N - baseline_N) / scale_N),
        strata_dropped=stratum.cells_flat,
        groups_dropped=len(np.unique(table.groups_N[table.solver_N & group.flat_N])),
    )
