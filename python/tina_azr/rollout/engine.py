"""Our decode engine, in its first form: eager, made for a CPU, right for any Qwen3.

A prompt is prefilled once and its keys and values are copied to the slots of its group; a slot that ends takes the next completion; when
none waits, ended rows are dropped. The weights it reads are the module's own (`model.fused`). A later form captures the same step on a GPU.
"""

from collections import deque
from collections.abc import Callable, Sequence

import torch

from tina_azr.errors import ModelError
from tina_azr.model.fused import fuse
from tina_azr.model.loading import Policy
from tina_azr.rollout.cache import KVCache
from tina_azr.rollout.slots import Occupant, Slots
from tina_azr.rollout.step import Rotary, decode_step, prefill
from tina_azr.rollout.types import Completion, RolloutGroup, RolloutRequest

REFILL_SHARE = 0.25
"""Share of slots that must be free before waiting prompts are prefilled: few large prefills, not many small ones."""
COMPACT_SHARE = 0.25
"""Share of rows that must have ended before the rest is moved together."""


class DecodeEngine:
    """Implements `RolloutEngine`. Not for use by two threads at once."""

    def __init__(self, policy: Policy, *, slots: int = 128) -> None:
        self._policy = policy
        self._slots = slots
        self._weights = fuse(policy.module)
        self._rotary = Rotary(self._weights, 256)
        self._cache: KVCache | None = None

    @torch.inference_mode()
    def generate(
        self, requests: Sequence[RolloutRequest], on_progress: Callable[[int, int], None] | None = None
    ) -> list[RolloutGroup]:
        """Groups in the order of `requests`. Raises ModelError for a request that cannot fit the model."""
        if not requests:
            return []
        self._check(requests)
        self._weights = fuse(self._policy.module)
        total = sum(request.group_size for request in requests)
        done: list[list[Completion | None]] = [[None] * request.group_size for request in requests]
        finished = 0
        run = _Run(self, requests)
        while True:
            for occupant, completion in run.advance():
                done[occupant.request][occupant.index] = completion
                finished += 1
            if on_progress:
                on_progress(finished, total)
            if finished == total:
                break
        return [
            RolloutGroup(prompt_ids=request.prompt_ids, completions_G=tuple(one for one in group if one is not None))
            for request, group in zip(requests, done, strict=True)
        ]

    def _check(self, requests: Sequence[RolloutRequest]) -> None:
        limit = self._policy.module.config.max_position_embeddings
        for request in requests:
            length = len(request.prompt_ids) + request.params.max_tokens
            if not request.prompt_ids or request.params.max_tokens < 1 or request.group_size < 1:
                raise ModelError("a rollout request needs a prompt, at least one token to sample and at least one completion")
            if length > limit:
                raise ModelError(
                    f"a prompt of {len(request.prompt_ids)} tokens and {request.params.max_tokens} more exceed the model's {limit} "
                    "positions: lower max_tokens, or the length of prompts"
                )


class _Run:
    """One `generate` call: who waits, who sits, and one advance."""

    def __init__(self, engine: DecodeEngine, requests: Sequence[RolloutRequest]) -> None:
        self._engine = engine
        self._requests = requests
        # Short prompts first: neighbours of like length waste least, in prefill and in attention.
        order = sorted(range(len(requests)), key=lambda number: len(requests[number].prompt_ids))
        self._waiting = deque(Occupant(request=number, index=g) for number in order for g in range(requests[number].group_size))
        count = min(engine._slots, len(self._waiting))
        tokens = max(request.params.max_tokens for request in requests)
        positions = max(len(request.prompt_ids) + request.params.max_tokens for request in requests)
        policy = engine._policy
        self._slots = Slots(
            count,
            tokens,
            positions,
            stop_ids=policy.tokenizer.stop_ids,
            close_id=policy.tokenizer.think_close_id,
            closing_ids=policy.closing_ids,
        )
        if engine._cache is None or engine._cache.slots < count or engine._cache.positions < positions:
            engine._cache = KVCache.allocate(engine._weights, count, positions)
        if engine._rotary.cosine_PD.shape[0] < positions:
            engine._rotary = Rotary(engine._weights, positions)
        self._cache = engine._cache
        self._rows = 0
        """Rows in use are the first ones; some of them may have ended."""
        self._count = count

    def advance(self) -> list[tuple[Occupant, Completion]]:
        """Refill or compact if it is time, then one token for every row. Returns what ended."""
        ended = []
        free = self._count - int(self._slots.alive_S.sum())
        if self._waiting and (free >= REFILL_SHARE * self._count or free == self._count):
            ended += self._admit()
        elif not self._waiting and self._rows - int(self._slots.alive_S[: self._rows].sum()) >= COMPACT_SHARE * self._rows:
            self._compact()
        if self._rows:
            ended += self._decode()
        return ended

    def _admit(self) -> list[tuple[Occupant, Completion]]:
        """Prefill as many waiting completions as there are free slots, each prompt once, and sample their first tokens."""
        free = (~self._slots.alive_S).nonzero()[:, 0].tolist()[: len(self._waiting)]
        seated = [self._waiting.popleft() for _ in free]
        prompts = list(dict.fromkeys(occupant.request for occupant in seated))
        for row, occupant in zip(free, seated, strict=True):
            self._slots.seat(row, occupant, self._requests[occupant.request])
        lengths = torch.tensor([len(self._requests[number].prompt_ids) for number in prompts])
        ids = torch.zeros(len(prompts), int(lengths.max()), dtype=torch.long)
        for row, number in enumerate(prompts):
            ids[row, : lengths[row]] = torch.tensor(self._requests[number].prompt_ids)
        logits, stored = prefill(self._engine._weights, self._engine._rotary, ids, lengths)
        rows = torch.tensor(free)
        sources = torch.tensor([prompts.index(occupant.request) for occupant in seated])
        for layer, (keys, values) in enumerate(stored):
            self._cache.store_prompts(layer, keys, values, rows, sources)
        self._rows = max(self._rows, free[-1] + 1)
        return self._take(self._slots.accept(rows, logits[sources]))

    def _decode(self) -> list[tuple[Occupant, Completion]]:
        slots, rows = self._slots, self._rows
        filled = int(slots.positions_S[:rows].max()) + 1
        logits = decode_step(
            self._engine._weights,
            self._engine._rotary,
            self._cache,
            slots.last_ids_S[:rows],
            slots.positions_S[:rows],
            slots.bias_SP[:rows],
            filled,
        )
        return self._take(slots.accept(torch.arange(rows), logits))

    def _compact(self) -> None:
        kept = self._slots.alive_S[: self._rows].nonzero()[:, 0]
        if len(kept):
            self._cache.compact(kept, int(self._slots.positions_S[kept].max()) + 1)
            self._slots.compact(kept)
        self._rows = len(kept)

    def _take(self, gone: torch.Tensor) -> list[tuple[Occupant, Completion]]:
        return [self._slots.finish(row) for row in gone.tolist()]
