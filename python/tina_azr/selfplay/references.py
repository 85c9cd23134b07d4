"""What each proposer of a step is asked for, and which programs it is shown."""

import numpy as np

from tina_azr.config import Config
from tina_azr.model.loading import Policy
from tina_azr.selfplay.proposing import Assignment, proposer_prompt
from tina_azr.selfplay.reach import Reach
from tina_azr.tasks.buffer import TaskBuffer
from tina_azr.tasks.identity import count_steps
from tina_azr.tasks.modes import MODES
from tina_azr.text.style import PromptStyle

REDRAWS = 8
"""Draws for references that fit. Half of them are seeds by default, which do; where all fail a rollout is wasted, no more."""


def draw_assignments(
    policy: Policy, buffer: TaskBuffer, reach: Reach, config: Config, draw: np.random.Generator
) -> list[Assignment]:
    """`proposals_per_mode` for each mode; of those that invent programs the first `extend_share` are asked to extend one."""
    count = config.selfplay.proposals_per_mode
    extending = round(config.tasks.extend_share * count)
    return [
        _draw_assignment(policy, buffer, reach, config, draw, mode, extend=MODES[mode].invents and index < extending)
        for mode in config.tasks.modes
        for index in range(count)
    ]


def _draw_assignment(
    policy: Policy,
    buffer: TaskBuffer,
    reach: Reach,
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
        if _within_reach(assignment, reach) and len(proposer_prompt(policy, assignment)) <= config.tasks.max_prompt_tokens:
            break
    return assignment


def _within_reach(assignment: Assignment, reach: Reach) -> bool:
    """Whether a proposal that does as it is told can be short enough."""
    if assignment.extend:
        return reach.allows(assignment.mode, count_steps(assignment.references[0].program) + 1)
    if not MODES[assignment.mode].invents:
        return reach.allows(assignment.mode, count_steps(assignment.references[0].program))
    return True
