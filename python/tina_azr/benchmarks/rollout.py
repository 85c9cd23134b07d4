"""Tokens a second of our decode engine and of transformers' `generate`, in turns on the same prompts, and what they agree on.

    python -m tina_azr.benchmarks.rollout [MODEL] [--prompts N] [--group G] [--rounds R] [--threads T] [--dtype D]

Both engines sample at temperature 1 with the same limits. Each round times one after the other; the ratio of a round is not disturbed by
a machine that is slower in the next.
"""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from statistics import median
from time import perf_counter

import click
import numpy as np
import torch

from tina_azr.benchmarks.hf_generate import HFGenerate
from tina_azr.model.loading import DTYPES, Policy, load_policy
from tina_azr.model.logprobs import completion_logprobs
from tina_azr.rollout.decode import DecodeEngine
from tina_azr.rollout.types import CompletionGroup, RolloutEngine, RolloutRequest, SamplingParams
from tina_azr.tasks.heldout import load_heldout
from tina_azr.tasks.modes import MODES

MAX_TOKENS = 160


def requests_for(policy: Policy, *, prompts: int, group: int, temperature: float) -> list[RolloutRequest]:
    """Held-out tasks as prompts, drawn evenly over modes and lengths."""
    tasks = load_heldout(Path(str(files("tina_azr") / "assets" / "tiny" / "heldout_choose.jsonl")))
    chosen = [tasks[index * len(tasks) // prompts].task for index in range(prompts)]
    return [
        RolloutRequest(
            prompt_ids=policy.tokenizer.render(MODES[task.mode].solve_prompt(policy.style, task)),
            group_size=group,
            params=SamplingParams(max_tokens=MAX_TOKENS, temperature=temperature),
            seed=number,
        )
        for number, task in enumerate(chosen)
    ]


def tokens_per_second(engine: RolloutEngine, requests: Sequence[RolloutRequest]) -> tuple[float, list[CompletionGroup]]:
    """And what was generated."""
    start = perf_counter()
    groups = engine.generate(requests)
    seconds = perf_counter() - start
    return sum(len(one.ids_T) for group in groups for one in group.completions_G) / seconds, groups


@torch.no_grad()
def logprob_gap(policy: Policy, groups: Sequence[CompletionGroup]) -> float:
    """Largest difference between the sampler's log-probabilities and the learner's."""
    gap = 0.0
    for group in groups:
        ids = [one.ids_T for one in group.completions_G]
        learner = completion_logprobs(policy.module, [group.prompt_ids] * len(ids), ids, temperature=1.0).logprobs_T.cpu().numpy()
        gap = max(gap, float(np.abs(learner - np.concatenate([one.logprobs_T for one in group.completions_G])).max()))
    return gap


@click.command()
@click.argument("model", default="tiny")
@click.option("--prompts", default=48, show_default=True, type=click.IntRange(min=1))
@click.option("--group", default=8, show_default=True, type=click.IntRange(min=1))
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(min=1))
@click.option("--threads", default=0, show_default=True, help="Threads of torch; 0: its own choice.")
@click.option("--dtype", default="float32", show_default=True, type=click.Choice(sorted(DTYPES)))
def main(model: str, prompts: int, group: int, rounds: int, threads: int, dtype: str) -> None:
    """Compare our decode engine with transformers' generate on MODEL: tokens a second, greedy ids, log-probabilities."""
    if threads:
        torch.set_num_threads(threads)
    policy = load_policy(model, dtype=dtype)
    native, plain = DecodeEngine(policy, slots=128), HFGenerate(policy, slots=128)
    greedy = requests_for(policy, prompts=prompts, group=1, temperature=0.0)
    pairs = zip(native.generate(greedy), plain.generate(greedy), strict=True)
    equal = sum(np.array_equal(ours.completions_G[0].ids_T, theirs.completions_G[0].ids_T) for ours, theirs in pairs)
    drawn = requests_for(policy, prompts=prompts, group=group, temperature=1.0)
    rates = []
    for _ in range(rounds):
        (ours, groups), (theirs, _) = tokens_per_second(native, drawn), tokens_per_second(plain, drawn)
        rates.append((ours, theirs))
        click.echo(f"native {ours:8,.0f} tokens a second   generate {theirs:8,.0f}   ratio {ours / theirs:.2f}")
    click.echo(f"median ratio {median(ours / theirs for ours, theirs in rates):.2f}, {torch.get_num_threads()} threads")
    click.echo(f"greedy ids equal in {equal} of {prompts} prompts")
    click.echo(f"largest difference of log-probabilities to the learner's: {logprob_gap(policy, groups):.1e}")


if __name__ == "__main__":
    main()
