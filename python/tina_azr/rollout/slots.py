"""The state of every slot, as tensors of one row a slot. Axes: `_S` slots, `_M` most completion tokens, `_P` positions."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tina_azr.rollout.sampling import SamplingRows, sample, uniforms
from tina_azr.rollout.types import Completion, RolloutRequest, StopCause

NO_WALL = 1 << 30
NOT_FORCING = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Occupant:
    """Which completion sits in a slot."""

    request: int
    """Index in the call's requests."""
    index: int
    """Which of its group."""


class Slots:
    """All rows of one `generate` call, and the state machine think -> wall -> closing ids -> answer -> stop."""

    def __init__(
        self, count: int, tokens: int, positions: int, *, stop_ids: tuple[int, ...], close_id: int, closing_ids: tuple[int, ...]
    ) -> None:
        self.occupants: list[Occupant | None] = [None] * count
        self.last_ids_S = torch.zeros(count, dtype=torch.long)
        self.positions_S = torch.zeros(count, dtype=torch.long)
        """Where `last_ids_S` stands, or will when the next step writes it."""
        self.bias_SP = torch.full((count, positions), -torch.inf)
        self.alive_S = torch.zeros(count, dtype=torch.bool)
        self.ids_SM = torch.zeros(count, tokens, dtype=torch.long)
        self.logprobs_SM = torch.zeros(count, tokens)
        self.forced_SM = torch.zeros(count, tokens, dtype=torch.bool)
        self.lengths_S = torch.zeros(count, dtype=torch.long)
        self._limits_S = torch.zeros(count, dtype=torch.long)
        self._uniform_SM = torch.zeros(count, tokens)
        self._thinking_S = torch.zeros(count, dtype=torch.bool)
        self._walls_S = torch.full((count,), NO_WALL)
        self._forcing_S = torch.full((count,), NOT_FORCING)
        self._temperature_S = torch.ones(count)
        self._greedy_S = torch.zeros(count, dtype=torch.bool)
        self._top_p_S = torch.ones(count)
        self._top_k_S = torch.zeros(count, dtype=torch.long)
        self._stop_ids = torch.tensor(stop_ids)
        self._close_id = close_id
        self._closing_ids = torch.tensor(closing_ids)

    def _tensors(self) -> list[Tensor]:
        return [value for value in vars(self).values() if isinstance(value, Tensor) and value is not self._stop_ids]

    def seat(self, row: int, occupant: Occupant, request: RolloutRequest) -> None:
        """Put a completion into a row; its prompt's keys and values are stored by the caller."""
        params, length = request.params, len(request.prompt_ids)
        self.occupants[row] = occupant
        self.alive_S[row] = True
        self.lengths_S[row] = 0
        self.positions_S[row] = length - 1
        self.bias_SP[row] = -torch.inf
        self.bias_SP[row, :length] = 0.0
        self.forced_SM[row] = False
        self._limits_S[row] = params.max_tokens
        self._uniform_SM[row, : params.max_tokens] = torch.from_numpy(uniforms(request.seed, occupant.index, params.max_tokens))
        self._thinking_S[row] = True
        self._walls_S[row] = NO_WALL if params.think_wall is None else params.think_wall
        self._forcing_S[row] = NOT_FORCING
        self._greedy_S[row] = params.temperature == 0.0
        self._temperature_S[row] = params.temperature or 1.0
        self._top_p_S[row] = params.top_p
        self._top_k_S[row] = params.top_k

    def accept(self, rows: Tensor, logits_BV: Tensor) -> Tensor:
        """Sample one token for each of `rows`, write it down, and return the rows that ended with it."""
        lengths, alive = self.lengths_S[rows], self.alive_S[rows]
        # Dead rows still go through the step until they are refilled; they write to a column nobody reads.
        column = lengths.clamp(max=self.ids_SM.shape[1] - 1)
        top_p, top_k = self._top_p_S[rows], self._top_k_S[rows]
        parameters = SamplingRows(
            temperature_B=self._temperature_S[rows],
            greedy_B=self._greedy_S[rows],
            top_p_B=top_p,
            top_k_B=top_k,
            cuts=bool(((top_p < 1.0) | (top_k > 0)).any()),
        )
        ids, logprobs = sample(logits_BV, parameters, self._uniform_SM[rows, column])
        forced = self._force(rows, ids, lengths)
        logprobs = logprobs.masked_fill(forced, 0.0)
        self._thinking_S[rows] &= ids != self._close_id
        kept, at = rows[alive], column[alive]
        self.ids_SM[kept, at] = ids[alive]
        self.logprobs_SM[kept, at] = logprobs[alive]
        self.forced_SM[kept, at] = forced[alive]
        self.lengths_S[kept] += 1
        self.positions_S[kept] += 1
        self.bias_SP[kept, self.positions_S[kept]] = 0.0
        self.last_ids_S[rows] = ids
        ended = alive & ((torch.isin(ids, self._stop_ids) & ~forced) | (self.lengths_S[rows] >= self._limits_S[rows]))
        gone = rows[ended]
        self.alive_S[gone] = False
        return gone

    def _force(self, rows: Tensor, ids: Tensor, lengths: Tensor) -> Tensor:
        """Overwrite sampled ids where a wall stands; returns which were."""
        walls, forcing = self._walls_S[rows], self._forcing_S[rows]
        if not bool((walls < NO_WALL).any()):
            return torch.zeros_like(ids, dtype=torch.bool)
        starts = (forcing == NOT_FORCING) & self._thinking_S[rows] & (lengths >= walls)
        forcing = torch.where(starts, 0, forcing)
        forced = forcing != NOT_FORCING
        ids[forced] = self._closing_ids[forcing[forced]]
        following = forcing + forced
        self._forcing_S[rows] = torch.where(following == len(self._closing_ids), NOT_FORCING, following)
        return forced

    def finish(self, row: int) -> tuple[Occupant, Completion]:
        """Take a row's completion out."""
        occupant = self.occupants[row]
        assert occupant is not None
        self.occupants[row] = None
        length = int(self.lengths_S[row])
        ids_T = self.ids_SM[row, :length].numpy().copy()
        forced_T = self.forced_SM[row, :length].numpy().copy()
        closes = np.flatnonzero(ids_T == self._close_id)
        stopped = bool(np.isin(ids_T[-1], self._stop_ids.numpy())) and not forced_T[-1]
        return occupant, Completion(
            ids_T=ids_T,
            logprobs_T=self.logprobs_SM[row, :length].numpy().copy(),
            forced_T=forced_T,
            stop_cause=StopCause.STOP_ID if stopped else StopCause.LENGTH,
            think_tokens=int(closes[0]) if len(closes) else length,
            forced_close=bool(forced_T.any()),
        )

    def compact(self, rows: Tensor) -> None:
        """Move the rows `rows` (ascending) to the front."""
        for tensor in self._tensors():
            if tensor is not self._closing_ids:
                tensor[: len(rows)] = tensor[rows]
        self.alive_S[len(rows) :] = False
        self.occupants = [self.occupants[row] for row in rows.tolist()] + [None] * (len(self.occupants) - len(rows))
