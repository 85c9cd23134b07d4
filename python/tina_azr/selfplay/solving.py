"""Solver rollouts: tasks to prompts, prompts to groups of rollouts, rollouts to verdicts. Evaluation uses it as well."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from tina_azr.model.loading import Policy
from tina_azr.rollout.types import Completion, PromptHook, RolloutEngine, RolloutRequest, SamplingParams, StopCause
from tina_azr.sandbox.types import Executor
from tina_azr.selfplay.types import Rollout, RolloutGroup
from tina_azr.tasks.buffer import TaskResult
from tina_azr.tasks.grading import grade
from tina_azr.tasks.modes import MODES
from tina_azr.tasks.types import Role, Task, Verdict
from tina_azr.text.chat import ChatTokenizer


def sample_rollouts(
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
) -> list[RolloutGroup]:
    """Sample `group_size` rollouts of each task, in the order of the tasks; none is graded yet.

    `hint` is a sentence added to every prompt. `seeds`: one a task.
    """
    requests = [
        RolloutRequest(prompt_ids=solver_prompt(policy, task, hint), group_size=group_size, params=params, seed=seed)
        for task, seed in zip(tasks, seeds, strict=True)
    ]
    groups = engine.generate(requests, on_progress, on_prompts=on_prompts) if on_prompts else engine.generate(requests, on_progress)
    return [
        RolloutGroup(
            task=task,
            rollouts=tuple(
                Rollout(
                    role=Role.SOLVER,
                    mode=task.mode,
                    group=task.key,
                    index=index,
                    prompt_ids=group.prompt_ids,
                    completion=completion,
                    answer=read_answer(policy.tokenizer, completion),
                )
                for index, completion in enumerate(group.completions_G)
            ),
            prompt_states_LH=group.prompt_states_LH,
        )
        for task, group in zip(tasks, groups, strict=True)
    ]


def grade_rollouts(executor: Executor, groups: Sequence[RolloutGroup]) -> list[RolloutGroup]:
    """Return the groups with a verdict on every rollout; all sandbox runs are batched."""
    verdicts = grade(executor, [(group.task, [rollout.answer for rollout in group.rollouts]) for group in groups])
    return [
        replace(
            group,
            rollouts=tuple(replace(rollout, verdict=verdict) for rollout, verdict in zip(group.rollouts, of_group, strict=True)),
        )
        for group, of_group in zip(groups, verdicts, strict=True)
    ]


def task_result(group: RolloutGroup) -> TaskResult:
    """Return the part of a graded group that the buffer keeps."""
    forecast = group.forecast
    confidences = [rollout.confidence_after for rollout in group.rollouts if rollout.confidence_after is not None]
    return TaskResult(
        task=group.task,
        correct=sum(rollout.verdict is Verdict.CORRECT for rollout in group.rollouts),
        attempts=len(group.rollouts),
        think_tokens=float(np.mean([rollout.completion.think_tokens for rollout in group.rollouts])),
        confidence_before=forecast.confidence_before if forecast else None,
        confidence_after=float(np.mean(confidences)) if confidences else None,
        plan={plan.value: share for plan, share in forecast.plan.items()} if forecast else {},
        budget={f"{quantile:g}": tokens for quantile, tokens in forecast.budget_quantiles.items()} if forecast else {},
    )


def solver_prompt(policy: Policy, task: Task, hint: str = "") -> tuple[int, ...]:
    """Return the ids of a task's prompt, with a hint if there is one, up to the opened `<think>`."""
    prompt = MODES[task.mode].solve_prompt(policy.style, task)
    return policy.tokenizer.render(f"{prompt}\n\n{hint}" if hint else prompt)


def read_answer(tokenizer: ChatTokenizer, completion: Completion) -> str | None:
    """Return the answer of a completion; None if its reasoning never closed, or if it hit the length limit while answering."""
    if completion.stop_cause is StopCause.LENGTH:
        # Half an answer may hold a whole block, and paying for it would teach the policy to ramble on after it.
        return None
    return tokenizer.split(completion.ids_T).answer
