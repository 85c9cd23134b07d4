"""Rewards of both roles: terms and learnability rules by name, and the class that sums the configured terms.

To add a term, write a function of `SolvedProposal` or `GradedAttempt`, add it to `PROPOSER_TERMS` or `SOLVER_TERMS`, and name it in
`rewards.proposer_terms` or `rewards.solver_terms` of the configuration. Introspection's part of the reward is in
`introspection_rewards`.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tina_azr.config import RewardsConfig, choose
from tina_azr.rollout.types import Completion
from tina_azr.selfplay.types import Sample
from tina_azr.tasks.types import RejectReason, Task, Verdict

GAUSSIAN_WIDTH = 1.0 / 6.0
"""Standard deviation of the `gaussian` rule: p = 0 and p = 1 are three of them from its middle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SolvedProposal:
    """A valid, new proposal whose task has been solved by a group of rollouts. Input of a proposer's term."""

    task: Task
    completion: Completion
    """The proposer's."""
    pass_rate: float
    """Share of the group's rollouts that are correct."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GradedAttempt:
    """One solver completion with its verdict. Input of a solver's term."""

    task: Task
    completion: Completion
    """The solver's."""
    verdict: Verdict


LearnabilityRule = Callable[[float], float]
"""Pass rate -> how much can be learned from the task, in [0, 1]; 0 means nothing."""
ProposerTerm = Callable[[SolvedProposal, RewardsConfig], float]
SolverTerm = Callable[[GradedAttempt, RewardsConfig], float]


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


def learnability(solved: SolvedProposal, numbers: RewardsConfig) -> float:
    """Return the rule's value r(p) if it is positive, else `unlearnable`.

    The published code gives -0.5 to a well-formed task that none or all of its rollouts solve: `unlearnable: -0.5`.
    """
    value = choose(LEARNABILITY, numbers.learnability, "rewards.learnability")(solved.pass_rate)
    return value if value > 0.0 else numbers.unlearnable


def correctness(attempt: GradedAttempt, numbers: RewardsConfig) -> float:
    """Return 1 / -0.5 / -1 by default, as the original does: a wrong answer in the right form is better than none."""
    match attempt.verdict:
        case Verdict.CORRECT:
            return numbers.correct
        case Verdict.WRONG:
            return numbers.wrong
        case Verdict.MALFORMED:
            return numbers.malformed


PROPOSER_TERMS: dict[str, ProposerTerm] = {
    "learnability": learnability,
}

SOLVER_TERMS: dict[str, SolverTerm] = {
    "correctness": correctness,
}


class Rewards:
    """The configured rewards of both roles."""

    def __init__(self, numbers: RewardsConfig) -> None:
        self._numbers = numbers
        choose(LEARNABILITY, numbers.learnability, "rewards.learnability")  # an unknown rule should fail now, not at the first task
        self._proposer_terms = [choose(PROPOSER_TERMS, name, "rewards.proposer_terms") for name in numbers.proposer_terms]
        self._solver_terms = [choose(SOLVER_TERMS, name, "rewards.solver_terms") for name in numbers.solver_terms]

    def of_rejected(self, reason: RejectReason) -> float:
        """What a proposal earns that did not become a task."""
        match reason:
            case RejectReason.DUPLICATE | RejectReason.HELD_OUT:
                # A held-out task is known to the run as a seed is, and must not teach the proposer more than "known".
                return self._numbers.duplicate
            case RejectReason.OVER_LENGTH_CAP:
                return self._numbers.unlearnable
            case _:
                return self._numbers.invalid

    def of_solved(self, solved: SolvedProposal) -> float:
        """What a proposal earns whose task was tried."""
        return sum(term(solved, self._numbers) for term in self._proposer_terms)

    def of_attempt(self, attempt: GradedAttempt) -> float:
        """What a solver earns."""
        return sum(term(attempt, self._numbers) for term in self._solver_terms)


def shuffle_rewards(samples: Sequence[Sample], draw: np.random.Generator) -> tuple[Sample, ...]:
    """The control: each stratum's rewards dealt out again at random among its samples.

    The same rewards in the same numbers, hence the same advantages in sum and spread, with nothing left of what they said.
    """
    rewards = [sample.reward for sample in samples]
    strata = [(sample.role, sample.mode) for sample in samples]
    for stratum in dict.fromkeys(strata):
        members = [index for index, other in enumerate(strata) if other == stratum]
        for index, source in zip(members, draw.permutation(members), strict=True):
            rewards[index] = samples[source].reward
    return tuple(replace(sample, reward=reward) for sample, reward in zip(samples, rewards, strict=True))
