"""Training of heads for a fixed policy, with the labels and losses of self-play.

For a model that was trained elsewhere, or a checkpoint whose heads lag behind its weights.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from tina_azr.config import Config
from tina_azr.model.loading import Policy
from tina_azr.rollout.decode import DecodeEngine
from tina_azr.rollout.types import SamplingParams
from tina_azr.sandbox.types import Executor
from tina_azr.selfplay.introspection import SelfPlayIntrospection
from tina_azr.selfplay.seeding import RandomStream, generator, request_seeds
from tina_azr.selfplay.solving import grade_rollouts, sample_rollouts
from tina_azr.selfplay.timing import Phases
from tina_azr.tasks.types import Task
from tina_azr.train.heads.learner import RECIPE, HeadLearner

CHUNK = 64
"""Tasks solved between two updates of the heads."""


def refit_heads(
    policy: Policy,
    executor: Executor,
    tasks: Sequence[Task],
    config: Config,
    *,
    on_progress: Callable[[int, int], None] | None = None,
) -> HeadLearner:
    """Train new heads on one group of rollouts of every task. All labels stay in the window, because the policy does not change."""
    learner = HeadLearner(policy, config, replace(RECIPE, window_steps=len(tasks) + 1))
    engine = DecodeEngine(policy, slots=config.selfplay.slots, taps=learner.taps)
    introspection = SelfPlayIntrospection(policy, engine, executor, learner.introspector, config)
    play = config.selfplay
    params = SamplingParams(max_tokens=play.max_tokens, temperature=play.temperature, think_limit=play.think_limit)
    order = generator(config.seed, 0, RandomStream.HEADS).permutation(len(tasks))
    for step, start in enumerate(range(0, len(tasks), CHUNK), start=1):
        chosen = [tasks[number] for number in order[start : start + CHUNK]]
        groups = sample_rollouts(
            policy,
            engine,
            chosen,
            group_size=play.group_size,
            params=params,
            seeds=request_seeds(config.seed, step, RandomStream.HEADS, len(chosen)),
        )
        graded = grade_rollouts(executor, groups)
        learner.update(step, introspection.read(step, graded, frozenset(), Phases()))
        if on_progress is not None:
            on_progress(min(start + CHUNK, len(tasks)), len(tasks))
    return learner
