"""A decode session: requests come and go, every step gives each running completion one token (continuous batching).

A prompt is prefilled once, in pieces between which the others go on; its last token runs in a step of its own, which gives the logits
of the first token of every completion of the group and the tapped states that a forecast is made of. Rows that end are dropped,
waiting requests take their place. Axes: `_N` admitted prompts, `_L` tapped layers, `_H` hidden, `_B` rows.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tina_azr.errors import ModelError
from tina_azr.model.fused import fuse
from tina_azr.model.loading import Policy
from tina_azr.rollout.kv_batch import Wave
from tina_azr.rollout.prefill import Prefill
from tina_azr.rollout.slots import Occupant, Slots
from tina_azr.rollout.step import Modulate, ReasoningModulator, Rotary, decode_step
from tina_azr.rollout.types import Completion, Ended, PromptHook, RolloutRequest, StepReport, StopCause, Token

DROP_SHARE = 0.25
"""Share of a wave's rows that must have ended before the rest is moved together."""
MAX_WAVES = 4
"""Attention reads waves one after the other; beyond this many, neighbours of like length become one."""
FEW_SHARE = 0.25
"""Fewer waiting prompts than this share of the rows that run are few."""
PIECE_TOKENS = 8_192
"""Most padded prompt tokens in one forward."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Block:
    """Completions of one request that are admitted together: all of them, or as many as there are slots."""

    ticket: int
    request: RolloutRequest
    indices: range
    tokens: int
    """KV that it may come to need."""


class DecodeSession:
    """Not for use by two threads at once."""

    def __init__(
        self,
        policy: Policy,
        *,
        slots: int,
        taps: Sequence[int] = (),
        on_prompts: PromptHook | None = None,
        refill_share: float = 0.0,
        patience: int = 0,
        piece_tokens: int = PIECE_TOKENS,
        kv_tokens: int | None = None,
        modulator: ReasoningModulator | None = None,
        tickets_after: int = 0,
    ) -> None:
        """`on_prompts` gets tickets, which count from `tickets_after`: a session that takes another's place shares none with it.

        `refill_share`: part of the slots that must be free before waiting prompts are admitted beside running ones. Few large prefills
        are cheaper, many small ones keep nobody waiting. `patience`: steps that few prompts wait for others to come along.
        `kv_tokens`: most tokens, over all rows, whose keys and values are held at once; None: no bound.
        """
        self._policy = policy
        self._weights = fuse(policy.module)
        self._rotary = Rotary(self._weights, 256)
        self._taps = tuple(taps)
        self._on_prompts = on_prompts
        self._capacity = slots
        self._refill = refill_share * slots
        self._patience = patience
        self._waited = 0
        self._piece_tokens = piece_tokens
        self._kv_tokens = kv_tokens
        self.modulator = modulator
        """Whom thoughts are shown to as they are computed; may be taken away at any time."""
        self._close_id = policy.tokenizer.think_close_id
        self._slots = Slots(
            slots,
            self._weights.head_VH.shape[0],
            stop_ids=policy.tokenizer.stop_ids,
            open_id=policy.tokenizer.think_open_id,
            close_id=self._close_id,
            closing_ids=policy.closing_ids,
            device=self._weights.norm.device,
        )
        self._waves: list[Wave] = []
        self._waiting: deque[_Block] = deque()
        self._entering: tuple[Prefill, list[_Block]] | None = None
        self._open: dict[int, int] = {}
        """Completions of each request that have not ended."""
        self._followed: set[int] = set()
        self._think_limits: dict[int, int | None] = {}
        """What the hook said of each request."""
        self.newest_ticket = tickets_after

    # Requests.

    def submit(self, request: RolloutRequest, *, follow: bool = False) -> int:
        """Queue a request. `follow` reports its tokens as they come. Raises ModelError for one that can never be done."""
        self._check(request)
        self.newest_ticket += 1
        self._open[self.newest_ticket] = request.group_size
        if follow:
            self._followed.add(self.newest_ticket)
        each = len(request.prompt_ids) + request.params.max_tokens
        at_once = min(self._capacity, (self._kv_tokens or each * self._capacity) // each)
        for start in range(0, request.group_size, at_once):
            indices = range(start, min(start + at_once, request.group_size))
            self._waiting.append(_Block(ticket=self.newest_ticket, request=request, indices=indices, tokens=each * len(indices)))
        return self.newest_ticket

    @torch.inference_mode()
    def cancel(self, ticket: int, index: int | None = None) -> list[Ended]:
        """End a request, or one running completion of it, now. Unknown and ended tickets are ignored.

        Returns what there is so far; completions that never began are empty.
        """
        ended = []
        for row in self._slots.rows_of(ticket):
            if index is None or self._slots.occupants[row].index == index:
                self._slots.end(row)
                ended.append(self._finish(row))
        if index is not None:
            return ended
        entering = self._entering[1] if self._entering else []
        for block in [block for block in (*self._waiting, *entering) if block.ticket == ticket]:
            ended += [self._ended(ticket, index, _nothing()) for index in block.indices]
            if block in self._waiting:
                self._waiting.remove(block)
            else:
                entering[entering.index(block)] = _Block(ticket=0, request=block.request, indices=range(0), tokens=0)
        return ended

    @torch.inference_mode()
    def close_reasoning(self, ticket: int) -> bool:
        """Force the end of a request's thoughts from the next token on. False if none of its completions is thinking."""
        return self._slots.close_reasoning(self._slots.rows_of(ticket))

    @property
    def busy(self) -> bool:
        """A step would do something."""
        return bool(self._live or self._waiting or self._entering)

    @property
    def waiting(self) -> int:
        """Completions that have no slot yet."""
        return sum(len(block.indices) for block in self._waiting)

    @torch.inference_mode()
    def release(self) -> None:
        """Give back all memory for keys, values and prompts. Raises ModelError while completions run: end or cancel them first."""
        if self.busy:
            raise ModelError("the decode session still has completions to do: its memory cannot be given back now")
        self._waves.clear()
        self._slots.keep(torch.empty(0, dtype=torch.long))
        self._rotary = Rotary(self._weights, 256)

    @property
    def held_bytes(self) -> int:
        """Memory of keys and values now."""
        return sum(wave.held_bytes for wave in self._waves)

    # The step.

    @torch.inference_mode()
    def step(self) -> StepReport:
        """Drop rows, go on with a prefill, admit what is ready, and one token for every row."""
        report = StepReport()
        if self._entering is None and self._admits():
            self._enter()
        self._tidy()
        if self._entering is not None:
            prefill, blocks = self._entering
            while not prefill.done:
                prefill.advance()
                if self._live:
                    break
            if prefill.done:
                self._entering = None
                self._seat(prefill, blocks, report)
                return report
        if self._waves:
            logits, tapped = decode_step(
                self._weights,
                self._rotary,
                self._waves,
                self._slots.last_ids_B,
                self._slots.positions_B,
                self._taps,
                self._modulation(),
            )
            self._read_closes(tapped, report)
            self._collect(self._slots.advance(logits), 0, report)
        return report

    def _modulation(self) -> Modulate | None:
        modulator, slots = self.modulator, self._slots
        if modulator is None or not slots.occupants:
            return None
        conditions = [one.condition_C for one in slots.occupants]
        condition_BC = torch.stack([one for one in conditions if one is not None])
        thinking_B = slots.thinking_B
        return lambda layer, x_BH: modulator.apply_layer(layer, x_BH, thinking_B, condition_BC)

    @property
    def _live(self) -> int:
        return sum(wave.rows - wave.ended for wave in self._waves)

    def _admits(self) -> bool:
        free = self._capacity - self._live
        if not self._waiting or not self._fits(self._waiting[0], free, self._held()) or (self._live and free < self._refill):
            return False
        if len(self._waiting) < FEW_SHARE * self._live and self._waited < self._patience:
            self._waited += 1
            return False
        self._waited = 0
        return True

    def _fits(self, block: _Block, free: int, held: int) -> bool:
        return len(block.indices) <= free and (self._kv_tokens is None or held + block.tokens <= self._kv_tokens)

    def _held(self) -> int:
        """KV that running completions may come to need."""
        alive = self._slots.alive_B.tolist() if self._kv_tokens is not None else []
        requests = [one.request for one, lives in zip(self._slots.occupants, alive, strict=False) if lives]
        return sum(len(request.prompt_ids) + request.params.max_tokens for request in requests)

    def _enter(self) -> None:
        """As many waiting blocks as fit begin their prefill together."""
        free, held, blocks = self._capacity - self._live, self._held(), []
        while self._waiting and self._fits(self._waiting[0], free, held):
            blocks.append(self._waiting.popleft())
            free, held = free - len(blocks[-1].indices), held + blocks[-1].tokens
        positions = max(len(block.request.prompt_ids) + block.request.params.max_tokens for block in blocks)
        if self._rotary.positions < positions:
            self._rotary = Rotary(self._weights, positions)
        prompts = [block.request.prompt_ids for block in blocks]
        self._entering = Prefill(self._weights, self._rotary, prompts, piece_tokens=self._piece_tokens), blocks

    def _seat(self, prefill: Prefill, blocks: list[_Block], report: StepReport) -> None:
        """Run the prompts' last tokens, and give every completion of theirs its first."""
        wave, device = Wave(self._weights, prefill.cache), self._weights.norm.device
        last_ids = torch.tensor([block.request.prompt_ids[-1] for block in blocks], device=device)
        positions = torch.tensor([len(block.request.prompt_ids) - 1 for block in blocks], device=device)
        logits, tapped = decode_step(self._weights, self._rotary, [wave], last_ids, positions, self._taps)
        states_NLH = torch.stack(tapped, 1).float().cpu().numpy() if tapped else None
        think_limits = self._decide(blocks, states_NLH, report)
        sources = [number for number, block in enumerate(blocks) for _ in block.indices]
        if not sources:
            return
        first = len(self._slots.occupants)
        sources_R = torch.tensor(sources, device=device)
        wave.rebuild(sources_R)
        self._waves.append(wave)
        conditions: Sequence[Tensor | None] = [None] * len(blocks)
        if self.modulator is not None and states_NLH is not None:
            conditions = self.modulator.conditions(states_NLH)
        occupants = [
            Occupant(ticket=block.ticket, index=index, request=block.request, condition_C=condition)
            for block, condition in zip(blocks, conditions, strict=True)
            for index in block.indices
        ]
        self._slots.seat(occupants, [think_limits[source] for source in sources])
        self._collect(self._slots.advance(logits[sources_R], first), first, report)
        while len(self._waves) > MAX_WAVES:
            self._join_neighbours()

    def _decide(self, blocks: list[_Block], states_NLH: NDArray[np.float32] | None, report: StepReport) -> list[int | None]:
        """The wall of each block; a request in several blocks is asked about once."""
        new = [number for number, block in enumerate(blocks) if block.indices.start == 0 and block.ticket]
        said: Sequence[int | None] = [None] * len(new)
        if self._on_prompts is not None and states_NLH is not None and new:
            said = self._on_prompts([blocks[number].ticket for number in new], states_NLH[new])
        for number, think_limit in zip(new, said, strict=True):
            self._think_limits[blocks[number].ticket] = think_limit
            report.prompts.append((blocks[number].ticket, None if states_NLH is None else states_NLH[number]))
        think_limits = [self._think_limits.get(block.ticket) for block in blocks]
        return [
            block.request.params.think_limit if think_limit is None else think_limit
            for block, think_limit in zip(blocks, think_limits, strict=True)
        ]

    def _read_closes(self, tapped: list[Tensor], report: StepReport) -> None:
        """Keep the states of rows whose last token was `</think>`: it has just been read."""
        if not tapped:
            return
        for row in (self._slots.last_ids_B == self._close_id).nonzero()[:, 0].tolist():
            one = self._slots.occupants[row]
            if one.close_states_LH is None and bool(self._slots.alive_B[row]):
                one.close_states_LH = torch.stack([states_BH[row] for states_BH in tapped]).float().cpu().numpy()
                if one.ticket in self._followed:
                    report.closed.append((one.ticket, one.index, one.close_states_LH))

    def _collect(self, ended_B: Tensor, first: int, report: StepReport) -> None:
        """Tokens of followed completions, and what ended."""
        ended = [first + row for row in ended_B.nonzero()[:, 0].tolist()]
        if self._followed:
            said_B = (self._slots.alive_B[first:] | ended_B).tolist()
            rows = [first + row for row, said in enumerate(said_B) if said and self._follows(first + row)]
            for row, (number, logprob, forced) in zip(rows, self._slots.newest(rows), strict=True):
                one = self._slots.occupants[row]
                report.tokens.append(Token(ticket=one.ticket, index=one.index, id=number, logprob=logprob, forced=forced))
        report.ended += [self._finish(row) for row in ended]

    def _follows(self, row: int) -> bool:
        return self._slots.occupants[row].ticket in self._followed

    def _finish(self, row: int) -> Ended:
        one, completion = self._slots.occupants[row], self._slots.completion(row)
        self._count_ended(row)
        return self._ended(one.ticket, one.index, completion)

    def _ended(self, ticket: int, index: int, completion: Completion) -> Ended:
        self._open[ticket] -= 1
        if not self._open[ticket]:
            del self._open[ticket]
            self._followed.discard(ticket)
            self._think_limits.pop(ticket, None)
        return Ended(ticket=ticket, index=index, completion=completion)

    def _count_ended(self, row: int) -> None:
        for wave in self._waves:
            if row < wave.rows:
                wave.ended += 1
                break
            row -= wave.rows

    # Waves.

    def _tidy(self) -> None:
        """Drop ended rows where there are many, or where room is needed, and make room in waves that are full."""
        kept, start = [], 0
        alive = self._slots.alive_B
        dropped = False
        for wave in self._waves:
            rows = torch.arange(start, start + wave.rows, device=alive.device)
            start += wave.rows
            if wave.ended and (self._entering is not None or wave.full or wave.ended >= DROP_SHARE * wave.rows):
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

    def _join_neighbours(self) -> None:
        """Make one of the two neighbours that lose least by it: what is padded on the left is computed for nothing."""
        pairs = range(len(self._waves) - 1)
        chosen = min(pairs, key=lambda at: abs(self._waves[at].columns - self._waves[at + 1].columns))
        self._waves[chosen].absorb(self._waves.pop(chosen + 1))

    def _check(self, request: RolloutRequest) -> None:
        params, limit = request.params, self._policy.module.config.max_position_embeddings
        length = len(request.prompt_ids) + params.max_tokens
        if not request.prompt_ids or params.max_tokens < 1 or request.group_size < 1:
            raise ModelError("a rollout request needs a prompt, at least one token to sample and at least one completion")
        ids = len(self._weights.embedding_VH)
        if min(request.prompt_ids) < 0 or max(request.prompt_ids) >= ids:
            raise ModelError(f"the prompt holds ids that the model does not have: it has {ids} ids, from 0 on")
        if length > limit:
            fits = "lower max_tokens, or the length of prompts" if len(request.prompt_ids) < limit else "shorten the prompt"
            raise ModelError(
                f"a prompt of {len(request.prompt_ids)} tokens and {params.max_tokens} more exceed the model's {limit} positions: {fits}"
            )
        if self._kv_tokens is not None and length > self._kv_tokens:
            raise ModelError(
                f"a completion of up to {length} tokens exceeds the {self._kv_tokens} tokens that there is memory for: lower max_tokens"
            )


def _nothing() -> Completion:
    return Completion(
        ids_T=np.empty(0, dtype=np.int64),
        logprobs_T=np.empty(0, dtype=np.float32),
        forced_T=np.empty(0, dtype=np.bool_),
        stop_cause=StopCause.CANCELLED,
        think_tokens=0,
        forced_close=False,
    )
