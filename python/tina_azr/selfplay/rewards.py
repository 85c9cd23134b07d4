"""Rewards of both roles: terms and learnability rules by name, and the class that sums the configured terms.

To add a term, write a function of the form `ProposerTerm` or `SolverTerm`, add it to `PROPOSER_TERMS` or `SOLVER_TERMS`, and name it in
`rewards.proposer_terms` or `rewards.solver_terms` of the configuration. Introspection's part of the reward is in
`introspection_rewards`.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from tina_azr.config import RewardsConfig, choose
from tina_azr.selfplay.types import ProposalRecord, Rollout, RolloutGroup
from tina_azr.tasks.types import RejectReason, Verdict

GAUSSIAN_WIDTH = 1.0 / 6.0
"""Standard deviation of the `gaussian` rule: p = 0 and p = 1 are three of them from its middle."""


LearnabilityRule = Callable[[float], float]
"""Pass rate -> how much can be learned from the task, in [0, 1]; 0 means nothing."""
ProposerTerm = Callable[[Rollout, RolloutGroup, RewardsConfig], float]
"""A proposer's rollout and the solved group of its task -> part of its reward."""
SolverTerm = Callable[[Rollout, RewardsConfig], float]
"""A graded solver rollout -> part of its reward."""


def one_minus(pass_rate: float) -> float:
    """Return 1 - p if any rollout succeeds, else 0 (Zhao et al., "Absolute Zero", 2025).

    It is highest at one success in the group, so it pays for tasks that are nearly impossible, and for luck.
    """
    return 1.0 - pass_rate if pass_rate > 0.0 else 0.0


def parabola(pass_rate: float) -> float:
    """Return 4 p (1 - p), the variance of a success scaled to 1 at p = 1/2."""
    return 4.0 * pass_rate * (1.0 - pass_rate)


def gaussian(pass_rate: float) -> float:
    """Return exp(-(p - 1/2)^2 / (2 width^2)) for mixed outcomes, else 0: narrower around p = 1/2 than `parabola`."""
    return math.exp(-((pass_rate - 0.5) ** 2) / (2.0 * GAUSSIAN_WIDTH**2)) if 0.0 < pass_rate < 1.0 else 0.0


LEARNABILITY: dict[str, LearnabilityRule] = {
    "one_minus": one_minus,
    "parabola": parabola,
    "gaussian": gaussian,
}


def learnability(proposal: Rollout, group: RolloutGroup, numbers: RewardsConfig) -> float:
    """Return the rule's value r(p) if it is positive, else `unlearnable`.

    The published code gives -0.5 to a well-formed task that none or all of its rollouts solve: `unlearnable: -0.5`.
    """
    value = choose(LEARNABILITY, numbers.learnability, "rewards.learnability")(group.pass_rate)
    return value if value > 0.0 else numbers.unlearnable


def correctness(rollout: Rollout, numbers: RewardsConfig) -> float:
    """Return 1 / -0.5 / -1 by default, as the original does: a wrong answer in the right form is better than none."""
    match rollout.verdict:
        case Verdict.CORRECT:
            return numbers.correct
        case Verdict.WRONG:
            return numbers.wrong
        case Verdict.MALFORMED:
            return numbers.malformed
        case None:
            raise ValueError("a rollout is rewarded after it is graded")


PROPOSER_TERMS: dict[str, ProposerTerm] = {
    "learnability": learnability,
}

SOLVER_TERMS: dict[str, SolverTerm] = {
    "correctness": correctness,
}


class Rewards:
    """The configured rewards of both roles. Raises ConfigError for an unknown rule or term."""

    def __init__(self, numbers: RewardsConfig) -> None:
        self._numbers = numbers
        choose(LEARNABILITY, numbers.learnability, "rewards.learnability")  # an unknown rule should fail now, not at the first task
        self._proposer_terms = [choose(PROPOSER_TERMS, name, "rewards.proposer_terms") for name in numbers.proposer_terms]
        self._solver_terms = [choose(SOLVER_TERMS, name, "rewards.solver_terms") for name in numbers.solver_terms]

    def reward_proposal(self, record: ProposalRecord, group: RolloutGroup | None) -> ProposalRecord:
        """Return the proposal with its reward: the price of its fault, or the sum of the terms for its solved `group`."""
        if record.reject is not None:
            return replace(record, rollout=replace(record.rollout, reward=self.of_rejected(record.reject)))
        assert group is not None, "a proposal that became a task was solved"
        reward = sum(term(record.rollout, group, self._numbers) for term in self._proposer_terms)
        return replace(record, rollout=replace(record.rollout, reward=reward), pass_rate=group.pass_rate)

    def reward_group(self, group: RolloutGroup) -> RolloutGroup:
        """Return the graded group with the reward of every rollout."""
        return replace(group, rollouts=tuple(replace(rollout, reward=self.of_solver(rollout)) for rollout in group.rollouts))

    def of_rejected(self, reason: RejectReason) -> float:
        """Return the reward of a proposal that did not become a task."""
        match reason:
            case RejectReason.DUPLICATE | RejectReason.HELD_OUT:
                # A held-out task is known to the run as a seed is, and must not teach the proposer more than "known".
                return self._numbers.duplicate
            case RejectReason.OVER_LENGTH_CAP:
                return self._numbers.unlearnable
            case _:
                return self._numbers.invalid

    def of_solver(self, rollout: Rollout) -> float:
        """Return the reward of a graded solver rollout."""
        return sum(term(rollout, self._numbers) for term in self._solver_terms)


def shuffle_rewards(rollouts: Sequence[Rollout], draw: np.random.Generator) -> tuple[Rollout, ...]:
    """Permute the rewards within each stratum (role x mode): the random-reward control.

    The advantages keep their sum and spread within a stratum, and carry no information.
    """
    rewards = [rollout.reward for rollout in rollouts]
    strata = [(rollout.role, rollout.mode) for rollout in rollouts]
    for stratum in dict.fromkeys(strata):
        members = [index for index, other in enumerate(strata) if other == stratum]
        for index, source in zip(members, draw.permutation(members), strict=True):
            rewards[index] = rollouts[source].reward
    return tuple(replace(rollout, reward=reward) for rollout, reward in zip(rollouts, rewards, strict=True))
