"""Solver rollouts: tasks to prompts, prompts to groups of completions, completions to verdicts. Evaluation uses it as well."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tina_azr.model.loading import Policy
from tina_azr.rollout.types import Completion, PromptHook, RolloutEngine, RolloutRequest, SamplingParams, StopCause
from tina_azr.sandbox.types import Executor
from tina_azr.tasks.grading import grade
from tina_azr.tasks.modes import MODES
from tina_azr.tasks.types import Task, Verdict
from tina_azr.text.chat import ChatTokenizer


@dataclass(frozen=True, slots=True, kw_only=True)
class Tries:
    """One task's group of completions, not graded yet."""

    task: Task
    prompt_ids: tuple[int, ...]
    completions_G: tuple[Completion, ...]
    answers_G: tuple[str | None, ...]
    prompt_states_LH: NDArray[np.float32] | None = None
    """Tapped states at the end of the prompt, where the engine taps."""


def sample_tries(
    policy: Policy,
    engine: RolloutEngine,
    tasks: Sequence[Task],
    *,
    group_size: int,
    params: SamplingParams,
    seeds: Sequence[int],
    hint: str = "",
    on_prompts: PromptHook | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[Tries]:
    """`group_size` completions of each task's prompt, in the order of the tasks. `hint` is a sentence added to every prompt."""
    requests = [
        RolloutRequest(prompt_ids=solver_prompt(policy, task, hint), group_size=group_size, params=params, seed=seed)
        for task, seed in zip(tasks, seeds, strict=True)
    ]
    groups = engine.generate(requests, on_progress, on_prompts=on_prompts) if on_prompts else engine.generate(requests, on_progress)
    return [
        Tries(
            task=task,
            prompt_ids=group.prompt_ids,
            completions_G=group.completions_G,
            answers_G=tuple(read_answer(policy.tokenizer, completion) for completion in group.completions_G),
            prompt_states_LH=group.prompt_states_LH,
        )
        for task, group in zip(tasks, groups, strict=True)
    ]


def grade_tries(executor: Executor, tries: Sequence[Tries]) -> list[list[Verdict]]:
    """Verdicts of every completion of every group, all sandbox runs batched."""
    return grade(executor, [(group.task, group.answers_G) for group in tries])


def solver_prompt(policy: Policy, task: Task, hint: str = "") -> tuple[int, ...]:
    """The task as the policy reads it, and a hint if there is one, up to the opened thought."""
    prompt = MODES[task.mode].solve_prompt(policy.style, task)
    return policy.tokenizer.render(f"{prompt}\n\n{hint}" if hint else prompt)


def read_answer(tokenizer: ChatTokenizer, completion: Completion) -> str | None:
    """What the completion answers; None if its thought never closed, or if it ran into the length limit while answering."""
    if completion.stop_cause is StopCause.LENGTH:
        # Half an answer may hold a whole block, and paying for it would teach the policy to ramble on after it.
        return None
    return tokenizer.split(completion.ids_T.tolist()).answer
