"""What a reward term is given. A term is a pure function of these and of the run's reward numbers."""

from collections.abc import Callable
from dataclasses import dataclass

from tina_azr.config import RewardsConfig
from tina_azr.rollout.types import Completion
from tina_azr.tasks.types import Task, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class SolvedProposal:
    """A valid, new proposal whose task has been tried."""

    task: Task
    completion: Completion
    """The proposer's."""
    pass_rate: float
    """Share of the group's attempts that are correct."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GradedAttempt:
    """One solver attempt with its verdict."""

    task: Task
    completion: Completion
    """The solver's."""
    verdict: Verdict


LearnabilityRule = Callable[[float], float]
"""Pass rate -> how much there is to learn from the task, in [0, 1]; 0 means nothing."""

ProposerTerm = Callable[[SolvedProposal, RewardsConfig], float]
SolverTerm = Callable[[GradedAttempt, RewardsConfig], float]
