"""Scores of forecasts: proper scores, discrimination, calibration, and bootstrap intervals. Axis: `_N` items.

`p_N` are forecast probabilities, `y_N` labels in [0, 1]. A fractional label is the share of an item's rollouts that succeeded. Every
score counts the item as that share of a success and the rest as a failure. A task with 3 of 8 correct rollouts therefore scores as its
eight rollouts would. A score that the data do not determine (AUROC without failures) is nan.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tina_azr.errors import ScoreError

Floats: TypeAlias = NDArray[np.float64]
Binning: TypeAlias = Literal["mass", "width"]
BINS = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Reliability diagram, with one point for each non-empty bin."""

    forecast: Floats
    """Mean forecast of the bin."""
    outcome: Floats
    """Mean label of the bin."""
    count: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """Statistic with its bootstrap interval."""

    value: float
    low: float
    high: float
    n: int
    """Items it was computed from."""


def brier(p_N: ArrayLike, y_N: ArrayLike) -> float:
    """Compute the mean squared error of the forecast against each outcome. 0 is perfect; a constant forecast of .5 scores .25."""
    p, y = _forecasts(p_N, y_N)
    return float(np.mean(y * (1 - p) ** 2 + (1 - y) * p**2))


def log_loss(p_N: ArrayLike, y_N: ArrayLike) -> float:
    """Compute the mean negative log-likelihood in nats, without clipping. It is infinite if a forecast of 0 or 1 was wrong."""
    p, y = _forecasts(p_N, y_N)
    with np.errstate(divide="ignore"):
        success = np.log(p, out=np.zeros_like(p), where=y > 0)
        failure = np.log1p(-p, out=np.zeros_like(p), where=y < 1)
    return float(-np.mean(y * success + (1 - y) * failure))


def auroc(score_N: ArrayLike, y_N: ArrayLike) -> float:
    """Compute the probability that a success has a higher score than a failure. Ties count half; nan without both kinds."""
    score, y = _pair(score_N, y_N)
    _check_shares(y, "labels")
    _, level = np.unique(score, return_inverse=True)
    success, failure = np.bincount(level, weights=y), np.bincount(level, weights=1 - y)
    pairs = success.sum() * failure.sum()
    if pairs <= 0:
        return float("nan")
    below = np.cumsum(failure) - failure
    return float(success @ (below + failure / 2) / pairs)


def ece(p_N: ArrayLike, y_N: ArrayLike, *, bins: int = BINS, binning: Binning = "mass") -> float:
    """Compute the expected calibration error: |mean label - mean forecast| of the bins, weighted by their counts."""
    curve = reliability_curve(p_N, y_N, bins=bins, binning=binning)
    return float(curve.count @ np.abs(curve.outcome - curve.forecast) / curve.count.sum())


def reliability_curve(p_N: ArrayLike, y_N: ArrayLike, *, bins: int = BINS, binning: Binning = "mass") -> Curve:
    """Compute a reliability curve over bins of equal mass or equal width.

    Equal forecasts stay in one bin of equal mass. The last bin of equal width includes p = 1.
    """
    p, y = _forecasts(p_N, y_N)
    bin_N = bin_numbers(p, bins=bins, binning=binning)
    count = np.bincount(bin_N, minlength=bins)
    kept = count > 0
    sums = [np.bincount(bin_N, weights=values, minlength=bins)[kept] for values in (p, y)]
    return Curve(forecast=sums[0] / count[kept], outcome=sums[1] / count[kept], count=count[kept])


def bin_numbers(p_N: Floats, *, bins: int = BINS, binning: Binning = "mass") -> NDArray[np.int64]:
    """Return the bin of each forecast, counted from 0."""
    if bins < 1:
        raise ScoreError(f"{bins} bins: at least one is needed")
    place = _midranks(p_N) / p_N.size if binning == "mass" else p_N
    numbers: NDArray[np.int64] = np.minimum((place * bins).astype(np.int64), bins - 1)
    return numbers


