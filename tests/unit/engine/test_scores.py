"""Scores against values worked by hand and against scikit-learn and scipy."""

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st

from tina_azr.engine.scores import (
    accuracy_at_coverage,
    aurc,
    auroc,
    brier,
    brier_parts,
    ece,
    log_loss,
    pinball,
    quantile_coverage,
    reliability_curve,
    spearman,
)
from tina_azr.errors import ScoreError

FORECASTS = st.lists(
    st.tuples(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9, 1.0]), st.sampled_from([0.0, 0.125, 0.5, 1.0])), min_size=1
)


def drawn(seed: int, n: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Forecasts with many ties, and labels that follow them."""
    random = np.random.default_rng(seed)
    p = random.integers(1, 20, n) / 20
    return p, (random.random(n) < p).astype(float)


def attempts(p: np.ndarray, share: np.ndarray, group: int) -> tuple[np.ndarray, np.ndarray]:
    """Every item as its `group` attempts, `share` of which succeed."""
    return np.repeat(p, group), np.concatenate([np.arange(group) < round(group * s) for s in share]).astype(float)


def test_brier_by_hand() -> None:
    assert brier([1, 0.5, 0.2], [1, 0, 0]) == pytest.approx((0 + 0.25 + 0.04) / 3)
    assert brier([0.75], [0.5]) == pytest.approx((0.0625 + 0.5625) / 2)


def test_brier_and_log_loss_are_scikit_learns() -> None:
    p, y = drawn(0)
    assert brier(p, y) == pytest.approx(sklearn.metrics.brier_score_loss(y, p))
    assert log_loss(p, y) == pytest.approx(sklearn.metrics.log_loss(y, p))


def test_log_loss_says_what_a_wrong_certainty_costs() -> None:
    assert log_loss([1.0, 0.0], [1, 0]) == 0
    assert log_loss([1.0], [0]) == np.inf
    assert log_loss([0.0], [0.125]) == np.inf


def test_brier_parts_by_hand() -> None:
    # Two values: .2 with 1 of 4 right, .8 with 2 of 4; base rate 3/8.
    parts = brier_parts([0.2] * 4 + [0.8] * 4, [1, 0, 0, 0, 1, 1, 0, 0], bins=2)
    assert parts.reliability == pytest.approx((0.05**2 + 0.3**2) / 2)
    assert parts.resolution == pytest.approx((0.125**2 + 0.125**2) / 2)
    assert parts.uncertainty == pytest.approx(3 / 8 * 5 / 8)
    assert parts.within == pytest.approx(0, abs=1e-12)


@given(FORECASTS)
def test_the_parts_are_the_whole_where_each_bin_holds_one_value(items: list[tuple[float, float]]) -> None:
    p, y = np.array(items).T
    # Bins of width 1/20 keep the six values apart.
    parts = brier_parts(p, y, bins=20, binning="width")
    assert parts.within == pytest.approx(0, abs=1e-12)
    assert parts.score == pytest.approx(brier(p, y))


@pytest.mark.parametrize("score", [brier, log_loss, auroc, aurc, lambda p, y: ece(p, y, binning="width")])
def test_a_share_scores_as_its_attempts_would(score: object) -> None:
    random = np.random.default_rng(3)
    p, share = random.integers(1, 10, 60) / 10, random.integers(0, 9, 60) / 8
    assert callable(score)
    if score is aurc:  # a curve over items: the attempts of equal items have finer steps
        assert score(p, share) == pytest.approx(score(*attempts(p, share, 8)), abs=0.02)
    else:
        assert score(p, share) == pytest.approx(score(*attempts(p, share, 8)))


def test_auroc_by_hand() -> None:
    assert auroc([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]) == 0.75
    assert auroc([0.5, 0.5], [0, 1]) == 0.5
    assert auroc([2.0, 1.0], [0.75, 0.25]) == pytest.approx(0.75**2 + 0.75 * 0.25)


def test_auroc_is_scikit_learns() -> None:
    p, y = drawn(1)
    assert auroc(p, y) == pytest.approx(sklearn.metrics.roc_auc_score(y, p))
    share = np.random.default_rng(2).random(p.size)
    doubled = sklearn.metrics.roc_auc_score(
        np.repeat([1, 0], p.size), np.tile(p, 2), sample_weight=np.concatenate([share, 1 - share])
    )
    assert auroc(p, share) == pytest.approx(doubled)


def test_auroc_of_one_kind_of_label_is_undecided() -> None:
    assert np.isnan(auroc([0.1, 0.9], [1, 1]))


@pytest.mark.parametrize("binning", ["mass", "width"])
def test_ece_is_the_gap_of_probabilities_and_not_of_predicted_classes(binning: str) -> None:
    assert ece([0.1] * 10, [0] * 10, binning=binning) == pytest.approx(0.1)  # type: ignore[arg-type]


def test_ece_counts_certainty() -> None:
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


def test_reliability_curve_is_scikit_learns() -> None:
    from sklearn.calibration import calibration_curve

    p = np.random.default_rng(5).random(500)
    y = (np.random.default_rng(6).random(500) < p).astype(float)
    outcome, forecast = calibration_curve(y, p, n_bins=10, strategy="uniform")
    curve = reliability_curve(p, y, bins=10, binning="width")
    assert curve.outcome == pytest.approx(outcome)
    assert curve.forecast == pytest.approx(forecast)


def test_risk_and_coverage_by_hand() -> None:
    score, y = [0.9, 0.8, 0.7, 0.6], [1, 1, 0, 1]
    assert accuracy_at_coverage(score, y, coverage=0.5) == 1
    assert accuracy_at_coverage(score, y, coverage=0.75) == pytest.approx(2 / 3)
    assert accuracy_at_coverage(score, y, coverage=1) == 0.75
    assert aurc(score, y) == pytest.approx((0 + 0 + 1 / 3 + 1 / 4) / 4)


def test_equal_confidence_counts_as_every_order_of_it() -> None:
    assert accuracy_at_coverage([0.5] * 4, [1, 0, 0, 0], coverage=0.5) == 0.25
    assert aurc([0.5] * 3, [0, 1, 1]) == pytest.approx(1 / 3)


def test_spearman_is_scipys() -> None:
    a, b = drawn(7)
    assert spearman(a, b) == pytest.approx(scipy.stats.spearmanr(a, b).statistic)
    assert spearman([1, 2, 3], [10, 30, 20]) == 0.5
    assert np.isnan(spearman([1, 1], [1, 2]))


def test_pinball_and_coverage() -> None:
    forecast, x = np.array([10.0, 10, 10, 10]), np.array([6.0, 10, 12, 20])
    assert pinball(forecast, x, quantile=0.8) == pytest.approx((0.2 * 4 + 0.8 * 2 + 0.8 * 10) / 4)
    assert pinball(forecast, x, quantile=0.8) == pytest.approx(sklearn.metrics.mean_pinball_loss(x, forecast, alpha=0.8))
    assert quantile_coverage(forecast, x) == 0.5


@pytest.mark.parametrize(
    ("p", "y", "said"),
    [
        ([0.5], [0.5, 0.5], "equally long"),
        ([], [], "non-empty"),
        ([[0.5]], [[0.5]], "flat"),
        ([1.5], [1], "forecasts run from 1.5 to 1.5"),
        ([0.5], [-1], "labels run from -1"),
        ([np.nan], [1], "not finite"),
    ],
)
def test_what_cannot_be_scored_is_refused(p: list[float], y: list[float], said: str) -> None:
    with pytest.raises(ScoreError, match=said):
        brier(p, y)


def test_numbers_out_of_range_are_refused() -> None:
    with pytest.raises(ScoreError, match="coverage is 0"):
        accuracy_at_coverage([1], [1], coverage=0)
    with pytest.raises(ScoreError, match=r"quantile is 1\.0"):
        pinball([1], [1], quantile=1.0)
    with pytest.raises(ScoreError, match="0 bins"):
        ece([0.5], [1], bins=0)
