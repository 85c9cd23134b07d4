"""The first two proofs that learning works at all: sampler and trainer agree on every token, and a toy reward is learned."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from tina_azr.config import load_config
from tina_azr.model.loading import Policy
from tina_azr.rollout.decode import DecodeEngine
from tina_azr.rollout.types import CompletionGroup, RolloutEngine, RolloutRequest, SamplingParams
from tina_azr.selfplay.rewards import shuffle_rewards
from tina_azr.selfplay.types import Rollout
from tina_azr.tasks.types import Role
from tina_azr.train.advantages import ADVANTAGES, RewardTable
from tina_azr.train.learner import Learner

PROMPTS = tuple(f"say something, {number}" for number in range(8))


def sample_groups(policy: Policy, engine: RolloutEngine, step: int, params: SamplingParams) -> list[CompletionGroup]:
    return engine.generate(
        [
            RolloutRequest(prompt_ids=policy.tokenizer.render(prompt), group_size=8, params=params, seed=1000 * step + index)
            for index, prompt in enumerate(PROMPTS)
        ]
    )


def rewarded(groups: Sequence[CompletionGroup], wanted: int) -> list[Rollout]:
    """1 for every completion that holds the wanted id."""
    return [
        Rollout(
            role=Role.SOLVER,
            mode="toy",
            group=str(index),
            prompt_ids=group.prompt_ids,
            completion=completion,
            answer=None,
            reward=float(wanted in completion.ids_T),
        )
        for index, group in enumerate(groups)
        for completion in group.completions_G
    ]


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_every_sampled_tokens_log_probability_is_the_trainers_too(byte_policy: Policy, temperature: float) -> None:
    config = load_config(overrides=[f"selfplay.temperature={temperature}"])
    engine = DecodeEngine(byte_policy, slots=24)
    learner = Learner(byte_policy, config)
    params = SamplingParams(max_tokens=24, temperature=temperature, think_limit=9)
    for step in (1, 2, 3):  # the weights move in between: the engine must see it
        rollouts = rewarded(sample_groups(byte_policy, engine, step, params), wanted=65)
        assert any(rollout.completion.forced_close for rollout in rollouts)
        report = learner.update([replace(one, advantage=(-1.0, 1.0)[number % 2]) for number, one in enumerate(rollouts)], step)
        assert report.logprob_gap < 1e-4
        assert report.ratio == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize(("shuffled", "low", "high"), [(False, 0.75, 1.0), (True, 0.0, 0.25)])
@pytest.mark.slow
def test_a_toy_reward_is_learned_in_a_few_dozen_steps_and_a_shuffled_one_is_not(
    byte_policy: Policy, shuffled: bool, low: float, high: float
) -> None:
    engine = DecodeEngine(byte_policy, slots=64)
    learner = Learner(byte_policy, load_config(overrides=["learning.lr=5e-3"]))
    wanted = byte_policy.tokenizer.encode("7")[0]
    draw = np.random.default_rng(0)
    rates = []
    for step in range(1, 31):
        rollouts = rewarded(sample_groups(byte_policy, engine, step, SamplingParams(max_tokens=12)), wanted)
        rates.append(np.mean([rollout.reward for rollout in rollouts]))
        trained = shuffle_rewards(rollouts, draw) if shuffled else rollouts
        values = ADVANTAGES["trr_pp"](RewardTable.of(trained)).values_N.tolist()
        learner.update([replace(one, advantage=value) for one, value in zip(trained, values, strict=True)], step)
    assert np.mean(rates[:5]) < 0.25
    assert low <= np.mean(rates[-5:]) <= high
