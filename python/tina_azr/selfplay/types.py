"""Types of one round of self-play: a `Rollout` is one sampled completion, a `RolloutGroup` all rollouts of one task."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from tina_azr.introspection.types import Forecast, Plan
from tina_azr.rollout.types import Completion
from tina_azr.tasks.types import Proposal, Reference, RejectReason, Role, Task, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """One sampled completion of one prompt, with what became of it. The learner trains on these."""

    role: Role
    mode: str
    group: str
    """Rollouts of one prompt share it: the task's key, or the proposal's step and number."""
    index: int = 0
    """Position in its group."""
    prompt_ids: tuple[int, ...]
    completion: Completion
    answer: str | None
    """Text after the last `</think>`; None if the reasoning never closed or the answer was cut."""
    verdict: Verdict | None = None
    """A solver's, once it is graded; None for a proposer."""
    reward: float = 0.0
    advantage: float | None = None
    """Set by the trainer; None if the rollout is not trained on."""
    confidence_after: float | None = None
    """Forecast of its correctness at `</think>`; None without heads or without a close."""

    @property
    def id(self) -> tuple[Role, str, str, int]:
        """Identity within a round: no two rollouts of one round share it."""
        return self.role, self.mode, self.group, self.index


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanProbe:
    """Measured outcome of one task's plans, by probe rollouts that are not trained on."""

    stop_rate: float
    """Share of correct answers without reasoning."""
    values: Mapping[Plan, float]
    """Mean correctness less the price of length, under the hint of each plan; empty if hints were not tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutGroup:
    """A task and its group of solver rollouts."""

    task: Task
    rollouts: tuple[Rollout, ...]
    prompt_states_LH: NDArray[np.float32] | None = None
    """Tapped states at the end of the prompt, which the heads read; None without taps."""
    forecast: Forecast | None = None
    """Made from the prompt before any rollout; None without heads."""
    probe: PlanProbe | None = None
    """Pass rates without reasoning and under hints, if that was measured."""
    budgeted: bool = False
    """Its reasoning was held to the predicted think limit."""

    @property
    def prompt_ids(self) -> tuple[int, ...]:
        """Shared by all rollouts of the group."""
        return self.rollouts[0].prompt_ids

    @property
    def pass_rate(self) -> float:
        """Share of correct rollouts: the measure of learnability."""
        return sum(rollout.verdict is Verdict.CORRECT for rollout in self.rollouts) / len(self.rollouts)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposalRecord:
    """One proposer rollout and what became of it: a task, or the reason why not."""

    rollout: Rollout
    references: tuple[Reference, ...]
    """Known programs that the prompt showed."""
    proposal: Proposal | None
    """The parsed answer; None if it could not be parsed."""
    reject: RejectReason | None = None
    detail: str = ""
    """For people: which block was missing, what the policy refused, what was raised."""
    task: Task | None = None
    """Set if the proposal is valid and new."""
    pass_rate: float | None = None
    """Of its solver group; None if it was not solved."""
    introspection_bonus: float | None = None
    """Part of the reward that introspection added; None if it added nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """One round: propose, validate, solve, reward."""

    step: int
    proposals: tuple[ProposalRecord, ...]
    groups: tuple[RolloutGroup, ...]
    """Solved tasks: the round's new ones, and known ones in place of proposals that were rejected."""
    rollouts: tuple[Rollout, ...]
    """Rollouts to train on, proposers first. In the random-reward control their rewards are shuffled; the others' are not."""
    chained: tuple[RolloutGroup, ...] = ()
    """Chained tasks, solved for the heads only."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """By phase: `propose`, `validate`, `solve`, `grade`."""
    programs_run: int = 0
    """Sandbox runs in this round."""

    def with_advantages(self, rollouts: Sequence[Rollout]) -> "Episode":
        """Return the episode with the advantages of these rollouts written on its own."""
        advantages = {rollout.id: rollout.advantage for rollout in rollouts}

        def of(rollout: Rollout) -> Rollout:
            return replace(rollout, advantage=advantages.get(rollout.id))

        return replace(
            self,
            proposals=tuple(replace(record, rollout=of(record.rollout)) for record in self.proposals),
            groups=tuple(replace(group, rollouts=tuple(map(of, group.rollouts))) for group in self.groups),
            rollouts=tuple(rollouts),
        )
