"""Cost of introspection, and a count of broken think limits: the engine with and without heads, in turns on the same prompts.

    python -m tina_azr.benchmarks.engine MODEL [--prompts N] [--rounds R] [--completions C] [--threads T] [--dtype D]

MODEL has heads beside it (a run, or a folder). Both ways decode the same tokens: budgets are requested, not predicted, and seeds are equal.
Then C completions run under their predicted budgets with hidden reasoning; those over their think limit or with visible reasoning are
counted.
"""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from statistics import median
from time import perf_counter

import click
import torch

from tina_azr.engine.engine import IntrospectiveEngine
from tina_azr.engine.loading import find_introspector, model_folder
from tina_azr.engine.settings import EngineSettings
from tina_azr.engine.types import GenerationRequest, Message, ThinkStop
from tina_azr.errors import ModelError
from tina_azr.model.loading import DTYPES, Policy, load_policy
from tina_azr.tasks.heldout import load_heldout
from tina_azr.tasks.modes import MODES

MAX_TOKENS = 200
"""Of each completion."""
GENEROUS = 120
"""Budget of the timed completions: nearly none reaches it, and none differs between the two ways."""


def prompts_for(policy: Policy, count: int) -> list[str]:
    """Held-out tasks as user messages, drawn evenly over modes and lengths."""
    tasks = load_heldout(Path(str(files("tina_azr") / "assets" / "tiny" / "heldout_choose.jsonl")))
    chosen = [tasks[index * len(tasks) // count].task for index in range(min(count, len(tasks)))]
    return [MODES[task.mode].solve_prompt(policy.style, task) for task in chosen]


def tokens_per_second(engine: IntrospectiveEngine, requests: Sequence[GenerationRequest]) -> tuple[float, list[bytes]]:
    """And the ids, to see that both ways decoded the same."""
    began = perf_counter()
    generations = [one for group in engine.generate(requests) for one in group]
    seconds = perf_counter() - began
    ids = [one.completion.ids_T.tobytes() for one in generations]
    return sum(len(one.completion.ids_T) for one in generations) / seconds, ids


def faults(engine: IntrospectiveEngine, prompts: Sequence[str], completions: int) -> dict[str, int]:
    """Counts over at least `completions` completions under predicted budgets, with hidden reasoning."""
    each = -(-completions // len(prompts))
    counts = dict.fromkeys(
        ("completions", "over the think limit", "forced", "slack", "reasoning shown", "tag in the answer (flagged)"), 0
    )
    for number, prompt in enumerate(prompts):
        messages = (Message(role="user", content=prompt),)
        request = GenerationRequest(messages=messages, n=each, max_tokens=MAX_TOKENS, temperature=1.0, seed=number)
        for one in engine.generate([request])[0]:
            counts["completions"] += 1
            counts["over the think limit"] += one.think_tokens > one.decision.think_limit
            counts["forced"] += one.forced_close
            counts["slack"] += one.think_stop is ThinkStop.SLACK
            counts["reasoning shown"] += one.reasoning is not None or "</think>" in one.answer or "<think>" in one.answer
            counts["tag in the answer (flagged)"] += one.leak
    return counts


@click.command()
@click.argument("model")
@click.option("--prompts", default=64, show_default=True, type=click.IntRange(min=1))
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(min=1))
@click.option("--completions", default=10_000, show_default=True, type=click.IntRange(min=0))
@click.option("--threads", default=0, show_default=True, help="Threads of torch; 0: its own choice.")
@click.option("--dtype", default="float32", show_default=True, type=click.Choice(sorted(DTYPES)))
def main(model: str, prompts: int, rounds: int, completions: int, threads: int, dtype: str) -> None:
    """Time MODEL's engine with and without introspection, then count think limits that were exceeded and reasoning that was shown."""
    if threads:
        torch.set_num_threads(threads)
    policy = load_policy(model_folder(model), dtype=dtype)
    introspector, notes = find_introspector(policy)
    if introspector is None:
        raise ModelError(f"there are no heads beside {model}: name a run, or a folder with heads")
    settings = EngineSettings(slots=64)
    with_heads = IntrospectiveEngine(policy, introspector=introspector, settings=settings, notes=notes)
    without = IntrospectiveEngine(policy, settings=settings)
    texts = prompts_for(policy, prompts)
    requests = [
        GenerationRequest(
            messages=(Message(role="user", content=text),),
            max_tokens=MAX_TOKENS,
            temperature=1.0,
            seed=number,
            budget_tokens=GENEROUS,
        )
        for number, text in enumerate(texts)
    ]
    tokens_per_second(with_heads, requests)
    ratios = []
    for _ in range(rounds):
        (plain, plain_ids), (read, read_ids) = tokens_per_second(without, requests), tokens_per_second(with_heads, requests)
        ratios.append(plain / read)
        same = "the same tokens" if plain_ids == read_ids else "DIFFERENT TOKENS"
        click.echo(f"without {plain:8,.0f} tokens a second   with {read:8,.0f}   ratio {ratios[-1]:.3f}   {same}")
    click.echo(f"median ratio {median(ratios):.3f}, {torch.get_num_threads()} threads")
    if completions:
        click.echo(", ".join(f"{name} {count:,}" for name, count in faults(with_heads, texts, completions).items()))


if __name__ == "__main__":
    main()
