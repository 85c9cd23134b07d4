"""Solver rollouts: tasks to prompts, prompts to groups of completions, completions to verdicts. Evaluation uses it as well."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tina_azr.model.loading import Policy
from tina_azr.rollout.types import Completion, RolloutEngine, RolloutRequest, SamplingParams, StopCause
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


def sample_tries(
    policy: Policy,
    engine: RolloutEngine,
    tasks: Sequence[Task],
    *,
    group_size: int,
    params: SamplingParams,
    seeds: Sequence[int],
    on_progress: Callable[[int, int], None] | None = None,
) -> list[Tries]:
    """`group_size` completions of each task's prompt, in the order of the tasks."""
    requests = [
        RolloutRequest(prompt_ids=solver_prompt(policy, task), group_size=group_size, params=params, seed=seed)
        for task, seed in zip(tasks, seeds, strict=True)
    ]
    groups = engine.generate(requests, on_progress)
    return [
        Tries(
            task=task,
            prompt_ids=group.prompt_ids,
            completions_G=group.completions_G,
            answers_G=tuple(read_answer(policy.tokenizer, completion) for completion in group.completions_G),
        )
        for task, group in zip(tasks, groups, strict=True)
    ]


def grade_tries(executor: Executor, tries: Sequence[Tries]) -> list[list[Verdict]]:
    """Verdicts of every completion of every group, all sandbox runs batched."""
    return grade(executor, [(group.task, group.answers_G) for group in tries])


def solver_prompt(policy: Policy, task: Task) -> tuple[int, ...]:
    """The task as the policy reads it, up to the opened thought."""
    return policy.tokenizer.render(MODES[task.mode].solve_prompt(policy.style, task))


def read_answer(tokenizer: ChatTokenizer, completion: Completion) -> str | None:
    """What the completion answers; None if its thought never closed, or if it ran into the length limit while answering."""
    if completion.stop_cause is StopCause.LENGTH:
        # Half an answer may hold a whole block, and paying for it would teach the policy to ramble on after it.
        return None
    return tokenizer.split(completion.ids_T.tolist()).answer
