"""Advantage rules by name: how rewards become advantages. Pure numpy.

To add a rule, write a function from `RewardTable` to `Advantages`, add it to `ADVANTAGES`, and name it in `learning.advantage` of the
configuration. Axes: `_N` rollouts of one step, `_C` cells (strata or groups).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tina_azr.selfplay.types import Rollout
from tina_azr.tasks.types import Role

MIN_SPREAD = 1e-6
"""Rewards that differ by less than this say nothing: dividing by their spread would turn rounding into a gradient."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardTable:
    """Rewards of one step, with the strata and groups that a rule may compare them within."""

    rewards_N: NDArray[np.float64]
    strata_N: NDArray[np.int64]
    """Index of the rollout's (role, mode)."""
    groups_N: NDArray[np.int64]
    """Index of its group: the rollouts of one prompt. A group never spans strata."""
    solver_N: NDArray[np.bool_]
    tokens_N: NDArray[np.int64]
    """Trained tokens (forced ones not counted)."""

    @classmethod
    def of(cls, rollouts: Sequence[Rollout]) -> "RewardTable":
        """Index strata and groups in order of first appearance."""
        return cls(
            rewards_N=np.array([rollout.reward for rollout in rollouts], dtype=np.float64),
            strata_N=_indices([(rollout.role, rollout.mode) for rollout in rollouts]),
            groups_N=_indices([(rollout.role, rollout.mode, rollout.group) for rollout in rollouts]),
            solver_N=np.array([rollout.role is Role.SOLVER for rollout in rollouts], dtype=np.bool_),
            tokens_N=np.array([np.count_nonzero(~rollout.completion.forced_T) for rollout in rollouts], dtype=np.int64),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Advantages:
    """Factor of each rollout's log-probability in the loss; 0 if the rollout teaches nothing."""

    values_N: NDArray[np.float64]
    strata_dropped: int
    """Strata whose rewards are all equal, or that hold a single rollout."""
    groups_dropped: int = 0
    """Groups whose rewards are all equal, where a rule compares within groups."""


AdvantageRule = Callable[[RewardTable], Advantages]


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """Weighted mean and unbiased standard deviation within each cell, spread back over the rollouts."""

    mean_N: NDArray[np.float64]
    std_N: NDArray[np.float64]
    flat_N: NDArray[np.bool_]
    """The cell of the rollout has no spread."""
    cells_flat: int

    @classmethod
    def within(
        cls,
        cells_N: NDArray[np.int64],
        values_N: NDArray[np.float64],
        weights_N: NDArray[np.float64] | None = None,
    ) -> "Moments":
        """Weights are counts (of tokens, say): a sample of weight w stands for w equal observations."""
        weights_N = np.ones_like(values_N) if weights_N is None else weights_N
        total_C = np.bincount(cells_N, weights_N)
        mean_C = np.bincount(cells_N, weights_N * values_N) / np.maximum(total_C, 1)
        squares_C = np.bincount(cells_N, weights_N * (values_N - mean_C[cells_N]) ** 2)
        std_C = np.sqrt(squares_C / np.maximum(total_C - 1, 1))
        flat_C = std_C < MIN_SPREAD
        return cls(mean_N=mean_C[cells_N], std_N=std_C[cells_N], flat_N=flat_C[cells_N], cells_flat=int(flat_C.sum()))

    def standardise(self, values_N: NDArray[np.float64]) -> NDArray[np.float64]:
        """(value - mean) / std, and 0 in flat cells."""
        return np.where(self.flat_N, 0.0, (values_N - self.mean_N) / np.where(self.flat_N, 1.0, self.std_N))


def trr_pp(table: RewardTable) -> Advantages:
    """Task-Relative REINFORCE++: one baseline and one scale for each of the six strata (role x mode).

    A = (r - mean) / std over the stratum's rollouts, each of which counts once (Zhao et al., "Absolute Zero", 2025).
    """
    return _standardise_strata(table, Moments.within(table.strata_N, table.rewards_N))


def trr_pp_tokens(table: RewardTable) -> Advantages:
    """The same with mean and deviation over tokens, as the published code takes them: a long response counts for more."""
    return _standardise_strata(table, Moments.within(table.strata_N, table.rewards_N, table.tokens_N.astype(np.float64)))


def _standardise_strata(table: RewardTable, moments: Moments) -> Advantages:
    return Advantages(values_N=moments.standardise(table.rewards_N), strata_dropped=moments.cells_flat)


def task_baseline(table: RewardTable) -> Advantages:
    """Compare solver rollouts with their own task at the scale of their stratum; proposer rollouts as in TRR++.

    A = (r - mean of the task's group) / std of the stratum. An easy task's successes no longer outweigh a hard one's, and a group
    with equal rewards has no effect. Unlike a group's own deviation, the stratum's does not blow up tasks that are nearly solved.
    """
    stratum = Moments.within(table.strata_N, table.rewards_N)
    own = Moments.within(table.groups_N, table.rewards_N)
    baseline_N = np.where(table.solver_N, own.mean_N, stratum.mean_N)
    scale_N = np.where(stratum.flat_N, 1.0, stratum.std_N)
    # An all-equal group is exactly 0 by decree: its mean carries rounding, and a gradient of 1e-17 costs as much as one of 1.
    dead_N = stratum.flat_N | (table.solver_N & own.flat_N)
    return Advantages(
        values_N=np.where(dead_N, 0.0, (table.rewards_N - baseline_N) / scale_N),
        strata_dropped=stratum.cells_flat,
        groups_dropped=len(np.unique(table.groups_N[table.solver_N & own.flat_N])),
    )


def group(table: RewardTable) -> Advantages:
    """Standardise solver rollouts within their own group, as GRPO does (Shao et al., "DeepSeekMath", 2024); proposers as in TRR++.

    A = (r - mean of the group) / std of the group. Groups without spread are dropped and counted, as are proposer strata without
    spread. A proposer's prompt is sampled once, so its group is the stratum.
    """
    stratum = Moments.within(table.strata_N, table.rewards_N)
    own = Moments.within(table.groups_N, table.rewards_N)
    return Advantages(
        values_N=np.where(table.solver_N, own.standardise(table.rewards_N), stratum.standardise(table.rewards_N)),
        strata_dropped=stratum.cells_flat,
        groups_dropped=len(np.unique(table.groups_N[table.solver_N & own.flat_N])),
    )


ADVANTAGES: dict[str, AdvantageRule] = {
    "trr_pp": trr_pp,
    "trr_pp_tokens": trr_pp_tokens,
    "task_baseline": task_baseline,
    "group": group,
}


def _indices(keys: Sequence[object]) -> NDArray[np.int64]:
    known: dict[object, int] = {}
    return np.array([known.setdefault(key, len(known)) for key in keys], dtype=np.int64)
