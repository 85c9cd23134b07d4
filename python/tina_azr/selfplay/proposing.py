"""Proposer rollouts: which programs each proposer is shown, its prompt, its completion, and the parsed proposal."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tina_azr.config import Config
from tina_azr.model.loading import Policy
from tina_azr.rollout.types import RolloutEngine, RolloutRequest, SamplingParams
from tina_azr.selfplay.length_cap import LengthCap
from tina_azr.selfplay.solving import read_answer
from tina_azr.selfplay.types import ProposalRecord, Rollout
from tina_azr.tasks.buffer import TaskBuffer
from tina_azr.tasks.identity import program_length
from tina_azr.tasks.modes import MODES
from tina_azr.tasks.types import Reference, RejectReason, Role, TaskRejected
from tina_azr.text.style import PromptStyle


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """Mode and references of one proposer's prompt."""

    mode: str
    references: tuple[Reference, ...]
    extend: bool
    """Ask for the reference made one step longer, not for something new."""


def sample_proposals(
    policy: Policy,
    engine: RolloutEngine,
    assignments: Sequence[Assignment],
    *,
    step: int,
    params: SamplingParams,
    seeds: Sequence[int],
    on_progress: Callable[[int, int], None] | None = None,
) -> list[ProposalRecord]:
    """Sample one completion for each assignment, in their order, and parse it. An answer that cannot be parsed is rejected here."""
    requests = [
        RolloutRequest(prompt_ids=proposer_prompt(policy, assignment), group_size=1, params=params, seed=seed)
        for assignment, seed in zip(assignments, seeds, strict=True)
    ]
    groups = engine.generate(requests, on_progress)
    records = []
    for number, (assignment, group) in enumerate(zip(assignments, groups, strict=True)):
        (completion,) = group.completions_G
        rollout = Rollout(
            role=Role.PROPOSER,
            mode=assignment.mode,
            group=f"{step}/{number}",
            prompt_ids=group.prompt_ids,
            completion=completion,
            answer=read_answer(policy.tokenizer, completion),
        )
        records.append(_parsed(rollout, assignment))
    return records


def proposer_prompt(policy: Policy, assignment: Assignment) -> tuple[int, ...]:
    """Return the ids of a proposer's prompt, up to the opened `<think>`."""
    mode = MODES[assignment.mode]
    return policy.tokenizer.render(mode.propose_prompt(policy.style, assignment.references, extend=assignment.extend))


def _parsed(rollout: Rollout, assignment: Assignment) -> ProposalRecord:
    references = assignment.references
    try:
        if rollout.answer is None:
            raise TaskRejected(RejectReason.NO_ANSWER, "the completion ended before an answer did")
        proposal = MODES[assignment.mode].parse_proposal(rollout.answer, references)
    except TaskRejected as rejected:
        return ProposalRecord(rollout=rollout, references=references, proposal=None, reject=rejected.reason, detail=rejected.detail)
    return ProposalRecord(rollout=rollout, references=references, proposal=proposal)


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
