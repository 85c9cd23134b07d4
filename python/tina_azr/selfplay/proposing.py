"""Proposer rollouts: references to prompts, prompts to completions, completions to proposals or the reason why not."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tina_azr.model.loading import Policy
from tina_azr.rollout.types import Completion, RolloutEngine, RolloutRequest, SamplingParams
from tina_azr.selfplay.solving import read_answer
from tina_azr.tasks.modes import MODES
from tina_azr.tasks.types import Proposal, Reference, RejectReason, TaskRejected


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """What one proposer is asked for."""

    mode: str
    references: tuple[Reference, ...]
    extend: bool
    """Asked for one more step than the reference has, not for something new."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposerRollout:
    """One proposer's answer, read but not validated."""

    assignment: Assignment
    prompt_ids: tuple[int, ...]
    completion: Completion
    answer: str | None
    read: Proposal | TaskRejected


def sample_proposals(
    policy: Policy,
    engine: RolloutEngine,
    assignments: Sequence[Assignment],
    *,
    params: SamplingParams,
    seeds: Sequence[int],
    on_progress: Callable[[int, int], None] | None = None,
) -> list[ProposerRollout]:
    """One completion for each assignment, in their order."""
    requests = [
        RolloutRequest(prompt_ids=proposer_prompt(policy, assignment), group_size=1, params=params, seed=seed)
        for assignment, seed in zip(assignments, seeds, strict=True)
    ]
    groups = engine.generate(requests, on_progress)
    rollouts = []
    for assignment, group in zip(assignments, groups, strict=True):
        (completion,) = group.completions_G
        answer = read_answer(policy.tokenizer, completion)
        rollouts.append(
            ProposerRollout(
                assignment=assignment,
                prompt_ids=group.prompt_ids,
                completion=completion,
                answer=answer,
                read=_read(assignment, answer),
            )
        )
    return rollouts


def proposer_prompt(policy: Policy, assignment: Assignment) -> tuple[int, ...]:
    """What a proposer reads, up to the opened thought."""
    mode = MODES[assignment.mode]
    return policy.tokenizer.render(mode.propose_prompt(policy.style, assignment.references, extend=assignment.extend))


def _read(assignment: Assignment, answer: str | None) -> Proposal | TaskRejected:
    if answer is None:
        return TaskRejected(RejectReason.NO_ANSWER, "the completion ended before an answer did")
    try:
        return MODES[assignment.mode].parse_proposal(answer, assignment.references)
    except TaskRejected as rejected:
        return rejected
