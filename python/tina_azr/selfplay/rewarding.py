"""From verdicts to rewards: AZR's numbers for what fails, the configured terms for what does not."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tina_azr.config import RewardsConfig, choose
from tina_azr.selfplay.rewards import LEARNABILITY, PROPOSER_TERMS, SOLVER_TERMS, GradedAttempt, SolvedProposal
from tina_azr.selfplay.types import Sample
from tina_azr.tasks.types import RejectReason


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
            case RejectReason.BEYOND_REACH:
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
