"""Fits of a calibration to held-out labels. Axis: `_N` labels.

Scores "after" are cross-fitted over groups: the map that scores a label was fitted without the label's group. The stored map is fitted
to all labels.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tina_azr.errors import ScoreError
from tina_azr.introspection.calibration import Change, ConfidenceCalibration, ConfidenceMap, Measured, QuantileFactor
from tina_azr.introspection.scores import Interval, auroc, brier, ece, interval, log_loss, quantile_coverage

Floats: TypeAlias = NDArray[np.float64]
Groups: TypeAlias = NDArray[np.int64] | NDArray[np.str_]
Method: TypeAlias = Literal["temperature", "platt", "isotonic"]

MIN_LABELS: Mapping[Method, int] = {"temperature": 50, "platt": 100, "isotonic": 1_000}
"""Least number of labels for each method. A fit to fewer labels mostly fits noise."""
MIN_MODE_LABELS = 200
"""Least number of labels of a task mode with its own map."""
MIN_LENGTHS = 50
"""Correct rollouts that a budget factor needs."""
FOLDS = 5
MAX_TEMPERATURE = 1_000.0
CERTAIN = 1e-12
"""Distance from 0 and 1 to which forecasts are clipped, because 0 and 1 have no finite logit."""
SCORES: Mapping[str, Callable[[Floats, Floats], float]] = {"brier": brier, "log_loss": log_loss, "ece": ece, "auroc": auroc}


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfidenceLabels:
    """Raw confidences and their outcomes."""

    p_N: Floats
    y_N: Floats
    """1 for correct and 0 for wrong, or the share of a group that is correct."""
    mode_N: NDArray[np.str_]
    """Task mode."""
    group_N: Groups
    """Group of each label (its program). A group is resampled as a whole and never split between fitting and scoring."""

    def __post_init__(self) -> None:
        if len({array.shape for array in (self.p_N, self.y_N, self.mode_N, self.group_N)}) != 1 or self.p_N.ndim != 1:
            raise ScoreError("p_N, y_N, mode_N and group_N must be one-dimensional and equally long")

    def take(self, index_N: NDArray[np.bool_]) -> "ConfidenceLabels":
        """Return the labels that a mask selects."""
        return ConfidenceLabels(
            p_N=self.p_N[index_N], y_N=self.y_N[index_N], mode_N=self.mode_N[index_N], group_N=self.group_N[index_N]
        )


def fit_confidence(
    labels: ConfidenceLabels, *, method: Method = "temperature", seed: int = 0, draws: int = 1_000
) -> ConfidenceCalibration:
    """Fit one map to all labels and one to each task mode with enough labels of both kinds; return them with scores.

    Raises ScoreError for too few labels, labels of one kind, or confidences that do not rise with the labels.
    """
    pooled, by_mode = _fit_maps(labels, method, minimum=MIN_LABELS[method])
    after = cross_fitted_confidence(labels, method=method, modes=by_mode, seed=seed)
    scores = {
        name: _change(score, (labels.p_N, labels.y_N), (after, labels.y_N), labels.group_N, seed=seed, draws=draws)
        for name, score in SCORES.items()
    }
    return ConfidenceCalibration(pooled=pooled, by_mode=by_mode, scores=scores)


def cross_fitted_confidence(labels: ConfidenceLabels, *, method: Method, modes: Collection[str], seed: int = 0) -> Floats:
    """Return calibrated confidences [N], each by a fit without its group. `modes` get their own maps.

    Raises ScoreError if a fit without one fold of the labels is impossible.
    """
    after = labels.p_N.copy()
    for held_N in _folds(labels.group_N, seed):
        fold, held = labels.take(~held_N), labels.take(held_N)
        try:
            # A fold is only used for scoring, so its labels may be a little below the minimum.
            pooled, by_mode = _fit_maps(fold, method, minimum=0, modes=modes)
        except ScoreError as error:
            raise ScoreError(f"the fit cannot be scored, because it fails without one fold of the labels: {error}") from error
        after[held_N] = _apply(pooled, by_mode, held.p_N, held.mode_N)
    return after


def cross_fitted_budget(forecast_N: Floats, length_N: Floats, group_N: Groups, quantile: float, *, seed: int = 0) -> Floats:
    """Return corrected forecasts [N] in think tokens, each by a factor that was fitted without its group."""
    after = forecast_N.astype(np.float64)
    for held_N in _folds(group_N, seed):
        after[held_N] = _factor(forecast_N[~held_N], length_N[~held_N], quantile) * np.maximum(forecast_N[held_N], 1)
    return after


def fit_budget(
    forecasts: Mapping[float, Floats], length_N: Floats, group_N: Groups, *, seed: int = 0, draws: int = 1_000
) -> tuple[QuantileFactor, ...]:
    """Fit the factor of each quantile to the forecasts and lengths of correct rollouts that closed by themselves.

    Split conformal: the factor is the ceil((n + 1) q)-th smallest ratio of length to forecast. Raises ScoreError for too few thoughts.
    """
    fitted = []
    for quantile, forecast_N in sorted(forecasts.items()):
        factor = conformal_factor(forecast_N, length_N, quantile)
        after = cross_fitted_budget(forecast_N, length_N, group_N, quantile, seed=seed)
        coverage = _change(quantile_coverage, (forecast_N, length_N), (after, length_N), group_N, seed=seed, draws=draws)
        fitted.append(QuantileFactor(quantile=quantile, factor=factor, n=int(length_N.size), coverage=coverage))
    return tuple(fitted)


def fit_temperature(p_N: Floats, y_N: Floats, *, minimum: int = MIN_LABELS["temperature"]) -> float:
    """Fit the temperature that minimises the log loss, by bisection over its logarithm.

    The slope of the loss rises with the inverse temperature, so it has at most one zero. Raises ScoreError if it has none.
    """
    _check_labels(p_N, y_N, minimum)
    logits = _logits(p_N)

    def slope(log_temperature: float) -> float:
        return float(np.mean((_sigmoid(logits * np.exp(-log_temperature)) - y_N) * logits))

    low, high = -np.log(MAX_TEMPERATURE), np.log(MAX_TEMPERATURE)
    if slope(high) >= 0:
        raise ScoreError(
            "no temperature helps: the confidences do not rise with the labels. Train the heads longer, or use method `platt` if they are "
            "only shifted"
        )
    if slope(low) <= 0:
        raise ScoreError("no temperature is best: the confidences separate the labels without a fault. Give more labels")
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) > 0 else (low, middle)
    return float(np.exp((low + high) / 2))


def fit_platt(p_N: Floats, y_N: Floats, *, minimum: int = MIN_LABELS["platt"]) -> tuple[float, float]:
    """Fit temperature and bias that minimise the log loss, by Newton's method. Raises ScoreError if the slope is not positive."""
    _check_labels(p_N, y_N, minimum)
    if p_N.min() == p_N.max():
        raise ScoreError("no slope is best: all confidences are the same. Train the heads longer")
    if p_N[y_N > 0].min() >= p_N[y_N < 1].max():
        raise ScoreError("no slope is best: the confidences separate the labels without a fault. Give more labels")
    design = np.stack([_logits(p_N), np.ones_like(p_N)])
    weights = np.array([1.0, 0.0])
    for _ in range(100):
        q_N = _sigmoid(weights @ design)
        gradient = design @ (q_N - y_N) / y_N.size
        # The ridge is far below any relevant slope. It prevents a division by zero for constant confidences.
        curvature = (design * (q_N * (1 - q_N))) @ design.T / y_N.size + 1e-9 * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        while _loss(weights - step, design, y_N) > _loss(weights, design, y_N) + 1e-12:
            step /= 2
        weights = weights - step
        if np.abs(step).max() < 1e-10:
            break
    if not 1 / MAX_TEMPERATURE < weights[0] < MAX_TEMPERATURE:
        raise ScoreError("no slope helps: the confidences do not rise with the labels. Train the heads longer")
    return float(1 / weights[0]), float(weights[1])


