"""Tests of the KV cache of fixed shape: logits equal the module's, and no step changes a shape."""

from collections.abc import Sequence

import torch
from torch import Tensor

from tina_azr.model.fused import fuse
from tina_azr.model.loading import Policy
from tina_azr.rollout.prefill import Prefill, PromptCache
from tina_azr.rollout.slot_cache import SlotCache
from tina_azr.rollout.step import Rotary, decode_step

PROMPTS = ("a", "some longer words", "def f(x):")


def prefilled(policy: Policy, prompts: Sequence[tuple[int, ...]]) -> PromptCache:
    weights = fuse(policy.module)
    prefill = Prefill(weights, Rotary(weights, 128), prompts, piece_tokens=10)
    while not prefill.done:
        prefill.advance()
    return prefill.cache


class Decoding:
    """Slots that are decoded with given ids."""

    def __init__(self, policy: Policy, slots: int) -> None:
        self.weights = fuse(policy.module)
        self.rotary = Rotary(self.weights, 128)
        self.positions_S = torch.zeros(slots, dtype=torch.long)
        self.ids_S = torch.zeros(slots, dtype=torch.long)
        self.cache = SlotCache(self.weights, self.positions_S, positions=96)

    def admit(self, policy: Policy, slot: int, prompt: tuple[int, ...]) -> None:
        self.cache.load(prefilled(policy, [prompt]), [0], [slot])
        self.ids_S[slot], self.positions_S[slot] = prompt[-1], len(prompt) - 1

    def step(self, next_ids: Tensor) -> Tensor:
        logits, _ = decode_step(self.weights, self.rotary, [self.cache], self.ids_S, self.positions_S)
        self.ids_S.copy_(next_ids)
        self.positions_S += 1
        return logits


@torch.inference_mode()
def test_logits_equal_the_modules_at_every_step(byte_policy: Policy) -> None:
    decoding = Decoding(byte_policy, 5)
    prompts = [byte_policy.tokenizer.render(text) for text in PROMPTS]
    rows = dict(zip((3, 0, 4), prompts, strict=True))
    for slot, prompt in rows.items():
        decoding.admit(byte_policy, slot, prompt)
    draw = torch.Generator().manual_seed(0)
    sequences = {slot: list(prompt) for slot, prompt in rows.items()}
    for _ in range(20):
        drawn = torch.randint(0, 256, (5,), generator=draw)
        logits = decoding.step(drawn)
        for slot, ids in sequences.items():
            expected = byte_policy.module(torch.tensor([ids])).logits[0, -1]
            torch.testing.assert_close(logits[slot], expected, atol=1e-4, rtol=1e-4)
            ids.append(int(drawn[slot]))


@torch.inference_mode()
def test_reused_slot_has_no_stale_kv(byte_policy: Policy) -> None:
    decoding = Decoding(byte_policy, 2)
    long, short = (byte_policy.tokenizer.render(text) for text in ("q" * 50, "b"))
    decoding.admit(byte_policy, 0, long)
    decoding.admit(byte_policy, 1, long)
    for _ in range(5):
        decoding.step(torch.tensor([65, 66]))
    decoding.admit(byte_policy, 1, short)
    logits = decoding.step(torch.tensor([65, 66]))
    torch.testing.assert_close(logits[1], byte_policy.module(torch.tensor([short])).logits[0, -1], atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_steps_change_no_shape_and_no_address(byte_policy: Policy) -> None:
    decoding = Decoding(byte_policy, 3)
    for slot, text in enumerate(PROMPTS):
        decoding.admit(byte_policy, slot, byte_policy.tokenizer.render(text))

    def places() -> dict[str, tuple[int, torch.Size]]:
        held = {name: value for name, value in vars(decoding.cache).items() if isinstance(value, Tensor)}
        lists = {f"{kind}{number}": b for kind in ("_keys", "_values") for number, b in enumerate(getattr(decoding.cache, kind))}
        return {name: (tensor.data_ptr(), tensor.shape) for name, tensor in (held | lists).items()}

    before = places()
    shapes = {decoding.step(torch.tensor([1, 2, 3])).shape for _ in range(30)}
    assert shapes == {(3, decoding.weights.head_VH.shape[0])}
    assert places() == before
