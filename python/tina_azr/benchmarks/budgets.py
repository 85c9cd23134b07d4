"""Benchmark of predicted budgets against a fixed one: the same held-out prompts uncapped, under one cap, and under their forecasts.

    python -m tina_azr.benchmarks.budgets RUN [--per-cell N] [--samples S] [--shares .85,.7,.5] [--threads T]

Two ways of using a forecast. *Quantile*: the think limit of every prompt is a quantile of its predicted reasoning tokens. *By
confidence*: prompts with a confidence below a threshold are answered without reasoning (`EngineSettings.skip_below`), the others have
their .95 quantile and slack; the threshold is set so that a given share of the uncapped think tokens remains. The fixed cap beside each
spends as many think tokens in the mean; cap and threshold are found on the uncapped rollouts. Differences are paired by task, with
bootstrap intervals.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import torch
from numpy.typing import NDArray

from tina_azr.config import Config
from tina_azr.engine.loading import find_introspector, model_folder
from tina_azr.errors import ModelError
from tina_azr.introspection.introspector import Introspector
from tina_azr.introspection.scores import interval
from tina_azr.introspection.types import Forecast
from tina_azr.model.loading import Policy, load_policy
from tina_azr.rollout.decode import DecodeEngine
from tina_azr.rollout.types import PromptHook, SamplingParams
from tina_azr.runs.folder import RunFolder
from tina_azr.sandbox.opening import open_sandbox
from tina_azr.sandbox.types import Executor
from tina_azr.selfplay.seeding import RandomStream, request_seeds
from tina_azr.selfplay.solving import grade_rollouts, sample_rollouts
from tina_azr.selfplay.types import RolloutGroup
from tina_azr.tasks.heldout import load_heldout_sets
from tina_azr.tasks.types import Task, Verdict

AMPLE = 1.25
"""Think limit of prompts above the threshold, over the .95 quantile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """Result of one way of setting think limits, over all tasks and samples. Axes: `_N` tasks, `_G` samples."""

    correct_NG: NDArray[np.bool_]
    tokens_NG: NDArray[np.int64]
    """Think tokens, forced ones left out."""
    forced: float
    """Share of rollouts whose reasoning the think limit closed."""
    c0_N: NDArray[np.float64]


class Bench:
    """Rollouts of the same tasks with the same seeds under different think limits."""

    def __init__(
        self, policy: Policy, introspector: Introspector, executor: Executor, tasks: Sequence[Task], config: Config, samples: int
    ) -> None:
        self._policy = policy
        self._introspector = introspector
        self._executor = executor
        self._tasks = tasks
        self._config = config
        self._samples = samples
        self._engine = DecodeEngine(policy, slots=config.selfplay.slots, taps=introspector.taps)

    def arm(self, think_limit: int | None = None, hook: PromptHook | None = None) -> Arm:
        """Sample with one think limit for all, one for each prompt, or none."""
        play = self._config.selfplay
        groups = sample_rollouts(
            self._policy,
            self._engine,
            self._tasks,
            group_size=self._samples,
            params=SamplingParams(max_tokens=play.max_tokens, temperature=1.0, think_limit=think_limit),
            seeds=request_seeds(self._config.seed, 0, RandomStream.HELDOUT, len(self._tasks)),
            on_prompts=hook,
        )
        graded = [group.rollouts for group in grade_rollouts(self._executor, groups)]
        correct = [[rollout.verdict is Verdict.CORRECT for rollout in rollouts] for rollouts in graded]
        completions = [rollout.completion for rollouts in graded for rollout in rollouts]
        tokens = [one.think_tokens - int(one.forced_T[: one.think_tokens].sum()) for one in completions]
        return Arm(
            correct_NG=np.array(correct),
            tokens_NG=np.array(tokens).reshape(len(groups), -1),
            forced=float(np.mean([one.forced_close for one in completions])),
            c0_N=np.array(
                [
                    forecast.confidence_before
                    for forecast in self._introspector.forecasts(_states(groups), [one.mode for one in self._tasks])
                ]
            ),
        )

    def by_quantile(self, quantile: float) -> PromptHook:
        """Return a hook that sets think limits at a quantile of the forecasts."""
        return self._think_limits(lambda forecast: forecast.budget_quantiles[quantile])

    def by_confidence(self, least_confidence: float) -> PromptHook:
        """Return a hook for no reasoning below this confidence and an ample think limit above it."""
        return self._think_limits(
            lambda forecast: AMPLE * forecast.budget_quantiles[0.95] if forecast.confidence_before >= least_confidence else 0.0
        )

    def _think_limits(self, tokens: Callable[[Forecast], float]) -> PromptHook:
        def think_limits(numbers: Sequence[int], states_NLH: NDArray[np.float32]) -> list[int | None]:
            modes = [self._tasks[number].mode for number in numbers]
            return [int(np.ceil(tokens(forecast))) for forecast in self._introspector.forecasts(states_NLH, modes)]

        return think_limits


