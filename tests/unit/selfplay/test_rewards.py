"""Rewards by hand: the original's numbers, the rules' shapes, and the control that says nothing."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tina_azr.config import RewardsConfig
from tina_azr.errors import ConfigError
from tina_azr.rollout.types import Completion, StopCause
from tina_azr.selfplay.rewards import LEARNABILITY, Rewards, shuffle_rewards
from tina_azr.selfplay.types import ProposalRecord, Rollout, RolloutGroup
from tina_azr.tasks.types import RejectReason, Role, Task, Verdict

TASK = Task(key="k", mode="deduction", program="def f(x):\n    return x")
COMPLETION = Completion(
    ids_T=np.array([1, 2]),
    logprobs_T=np.zeros(2, dtype=np.float32),
    forced_T=np.zeros(2, dtype=np.bool_),
    stop_cause=StopCause.STOP_ID,
    think_tokens=0,
    forced_close=False,
)


def rollout(verdict: Verdict | None = None) -> Rollout:
    role = Role.SOLVER if verdict else Role.PROPOSER
    return Rollout(role=role, mode="deduction", group="k", prompt_ids=(1,), completion=COMPLETION, answer="", verdict=verdict)


def reward_of_proposal(numbers: RewardsConfig, pass_rate: float) -> float:
    correct = round(8 * pass_rate)
    group = RolloutGroup(task=TASK, rollouts=tuple(rollout(Verdict.CORRECT if n < correct else Verdict.WRONG) for n in range(8)))
    record = ProposalRecord(rollout=rollout(), references=(), proposal=None, task=TASK)
    rewarded = Rewards(numbers).reward_proposal(record, group)
    assert rewarded.pass_rate == pass_rate
    return rewarded.rollout.reward


@pytest.mark.parametrize(("pass_rate", "reward"), [(0.0, 0.0), (0.125, 0.875), (0.5, 0.5), (1.0, 0.0)])
def test_one_minus_pays_the_original_learnability(pass_rate: float, reward: float) -> None:
    assert reward_of_proposal(RewardsConfig(), pass_rate) == reward


@pytest.mark.parametrize("pass_rate", [0.0, 1.0])
def test_a_configured_penalty_reaches_tasks_that_all_or_none_solve_as_in_the_published_code(pass_rate: float) -> None:
    assert reward_of_proposal(RewardsConfig(unlearnable=-0.5), pass_rate) == -0.5


@given(pass_rate=st.integers(0, 64).map(lambda correct: correct / 64))
@pytest.mark.parametrize("rule", ["parabola", "gaussian"])
def test_symmetric_rules_are_highest_at_even_odds_and_nothing_at_the_ends(rule: str, pass_rate: float) -> None:
    value = LEARNABILITY[rule]
    assert value(0.5) == 1.0
    assert value(0.0) == value(1.0) == 0.0
    assert 0.0 <= value(pass_rate) <= 1.0
    assert value(pass_rate) == pytest.approx(value(1.0 - pass_rate), abs=1e-9)


@pytest.mark.parametrize(
    ("reason", "reward"),
    [
        (RejectReason.NO_ANSWER, -1.0),
        (RejectReason.MALFORMED, -1.0),
        (RejectReason.RAISES, -1.0),
        (RejectReason.DUPLICATE, -0.5),
        (RejectReason.HELD_OUT, -0.5),
        (RejectReason.OVER_LENGTH_CAP, 0.0),
    ],
)
def test_rejected_proposals_earn_what_their_reason_says(reason: RejectReason, reward: float) -> None:
    assert Rewards(RewardsConfig()).of_rejected(reason) == reward


@pytest.mark.parametrize(("verdict", "reward"), [(Verdict.CORRECT, 1.0), (Verdict.WRONG, -0.5), (Verdict.MALFORMED, -1.0)])
def test_solvers_earn_the_originals_three_numbers(verdict: Verdict, reward: float) -> None:
    assert Rewards(RewardsConfig()).of_solver(rollout(verdict)) == reward


@pytest.mark.parametrize(
    "numbers",
    [RewardsConfig(proposer_terms=("novelty",)), RewardsConfig(solver_terms=("luck",)), RewardsConfig(learnability="flat")],
)
def test_an_unknown_name_is_refused_before_anything_is_played(numbers: RewardsConfig) -> None:
    with pytest.raises(ConfigError, match="Known: "):
        Rewards(numbers)


def rollouts(count: int) -> list[Rollout]:
    return [
        Rollout(
            role=Role.SOLVER if index % 3 else Role.PROPOSER,
            mode=("deduction", "abduction")[index % 2],
            group=str(index // 4),
            prompt_ids=(1,),
            completion=COMPLETION,
            answer="",
            reward=float(index),
        )
        for index in range(count)
    ]


def test_the_control_keeps_each_stratums_rewards_and_moves_them() -> None:
    before = rollouts(60)
    after = shuffle_rewards(before, np.random.default_rng(0))

    def marginal(of: list[Rollout]) -> Counter[tuple[str, str, float]]:
        return Counter((sample.role, sample.mode, sample.reward) for sample in of)

    assert marginal(list(after)) == marginal(before)
    moved = sum(a.reward != b.reward for a, b in zip(before, after, strict=True))
    assert moved > 40


def test_the_control_changes_nothing_but_the_reward() -> None:
    before = rollouts(12)
    after = shuffle_rewards(before, np.random.default_rng(1))
    for old, new in zip(before, after, strict=True):
        assert (new.role, new.mode, new.group, new.prompt_ids) == (old.role, old.mode, old.group, old.prompt_ids)
        assert new.completion is old.completion


def test_the_control_is_the_same_for_the_same_seed() -> None:
    first, second = (shuffle_rewards(rollouts(30), np.random.default_rng(5)) for _ in range(2))
    assert [sample.reward for sample in first] == [sample.reward for sample in second]