def fit_isotonic(p_N: Floats, y_N: Floats, *, minimum: int = MIN_LABELS["isotonic"]) -> tuple[tuple[float, float], ...]:
    """Fit an isotonic map by pool adjacent violators and return its knots. One label's weight keeps them away from 0 and 1."""
    _check_labels(p_N, y_N, minimum)
    raw, level, count = np.unique(p_N, return_inverse=True, return_counts=True)
    blocks: list[list[float]] = []  # mean, weight, first raw, last raw
    for value, weight, mean in zip(raw, count, np.bincount(level, weights=y_N) / count, strict=True):
        block = [float(mean), float(weight), float(value), float(value)]
        while blocks and blocks[-1][0] >= block[0]:
            before = blocks.pop()
            total = before[1] + block[1]
            block = [(before[0] * before[1] + block[0] * block[1]) / total, total, before[2], block[3]]
        blocks.append(block)
    margin = 1 / (p_N.size + 2)
    knots = {edge: float(np.clip(mean, margin, 1 - margin)) for mean, _, first, last in blocks for edge in (first, last)}
    return tuple(sorted(knots.items()))


def conformal_factor(forecast_N: Floats, length_N: Floats, quantile: float) -> float:
    """Compute the factor with which at least a share `quantile` of exchangeable new lengths is at or below the forecast."""
    if forecast_N.shape != length_N.shape or length_N.ndim != 1:
        raise ScoreError(f"{forecast_N.shape} forecasts for {length_N.shape} lengths: give equally many, in one dimension")
    if length_N.size < MIN_LENGTHS:
        raise ScoreError(f"{length_N.size} correct thoughts are too few to correct a budget: at least {MIN_LENGTHS} are needed")
    if not (np.isfinite(forecast_N).all() and np.isfinite(length_N).all() and length_N.min() >= 0 and length_N.max() > 0):
        raise ScoreError("forecasts must be finite, lengths not negative and not all 0")
    return _factor(forecast_N, length_N, quantile)


