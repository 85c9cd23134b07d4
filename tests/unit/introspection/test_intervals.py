"""Bootstrap intervals."""

import numpy as np
import pytest
import scipy.stats

from tina_azr.errors import ScoreError
from tina_azr.introspection.scores import auroc, interval


def mean(x: np.ndarray) -> float:
    return float(np.mean(x))


def test_interval_matches_scipy() -> None:
    x = np.random.default_rng(0).normal(3, 2, 300)
    found = interval(mean, [x], seed=1, draws=4_000)
    theirs = scipy.stats.bootstrap((x,), np.mean, n_resamples=4_000, method="percentile", rng=np.random.default_rng(2))
    assert found.value == pytest.approx(x.mean())
    assert found.n == 300
    assert (found.low, found.high) == pytest.approx(theirs.confidence_interval, abs=0.03)


def test_rollouts_of_one_task_are_resampled_together() -> None:
    tasks = np.random.default_rng(3).normal(size=40)
    x, groups = np.repeat(tasks, 16), np.repeat(np.arange(40), 16)
    alone = interval(mean, [tasks], seed=4)
    together = interval(mean, [x], seed=4, groups=groups)
    naive = interval(mean, [x], seed=4)
    assert together.high - together.low == pytest.approx(alone.high - alone.low, rel=0.1)
    assert together.high - together.low == pytest.approx(4 * (naive.high - naive.low), rel=0.2)


def test_the_names_and_order_of_groups_do_not_matter() -> None:
    random = np.random.default_rng(5)
    x, groups = random.normal(size=60), random.integers(0, 12, 60)
    numbered = interval(mean, [x], seed=6, groups=groups)
    order = np.argsort(groups, kind="stable")
    named = interval(mean, [x[order]], seed=6, groups=[f"task {g:02}" for g in groups[order]])
    assert (numbered.low, numbered.high) == pytest.approx((named.low, named.high))


def test_groups_of_uneven_size_are_resampled_whole() -> None:
    sizes: set[int] = set()

    def size(x: np.ndarray) -> float:
        counts = np.bincount(x.astype(int), minlength=3)
        assert (counts % [1, 2, 4] == 0).all()
        sizes.add(x.size)
        return float(x.size)

    interval(size, [np.array([0, 1, 1, 2, 2, 2, 2])], seed=0, draws=200, groups=[0, 1, 1, 2, 2, 2, 2])
    assert min(sizes) == 3
    assert max(sizes) == 12


def test_same_seed_repeats_the_interval() -> None:
    x = np.random.default_rng(7).normal(size=50)
    assert interval(mean, [x], seed=8) == interval(mean, [x], seed=8)
    assert interval(mean, [x], seed=8) != interval(mean, [x], seed=9)


def test_undetermined_draws_are_omitted() -> None:
    found = interval(auroc, [np.array([0.1, 0.6, 0.7]), np.array([0, 0, 1])], seed=0, draws=200)
    assert (found.value, found.low, found.high) == (1.0, 1.0, 1.0)
    undecided = interval(auroc, [np.array([0.1, 0.6]), np.array([1, 1])], seed=0, draws=20)
    assert np.isnan([undecided.value, undecided.low, undecided.high]).all()


def test_invalid_bootstrap_input_is_refused() -> None:
    with pytest.raises(ScoreError, match="equally long"):
        interval(mean, [np.ones(3)], seed=0, groups=[1, 2])
    with pytest.raises(ScoreError, match="0 draws"):
        interval(mean, [np.ones(3)], seed=0, draws=0)
