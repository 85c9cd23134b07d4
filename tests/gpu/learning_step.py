"""Measurement of one update on a GPU with the sizes of a configuration: memory, speed, gap between learner and sampler.

    python tests/gpu/learning_step.py MODEL CONFIG [--rollouts N] [--tokens T] [--set SECTION.KEY=VALUE ...]

Rollouts get advantages drawn at random: what is learned means nothing, what it takes is that of a real step. Afterwards the sampler
must say other log-probabilities than before: it decodes with the weights that were just written.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import numpy as np
import torch

from tina_azr.config import load_config
from tina_azr.model.loading import load_policy
from tina_azr.model.memory import ModelDimensions, estimate_memory
from tina_azr.rollout.decode import DecodeEngine
from tina_azr.rollout.types import RolloutRequest, SamplingParams
from tina_azr.selfplay.types import Rollout
from tina_azr.tasks.types import Role
from tina_azr.train.learner import Learner

GB = 1e9


def main() -> None:
    """Sample rollouts, learn from them, and sample again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("config", type=Path)
    parser.add_argument("--rollouts", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=1_024)
    parser.add_argument("--set", action="append", default=[])
    given = parser.parse_args()
    config = load_config(given.config, overrides=given.set)
    policy = load_policy(str(given.model), dtype=config.model.dtype)
    learner = Learner(policy, config)
    engine = DecodeEngine(policy, slots=config.selfplay.slots)
    prompt = policy.tokenizer.render("Write a program. " * 100)
    request = RolloutRequest(
        prompt_ids=prompt,
        group_size=given.rollouts,
        params=SamplingParams(max_tokens=given.tokens, think_limit=given.tokens * 7 // 8),
        seed=0,
    )
    began = perf_counter()
    before = engine.generate([request])[0].completions_G
    seconds = perf_counter() - began
    tokens = sum(len(one.ids_T) for one in before)
    print(f"{tokens:,} tokens in {seconds:.1f} s: {tokens / seconds:,.0f} a second with {config.selfplay.slots} slots")
    rollouts = [
        Rollout(role=Role.SOLVER, mode="deduction", group="g", index=index, prompt_ids=prompt, completion=one, answer=None)
        for index, one in enumerate(before)
    ]
    on_gpu = torch.cuda.is_available()
    for step in (1, 2):
        began = perf_counter()
        drawn = np.random.default_rng(step).standard_normal(len(rollouts)).tolist()
        report = learner.update([replace(one, advantage=value) for one, value in zip(rollouts, drawn, strict=True)], step)
        seen = tokens + len(prompt) * len(before)
        seconds = perf_counter() - began
        print(
            f"update {step}: {seen:,} tokens in {seconds:.1f} s, {seen / seconds:,.0f} a second; gradient norm {report.grad_norm:.3g}, "
            f"ratio {report.ratio:.4f}, largest difference of log-probabilities {report.logprob_gap:.1e}"
        )
        if on_gpu:
            torch.cuda.synchronize()
            held = torch.cuda.max_memory_allocated() / GB, torch.cuda.max_memory_reserved() / GB
            print("  most memory: allocated {:.1f} GB, reserved {:.1f} GB".format(*held))
    print(
        f"  estimated {estimate_memory(ModelDimensions.of_folder(given.model), config).total / GB:.1f} GB for the configuration's own sizes"
    )
    after = engine.generate([request])[0].completions_G
    changed = sum(float(one.logprobs_T[0]) != float(other.logprobs_T[0]) for one, other in zip(before, after, strict=True))
    print(f"first tokens whose log-probability the update changed: {changed} of {len(before)}")


if __name__ == "__main__":
    main()
