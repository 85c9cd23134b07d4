"""Decode session with continuous batching: every step gives each running completion one token, and requests come and go.

A prompt is prefilled once, in pieces between which other rows continue. Its last token runs in a step of its own, which gives the logits
of the first token of every completion of the group, and the tapped states that a forecast is made from. Rows that end are dropped, and
waiting requests take their place (`scheduling`). Axes: `_N` admitted prompts, `_L` tapped layers, `_H` hidden, `_B` rows.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tina_azr.errors import ModelError
from tina_azr.model.fused import fuse
from tina_azr.model.loading import Policy
from tina_azr.rollout.kv_batch import KVBatch, KVBatches
from tina_azr.rollout.prefill import Prefill
from tina_azr.rollout.scheduling import Block, Scheduler, check_request, tokens_of
from tina_azr.rollout.slots import SlotRow, Slots
from tina_azr.rollout.step import Modulate, ReasoningModulator, Rotary, decode_step
from tina_azr.rollout.types import Completion, FinishedCompletion, PromptHook, RolloutRequest, StepReport, StopCause, Token

PIECE_TOKENS = 8_192
"""Most padded prompt tokens in one forward."""


class DecodeSession:
    """Running completions of one policy. Not thread-safe."""

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
        """Open a session without requests.

        `on_prompts` gets tickets, which count up from `tickets_after`, so a session that replaces another can continue its numbers.
        `refill_share`: share of the slots that must be free before waiting prompts are admitted next to running ones. A few large
        prefills are cheaper, many small ones have less latency. `patience`: steps that a small batch of new prompts may wait so that
        later prompts can share its prefill. `kv_tokens`: most tokens, over all rows, in the KV cache at once; None: no bound.
        """
        self._policy = policy
        self._weights = fuse(policy.module)
        self._rotary = Rotary(self._weights, 256)
        self._taps = tuple(taps)
        self._on_prompts = on_prompts
        self._scheduler = Scheduler(
            slots, refill_share=refill_share, patience=patience, kv_tokens=kv_tokens, tickets_after=tickets_after
        )
        self._piece_tokens = piece_tokens
        self._kv_tokens = kv_tokens
        self.modulator = modulator
        """Modulator of the residual stream of rows that are reasoning."""
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
        self._batches = KVBatches()
        self._entering: tuple[Prefill, list[Block]] | None = None
        self._open: dict[int, int] = {}
        """Number of completions of each request that have not ended."""
        self._followed: set[int] = set()
        self._think_limits: dict[int, int | None] = {}
        """Think limit of each request, as the hook decided."""

    # Requests.

    def submit(self, request: RolloutRequest, *, follow: bool = False) -> int:
        """Queue a request, and return its ticket. With `follow`, each step reports its new tokens.

        Raises ModelError for a request that can never be decoded.
        """
        check_request(
            request,
            positions=self._policy.module.config.max_position_embeddings,
            vocabulary=len(self._weights.embedding_VH),
            kv_tokens=self._kv_tokens,
        )
        ticket = self._scheduler.submit(request)
        self._open[ticket] = request.group_size
        if follow:
            self._followed.add(ticket)
        return ticket

    @property
    def newest_ticket(self) -> int:
        """Ticket of the last request; they count up from `tickets_after`."""
        return self._scheduler.newest_ticket

    @torch.inference_mode()
    def cancel(self, ticket: int, index: int | None = None) -> list[FinishedCompletion]:
        """End a request, or one running completion of it, now. Unknown and ended tickets are ignored.

        Returns the completions as they are; those that never began are empty.
        """
        ended = []
        for row in self._slots.rows_of(ticket):
            if index is None or self._slots.rows[row].index == index:
                self._slots.end(row)
                ended.append(self._finish(row))
        if index is not None:
            return ended
        unstarted = self._scheduler.remove(ticket)
        entering = self._entering[1] if self._entering else []
        for number, block in enumerate(entering):
            if block.ticket == ticket:
                unstarted += block.indices
                entering[number] = Block(ticket=0, request=block.request, indices=range(0), tokens=0)
        return ended + [self._ended(ticket, index, _nothing()) for index in unstarted]

    @torch.inference_mode()
    def close_reasoning(self, ticket: int) -> bool:
        """Force the close of a request's reasoning from the next token on. Returns False if none of its completions is thinking."""
        return self._slots.close_reasoning(self._slots.rows_of(ticket))

    @property
    def busy(self) -> bool:
        """Whether a step has work to do."""
        return bool(self._running or self._scheduler.waiting or self._entering)

    @property
    def waiting(self) -> int:
        """Number of completions that have no slot yet."""
        return self._scheduler.waiting

    @torch.inference_mode()
    def release(self) -> None:
        """Free all memory for keys, values and prompts. Raises ModelError while completions run: end or cancel them first."""
        if self.busy:
            raise ModelError("the decode session still has completions, so its memory cannot be freed: finish or cancel them first")
        self._batches = KVBatches()
        self._slots.keep(torch.empty(0, dtype=torch.long))
        self._rotary = Rotary(self._weights, 256)

    @property
    def held_bytes(self) -> int:
        """Size of the KV cache in bytes."""
        return self._batches.held_bytes

    # The step.

    @torch.inference_mode()
    def step(self) -> StepReport:
        """Drop ended rows, continue a prefill, admit its rows when it is done, and decode one token for every row."""
        report = StepReport()
        if self._entering is None:
            self._begin_prefill()
        kept = self._batches.compact(self._slots.alive_B, all_ended=self._entering is not None)
        if kept is not None:
            self._slots.keep(kept)
        if self._entering is not None:
            prefill, blocks = self._entering
            while not prefill.done:
                prefill.advance()
                if self._running:
                    break
            if prefill.done:
                self._entering = None
                self._admit(prefill, blocks, report)
                return report
        if self._batches.all:
            logits, tapped = decode_step(
                self._weights,
                self._rotary,
                self._batches.all,
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
        if modulator is None or not slots.rows:
            return None
        conditions = [one.condition_C for one in slots.rows]
        condition_BC = torch.stack([one for one in conditions if one is not None])
        thinking_B = slots.thinking_B
        return lambda layer, x_BH: modulator.apply_layer(layer, x_BH, thinking_B, condition_BC)

    @property
    def _running(self) -> int:
        return self._batches.running

    def _begin_prefill(self) -> None:
        """Start the prefill of the waiting blocks that the scheduler admits, all of them together."""
        alive = self._slots.alive_B.tolist() if self._kv_tokens is not None else []
        requests = [one.request for one, lives in zip(self._slots.rows, alive, strict=False) if lives]
        blocks = self._scheduler.admit(self._running, requests)
        if not blocks:
            return
        positions = max(tokens_of(block.request) for block in blocks)
        if self._rotary.positions < positions:
            self._rotary = Rotary(self._weights, positions)
        prompts = [block.request.prompt_ids for block in blocks]
        self._entering = Prefill(self._weights, self._rotary, prompts, piece_tokens=self._piece_tokens), blocks

    def _admit(self, prefill: Prefill, blocks: list[Block], report: StepReport) -> None:
        """Run the last tokens of the prompts, and sample the first token of each of their completions."""
        batch, device = KVBatch(self._weights, prefill.cache), self._weights.norm.device
        last_ids = torch.tensor([block.request.prompt_ids[-1] for block in blocks], device=device)
        positions = torch.tensor([len(block.request.prompt_ids) - 1 for block in blocks], device=device)
        logits, tapped = decode_step(self._weights, self._rotary, [batch], last_ids, positions, self._taps)
        states_NLH = torch.stack(tapped, 1).float().cpu().numpy() if tapped else None
        think_limits = self._decide(blocks, states_NLH, report)
        sources = [number for number, block in enumerate(blocks) for _ in block.indices]
        if not sources:
            return
        first = len(self._slots.rows)
        sources_R = torch.tensor(sources, device=device)
        batch.rebuild(sources_R)
        self._batches.add(batch)
        conditions: Sequence[Tensor | None] = [None] * len(blocks)
        if self.modulator is not None and states_NLH is not None:
            conditions = self.modulator.conditions(states_NLH)
        rows = [
            SlotRow(ticket=block.ticket, index=index, request=block.request, condition_C=condition)
            for block, condition in zip(blocks, conditions, strict=True)
            for index in block.indices
        ]
        self._slots.admit(rows, [think_limits[source] for source in sources])
        self._collect(self._slots.advance(logits[sources_R], first), first, report)
        self._batches.merge_neighbours()

    def _decide(self, blocks: list[Block], states_NLH: NDArray[np.float32] | None, report: StepReport) -> list[int | None]:
        """Return the think limit of each block. The hook is called once for a request in several blocks."""
        new = [number for number, block in enumerate(blocks) if block.indices.start == 0 and block.ticket]
        limits: Sequence[int | None] = [None] * len(new)
        if self._on_prompts is not None and states_NLH is not None and new:
            limits = self._on_prompts([blocks[number].ticket for number in new], states_NLH[new])
        for number, think_limit in zip(new, limits, strict=True):
            self._think_limits[blocks[number].ticket] = think_limit
            report.prompts.append((blocks[number].ticket, None if states_NLH is None else states_NLH[number]))
        think_limits = [self._think_limits.get(block.ticket) for block in blocks]
        return [
            block.request.params.think_limit if think_limit is None else think_limit
            for block, think_limit in zip(blocks, think_limits, strict=True)
        ]

    def _read_closes(self, tapped: list[Tensor], report: StepReport) -> None:
        """Store the states of rows whose last token was `</think>`: this step has just read it."""
        if not tapped:
            return
        for row in (self._slots.last_ids_B == self._close_id).nonzero()[:, 0].tolist():
            one = self._slots.rows[row]
            if one.close_states_LH is None and bool(self._slots.alive_B[row]):
                one.close_states_LH = torch.stack([states_BH[row] for states_BH in tapped]).float().cpu().numpy()
                if one.ticket in self._followed:
                    report.closed.append((one.ticket, one.index, one.close_states_LH))

    def _collect(self, ended_B: Tensor, first: int, report: StepReport) -> None:
        """Report the tokens of followed completions, and the completions that ended."""
        ended = [first + row for row in ended_B.nonzero()[:, 0].tolist()]
        if self._followed:
            advanced_B = (self._slots.alive_B[first:] | ended_B).tolist()
            rows = [first + row for row, advanced in enumerate(advanced_B) if advanced and self._follows(first + row)]
            for row, (number, logprob, forced) in zip(rows, self._slots.newest(rows), strict=True):
                one = self._slots.rows[row]
                report.tokens.append(Token(ticket=one.ticket, index=one.index, id=number, logprob=logprob, forced=forced))
        report.ended += [self._finish(row) for row in ended]

    def _follows(self, row: int) -> bool:
        return self._slots.rows[row].ticket in self._followed

    def _finish(self, row: int) -> FinishedCompletion:
        one, completion = self._slots.rows[row], self._slots.completion(row)
        self._batches.count_ended(row)
        return self._ended(one.ticket, one.index, completion)

    def _ended(self, ticket: int, index: int, completion: Completion) -> FinishedCompletion:
        self._open[ticket] -= 1
        if not self._open[ticket]:
            del self._open[ticket]
            self._followed.discard(ticket)
            self._think_limits.pop(ticket, None)
        return FinishedCompletion(ticket=ticket, index=index, completion=completion)


def _nothing() -> Completion:
    return Completion(
        ids_T=np.empty(0, dtype=np.int64),
        logprobs_T=np.empty(0, dtype=np.float32),
        forced_T=np.empty(0, dtype=np.bool_),
        stop_cause=StopCause.CANCELLED,
        think_tokens=0,
        forced_close=False,
    )
