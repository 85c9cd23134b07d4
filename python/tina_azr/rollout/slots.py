"""The state of every slot, as tensors of one row a slot. Axes: `_S` slots, `_M` completion tokens, `_B` rows in use, `_V` vocabulary.

Rows in use are the first ones. A row whose completion has ended stays, computed for nothing, until `keep` drops it: dropping rows one
by one would cost more than carrying a few for a while.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from tina_azr.errors import ModelError
from tina_azr.rollout.sampling import NO_CUT, SamplingRows, sample, uniforms
from tina_azr.rollout.types import Completion, RolloutRequest, SamplingParams, StopCause

NO_WALL = 1 << 30
NOT_FORCING = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Occupant:
    """Which completion sits in a slot."""

    request: int
    """Index in the call's requests."""
    index: int
    """Which of its group."""
    params: SamplingParams


@dataclass(frozen=True, slots=True, kw_only=True)
class RowState:
    """What changes with every token, and what each row was asked for."""

    last_ids_S: Tensor
    positions_S: Tensor
    """Where `last_ids_S` stands in its sequence."""
    alive_S: Tensor
    lengths_S: Tensor
    """Completion tokens so far."""
    ids_SM: Tensor
    """One column more than there are tokens: an ended row goes on writing behind its last."""
    logprobs_SM: Tensor
    forced_SM: Tensor
    uniform_SM: Tensor
    limits_S: Tensor
    thinking_S: Tensor
    walls_S: Tensor
    forcing_S: Tensor
    """Index of the closing id that comes next; `NOT_FORCING` outside."""
    temperature_S: Tensor
    greedy_S: Tensor
    top_p_S: Tensor
    top_k_S: Tensor

    @classmethod
    def allocate(cls, slots: int, tokens: int, device: torch.device) -> "RowState":
        """Nothing in it means anything before a row is seated."""

        def rows(dtype: torch.dtype, *columns: int) -> Tensor:
            return torch.zeros(slots, *columns, dtype=dtype, device=device)

        return cls(
            last_ids_S=rows(torch.long),
            positions_S=rows(torch.long),
            alive_S=rows(torch.bool),
            lengths_S=rows(torch.long),
            ids_SM=rows(torch.long, tokens + 1),
            logprobs_SM=rows(torch.float32, tokens + 1),
            forced_SM=rows(torch.bool, tokens + 1),
            uniform_SM=rows(torch.float32, tokens + 1),
            limits_S=rows(torch.long),
            thinking_S=rows(torch.bool),
            walls_S=rows(torch.long),
            forcing_S=rows(torch.long),
            temperature_S=rows(torch.float32),
            greedy_S=rows(torch.bool),
            top_p_S=rows(torch.float32),
            top_k_S=rows(torch.long),
        )

    def tensors(self) -> list[Tensor]:
        return [getattr(self, field.name) for field in fields(self)]


