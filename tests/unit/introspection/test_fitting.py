"""Tests of calibration fits: known parameters are recovered, and impossible fits are refused."""

import numpy as np
import pytest
import scipy.optimize
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from tina_azr.errors import ScoreError
from tina_azr.introspection.calibration import Calibration, ConfidenceMap
from tina_azr.introspection.fitting import (
    MIN_LENGTHS,
    ConfidenceLabels,
    conformal_factor,
    fit_budget,
    fit_confidence,
    fit_isotonic,
    fit_platt,
    fit_temperature,
)
from tina_azr.introspection.scores import brier, ece


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def soft_labels(seed: int, n: int, *, temperature: float, bias: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Return raw confidences and their exact probabilities."""
    logits = np.random.default_rng(seed).normal(0, 3, n)
    return sigmoid(logits), sigmoid(logits / temperature + bias)


def hard_labels(seed: int, tasks: int, *, mode_temperatures: dict[str, float]) -> ConfidenceLabels:
    """Draw eight rollouts per task, with one temperature for each mode."""
    random = np.random.default_rng(seed)
    names = random.choice(sorted(mode_temperatures), tasks)
    logits = random.normal(0, 3, tasks)
    truth = sigmoid(logits / np.array([mode_temperatures[name] for name in names]))
    return ConfidenceLabels(
        p_N=np.repeat(sigmoid(logits), 8),
        y_N=(random.random(8 * tasks) < np.repeat(truth, 8)).astype(float),
        mode_N=np.repeat(names, 8),
        group_N=np.repeat(np.arange(tasks), 8),
    )


@pytest.mark.parametrize("temperature", [0.05, 0.5, 1.0, 4.0, 60.0])
def test_known_temperature_is_recovered(temperature: float) -> None:
    # 60 and .05 lie where a clamped parameter would be stuck.
    p, y = soft_labels(0, 200, temperature=temperature)
    assert fit_temperature(p, y) == pytest.approx(temperature, rel=1e-6)


def test_temperature_matches_a_general_optimiser() -> None:
    labels = hard_labels(1, 60, mode_temperatures={"deduction": 2.5})
    logits = np.log(labels.p_N / (1 - labels.p_N))
    best = scipy.optimize.minimize_scalar(
        lambda t: np.mean(np.logaddexp(0, logits / np.exp(t)) - labels.y_N * logits / np.exp(t)),
        bounds=(-5, 5),
        options={"xatol": 1e-9},
    )
    assert fit_temperature(labels.p_N, labels.y_N) == pytest.approx(np.exp(best.x), rel=1e-5)


def test_known_temperature_and_bias_are_recovered() -> None:
    p, y = soft_labels(2, 300, temperature=2.0, bias=-1.5)
    assert fit_platt(p, y) == pytest.approx((2.0, -1.5))


def test_platt_matches_logistic_regression() -> None:
    labels = hard_labels(3, 60, mode_temperatures={"deduction": 2.5})
    logits = np.log(labels.p_N / (1 - labels.p_N))
    model = LogisticRegression(C=np.inf, tol=1e-10).fit(logits[:, None], labels.y_N)
    temperature, bias = fit_platt(labels.p_N, labels.y_N)
    assert (1 / temperature, bias) == pytest.approx((model.coef_[0, 0], model.intercept_[0]), abs=1e-4)


def test_isotonic_matches_scikit_learn_except_near_0_and_1() -> None:
    labels = hard_labels(4, 150, mode_temperatures={"deduction": 2.0})
    n = labels.p_N.size
    theirs = IsotonicRegression(y_min=1 / (n + 2), y_max=1 - 1 / (n + 2), out_of_bounds="clip").fit(labels.p_N, labels.y_N)
    ours = ConfidenceMap(method="isotonic", knots=fit_isotonic(labels.p_N, labels.y_N), n=n)
    anywhere = np.linspace(0, 1, 501)
    assert ours.apply(anywhere) == pytest.approx(theirs.predict(anywhere))


def test_isotonic_against_a_worked_example() -> None:
    p, y = np.array([0.1, 0.2, 0.3, 0.4, 0.4]), np.array([0.2, 0.6, 0.4, 1.0, 0.8])
    found = np.array(fit_isotonic(p, y, minimum=5))
    assert found == pytest.approx(np.array([(0.1, 0.2), (0.2, 0.5), (0.3, 0.5), (0.4, 6 / 7)]))


@pytest.mark.parametrize(
    ("fit", "n"), [(fit_temperature, 49), (fit_platt, 99), (fit_isotonic, 999)], ids=["temperature", "platt", "isotonic"]
)
def test_too_few_labels_are_refused(fit: object, n: int) -> None:
    assert callable(fit)
    p, y = soft_labels(5, n + 1, temperature=2.0)
    assert fit(p, y)
    with pytest.raises(ScoreError, match=f"{n} labels are too few to fit this: at least {n + 1} are needed"):
        fit(p[:n], y[:n])


@pytest.mark.parametrize(("value", "kind"), [(0.0, "failures"), (1.0, "successes")])
def test_labels_of_one_kind_are_refused(value: float, kind: str) -> None:
    with pytest.raises(ScoreError, match=f"all 100 labels are {kind}"):
        fit_temperature(np.linspace(0.1, 0.9, 100), np.full(100, value))


def test_anticorrelated_confidences_are_refused() -> None:
    p, y = soft_labels(6, 100, temperature=2.0)
    with pytest.raises(ScoreError, match="do not rise with the labels"):
        fit_temperature(p, 1 - y)
    with pytest.raises(ScoreError, match="do not rise with the labels"):
        fit_platt(p, 1 - y)


def test_perfectly_separating_confidences_are_refused() -> None:
    p = np.linspace(0.01, 0.99, 100)
    with pytest.raises(ScoreError, match="without a fault"):
        fit_temperature(p, (p > 0.5).astype(float))
    with pytest.raises(ScoreError, match="without a fault"):
        fit_platt(p, (p > 0.5).astype(float))


def test_confidences_of_0_and_1_can_be_fitted() -> None:
    p = np.array([0.0, 1.0] * 50)
    y = np.tile([0.25, 0.75], 50)
    found = fit_temperature(p, y)
    assert np.log((1 - 1e-12) / 1e-12) / found == pytest.approx(np.log(3), rel=1e-4)


def test_a_mode_with_enough_labels_gets_a_map_of_its_own() -> None:
    labels = hard_labels(7, 600, mode_temperatures={"abduction": 4.0, "deduction": 1.5})
    few = labels.take(~((labels.mode_N == "abduction") & (labels.group_N > 40)))
    fitted = fit_confidence(few, draws=20)
    assert (few.mode_N == "abduction").sum() < 200
    assert set(fitted.by_mode) == {"deduction"}
    both = fit_confidence(labels, draws=20)
    assert both.by_mode["deduction"].temperature == pytest.approx(1.5, rel=0.15)
    assert both.by_mode["abduction"].temperature == pytest.approx(4.0, rel=0.15)
    assert both.by_mode["deduction"].n == (labels.mode_N == "deduction").sum()
    assert both.by_mode["deduction"].temperature < both.pooled.temperature < both.by_mode["abduction"].temperature


def test_mode_with_one_kind_of_label_uses_the_pooled_map() -> None:
    labels = hard_labels(8, 100, mode_temperatures={"abduction": 2.0, "deduction": 2.0})
    solved = np.where(labels.mode_N == "deduction", 1.0, labels.y_N)
    fitted = fit_confidence(ConfidenceLabels(p_N=labels.p_N, y_N=solved, mode_N=labels.mode_N, group_N=labels.group_N), draws=20)
    assert set(fitted.by_mode) == {"abduction"}


@pytest.mark.parametrize("method", ["temperature", "platt", "isotonic"])
def test_calibration_corrects_overconfidence(method: str) -> None:
    labels = hard_labels(9, 300, mode_temperatures={"deduction": 3.0})
    fitted = fit_confidence(labels, method=method, draws=50)  # type: ignore[arg-type]
    change = fitted.scores["ece"]
    assert change.before.value is not None and change.after.value is not None and change.before.low is not None
    assert change.before.value > 0.15
    assert change.after.value < 0.06
    assert change.after.value < change.before.low
    fresh = hard_labels(10, 300, mode_temperatures={"deduction": 3.0})
    assert ece(fitted.pooled.apply(fresh.p_N), fresh.y_N) < 0.08
    assert {name: change.after.n for name, change in fitted.scores.items()} == dict.fromkeys(
        ("brier", "log_loss", "ece", "auroc"), 2400
    )


def test_reported_scores_are_cross_fitted() -> None:
    # Confidences that say nothing. Fitted to the labels that it is scored on, least squares can only do better than the base rate.
    random = np.random.default_rng(11)
    labels = ConfidenceLabels(
        p_N=random.random(1_200),
        y_N=random.integers(0, 2, 1_200).astype(float),
        mode_N=np.full(1_200, "deduction"),
        group_N=np.arange(1_200),
    )
    fitted = fit_confidence(labels, method="isotonic", draws=50)
    after, base = fitted.scores["brier"].after.value, float(labels.y_N.mean())
    assert brier(fitted.pooled.apply(labels.p_N), labels.y_N) < base * (1 - base)
    assert after is not None and after > base * (1 - base)


def test_undecided_and_infinite_scores_are_null_in_the_file() -> None:
    labels = hard_labels(12, 60, mode_temperatures={"deduction": 2.0})
    certain = ConfidenceLabels(
        p_N=np.where(np.arange(480) == 0, 1.0, labels.p_N),
        y_N=np.where(np.arange(480) == 0, 0.0, labels.y_N),
        mode_N=labels.mode_N,
        group_N=labels.group_N,
    )
    fitted = fit_confidence(certain, draws=20)
    assert fitted.scores["log_loss"].before.value is None
    assert fitted.scores["brier"].before.value is not None
    assert "Infinity" not in Calibration(c0=fitted).model_dump_json()


def test_labels_of_one_task_cannot_be_scored() -> None:
    p, y = soft_labels(13, 100, temperature=2.0)
    labels = ConfidenceLabels(p_N=p, y_N=y, mode_N=np.full(100, "deduction"), group_N=np.zeros(100, dtype=int))
    with pytest.raises(ScoreError, match="labels of 1 program"):
        fit_confidence(labels)


def test_unequal_lengths_are_refused() -> None:
    with pytest.raises(ScoreError, match="equally long"):
        ConfidenceLabels(p_N=np.ones(2), y_N=np.ones(2), mode_N=np.array(["a"]), group_N=np.arange(2))


def test_conformal_factor_against_a_worked_example() -> None:
    # Ratios .1, .2, ..., 9.9: rank ceil(100 q) of 99.
    lengths = np.arange(1.0, 100)
    forecast = np.full(99, 10.0)
    assert [conformal_factor(forecast, lengths, q) for q in (0.5, 0.8, 0.95)] == pytest.approx([5.0, 8.0, 9.5])


def test_corrected_quantiles_have_their_coverage() -> None:
    random = np.random.default_rng(14)

    def thoughts(n: int) -> tuple[np.ndarray, np.ndarray]:
        scale = random.lognormal(3, 1, n)
        return scale, scale * random.lognormal(0.5, 0.7, n)

    scale, length = thoughts(2_000)
    budget = fit_budget(dict.fromkeys((0.5, 0.8, 0.95), scale), length, np.arange(2_000), draws=50)
    new_scale, new_length = thoughts(20_000)
    calibration = Calibration(budget=budget)
    for q, found in calibration.apply_budget(dict.fromkeys((0.5, 0.8, 0.95), 1.0)).items():
        assert np.mean(new_length <= found * new_scale) == pytest.approx(q, abs=0.03)
    for entry in budget:
        assert entry.coverage.after.value == pytest.approx(entry.quantile, abs=0.02)
        assert entry.coverage.before.value == pytest.approx(np.mean(length <= scale))


def test_labels_with_one_correct_task_cannot_be_scored() -> None:
    p, _ = soft_labels(15, 120, temperature=2.0)
    y = (np.arange(120) == np.argsort(p)[90]).astype(float)
    labels = ConfidenceLabels(p_N=p, y_N=y, mode_N=np.full(120, "deduction"), group_N=np.arange(120))
    with pytest.raises(ScoreError, match="it fails without one fold of the labels: all 96 labels are failures"):
        fit_confidence(labels, method="platt")


def test_constant_confidences_are_refused() -> None:
    with pytest.raises(ScoreError, match="all confidences are the same"):
        fit_platt(np.full(100, 0.5), np.tile([0.0, 1.0], 50))


def test_budgets_are_scored_if_only_one_task_has_reasoning() -> None:
    lengths, forecast = np.array([0.0] * 59 + [3.0]), np.full(60, 2.0)
    (fitted,) = fit_budget({0.5: forecast}, lengths, np.arange(60), draws=20)
    assert (fitted.factor, fitted.coverage.after.value) == (1.5, pytest.approx(59 / 60))


def test_empty_reasoning_gives_a_positive_factor() -> None:
    lengths = np.array([0.0] * 90 + [3.0] * 10)
    assert conformal_factor(np.zeros(100), lengths, 0.5) == 3.0


@pytest.mark.parametrize(
    ("lengths", "said"),
    [
        (np.ones(MIN_LENGTHS - 1), "49 correct thoughts are too few"),
        (np.zeros(100), "not all 0"),
        (np.full(100, -1.0), "not negative"),
        (np.ones((50, 2)), "one dimension"),
    ],
)
def test_lengths_that_cannot_be_fitted_are_refused(lengths: np.ndarray, said: str) -> None:
    with pytest.raises(ScoreError, match=said):
        conformal_factor(np.ones_like(lengths), lengths, 0.5)