def _states(groups: Sequence[RolloutGroup]) -> NDArray[np.float32]:
    return np.stack([group.prompt_states_LH for group in groups if group.prompt_states_LH is not None])


def least_confidence(free: Arm, share: float) -> float:
    """Return the confidence threshold that leaves this share of the uncapped reasoning tokens."""
    order_N = np.argsort(-free.c0_N)
    spent_N = np.cumsum(free.tokens_NG.mean(axis=1)[order_N]) / free.tokens_NG.mean(axis=1).sum()
    return float(free.c0_N[order_N[np.searchsorted(spent_N, share)]])


def fixed_cap(lengths_NG: NDArray[np.int64], mean: float) -> int:
    """Return the cap under which these lengths have at least this mean, to a whole token."""
    return next(
        cap for cap in range(int(lengths_NG.max()) + 1) if np.minimum(lengths_NG, cap).mean() >= mean or cap == lengths_NG.max()
    )


def _gain(a: Arm, b: Arm) -> str:
    """Mean difference of the tasks' accuracies, with its interval."""
    difference_N = a.correct_NG.mean(axis=1) - b.correct_NG.mean(axis=1)
    found = interval(lambda d_N: float(d_N.mean()), [difference_N], seed=0)
    return f"{100 * found.value:+.1f} [{100 * found.low:+.1f}, {100 * found.high:+.1f}]"


def _row(name: str, arm: Arm, free: Arm) -> str:
    share = arm.tokens_NG.mean() / free.tokens_NG.mean()
    return (
        f"{name:<24} {100 * arm.correct_NG.mean():5.1f} %  {arm.tokens_NG.mean():6.1f} tokens ({100 * share:3.0f} %)  "
        f"{100 * arm.forced:3.0f} % forced"
    )


@click.command()
@click.argument("run_name", metavar="RUN")
@click.option("--per-cell", default=32, show_default=True, type=click.IntRange(min=1), help="Held-out tasks a mode and stratum.")
@click.option("--samples", default=4, show_default=True, type=click.IntRange(min=1))
@click.option("--quantiles", default="0.8", show_default=True, help="Of the forecast, as think limits.")
@click.option(
    "--shares", default="0.85,0.7,0.5", show_default=True, help="Of the uncapped think tokens, for budgets by confidence."
)
@click.option("--threads", default=0, show_default=True, help="Threads of torch; 0: its own choice.")
def main(run_name: str, per_cell: int, samples: int, quantiles: str, shares: str, threads: int) -> None:
    """Accuracy and reasoning tokens of RUN's newest checkpoint: uncapped, predicted think limits, and a fixed limit of the same mean."""
    if threads:
        torch.set_num_threads(threads)
    run = RunFolder.open(Path(run_name))
    config = run.read_config([f"heldout.per_cell={per_cell}"])
    policy = load_policy(model_folder(str(run.path)))
    introspector, _ = find_introspector(policy)
    if introspector is None:
        raise ModelError(f"there are no heads beside {run_name}'s checkpoint: train with a form in introspection.heads")
    heldout, _ = load_heldout_sets(config)
    with open_sandbox(config.sandbox) as sandbox:
        bench = Bench(policy, introspector, sandbox, [one.task for one in heldout], config, samples)
        free = bench.arm()
        click.echo(f"{len(heldout)} tasks, {samples} samples each")
        click.echo(_row("(a) no cap", free, free))
        hooks = {f"(c) quantile {quantile}": bench.by_quantile(float(quantile)) for quantile in filter(None, quantiles.split(","))}
        for share in filter(None, shares.split(",")):
            threshold = least_confidence(free, float(share))
            hooks[f"(c) by confidence, c0 >= {threshold:.2f}"] = bench.by_confidence(threshold)
        for name, hook in hooks.items():
            predicted = bench.arm(hook=hook)
            cap = fixed_cap(free.tokens_NG, float(predicted.tokens_NG.mean()))
            fixed = bench.arm(think_limit=cap)
            click.echo(_row(name, predicted, free))
            click.echo(_row(f"(b) fixed at {cap}", fixed, free))
            against_fixed, against_free = (_gain(predicted, other) for other in (fixed, free))
            click.echo(f"    accuracy in points: (c) - (b) {against_fixed}, (c) - (a) {against_free}")


if __name__ == "__main__":
    main()
