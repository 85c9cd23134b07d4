"""Advantage rules against numbers worked out by hand, and the properties that make them baselines."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tina_azr.train.advantages import ADVANTAGES, RewardTable


def table(rows: list[tuple[str, str, str, float, int]]) -> RewardTable:
    """Rows of (role, mode, group, reward, tokens)."""
    strata = sorted({(role, mode) for role, mode, *_ in rows})
    groups = sorted({row[:3] for row in rows})
    return RewardTable(
        rewards_N=np.array([row[3] for row in rows]),
        strata_N=np.array([strata.index(row[:2]) for row in rows]),
        groups_N=np.array([groups.index(row[:3]) for row in rows]),
        solver_N=np.array([row[0] == "solver" for row in rows]),
        tokens_N=np.array([row[4] for row in rows]),
    )


def solver(*groups: list[float], mode: str = "deduction", tokens: int = 10) -> list[tuple[str, str, str, float, int]]:
    return [("solver", mode, f"task{index}", reward, tokens) for index, rewards in enumerate(groups) for reward in rewards]


def test_trr_pp_standardises_each_stratum_on_its_own() -> None:
    rows = solver([1.0, -0.5], [1.0, -0.5]) + solver([1.0, -1.0], mode="abduction")
    advantages = ADVANTAGES["trr_pp"](table(rows))
    deviation = np.sqrt(4 * 0.75**2 / 3)
    expected = [0.75 / deviation, -0.75 / deviation, 0.75 / deviation, -0.75 / deviation, 1 / np.sqrt(2), -1 / np.sqrt(2)]
    np.testing.assert_allclose(advantages.values_N, expected)
    assert advantages.strata_dropped == 0


def test_token_weighted_trr_pp_equals_whitening_every_token() -> None:
    rewards, tokens = [1.0, -0.5, -1.0], [30, 10, 5]
    rows = [("solver", "deduction", "t", reward, count) for reward, count in zip(rewards, tokens, strict=True)]
    every_token = np.repeat(rewards, tokens)
    expected = (np.array(rewards) - every_token.mean()) / every_token.std(ddof=1)
    np.testing.assert_allclose(ADVANTAGES["trr_pp_tokens"](table(rows)).values_N, expected)


def test_task_baseline_compares_a_solver_with_its_own_group_only() -> None:
    easy, hard = [1.0, 1.0, 1.0, -0.5], [1.0, -0.5, -0.5, -0.5]
    values = ADVANTAGES["task_baseline"](table(solver(easy, hard))).values_N
    scale = np.std(easy + hard, ddof=1)
    np.testing.assert_allclose(values, [0.375 / scale] * 3 + [-1.125 / scale] + [1.125 / scale] + [-0.375 / scale] * 3)


def test_task_baseline_gives_exactly_nothing_to_a_group_that_is_all_wrong() -> None:
    advantages = ADVANTAGES["task_baseline"](table(solver([-0.1] * 3, [1.0, -0.1, -0.1])))
    assert np.all(advantages.values_N[:3] == 0.0)
    assert advantages.groups_dropped == 1
    assert advantages.strata_dropped == 0


@pytest.mark.parametrize("rule", ["task_baseline", "group"])
def test_proposers_are_compared_within_their_stratum_since_their_groups_are_single(rule: str) -> None:
    rows = [("proposer", "deduction", f"p{index}", reward, 10) for index, reward in enumerate([-1.0, 0.0, 0.5, 0.5])]
    np.testing.assert_allclose(ADVANTAGES[rule](table(rows)).values_N, ADVANTAGES["trr_pp"](table(rows)).values_N)


def test_group_rule_standardises_by_the_groups_own_spread() -> None:
    advantages = ADVANTAGES["group"](table(solver([1.0, -0.5], [1.0, -1.0], [1.0, 1.0])))
    half = 1 / np.sqrt(2)
    np.testing.assert_allclose(advantages.values_N, [half, -half, half, -half, 0.0, 0.0])
    assert advantages.groups_dropped == 1


@pytest.mark.parametrize("rule", sorted(ADVANTAGES))
def test_a_stratum_without_spread_is_dropped_and_counted(rule: str) -> None:
    rows = solver([1.0, -0.5]) + [("proposer", "deduction", f"p{index}", -1.0, 10) for index in range(3)]
    advantages = ADVANTAGES[rule](table(rows))
    assert advantages.strata_dropped == 1
    assert np.all(advantages.values_N[2:] == 0.0)
    assert np.all(advantages.values_N[:2] != 0.0)


@pytest.mark.parametrize("rule", sorted(ADVANTAGES))
def test_a_stratum_of_one_sample_is_dropped_not_divided_by_zero(rule: str) -> None:
    advantages = ADVANTAGES[rule](table([("proposer", "induction", "p", 0.7, 5)]))
    assert advantages.values_N.tolist() == [0.0]
    assert advantages.strata_dropped == 1


@given(
    rewards=st.lists(st.sampled_from([1.0, -0.5, -1.0]), min_size=8, max_size=40),
    scale=st.floats(0.1, 10),
    shift=st.floats(-5, 5),
)
@pytest.mark.parametrize("rule", sorted(ADVANTAGES))
def test_scaling_and_shifting_all_rewards_changes_no_advantage(rule: str, rewards: list[float], scale: float, shift: float) -> None:
    groups = [rewards[start : start + 4] for start in range(0, len(rewards), 4)]
    plain = ADVANTAGES[rule](table(solver(*groups))).values_N
    moved = ADVANTAGES[rule](table(solver(*[[scale * reward + shift for reward in group] for group in groups]))).values_N
    np.testing.assert_allclose(moved, plain, atol=1e-9)


@given(rewards=st.lists(st.sampled_from([1.0, -0.5, -1.0]), min_size=8, max_size=40))
@pytest.mark.parametrize("rule", ["trr_pp", "task_baseline", "group"])
def test_advantages_of_a_stratum_sum_to_zero(rule: str, rewards: list[float]) -> None:
    groups = [rewards[start : start + 4] for start in range(0, len(rewards), 4)]
    assert abs(ADVANTAGES[rule](table(solver(*groups))).values_N.sum()) < 1e-9


@pytest.mark.parametrize("rule", sorted(ADVANTAGES))
def test_a_step_without_samples_has_no_advantages(rule: str) -> None:
    advantages = ADVANTAGES[rule](RewardTable.of([]))
    assert (len(advantages.values_N), advantages.strata_dropped) == (0, 0)
