"""Labels of the heads: only what the sandbox said, of the right rollouts, of the newest steps."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tina_azr.selfplay.types import PlanProbe
from tina_azr.tasks.types import Task
from tina_azr.train.heads.labels import CLOSES, NO_LENGTH, HeadLabels, fold_of, is_calibration

Group = Callable[..., Any]
STATES = np.ones((2, 32), dtype=np.float32)


def labels(groups: list[Any], step: int = 1) -> HeadLabels:
    found = HeadLabels.of(step, groups)
    assert found is not None
    return found


def test_confidence_before_thinking_is_labelled_by_the_groups_pass_rate(solved: Group, attempt: Group) -> None:
    group = solved([attempt(right) for right in (True, False, False, True, True, True, True, True)])
    assert labels([group]).pass_rate_N.tolist() == [0.75]


def test_lengths_are_those_of_right_answers(solved: Group, attempt: Group) -> None:
    group = solved([attempt(True, 12), attempt(False, 30), attempt(True, 0)])
    assert labels([group]).lengths_NG.tolist() == [[12, NO_LENGTH, 0]]
    assert not labels([group]).censored_NG.any()


def test_a_forced_close_is_censored_at_what_was_sampled_right_or_wrong(solved: Group, attempt: Group) -> None:
    found = labels([solved([attempt(right, 20, forced=5) for right in (True, False)])])
    assert found.lengths_NG.tolist() == [[15, 15]]
    assert found.censored_NG.all()


def test_a_thought_that_ran_out_of_tokens_is_censored_too(solved: Group, attempt: Group) -> None:
    found = labels([solved([attempt(False, 40, closed=False)])])
    assert (found.lengths_NG.tolist(), found.censored_NG.tolist()) == ([[40]], [[True]])


def test_a_turn_that_ended_inside_the_thought_says_nothing_of_length(solved: Group, attempt: Group) -> None:
    ended = attempt(False, 7)
    one = replace(ended.completion, ids_T=ended.completion.ids_T[:7])
    found = labels([solved([replace(ended, completion=one)])])
    assert (found.lengths_NG.tolist(), found.censored_NG.tolist()) == ([[NO_LENGTH]], [[False]])


def test_states_at_the_close_are_labelled_by_their_own_rollout(solved: Group, attempt: Group) -> None:
    group = solved([attempt(True, states=STATES, tag=1), attempt(False, states=2 * STATES, tag=2), attempt(True, tag=3)])
    found = labels([group])
    assert found.close_correct_M.tolist() == [1.0, 0.0]
    assert found.close_states_MLH[:, 0, 0].tolist() == [1.0, 2.0]
    assert found.close_extras_MX.shape == (2, 3)


def test_closes_are_kept_as_often_as_they_come_and_of_many_a_few(solved: Group, attempt: Group) -> None:
    group = solved([attempt(tag == 0, states=STATES, tag=tag) for tag in (0, 0, 0, 1)] * 2)
    kept = labels([group]).close_correct_M
    assert len(kept) == CLOSES
    assert kept.mean() == group.pass_rate == 0.75, "rollouts that are alike are as many labels"


def test_plans_are_labelled_where_they_were_probed(solved: Group, attempt: Group) -> None:
    probe = PlanProbe(stop_rate=1.0, values={})
    found = labels([solved([attempt(True)], probe=probe), solved([attempt(True)])])
    assert found.plan_NP.tolist() == [[0.0, 0.0, 0.0, 1.0], [0.0] * 4]


def test_groups_that_were_not_read_have_no_labels(solved: Group, attempt: Group) -> None:
    unread = replace(solved([attempt(True)]), prompt_states_LH=None)
    assert HeadLabels.of(1, [unread]) is None
    assert HeadLabels.of(1, []) is None
    assert len(labels([unread, solved([attempt(True)])])) == 1


def test_a_window_lets_go_of_what_is_old(solved: Group, attempt: Group) -> None:
    def of(step: int) -> HeadLabels:
        return labels([solved([attempt(True, states=STATES)])], step)

    window = of(1).joined(of(2), since=0).joined(of(3), since=2)
    assert window.step_N.tolist() == window.close_step_M.tolist() == [2, 3]


def test_labels_go_through_arrays_and_back(solved: Group, attempt: Group) -> None:
    first = labels([solved([attempt(True, states=STATES), attempt(False, 9, forced=2)])])
    second = HeadLabels.from_arrays(first.arrays())
    assert all(np.array_equal(array, second.arrays()[name]) for name, array in first.arrays().items())
    with pytest.raises(KeyError):
        HeadLabels.from_arrays({})


def task(program: int, input: str = "1", mode: str = "deduction") -> Task:
    return Task(key=f"{program}{input}{mode}", mode=mode, program=f"def f(x):\n    return x + {program}", input=input, output="1")


@pytest.mark.slow
def test_shares_and_folds_are_drawn_by_hash_alone() -> None:
    tasks = [task(program) for program in range(4_000)]
    assert np.mean([is_calibration(one, 0.1) for one in tasks]) == pytest.approx(0.1, abs=0.02)
    assert not any(is_calibration(one, 0.0) for one in tasks)
    folds = [fold_of(one) for one in tasks]
    assert np.mean(folds) == pytest.approx(0.5, abs=0.03)
    kept = [fold for one, fold in zip(tasks, folds, strict=True) if is_calibration(one, 0.1)]
    assert np.mean(kept) == pytest.approx(0.5, abs=0.1), "the two draws are independent"


def test_no_program_stands_on_both_sides_of_a_split() -> None:
    for program in range(20):
        asked = [task(program), task(program, input="2"), task(program, mode="induction")]
        asked.append(replace(asked[0], program=asked[0].program.replace("x", "y")))
        assert len({is_calibration(one, 0.5) for one in asked}) == 1
        assert len({fold_of(one) for one in asked}) == 1
