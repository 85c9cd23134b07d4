"""Proposer rollouts: references to prompts, prompts to completions, completions to proposals or the reason why not."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tina_azr.config import Config
from tina_azr.model.loading import Policy
from tina_azr.rollout.types import Completion, RolloutEngine, RolloutRequest, SamplingParams
from tina_azr.selfplay.length_cap import LengthCap
from tina_azr.selfplay.solving import read_answer
from tina_azr.tasks.buffer import TaskBuffer
from tina_azr.tasks.identity import program_length
from tina_azr.tasks.modes import MODES
from tina_azr.tasks.types import Proposal, Reference, RejectReason, TaskRejected
from tina_azr.text.style import PromptStyle


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


REDRAWS = 8
"""Draws for references that fit. Half of them are seeds by default, which do; where all fail a rollout is wasted, no more."""


def draw_assignments(
    policy: Policy, buffer: TaskBuffer, cap: LengthCap, config: Config, draw: np.random.Generator
) -> list[Assignment]:
    """`proposals_per_mode` for each mode; of those that invent programs the first `extend_share` are asked to extend one."""
    count = config.selfplay.proposals_per_mode
    extending = round(config.tasks.extend_share * count)
    return [
        _draw_assignment(policy, buffer, cap, config, draw, mode, extend=MODES[mode].invents and index < extending)
        for mode in config.tasks.modes
        for index in range(count)
    ]


def _draw_assignment(
    policy: Policy,
    buffer: TaskBuffer,
    cap: LengthCap,
    config: Config,
    draw: np.random.Generator,
    mode: str,
    *,
    extend: bool,
) -> Assignment:
    # A mode that does not invent is about its one reference. Extending needs one too, and the compact prompts have a place for it.
    shown = config.tasks.references if MODES[mode].invents else 1
    fewest = 1 if extend or policy.style is PromptStyle.COMPACT else 0
    for _ in range(REDRAWS):
        references = buffer.sample_references(draw, max(shown, fewest))
        assignment = Assignment(mode=mode, references=references, extend=extend)
        if _within_cap(assignment, cap) and len(proposer_prompt(policy, assignment)) <= config.tasks.max_prompt_tokens:
            break
    return assignment


def _within_cap(assignment: Assignment, cap: LengthCap) -> bool:
    """Whether a proposal that does as it is told can be short enough."""
    if assignment.extend:
        return cap.allows(assignment.mode, program_length(assignment.references[0].program) + 1)
    if not MODES[assignment.mode].invents:
        return cap.allows(assignment.mode, program_length(assignment.references[0].program))
    return True