class Slots:
    """All rows of a decode loop, and the state machine think -> wall -> closing ids -> answer -> stop."""

    def __init__(
        self,
        slots: int,
        tokens: int,
        vocabulary: int,
        *,
        stop_ids: tuple[int, ...],
        close_id: int,
        closing_ids: tuple[int, ...],
        device: torch.device,
    ) -> None:
        self.occupants: list[Occupant] = []
        """One for each row in use."""
        self._state = RowState.allocate(slots, tokens, device)
        self._stop_ids = np.array(stop_ids)
        self._close_id = close_id
        self._closing_ids = torch.tensor(closing_ids, device=device)
        self._stops_V = torch.zeros(vocabulary, dtype=torch.bool, device=device)
        self._stops_V[list(stop_ids)] = True
        self._walls = False
        self._parameters = self._sampling_rows()

    @property
    def last_ids_B(self) -> Tensor:
        return self._state.last_ids_S[: len(self.occupants)]

    @property
    def positions_B(self) -> Tensor:
        return self._state.positions_S[: len(self.occupants)]

    @property
    def alive_B(self) -> Tensor:
        return self._state.alive_S[: len(self.occupants)]

    def seat(self, occupants: Sequence[Occupant], requests: Sequence[RolloutRequest]) -> None:
        """Put completions into the next free rows; the next step runs the last token of their prompts."""
        rows = slice(len(self.occupants), len(self.occupants) + len(occupants))
        asked, params = [requests[one.request] for one in occupants], [one.params for one in occupants]
        state = self._state
        uniform_SM = np.zeros((len(occupants), state.uniform_SM.shape[1]), dtype=np.float32)
        for row, (one, request) in enumerate(zip(occupants, asked, strict=True)):
            uniform_SM[row, : one.params.max_tokens] = uniforms(request.seed, one.index, one.params.max_tokens)
        state.uniform_SM[rows] = torch.from_numpy(uniform_SM).to(state.uniform_SM.device)
        for tensor, values in (
            (state.last_ids_S, [request.prompt_ids[-1] for request in asked]),
            (state.positions_S, [len(request.prompt_ids) - 1 for request in asked]),
            (state.limits_S, [one.max_tokens for one in params]),
            (state.walls_S, [NO_WALL if one.think_wall is None else one.think_wall for one in params]),
            (state.temperature_S, [one.temperature or 1.0 for one in params]),
            (state.greedy_S, [one.temperature == 0.0 for one in params]),
            (state.top_p_S, [one.top_p if one.top_p < 1.0 else NO_CUT for one in params]),
            (state.top_k_S, [one.top_k for one in params]),
        ):
            tensor[rows] = torch.tensor(values, dtype=tensor.dtype, device=tensor.device)
        state.alive_S[rows] = True
        state.thinking_S[rows] = True
        state.lengths_S[rows] = 0
        state.forced_SM[rows] = False
        state.forcing_S[rows] = NOT_FORCING
        self.occupants += occupants
        self._parameters = self._sampling_rows()

    def keep(self, rows: Tensor) -> None:
        """Drop all rows but these (ascending)."""
        for tensor in self._state.tensors():
            tensor[: len(rows)] = tensor[rows]
        self.occupants = [self.occupants[row] for row in rows.tolist()]
        self._parameters = self._sampling_rows()

    def _sampling_rows(self) -> SamplingRows:
        state, count = self._state, len(self.occupants)
        params = {one.params for one in self.occupants}
        self._walls = any(one.think_wall is not None for one in params)
        return SamplingRows(
            temperature_B=state.temperature_S[:count],
            greedy_B=state.greedy_S[:count],
            top_p_B=state.top_p_S[:count],
            top_k_B=state.top_k_S[:count],
            tempered=any(one.temperature not in (0.0, 1.0) for one in params),
            any_greedy=any(one.temperature == 0.0 for one in params),
            any_drawn=any(one.temperature > 0.0 for one in params),
            cuts=any(one.top_p < 1.0 or one.top_k > 0 for one in params),
        )

    def advance(self, logits_BV: Tensor) -> list[int]:
        """Sample one token for every row and write it down. Returns the rows that ended with it."""
        state, count = self._state, len(self.occupants)
        alive, lengths, positions = self.alive_B, state.lengths_S[:count], self.positions_B
        column = lengths[:, None]
        ids, logprobs = sample(logits_BV, self._parameters, state.uniform_SM[:count].gather(1, column)[:, 0])
        stopped = self._stops_V[ids]
        if self._walls:
            ids, forced = self._force(ids, lengths)
            logprobs = logprobs.masked_fill_(forced, 0.0)
            stopped = self._stops_V[ids].logical_and_(~forced)
            state.forced_SM[:count].scatter_(1, column, forced[:, None])
        state.ids_SM[:count].scatter_(1, column, ids[:, None])
        state.logprobs_SM[:count].scatter_(1, column, logprobs[:, None])
        lengths += alive
        positions += alive
        state.last_ids_S[:count] = ids
        ended = stopped.logical_or_(lengths >= state.limits_S[:count]).logical_and_(alive)
        alive ^= ended
        return [int(row) for row in ended.nonzero()[:, 0].tolist()]

    def _force(self, ids: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Sampled ids, overwritten where a wall stands; and where it does."""
        count = len(self.occupants)
        thinking, forcing = self._state.thinking_S[:count], self._state.forcing_S[:count]
        starts = (forcing == NOT_FORCING) & thinking & (lengths >= self._state.walls_S[:count])
        forcing.masked_fill_(starts, 0)
        forced = forcing != NOT_FORCING
        ids = torch.where(forced, self._closing_ids[forcing.clamp(min=0)], ids)
        forcing += forced
        forcing.masked_fill_(forcing == len(self._closing_ids), NOT_FORCING)
        thinking &= ids != self._close_id
        return ids, forced

    def finish(self, row: int) -> Completion:
        """The completion of a row that ended. Raises ModelError if the model gave no numbers."""
        state = self._state
        length = int(state.lengths_S[row])
        ids_T = state.ids_SM[row, :length].cpu().numpy().copy()
        logprobs_T = state.logprobs_SM[row, :length].cpu().numpy().copy()
        forced_T = state.forced_SM[row, :length].cpu().numpy().copy()
        if not np.isfinite(logprobs_T).all():
            raise ModelError(
                "the model's logits are not finite numbers: its weights are damaged, or training has diverged. Go back to an earlier "
                "checkpoint with a lower learning rate."
            )
        closes = np.flatnonzero(ids_T == self._close_id)
        return Completion(
            ids_T=ids_T,
            logprobs_T=logprobs_T,
            forced_T=forced_T,
            stop_cause=StopCause.STOP_ID if np.isin(ids_T[-1], self._stop_ids) and not forced_T[-1] else StopCause.LENGTH,
            think_tokens=int(closes[0]) if len(closes) else length,
            forced_close=bool(forced_T.any()),
        )