def spearman(a_N: ArrayLike, b_N: ArrayLike) -> float:
    """Compute the rank correlation, with mid-ranks for ties. It is nan if either side is constant."""
    a, b = _pair(a_N, b_N)
    ranks = np.stack([_midranks(a), _midranks(b)])
    ranks -= ranks.mean(axis=1, keepdims=True)
    norm = float(np.sqrt((ranks**2).sum(axis=1).prod()))
    return float(ranks[0] @ ranks[1] / norm) if norm > 0 else float("nan")


def quantile_coverage(forecast_N: ArrayLike, x_N: ArrayLike) -> float:
    """Compute the share of x at or below its forecast. For a calibrated quantile forecast it equals the quantile."""
    forecast, x = _pair(forecast_N, x_N)
    return float(np.mean(x <= forecast))


def interval(
    statistic: Callable[..., float],
    arrays: Sequence[ArrayLike],
    *,
    seed: int,
    draws: int = 1_000,
    groups: ArrayLike | None = None,
    level: float = 0.95,
) -> Interval:
    """Compute `statistic(*arrays)` with a percentile bootstrap interval.

    `groups` gives the cluster of each item. The items of one cluster (the rollouts of one task) are drawn together, because they are not
    independent. Draws for which the statistic is nan are omitted; the limits are nan if all are.
    """
    values = [np.asarray(array) for array in arrays]
    n = _common_length([*values, *([] if groups is None else [np.asarray(groups)])])
    if draws < 1 or not 0 < level < 1:
        raise ScoreError(f"{draws} draws at level {level}: at least one draw is needed, and a level between 0 and 1")
    _, member = np.unique(np.arange(n) if groups is None else np.asarray(groups), return_inverse=True)
    order, sizes = np.argsort(member, kind="stable"), np.bincount(member)
    clusters = np.split(order, np.cumsum(sizes)[:-1])
    random = np.random.default_rng(seed)
    found = np.empty(draws)
    for draw in range(draws):
        chosen = random.integers(len(clusters), size=len(clusters))
        index = order[chosen] if len(clusters) == n else np.concatenate([clusters[i] for i in chosen])
        found[draw] = statistic(*(array[index] for array in values))
    found = np.sort(found[~np.isnan(found)])
    edge = int((1 - level) / 2 * (found.size - 1))  # a draw itself, never a mean of two: one of them may be infinite
    low, high = (found[edge], found[-1 - edge]) if found.size else (np.nan, np.nan)
    return Interval(value=float(statistic(*values)), low=float(low), high=float(high), n=n)


def _midranks(values_N: Floats) -> Floats:
    """Return mid-ranks: the number of smaller items plus half of the equal ones."""
    _, level, count = np.unique(values_N, return_inverse=True, return_counts=True)
    ranks: Floats = (np.cumsum(count) - count / 2)[level]
    return ranks


def _forecasts(p_N: ArrayLike, y_N: ArrayLike) -> tuple[Floats, Floats]:
    p, y = _pair(p_N, y_N)
    _check_shares(p, "forecasts")
    _check_shares(y, "labels")
    return p, y


def _pair(a_N: ArrayLike, b_N: ArrayLike) -> tuple[Floats, Floats]:
    a, b = np.asarray(a_N, dtype=np.float64), np.asarray(b_N, dtype=np.float64)
    _common_length([a, b])
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ScoreError("some values are not finite: remove those items before scoring")
    return a, b


def _check_shares(values_N: Floats, what: str) -> None:
    if values_N.min() < 0 or values_N.max() > 1:
        raise ScoreError(f"{what} run from {values_N.min():g} to {values_N.max():g}, but must lie in [0, 1]")


def _common_length(arrays: Sequence[NDArray[Any]]) -> int:
    shapes = {array.shape for array in arrays}
    if len(shapes) != 1 or len(shape := shapes.pop()) != 1 or shape[0] == 0:
        raise ScoreError(
            f"arrays of shapes {[array.shape for array in arrays]}: give one-dimensional, equally long, non-empty arrays"
        )
    return int(shape[0])
