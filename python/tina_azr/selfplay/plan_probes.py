"""Plans grounded by outcome: how the tasks of a step fare without a thought, and with each way of thinking asked for.

A plan means nothing by itself. `stop` is right where answers without any thought are as good; among the others that one is right whose
hint, given to rollouts at random with known propensity, brings the most. Probes are measurements: they are not trained on.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from tina_azr.introspection.types import Plan
from tina_azr.model.loading import Policy
from tina_azr.rollout.types import RolloutEngine, SamplingParams
from tina_azr.sandbox.types import Executor
from tina_azr.selfplay.solving import Tries, grade_tries, sample_tries
from tina_azr.tasks.types import Task, Verdict
from tina_azr.text.style import PromptStyle

HINTS: Mapping[Plan, str] = {
    Plan.OUTLINE: "Begin with a short outline of how you will go about it, then follow it.",
    Plan.VERIFY: "When you have a result, check it by a second way before you answer.",
    Plan.DECOMPOSE: "Break the problem into smaller parts and solve them one after the other.",
}
"""Added to the worded prompts. The embedded model's compact prompts have no words for them: there the three stay tied."""
MARGIN = 0.1
"""`stop` is right where answers without a thought are at most this much worse."""
LENGTH_PRICE = 0.2
"""What a whole budget of thinking is worth in units of a right answer."""
SHARPNESS = 0.25
"""Temperature of the target over hinted plans."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanProbe:
    """What probes of one task found."""

    stop_rate: float
    """Share of right answers without a thought."""
    values: Mapping[Plan, float]
    """Mean of correctness less the price of length under each hint; empty where hints were not tried."""


def plan_target(pass_rate: float, probe: PlanProbe) -> tuple[float, float, float, float]:
    """Probabilities in the order of `Plan` that a forecast is scored against.

    `stop` where thinking brings less than `MARGIN`; else a softmax of the hints' values, even where they are equal or unknown.
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
    """`size` rollouts of each task without a thought, and as many with each hint. `seeds`: one a task."""
    hints: dict[Plan, str] = dict(HINTS) if policy.style is PromptStyle.FULL else {}
    arms: list[tuple[Plan, str]] = [(Plan.STOP, ""), *hints.items()]
    total = len(arms) * len(tasks) * size
    graded: dict[Plan, tuple[list[Tries], list[list[Verdict]]]] = {}
    for number, (plan, hint) in enumerate(arms):
        tries = sample_tries(
            policy,
            engine,
            tasks,
            group_size=size,
            params=replace(params, think_limit=0) if plan is Plan.STOP else params,
            seeds=[seed ^ number for seed in seeds],
            hint=hint,
            on_progress=partial(_from, on_progress, number * len(tasks) * size, total) if on_progress else None,
        )
        graded[plan] = tries, grade_tries(executor, tries)
    return [
        PlanProbe(
            stop_rate=_mean([verdict is Verdict.CORRECT for verdict in graded[Plan.STOP][1][index]]),
            values={
                plan: _mean(
                    [
                        (verdict is Verdict.CORRECT) - LENGTH_PRICE * completion.think_tokens / params.max_tokens
                        for completion, verdict in zip(graded[plan][0][index].completions_G, graded[plan][1][index], strict=True)
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
