"""Start against end: paired where the tasks' own results are known."""

import math
import random
from collections.abc import Callable

import pytest

from tina_azr.runs.comparison import compare, pool
from tina_azr.runs.metrics import HeldoutCell, HeldoutMetrics, HeldoutOutcome

MakeHeldout = Callable[..., HeldoutMetrics]


def _outcomes(correct: dict[tuple[str, str, int], float]) -> tuple[HeldoutOutcome, ...]:
    return tuple(
        HeldoutOutcome(key=key, mode=mode, stratum=stratum, correct=value, correct_greedy=value, think_tokens=10.0)
        for (key, mode, stratum), value in correct.items()
    )


def test_rows_are_the_headline_the_modes_the_strata_and_the_rest(heldout_metrics: MakeHeldout) -> None:
    rows = compare(heldout_metrics(0, 0.4), heldout_metrics(10, 0.7))
    assert [row.label for row in rows] == [
        *("steps 1-3", "deduction", "abduction", "induction"),
        *("1 step", "2 steps", "3 steps", "4 steps", "5 steps", "6 steps", "steps 4-6"),
    ]


def test_without_outcomes_the_two_errors_are_added(heldout_metrics: MakeHeldout) -> None:
    start, end = heldout_metrics(0, 0.4), heldout_metrics(10, 0.7)
    change = compare(start, end)[0].change
    assert not change.paired
    assert change.value == pytest.approx(0.3)
    assert change.stderr == pytest.approx(math.hypot(start.in_distribution.stderr, end.in_distribution.stderr))


def test_paired_error_is_that_of_the_differences(heldout_metrics: MakeHeldout) -> None:
    tasks = [(f"k{i}", "deduction", 1) for i in range(4)]
    before = _outcomes(dict(zip(tasks, (0, 0, 1, 1), strict=True)))
    after = _outcomes(dict(zip(tasks, (1, 0, 1, 1), strict=True)))
    change = compare(heldout_metrics(0), heldout_metrics(10), before, after)[0].change
    # Differences 1, 0, 0, 0: mean 1/4, sample variance 1/4, error sqrt(1/4 / 4).
    assert change.paired
    assert (change.value, change.stderr) == (0.25, 0.25)


def test_paired_error_is_smaller_where_luck_is_shared(heldout_metrics: MakeHeldout) -> None:
    random.seed(0)
    tasks = [(f"k{i}", "deduction", 1) for i in range(400)]
    luck = {task: float(random.random() < 0.5) for task in tasks}
    better = {task: max(value, float(random.random() < 0.1)) for task, value in luck.items()}
    change = compare(heldout_metrics(0), heldout_metrics(10), _outcomes(luck), _outcomes(better))[0].change
    assert change.stderr < 0.5 * math.sqrt(2 * 0.25 / 400)


def test_deduction_and_abduction_of_one_pair_are_two_tasks(heldout_metrics: MakeHeldout) -> None:
    before = _outcomes({("k", "deduction", 1): 0, ("k", "abduction", 1): 0, ("l", "deduction", 1): 0})
    after = _outcomes({("k", "deduction", 1): 1, ("k", "abduction", 1): 0, ("l", "deduction", 1): 1})
    rows = {row.label: row for row in compare(heldout_metrics(0), heldout_metrics(10), before, after)}
    assert rows["deduction"].change.value == 1.0
    assert rows["steps 1-3"].change.value == pytest.approx(2 / 3)


def test_other_tasks_are_never_paired(heldout_metrics: MakeHeldout) -> None:
    before = _outcomes({("k", "deduction", 1): 0, ("l", "deduction", 1): 0})
    after = _outcomes({("k", "deduction", 1): 1, ("m", "deduction", 1): 1})
    assert not compare(heldout_metrics(0), heldout_metrics(10), before, after)[0].change.paired


def test_pooling_weighs_by_tasks() -> None:
    def cell(n: int, accuracy: float) -> HeldoutCell:
        return HeldoutCell(n=n, accuracy=accuracy, stderr=0.0, accuracy_greedy=None, stderr_greedy=None, think_tokens=10 * accuracy)

    pooled = pool([cell(30, 0.2), cell(10, 0.6)])
    assert pooled.n == 40
    assert pooled.accuracy == pytest.approx(0.3)
    assert pooled.think_tokens == pytest.approx(3.0)
    assert pooled.accuracy_greedy is None


def test_a_headline_without_tasks_is_left_out(heldout_metrics: MakeHeldout) -> None:
    empty = HeldoutCell(n=0, accuracy=0.0, stderr=0.0, accuracy_greedy=None, stderr_greedy=None, think_tokens=0.0)
    only = HeldoutMetrics(step=0, seconds=0.0, in_distribution=empty, by_mode={}, by_stratum={})
    assert compare(only, only) == ()
