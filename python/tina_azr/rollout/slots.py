"""Per-row decode state, and its state machine: thinking, forced close, answering, stopped. Axes: `_B` rows in use, `_V` vocabulary.

The rows in use are the first ones. A row whose completion has ended stays in the batch until `keep` drops it: dropping rows one by one
would cost more than computing a few of them for nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tina_azr.errors import ModelError
from tina_azr.rollout.sampling import NO_CUT, SamplingRows, sample, uniforms
from tina_azr.rollout.slot_state import NO_ID, NO_THINK_LIMIT, NOT_FORCING, RowState
from tina_azr.rollout.types import Completion, RolloutRequest, StopCause
from tina_azr.text.tags import reasoning_length


@dataclass(slots=True, kw_only=True)
class SlotRow:
    """Completion that a row belongs to."""

    ticket: int
    """Of its request."""
    index: int
    """Position in its group."""
    request: RolloutRequest
    close_states_LH: NDArray[np.float32] | None = None
    condition_C: Tensor | None = None
    """Condition of the modulator; None without one."""


class Slots:
    """All rows of a decode session."""

    def __init__(
        self,
        slots: int,
        vocabulary: int,
        *,
        stop_ids: tuple[int, ...],
        open_id: int,
        close_id: int,
        closing_ids: tuple[int, ...],
        device: torch.device,
    ) -> None:
        self.rows: list[SlotRow] = []
        """One for each row in use."""
        self._state = RowState.allocate(slots, 0, 0, device)
        self._close_id = close_id
        self._tag_ids = torch.tensor([open_id, close_id], device=device)
        self._closing_ids = torch.tensor(closing_ids, device=device)
        self._stops_V = torch.zeros(vocabulary, dtype=torch.bool, device=device)
        self._stops_V[list(stop_ids)] = True
        self._refresh()

    @property
    def last_ids_B(self) -> Tensor:
        return self._state.last_ids_S[: len(self.rows)]

    @property
    def positions_B(self) -> Tensor:
        return self._state.positions_S[: len(self.rows)]

    @property
    def thinking_B(self) -> Tensor:
        return self._state.thinking_S[: len(self.rows)]

    @property
    def alive_B(self) -> Tensor:
        return self._state.alive_S[: len(self.rows)]

    def admit(self, new: Sequence[SlotRow], think_limits: Sequence[int | None]) -> None:
        """Put completions and their think limits into the next free rows; `advance` then gives them their first token."""
        params = [one.request.params for one in new]
        tokens, stop_ids = max(one.max_tokens for one in params), max(len(one.stop_ids) for one in params)
        if tokens > self._state.tokens or stop_ids > self._state.stop_ids:
            self._state = self._state.widened(tokens, stop_ids)
        state, rows = self._state, slice(len(self.rows), len(self.rows) + len(new))
        uniform_SM = np.zeros((len(new), state.tokens + 1), dtype=np.float32)
        for row, one in enumerate(new):
            limit = one.request.params.max_tokens
            uniform_SM[row, :limit] = uniforms(one.request.seed, one.index, limit)
        state.uniform_SM[rows] = torch.from_numpy(uniform_SM).to(state.uniform_SM.device)
        for tensor, values in (
            # The end of the prompt: `advance` moves on to where the first sampled token will stand.
            (state.positions_S, [len(one.request.prompt_ids) - 1 for one in new]),
            (state.limits_S, [one.max_tokens for one in params]),
            (state.think_limits_S, [NO_THINK_LIMIT if think_limit is None else think_limit for think_limit in think_limits]),
            (state.min_think_S, [one.min_think for one in params]),
            (state.tagless_S, [one.tagless_answer for one in params]),
            (state.stop_ids_SE, [[*one.stop_ids, *[NO_ID] * (state.stop_ids - len(one.stop_ids))] for one in params]),
            (state.temperature_S, [one.temperature or 1.0 for one in params]),
            (state.greedy_S, [one.temperature == 0.0 for one in params]),
            (state.top_p_S, [one.top_p if one.top_p < 1.0 else NO_CUT for one in params]),
            (state.top_k_S, [one.top_k for one in params]),
            (state.min_p_S, [one.min_p for one in params]),
        ):
            tensor[rows] = torch.tensor(values, dtype=tensor.dtype, device=tensor.device)
        state.alive_S[rows] = True
        state.thinking_S[rows] = True
        state.lengths_S[rows] = 0
        state.forced_SM[rows] = False
        state.forcing_S[rows] = NOT_FORCING
        self.rows += new
        self._refresh()

    def keep(self, rows: Tensor) -> None:
        """Drop all rows except these (ascending)."""
        self._state.keep(rows)
        self.rows = [self.rows[row] for row in rows.tolist()]
        self._refresh()

    def rows_of(self, ticket: int) -> list[int]:
        """Return the rows of a request that have not ended."""
        alive = self.alive_B.tolist()
        return [row for row, one in enumerate(self.rows) if one.ticket == ticket and alive[row]]

    def close_reasoning(self, rows: Sequence[int]) -> bool:
        """Force the closing ids from the next token on. Returns False if none of these rows is thinking."""
        state, thinking = self._state, False
        for row in rows:
            if bool(state.thinking_S[row]) and int(state.forcing_S[row]) == NOT_FORCING:
                state.think_limits_S[row] = min(int(state.think_limits_S[row]), int(state.lengths_S[row]))
                self._think_limits = thinking = True
        return thinking

    def end(self, row: int) -> None:
        """End a completion before it stops by itself."""
        self._state.alive_S[row] = False

    def _refresh(self) -> None:
        """Recompute the flags that let `advance` skip unused sampling features."""
        state, count = self._state, len(self.rows)
        params = {one.request.params for one in self.rows}
        self._think_limits = bool((state.think_limits_S[:count] < NO_THINK_LIMIT).any())
        self._held_open = any(one.min_think > 0 for one in params)
        self._tagless = any(one.tagless_answer for one in params)
        self._further_stops = any(one.stop_ids for one in params)
        self._tempered = any(one.temperature not in (0.0, 1.0) for one in params)
        self._any_greedy = any(one.temperature == 0.0 for one in params)
        self._any_drawn = any(one.temperature > 0.0 for one in params)
        self._cuts = any(one.top_p < 1.0 or one.top_k > 0 or one.min_p > 0.0 for one in params)

    def _parameters(self, rows: slice) -> SamplingRows:
        state = self._state
        return SamplingRows(
            temperature_B=state.temperature_S[rows],
            greedy_B=state.greedy_S[rows],
            top_p_B=state.top_p_S[rows],
            top_k_B=state.top_k_S[rows],
            min_p_B=state.min_p_S[rows],
            tempered=self._tempered,
            any_greedy=self._any_greedy,
            any_drawn=self._any_drawn,
            cuts=self._cuts,
        )

    def advance(self, logits_BV: Tensor, first: int = 0) -> Tensor:
        """Sample and store one token for every row from `first` on. Returns a mask of the rows that ended with it."""
        state, rows = self._state, slice(first, len(self.rows))
        alive, lengths, positions = state.alive_S[rows], state.lengths_S[rows], state.positions_S[rows]
        column = lengths[:, None]
        if self._held_open:
            early_B = state.thinking_S[rows] & (lengths < state.min_think_S[rows])
            logits_BV[:, self._close_id] = logits_BV[:, self._close_id].masked_fill(early_B, -torch.inf)
        if self._tagless:
            answering_B = state.tagless_S[rows] & ~state.thinking_S[rows]
            logits_BV[:, self._tag_ids] = logits_BV[:, self._tag_ids].masked_fill(answering_B[:, None], -torch.inf)
        ids, logprobs = sample(logits_BV, self._parameters(rows), state.uniform_SM[rows].gather(1, column)[:, 0])
        forced = None
        if self._think_limits:
            ids, forced = self._force(ids, lengths, rows)
            logprobs = logprobs.masked_fill_(forced, 0.0)
            state.forced_SM[rows].scatter_(1, column, forced[:, None])
        state.thinking_S[rows] &= ids != self._close_id
        stopped = self._stops_V[ids]
        if self._further_stops:
            stopped |= (ids[:, None] == state.stop_ids_SE[rows]).any(-1)
        if forced is not None:
            stopped &= ~forced
        state.ids_SM[rows].scatter_(1, column, ids[:, None])
        state.logprobs_SM[rows].scatter_(1, column, logprobs[:, None])
        lengths += alive
        positions += alive
        state.last_ids_S[rows] = ids
        ended = stopped.logical_or_(lengths >= state.limits_S[rows]).logical_and_(alive)
        alive ^= ended
        return ended

    def _force(self, ids: Tensor, lengths: Tensor, rows: slice) -> tuple[Tensor, Tensor]:
        """Return the ids, with closing ids in rows past their think limit, and a mask of these rows."""
        thinking, forcing = self._state.thinking_S[rows], self._state.forcing_S[rows]
        starts = (forcing == NOT_FORCING) & thinking & (lengths >= self._state.think_limits_S[rows])
        forcing.masked_fill_(starts, 0)
        forced = forcing != NOT_FORCING
        ids = torch.where(forced, self._closing_ids[forcing.clamp(min=0)], ids)
        forcing += forced
        forcing.masked_fill_(forcing == len(self._closing_ids), NOT_FORCING)
        return ids, forced

    def newest(self, rows: Sequence[int]) -> list[tuple[int, float, bool]]:
        """Return id, log-probability and forced flag of each row's last token. One read for all: a read waits for the device."""
        state = self._state
        rows_R = torch.tensor(rows, dtype=torch.long, device=state.lengths_S.device)
        at_R = state.lengths_S[rows_R] - 1
        read = (tensor[rows_R, at_R].tolist() for tensor in (state.ids_SM, state.logprobs_SM, state.forced_SM))
        return list(zip(*read, strict=True))

    def completion(self, row: int) -> Completion:
        """Return the completion of a row that ended. Raises ModelError if its log-probabilities are not finite."""
        state, one = self._state, self.rows[row]
        length = int(state.lengths_S[row])
        ids_T = state.ids_SM[row, :length].cpu().numpy().copy()
        logprobs_T = state.logprobs_SM[row, :length].cpu().numpy().copy()
        forced_T = state.forced_SM[row, :length].cpu().numpy().copy()
        if not np.isfinite(logprobs_T).all():
            raise ModelError(
                "the model's logits are not finite numbers: its weights are damaged, or training has diverged. Go back to an earlier "
                "checkpoint with a lower learning rate."
            )
        return Completion(
            ids_T=ids_T,
            logprobs_T=logprobs_T,
            forced_T=forced_T,
            stop_cause=self._stop_cause(one, ids_T, forced_T),
            think_tokens=reasoning_length(ids_T, self._close_id),
            forced_close=bool(forced_T.any()),
            close_states_LH=one.close_states_LH,
        )

    def _stop_cause(self, one: SlotRow, ids_T: NDArray[np.int64], forced_T: NDArray[np.bool_]) -> StopCause:
        last = int(ids_T[-1]) if len(ids_T) else NO_ID
        if last != NO_ID and not forced_T[-1] and (bool(self._stops_V[last]) or last in one.request.params.stop_ids):
            return StopCause.STOP_ID
        return StopCause.LENGTH if len(ids_T) == one.request.params.max_tokens else StopCause.CANCELLED
