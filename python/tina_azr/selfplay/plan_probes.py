"""Plan probes: pass rates of a step's tasks without reasoning, and under the hint of each plan. Labels of the plan head come from them.

A plan means nothing by itself. `stop` is right if answers without reasoning are as good. Among the others the plan is right whose hint,
given to rollouts at random with known propensity, brings the most. Probe rollouts are measurements: they are not trained on.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from tina_azr.introspection.types import Plan
from tina_azr.model.loading import Policy
from tina_azr.rollout.types import RolloutEngine, SamplingParams
from tina_azr.sandbox.types import Executor
from tina_azr.selfplay.solving import grade_rollouts, sample_rollouts
from tina_azr.selfplay.types import PlanProbe, RolloutGroup
from tina_azr.tasks.types import Task, Verdict
from tina_azr.text.style import PromptStyle

HINTS: Mapping[Plan, str] = {
    Plan.OUTLINE: "Begin with a short outline of how you will go about it, then follow it.",
    Plan.VERIFY: "When you have a result, check it by a second way before you answer.",
    Plan.DECOMPOSE: "Break the problem into smaller parts and solve them one after the other.",
}
"""Sentences added to the full prompts. The compact prompts of the embedded model have no words for them, so its three plans stay tied."""
PROBE_SIZE = 4
"""Rollouts of a probed task without reasoning, and under each hint."""
MARGIN = 0.1
"""`stop` is right if answers without reasoning are at most this much worse."""
LENGTH_PRICE = 0.2
"""Price of a whole budget of reasoning tokens, in units of a correct answer."""
SHARPNESS = 0.25
"""Temperature of the target over hinted plans."""


def plan_target(pass_rate: float, probe: PlanProbe) -> tuple[float, float, float, float]:
    """Return the probabilities, in the order of `Plan`, that a forecast is scored against.

    All on `stop` if reasoning brings less than `MARGIN`; else a softmax of the hints' values, even if they are equal or unknown.
    """
    if probe.stop_rate >= pass_rate - MARGIN:
        return (0.0, 0.0, 0.0, 1.0)
    logits = np.array([probe.values.get(plan, 0.0) for plan in HINTS]) / SHARPNESS
    weights = np.exp(logits - logits.max())
    outline, verify, decompose = (weights / weights.sum()).tolist()
    return (outline, verify, decompose, 0.0)


def probe_plans(
    policy: Policy,
    engine: RolloutEngine,
    executor: Executor,
    tasks: Sequence[Task],
    *,
    size: int,
    params: SamplingParams,
    seeds: Sequence[int],
    on_progress: Callable[[int, int], None] | None = None,
) -> list[PlanProbe]:
    """Grade `size` rollouts of each task without reasoning, and as many with each hint. `seeds`: one a task."""
    hints: dict[Plan, str] = dict(HINTS) if policy.style is PromptStyle.FULL else {}
    arms: list[tuple[Plan, str]] = [(Plan.STOP, ""), *hints.items()]
    total = len(arms) * len(tasks) * size
    graded: dict[Plan, list[RolloutGroup]] = {}
    for number, (plan, hint) in enumerate(arms):
        groups = sample_rollouts(
            policy,
            engine,
            tasks,
            group_size=size,
            params=replace(params, think_limit=0) if plan is Plan.STOP else params,
            seeds=[seed ^ number for seed in seeds],
            hint=hint,
            on_progress=partial(_from, on_progress, number * len(tasks) * size, total) if on_progress else None,
        )
        graded[plan] = grade_rollouts(executor, groups)
    return [
        PlanProbe(
            stop_rate=graded[Plan.STOP][index].pass_rate,
            values={
                plan: _mean(
                    [
                        (rollout.verdict is Verdict.CORRECT) - LENGTH_PRICE * rollout.completion.think_tokens / params.max_tokens
                        for rollout in graded[plan][index].rollouts
                    ]
                )
                for plan in hints
            },
        )
        for index in range(len(tasks))
    ]


def _from(on_progress: Callable[[int, int], None], before: int, total: int, done: int, _of: int) -> None:
    on_progress(before + done, total)


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))
