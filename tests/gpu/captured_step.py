"""Comparison of a decode step captured as a CUDA graph with the session's eager steps: equal ids, tokens a second.

    python tests/gpu/captured_step.py MODEL [--slots S] [--tokens T] [--dtype float32] [--temperature 0]

Each slot completes another prompt, with a think limit half-way through its reasoning. Greedy ids in float32 must be the same. (Drawn ones
differ in a few places where a model is as undecided as a random one: 150,000 ids of 1e-5 each, and sums that are rounded in another order.)
On a machine without a GPU the step is called instead of replayed.
"""

import argparse
from collections.abc import Callable, Sequence
from time import perf_counter

import numpy as np
import torch

from tina_azr.model.fused import fuse
from tina_azr.model.loading import DTYPES, Policy, load_policy
from tina_azr.rollout.decode import DecodeEngine
from tina_azr.rollout.prefill import Prefill
from tina_azr.rollout.slot_cache import SlotCache
from tina_azr.rollout.slots import SlotRow, Slots
from tina_azr.rollout.step import Rotary, decode_step
from tina_azr.rollout.types import RolloutRequest, SamplingParams


def requests_of(policy: Policy, slots: int, tokens: int, temperature: float) -> list[RolloutRequest]:
    """Prompts of different lengths."""
    texts = [f"Solve task {number}." + " Think about it well." * (number % 7) for number in range(slots)]
    params = SamplingParams(max_tokens=tokens, temperature=temperature, think_limit=tokens // 2)
    return [
        RolloutRequest(prompt_ids=policy.tokenizer.render(text), group_size=1, params=params, seed=number)
        for number, text in enumerate(texts)
    ]


def synchronise() -> None:
    """Wait for the device, so that the time can be read."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def captured(step: Callable[[], None]) -> Callable[[], None]:
    """Capture the step as a graph. Capturing does not run it."""
    if not torch.cuda.is_available():
        return step
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


class FixedSlots:
    """Requests in a KV cache of fixed shape."""

    def __init__(self, policy: Policy, requests: Sequence[RolloutRequest]) -> None:
        weights, device = fuse(policy.module), policy.device
        room = max(len(one.prompt_ids) + one.params.max_tokens for one in requests)
        self.requests = requests
        self.slots = Slots(
            len(requests),
            weights.head_VH.shape[0],
            stop_ids=policy.tokenizer.stop_ids,
            open_id=policy.tokenizer.think_open_id,
            close_id=policy.tokenizer.think_close_id,
            closing_ids=policy.closing_ids,
            device=device,
        )
        self.rotary, self.weights = Rotary(weights, room), weights
        rows = [SlotRow(ticket=number, index=0, request=one) for number, one in enumerate(requests)]
        self.slots.admit(rows, [one.params.think_limit for one in requests])
        self.slots.last_ids_B.copy_(torch.tensor([one.prompt_ids[-1] for one in requests]))
        self.cache = SlotCache(weights, self.slots.positions_B, positions=room)
        prefill = Prefill(weights, self.rotary, [one.prompt_ids for one in requests], piece_tokens=8_192)
        while not prefill.done:
            prefill.advance()
        self.cache.load(prefill.cache, range(len(requests)), range(len(requests)))

    def step(self) -> None:
        """Decode one token for every slot."""
        logits, _ = decode_step(self.weights, self.rotary, [self.cache], self.slots.last_ids_B, self.slots.positions_B)
        self.slots.advance(logits)


@torch.inference_mode()
def main() -> None:
    """Compare the captured step with the eager session."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--slots", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--dtype", choices=sorted(DTYPES), default="float32")
    parser.add_argument("--temperature", type=float, default=0.0)
    given = parser.parse_args()
    policy = load_policy(given.model, dtype=given.dtype)
    requests = requests_of(policy, given.slots, given.tokens, given.temperature)
    engine = DecodeEngine(policy, slots=given.slots)
    engine.generate(requests)
    began = perf_counter()
    eager = [group.completions_G[0] for group in engine.generate(requests)]
    eager_seconds = perf_counter() - began
    FixedSlots(policy, requests).step()  # what is set up by a first call must not be captured
    fixed = FixedSlots(policy, requests)
    step = captured(fixed.step)
    synchronise()
    began = perf_counter()
    for _ in range(given.tokens):
        step()
    synchronise()
    seconds = perf_counter() - began
    ours = [fixed.slots.completion(row) for row in range(given.slots)]
    tokens = sum(len(one.ids_T) for one in eager)
    equal = sum(np.array_equal(one.ids_T, other.ids_T) for one, other in zip(ours, eager, strict=True))
    print(f"{given.slots} slots, {given.dtype}, {policy.device}: {equal} of {given.slots} completions have the same ids")
    print(
        f"forced closes: {sum(one.forced_close for one in eager)} in the session, {sum(one.forced_close for one in ours)} in fixed slots"
    )
    print(
        f"session {tokens / eager_seconds:,.0f} tokens a second; fixed slots {sum(len(one.ids_T) for one in ours) / seconds:,.0f}"
    )
    print(f"a step of fixed slots {1e3 * seconds / given.tokens:.2f} ms")


if __name__ == "__main__":
    main()
