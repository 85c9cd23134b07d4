"""What one round of self-play leaves behind. `Sample` is all that the learner sees of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tina_azr.introspection.types import Forecast
from tina_azr.rollout.types import Completion
from tina_azr.selfplay.plan_probes import PlanProbe
from tina_azr.tasks.types import Proposal, Reference, RejectReason, Role, Task, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One solver rollout of one task."""

    completion: Completion
    answer: str | None
    """Text after the last `</think>`; None if the thought never closed."""
    verdict: Verdict
    reward: float
    confidence_after: float | None = None
    """Forecast of its correctness at `</think>`; None without heads or without a close."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SolvedTask:
    """A task and its group of attempts."""

    task: Task
    prompt_ids: tuple[int, ...]
    attempts: tuple[Attempt, ...]
    forecast: Forecast | None = None
    """What the heads said of its prompt before it was tried; None without heads."""
    prompt_states_LH: NDArray[np.float32] | None = None
    """What they read."""
    probe: PlanProbe | None = None
    """How it fares without a thought and under hints, where that was tried."""
    budgeted: bool = False
    """It was thought about under the predicted wall."""

    @property
    def pass_rate(self) -> float:
        """Share of correct attempts: the measure of learnability."""
        return sum(a.verdict is Verdict.CORRECT for a in self.attempts) / len(self.attempts)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposalRecord:
    """One proposer rollout and what became of it."""

    mode: str
    references: tuple[Reference, ...]
    prompt_ids: tuple[int, ...]
    completion: Completion
    answer: str | None
    proposal: Proposal | None
    task: Task | None
    """Set when it was valid and new."""
    reject: RejectReason | None
    detail: str
    """For people: which block was missing, what the policy refused, what was raised."""
    pass_rate: float | None
    """Of its solver group; None if it was not solved."""
    reward: float
    introspection_bonus: float | None = None
    """What introspection added to it; None where it adds nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One rollout as the learner sees it."""

    role: Role
    mode: str
    group: str
    """Samples of one prompt share it: the task's key, or the proposal's own id."""
    prompt_ids: tuple[int, ...]
    completion: Completion
    reward: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """One round: propose, validate, solve, reward."""

    step: int
    proposals: tuple[ProposalRecord, ...]
    solved: tuple[SolvedTask, ...]
    samples: tuple[Sample, ...]
    chained: tuple[SolvedTask, ...] = ()
    """Tasks beyond reach, tried for the heads alone."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """By phase: `propose`, `validate`, `solve`, `grade`."""
    programs_run: int = 0
    """Sandbox runs in this round."""