def _factor(forecast_N: Floats, length_N: Floats, quantile: float) -> float:
    ratios = np.sort(length_N / np.maximum(forecast_N, 1))
    rank = min(int(np.ceil((ratios.size + 1) * quantile)), ratios.size)
    positive = ratios[ratios > 0]
    # Where so many thoughts are empty, the smallest factor that covers any other keeps the file's promise of a positive one.
    return float(ratios[rank - 1] or (positive[0] if positive.size else 1.0))


def _fit_maps(
    labels: ConfidenceLabels, method: Method, *, minimum: int, modes: Collection[str] | None = None
) -> tuple[ConfidenceMap, dict[str, ConfidenceMap]]:
    """Fit the pooled map and the maps of `modes`, or of all modes with enough labels of both kinds."""
    pooled = _fit_map(labels.p_N, labels.y_N, method, minimum)
    by_mode: dict[str, ConfidenceMap] = {}
    for mode in sorted(set(labels.mode_N.tolist()) if modes is None else set(modes)):
        own = labels.take(labels.mode_N == mode)
        if modes is None and own.p_N.size < max(MIN_MODE_LABELS, minimum):
            continue
        try:
            by_mode[mode] = _fit_map(own.p_N, own.y_N, method, minimum)
        except ScoreError:  # one kind of label, or noise: such a mode uses the pooled map and is missing in `by_mode`
            continue
    return pooled, by_mode


def _fit_map(p_N: Floats, y_N: Floats, method: Method, minimum: int) -> ConfidenceMap:
    n = int(y_N.size)
    if method == "temperature":
        return ConfidenceMap(method=method, temperature=fit_temperature(p_N, y_N, minimum=minimum), n=n)
    if method == "platt":
        temperature, bias = fit_platt(p_N, y_N, minimum=minimum)
        return ConfidenceMap(method=method, temperature=temperature, bias=bias, n=n)
    return ConfidenceMap(method=method, knots=fit_isotonic(p_N, y_N, minimum=minimum), n=n)


def _apply(pooled: ConfidenceMap, by_mode: Mapping[str, ConfidenceMap], p_N: Floats, mode_N: NDArray[np.str_]) -> Floats:
    applied = pooled.apply(p_N).copy()
    for mode, own in by_mode.items():
        applied[mode_N == mode] = own.apply(p_N[mode_N == mode])
    return applied


def _folds(group_N: Groups, seed: int) -> list[NDArray[np.bool_]]:
    """Return a mask of the held-out labels for each fold. A group is held out as a whole."""
    names, member = np.unique(group_N, return_inverse=True)
    if names.size < 2:
        raise ScoreError(f"labels of {names.size} program: at least two programs are needed to cross-fit the scores")
    fold = np.random.default_rng(seed).permutation(names.size) % FOLDS
    return [fold[member] == index for index in range(min(FOLDS, names.size))]


def _change(
    score: Callable[[Floats, Floats], float],
    before: tuple[Floats, Floats],
    after: tuple[Floats, Floats],
    group_N: Groups,
    *,
    seed: int,
    draws: int,
) -> Change:
    found = [measured(interval(score, list(arrays), seed=seed, draws=draws, groups=group_N)) for arrays in (before, after)]
    return Change(before=found[0], after=found[1])


def measured(found: Interval) -> Measured:
    """Convert an interval to the form of the file, with null for values that are not finite."""
    value, low, high = (float(x) if np.isfinite(x) else None for x in (found.value, found.low, found.high))
    return Measured(value=value, low=low, high=high, n=found.n)


def check_count(n: int, minimum: int) -> None:
    """Check the number of labels. Raises ScoreError for fewer than `minimum`."""
    if n < max(minimum, 1):
        raise ScoreError(f"{n} labels are too few to fit this: at least {max(minimum, 1)} are needed")


def _check_labels(p_N: Floats, y_N: Floats, minimum: int) -> None:
    if p_N.shape != y_N.shape or y_N.ndim != 1:
        raise ScoreError(f"{p_N.shape} confidences for {y_N.shape} labels: give equally many, in one dimension")
    check_count(y_N.size, minimum)
    if not ((p_N >= 0) & (p_N <= 1)).all() or not ((y_N >= 0) & (y_N <= 1)).all():
        raise ScoreError("confidences and labels must lie in [0, 1]")
    if y_N.max() == 0 or y_N.min() == 1:
        raise ScoreError(f"all {y_N.size} labels are {'failures' if y_N.max() == 0 else 'successes'}: both kinds are needed")


def _logits(p_N: Floats) -> Floats:
    p = np.clip(p_N, CERTAIN, 1 - CERTAIN)
    logits: Floats = np.log(p) - np.log1p(-p)
    return logits


def _sigmoid(x_N: Floats) -> Floats:
    return np.exp(-np.logaddexp(0, -x_N))


def _loss(weights: Floats, design: Floats, y_N: Floats) -> float:
    x_N = weights @ design
    return float(np.mean(np.logaddexp(0, x_N) - y_N * x_N))
