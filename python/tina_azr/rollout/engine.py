"""Our decode engine, in its first form: eager, made for a CPU, right for any Qwen3.

A prompt is prefilled once and its keys and values are copied to the rows of its group; rows that end are dropped and waiting
completions take their place; `step.decode_step` gives all rows one token. The weights it reads are the module's own (`model.fused`).
"""

from collections import deque
from collections.abc import Callable, Sequence

import torch

from tina_azr.errors import ModelError
from tina_azr.model.fused import FusedWeights, fuse
from tina_azr.model.loading import Policy
from tina_azr.rollout.cache import Wave
from tina_azr.rollout.layers import Rotary
from tina_azr.rollout.prefill import prefill
from tina_azr.rollout.slots import Occupant, Slots
from tina_azr.rollout.step import decode_step
from tina_azr.rollout.types import Completion, RolloutGroup, RolloutRequest

REFILL_SHARE = 0.25
"""Share of slots that must be free before waiting prompts are prefilled: few large prefills, not many small ones."""
DROP_SHARE = 0.25
"""Share of a wave's rows that must have ended before the rest is moved together."""


class DecodeEngine:
    """Implements `RolloutEngine`. Not for use by two threads at once."""

    def __init__(self, policy: Policy, *, slots: int = 128) -> None:
        self._policy = policy
        self._slots = slots
        self._rotary = Rotary(fuse(policy.module), 256)

    @torch.inference_mode()
    def generate(
        self, requests: Sequence[RolloutRequest], on_progress: Callable[[int, int], None] | None = None
    ) -> list[RolloutGroup]:
        """Groups in the order of `requests`. Raises ModelError for a request that cannot fit the model."""
        if not requests:
            return []
        self._check(requests)
        weights = fuse(self._policy.module)
        positions = max(len(request.prompt_ids) + request.params.max_tokens for request in requests)
        if self._rotary.positions < positions:
            self._rotary = Rotary(weights, positions)
        loop = _Loop(self._policy, weights, self._rotary, requests, self._slots)
        total = sum(request.group_size for request in requests)
        done: list[dict[int, Completion]] = [{} for _ in requests]
        finished = 0
        while finished < total:
            for occupant, completion in loop.advance():
                done[occupant.request][occupant.index] = completion
                finished += 1
            if on_progress:
                on_progress(finished, total)
        return [
            RolloutGroup(prompt_ids=request.prompt_ids, completions_G=tuple(group[index] for index in range(request.group_size)))
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


class _Loop:
    """One `generate` call: who waits, who sits, and one advance."""

    def __init__(
        self, policy: Policy, weights: FusedWeights, rotary: Rotary, requests: Sequence[RolloutRequest], slots: int
    ) -> None:
        self._weights = weights
        self._rotary = rotary
        self._requests = requests
        self._capacity = slots
        self._slots = Slots(
            slots,
            max(request.params.max_tokens for request in requests),
            weights.head_VH.shape[0],
            stop_ids=policy.tokenizer.stop_ids,
            close_id=policy.tokenizer.think_close_id,
            closing_ids=policy.closing_ids,
            device=weights.norm.device,
        )
        self._waves: list[Wave] = []
        # Short prompts first: the prompts of a wave are padded to its longest.
        order = sorted(range(len(requests)), key=lambda number: len(requests[number].prompt_ids))
        self._waiting = deque(block for number in order for block in _blocks(number, requests[number], slots))

    def advance(self) -> list[tuple[Occupant, Completion]]:
        """Drop and admit rows if it is time, then one token for every row. Returns what ended."""
        live = sum(wave.rows - wave.ended for wave in self._waves)
        free = self._capacity - live
        admits = bool(self._waiting) and len(self._waiting[0]) <= free and (live == 0 or free >= REFILL_SHARE * self._capacity)
        self._tidy(admits)
        if admits:
            self._admit(free)
        logits = decode_step(self._weights, self._rotary, self._waves, self._slots.last_ids_B, self._slots.positions_B)
        ended = self._slots.advance(logits)
        self._count_ended(ended)
        return [(self._slots.occupants[row], self._slots.finish(row)) for row in ended]

    def _admit(self, free: int) -> None:
        """A wave of as many waiting blocks as fit; each prompt is prefilled once."""
        blocks = []
        while self._waiting and len(self._waiting[0]) <= free:
            blocks.append(self._waiting.popleft())
            free -= len(blocks[-1])
        prompts = prefill(self._weights, self._rotary, [self._requests[block[0].request].prompt_ids for block in blocks])
        self._waves.append(Wave(self._weights, prompts, [source for source, block in enumerate(blocks) for _ in block]))
        self._slots.seat([occupant for block in blocks for occupant in block], self._requests)

    def _tidy(self, admits: bool) -> None:
        """Drop ended rows where there are many, or where room is needed, and make room in waves that are full."""
        kept, start = [], 0
        alive = self._slots.alive_B
        dropped = False
        for wave in self._waves:
            rows = torch.arange(start, start + wave.rows, device=alive.device)
            start += wave.rows
            if wave.ended and (admits or wave.full or wave.ended >= DROP_SHARE * wave.rows):
                survivors = alive[rows].nonzero()[:, 0]
                rows, dropped = rows[survivors], True
                if len(survivors):
                    wave.rebuild(survivors)
                else:
                    wave.rows = 0
            elif wave.full:
                wave.rebuild(None)
            kept.append(rows)
        if dropped:
            self._slots.keep(torch.cat(kept))
            self._waves = [wave for wave in self._waves if wave.rows]

    def _count_ended(self, ended: list[int]) -> None:
        for row in ended:
            for wave in self._waves:
                if row < wave.rows:
                    wave.ended += 1
                    break
                row -= wave.rows


def _blocks(number: int, request: RolloutRequest, slots: int) -> list[list[Occupant]]:
    """Completions of one request that are admitted together: all of them, or as many as there are slots."""
    occupants = [Occupant(request=number, index=index, params=request.params) for index in range(request.group_size)]
    return [occupants[start : start + slots] for start in range(0, len(occupants), slots)]
