"""Tests of scores against worked examples, scikit-learn and scipy."""

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics

from tina_azr.errors import ScoreError
from tina_azr.introspection.scores import (
    auroc,
    brier,
    ece,
    log_loss,
    quantile_coverage,
    reliability_curve,
    spearman,
)


def drawn(seed: int, n: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Draw forecasts with many ties, and labels that follow them."""
    random = np.random.default_rng(seed)
    p = random.integers(1, 20, n) / 20
    return p, (random.random(n) < p).astype(float)


def attempts(p: np.ndarray, share: np.ndarray, group: int) -> tuple[np.ndarray, np.ndarray]:
    """Expand every item to its `group` rollouts, a `share` of which succeed."""
    return np.repeat(p, group), np.concatenate([np.arange(group) < round(group * s) for s in share]).astype(float)


def test_brier_against_worked_examples() -> None:
    assert brier([1, 0.5, 0.2], [1, 0, 0]) == pytest.approx((0 + 0.25 + 0.04) / 3)
    assert brier([0.75], [0.5]) == pytest.approx((0.0625 + 0.5625) / 2)


def test_brier_and_log_loss_match_scikit_learn() -> None:
    p, y = drawn(0)
    assert brier(p, y) == pytest.approx(sklearn.metrics.brier_score_loss(y, p))
    assert log_loss(p, y) == pytest.approx(sklearn.metrics.log_loss(y, p))


def test_log_loss_of_a_wrong_certain_forecast_is_infinite() -> None:
    assert log_loss([1.0, 0.0], [1, 0]) == 0
    assert log_loss([1.0], [0]) == np.inf
    assert log_loss([0.0], [0.125]) == np.inf


@pytest.mark.parametrize("score", [brier, log_loss, auroc, lambda p, y: ece(p, y, binning="width")])
def test_fractional_label_scores_like_its_rollouts(score: object) -> None:
    random = np.random.default_rng(3)
    p, share = random.integers(1, 10, 60) / 10, random.integers(0, 9, 60) / 8
    assert callable(score)
    assert score(p, share) == pytest.approx(score(*attempts(p, share, 8)))


def test_auroc_against_worked_examples() -> None:
    assert auroc([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]) == 0.75
    assert auroc([0.5, 0.5], [0, 1]) == 0.5
    assert auroc([2.0, 1.0], [0.75, 0.25]) == pytest.approx(0.75**2 + 0.75 * 0.25)


def test_auroc_matches_scikit_learn() -> None:
    p, y = drawn(1)
    assert auroc(p, y) == pytest.approx(sklearn.metrics.roc_auc_score(y, p))
    share = np.random.default_rng(2).random(p.size)
    doubled = sklearn.metrics.roc_auc_score(
        np.repeat([1, 0], p.size), np.tile(p, 2), sample_weight=np.concatenate([share, 1 - share])
    )
    assert auroc(p, share) == pytest.approx(doubled)


def test_auroc_of_one_kind_of_label_is_nan() -> None:
    assert np.isnan(auroc([0.1, 0.9], [1, 1]))


@pytest.mark.parametrize("binning", ["mass", "width"])
def test_ece_compares_probabilities_not_predicted_classes(binning: str) -> None:
    assert ece([0.1] * 10, [0] * 10, binning=binning) == pytest.approx(0.1)  # type: ignore[arg-type]


def test_ece_includes_forecasts_of_0_and_1() -> None:
    assert ece([1.0, 1.0], [0, 0], binning="width") == 1
    assert reliability_curve([1.0, 0.0], [1, 0], binning="width").count.tolist() == [1, 1]
    assert reliability_curve([1.0, 0.99], [1, 0], binning="width").count.tolist() == [2]


def test_bins_of_equal_mass_are_equal_and_keep_ties_together() -> None:
    random = np.random.default_rng(4)
    p = random.permutation(60) / 60
    assert reliability_curve(p, p, bins=15).count.tolist() == [4] * 15
    tied = np.array([0.3] * 40 + [0.6] * 20)
    labels = random.random(60)
    curve = reliability_curve(tied, labels, bins=15)
    assert curve.forecast == pytest.approx([0.3, 0.6])
    shuffled = random.permutation(60)
    assert reliability_curve(tied[shuffled], labels[shuffled]).outcome == pytest.approx(curve.outcome)


def test_reliability_curve_matches_scikit_learn() -> None:
    from sklearn.calibration import calibration_curve

    p = np.random.default_rng(5).random(500)
    y = (np.random.default_rng(6).random(500) < p).astype(float)
    outcome, forecast = calibration_curve(y, p, n_bins=10, strategy="uniform")
    curve = reliability_curve(p, y, bins=10, binning="width")
    assert curve.outcome == pytest.approx(outcome)
    assert curve.forecast == pytest.approx(forecast)


def test_spearman_matches_scipy() -> None:
    a, b = drawn(7)
    assert spearman(a, b) == pytest.approx(scipy.stats.spearmanr(a, b).statistic)
    assert spearman([1, 2, 3], [10, 30, 20]) == 0.5
    assert np.isnan(spearman([1, 1], [1, 2]))


def test_coverage_counts_values_at_or_below_the_forecast() -> None:
    assert quantile_coverage([10.0, 10, 10, 10], [6.0, 10, 12, 20]) == 0.5


@pytest.mark.parametrize(
    ("p", "y", "said"),
    [
        ([0.5], [0.5, 0.5], "equally long"),
        ([], [], "non-empty"),
        ([[0.5]], [[0.5]], "one-dimensional"),
        ([1.5], [1], "forecasts run from 1.5 to 1.5"),
        ([0.5], [-1], "labels run from -1"),
        ([np.nan], [1], "not finite"),
    ],
)
def test_invalid_scores_input_is_refused(p: list[float], y: list[float], said: str) -> None:
    with pytest.raises(ScoreError, match=said):
        brier(p, y)


def test_no_bins_are_refused() -> None:
    with pytest.raises(ScoreError, match="0 bins"):
        ece([0.5], [1], bins=0)
