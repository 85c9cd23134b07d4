"""What an advantage rule sees of a step, and what it says. Axis: `_N` samples of one step."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tina_azr.selfplay.types import Sample
from tina_azr.tasks.types import Role

MIN_SPREAD = 1e-6
"""Rewards that differ by less than this say nothing: dividing by their spread would turn rounding into a gradient."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardTable:
    """The rewards of one step with all that rules may compare them within."""

    rewards_N: NDArray[np.float64]
    strata_N: NDArray[np.int64]
    """Index of the sample's (role, mode)."""
    groups_N: NDArray[np.int64]
    """Index of its group: the samples of one prompt. A group never spans strata."""
    solver_N: NDArray[np.bool_]
    tokens_N: NDArray[np.int64]
    """Trained tokens (forced ones not counted)."""

    @classmethod
    def of(cls, samples: Sequence[Sample]) -> "RewardTable":
        """Index strata and groups in order of first appearance."""
        return cls(
            rewards_N=np.array([sample.reward for sample in samples], dtype=np.float64),
            strata_N=_indices([(sample.role, sample.mode) for sample in samples]),
            groups_N=_indices([(sample.role, sample.mode, sample.group) for sample in samples]),
            solver_N=np.array([sample.role is Role.SOLVER for sample in samples], dtype=np.bool_),
            tokens_N=np.array([np.count_nonzero(~sample.completion.forced_T) for sample in samples], dtype=np.int64),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Advantages:
    """What to multiply each sample's log-probability with. 0 where the sample teaches nothing."""

    values_N: NDArray[np.float64]
    strata_dropped: int
    """Strata whose rewards are all equal, or that hold a single sample."""
    groups_dropped: int = 0
    """Groups whose rewards are all equal, where a rule compares within groups."""


AdvantageRule = Callable[[RewardTable], Advantages]


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """Weighted mean and unbiased standard deviation within each cell, spread back over the samples."""

    mean_N: NDArray[np.float64]
    std_N: NDArray[np.float64]
    flat_N: NDArray[np.bool_]
    """The sample's cell has no spread."""
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


def _indices(keys: Sequence[object]) -> NDArray[np.int64]:
    known: dict[object, int] = {}
    return np.array([known.setdefault(key, len(known)) for key in keys], dtype=np.int64)
