"""Accuracy on the frozen held-out set: the only curve that shows learning. Axis: `_N` held-out tasks, in the order of the set.

Every evaluation of a run draws with the same seeds, so two of them differ only by the policy. Compare them task by task
(`runs/comparison`): most of the noise of the set cancels.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tina_azr.config import Config
from tina_azr.model.loading import Policy
from tina_azr.rollout.types import RolloutEngine, SamplingParams
from tina_azr.sandbox.types import Executor
from tina_azr.selfplay.seeding import RandomStream, request_seeds
from tina_azr.selfplay.solving import grade_rollouts, sample_rollouts
from tina_azr.tasks.types import IN_DISTRIBUTION, LONGER, HeldoutTask, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """Share of correct answers with its standard error."""

    n: int
    """Tasks."""
    accuracy: float
    """At the evaluation temperature, in the mean over tasks."""
    stderr: float
    """Sample standard deviation of the tasks' shares over sqrt(n); sqrt(p (1 - p) / (n - 1)) for one sample a task."""
    accuracy_greedy: float | None
    """None if greedy decoding was left out."""
    stderr_greedy: float | None
    think_tokens: float
    """Mean over tasks, at the evaluation temperature."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldoutReport:
    """One evaluation. Parts without tasks are absent from the mappings, and have n = 0 in `in_distribution` and `longer`."""

    in_distribution: Accuracy
    """Program lengths 1 to 3, all modes: the headline."""
    longer: Accuracy
    """Program lengths 4 to 6, all modes."""
    by_mode: Mapping[str, Accuracy]
    """Program lengths 1 to 3."""
    by_stratum: Mapping[int, Accuracy]
    """All modes."""
    keys_N: tuple[str, ...]
    modes_N: tuple[str, ...]
    strata_N: tuple[int, ...]
    shares_N: NDArray[np.float64]
    """Share of correct samples of each task, at the evaluation temperature."""
    greedy_N: NDArray[np.bool_] | None
    think_tokens_N: NDArray[np.float64]


def evaluate_heldout(
    policy: Policy,
    engine: RolloutEngine,
    executor: Executor,
    tasks: Sequence[HeldoutTask],
    *,
    config: Config,
    seed: int,
    samples: int = 1,
    on_progress: Callable[[int, int], None] | None = None,
) -> HeldoutReport:
    """Sample `samples` rollouts of every task at temperature 1 and, if configured, one greedy rollout."""
    sampled = SamplingParams(max_tokens=config.selfplay.max_tokens, temperature=1.0, think_limit=config.selfplay.think_limit)
    greedy = SamplingParams(max_tokens=config.selfplay.max_tokens, temperature=0.0, think_limit=config.selfplay.think_limit)
    total = len(tasks) * (samples + config.heldout.greedy)

    def sample(params: SamplingParams, group_size: int, done_before: int) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        groups = sample_rollouts(
            policy,
            engine,
            [task.task for task in tasks],
            group_size=group_size,
            params=params,
            seeds=request_seeds(seed, 0, RandomStream.HELDOUT, len(tasks)),
            on_progress=(lambda done, _: on_progress(done_before + done, total)) if on_progress else None,
        )
        graded = [group.rollouts for group in grade_rollouts(executor, groups)]
        correct = [[rollout.verdict is Verdict.CORRECT for rollout in rollouts] for rollouts in graded]
        think = [[rollout.completion.think_tokens for rollout in rollouts] for rollouts in graded]
        return np.array(correct, dtype=np.bool_), np.array(think, dtype=np.float64)

    correct_NG, think_NG = sample(sampled, samples, 0)
    greedy_N = sample(greedy, 1, len(tasks) * samples)[0][:, 0] if config.heldout.greedy else None
    return report(tasks, correct_NG.mean(axis=1), greedy_N, think_NG.mean(axis=1))


def report(
    tasks: Sequence[HeldoutTask],
    shares_N: NDArray[np.float64],
    greedy_N: NDArray[np.bool_] | None,
    think_tokens_N: NDArray[np.float64],
) -> HeldoutReport:
    """Average per-task results over the parts of the set."""
    strata_N = np.array([task.stratum for task in tasks])
    modes_N = np.array([task.task.mode for task in tasks])
    in_distribution_N = np.isin(strata_N, IN_DISTRIBUTION)

    def pool(of_N: NDArray[np.bool_]) -> Accuracy:
        accuracy, stderr = _mean_and_stderr(shares_N[of_N])
        greedy, stderr_greedy = _mean_and_stderr(greedy_N[of_N].astype(np.float64)) if greedy_N is not None else (None, None)
        think = float(think_tokens_N[of_N].mean()) if of_N.any() else 0.0
        return Accuracy(
            n=int(of_N.sum()),
            accuracy=accuracy,
            stderr=stderr,
            accuracy_greedy=greedy,
            stderr_greedy=stderr_greedy,
            think_tokens=think,
        )

    return HeldoutReport(
        in_distribution=pool(in_distribution_N),
        longer=pool(np.isin(strata_N, LONGER)),
        by_mode={mode: pool(in_distribution_N & (modes_N == mode)) for mode in dict.fromkeys(modes_N[in_distribution_N].tolist())},
        by_stratum={stratum: pool(strata_N == stratum) for stratum in sorted(set(strata_N.tolist()))},
        keys_N=tuple(task.task.key for task in tasks),
        modes_N=tuple(modes_N.tolist()),
        strata_N=tuple(strata_N.tolist()),
        shares_N=shares_N,
        greedy_N=greedy_N,
        think_tokens_N=think_tokens_N,
    )


def _mean_and_stderr(values_N: NDArray[np.float64]) -> tuple[float, float]:
    if len(values_N) == 0:
        return 0.0, 0.0
    stderr = float(values_N.std(ddof=1)) / len(values_N) ** 0.5 if len(values_N) > 1 else 0.0
    return float(values_N.mean()), stderr
