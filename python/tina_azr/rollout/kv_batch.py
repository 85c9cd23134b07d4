"""Keys and values of rows that were admitted together: a wave.

Axes: `_R` rows of the wave, `_K` kv heads, `_Q` query heads, `_C` columns, `_D` head dimension, `_N` different prompts, `_L` prompt length.

Prompts of a wave end at the same column, so every row writes its next token to the same one. The buffers are never much longer than
what is filled, and attention reads all of them: memory that is read without gaps is read three times as fast, which on a CPU is worth
far more than the few columns read for nothing.
"""

import torch
from torch import Tensor

from tina_azr.model.fused import FusedWeights
from tina_azr.rollout.prefill import PromptCache

ROOM = 16
"""Columns that a wave has free after it was built or rebuilt."""


class Wave:
    """Buffers of one wave, and attention over them."""

    def __init__(self, weights: FusedWeights, prompts: PromptCache) -> None:
        """A row for each prompt; `rebuild` gives a prompt as many rows as it has completions."""
        self.rows = len(prompts.lengths)
        self.ended = 0
        """Rows among them whose completion has ended; they are computed until they are dropped."""
        self._kv_heads = weights.kv_heads
        self._dim = weights.head_dim
        self._scale = weights.head_dim**-0.5
        self._end = prompts.width
        """Column that the next token goes to."""
        device = weights.norm.device
        lengths_R = torch.tensor(prompts.lengths, device=device)
        columns_L = torch.arange(self._end, device=device)
        # Column c of a row holds position c - pad; what lies before the prompt is masked.
        pads_R = self._end - lengths_R
        positions_RL = (columns_L - pads_R[:, None]).clamp_(min=0)
        self._keys = [self._shifted(keys_NLKD, positions_RL) for keys_NLKD in prompts.keys]
        self._values = [self._shifted(values_NLKD, positions_RL) for values_NLKD in prompts.values]
        bias_RC = torch.full((self.rows, self._end + ROOM), -torch.inf, dtype=weights.norm.dtype, device=device)
        bias_RC[:, : self._end].masked_fill_(columns_L >= pads_R[:, None], 0.0)
        self._bias = bias_RC.repeat_interleave(self._kv_heads, 0)[:, None]

    def _shifted(self, stored_NLKD: Tensor, positions_RL: Tensor) -> Tensor:
        buffer = stored_NLKD.new_zeros(self.rows, self._kv_heads, self._end + ROOM, self._dim)
        rows_R1 = torch.arange(self.rows, device=stored_NLKD.device)[:, None]
        buffer[:, :, : self._end] = stored_NLKD[rows_R1, positions_RL].transpose(1, 2)
        return buffer.flatten(0, 1)

    @property
    def full(self) -> bool:
        """There is no column for another token."""
        return self._end == self._bias.shape[-1]

    def open_column(self) -> None:
        """Let the token that is about to be written be attended to. Once a step, before the first layer."""
        self._bias[:, :, self._end] = 0.0

    def close_column(self) -> None:
        """Once a step, after the last layer."""
        self._end += 1

    def attend(self, layer: int, queries_RQD: Tensor, keys_RKD: Tensor, values_RKD: Tensor, out_RX: Tensor) -> None:
        """Store one token of every row, and write to `out_RX` [R, Q * D] what its queries read from all tokens so far."""
        flat, group = self.rows * self._kv_heads, queries_RQD.shape[1] // self._kv_heads
        keys, values = self._keys[layer], self._values[layer]
        keys[:, self._end] = keys_RKD.reshape(flat, self._dim)
        values[:, self._end] = values_RKD.reshape(flat, self._dim)
        # Queries of one kv head stand side by side, so grouped heads need no repeated keys.
        queries = queries_RQD.reshape(flat, group, self._dim)
        scores = torch.baddbmm(self._bias, queries, keys.transpose(1, 2), alpha=self._scale)
        shares = torch.softmax(scores, -1, dtype=torch.float32).to(values.dtype)
        torch.bmm(shares, values, out=out_RX.view(flat, group, self._dim))

    @property
    def held_bytes(self) -> int:
        """Memory of keys and values."""
        return sum(buffer.nbytes for buffer in (*self._keys, *self._values))

    @property
    def columns(self) -> int:
        """Filled so far."""
        return self._end

    def rebuild(self, kept: Tensor | None) -> None:
        """Keep the rows `kept` (all of them if None; one that is named several times is copied) and make room for more columns."""
        if kept is not None:
            self.rows, self.ended = len(kept), 0
        columns = self._end + ROOM
        self._bias = self._moved(self._bias.view(-1, self._kv_heads, 1, self._bias.shape[-1]), kept, columns, -torch.inf, 3)
        for buffers in (self._keys, self._values):
            for layer, buffer in enumerate(buffers):
                shaped = buffer.view(-1, self._kv_heads, *buffer.shape[1:])
                buffers[layer] = self._moved(shaped, kept, columns, 0.0, 2)

    def absorb(self, other: "Wave") -> None:
        """Take in the rows of a wave that lies behind this one. The shorter of the two is padded on the left, up to a common end."""
        end = max(self._end, other._end)
        self._bias = self._joined(self._bias, other._bias, self._end, other._end, end, -torch.inf, 2)
        for mine, theirs in ((self._keys, other._keys), (self._values, other._values)):
            for layer, (upper, lower) in enumerate(zip(mine, theirs, strict=True)):
                mine[layer] = self._joined(upper, lower, self._end, other._end, end, 0.0, 1)
        self.rows, self.ended, self._end = self.rows + other.rows, self.ended + other.ended, end

    @staticmethod
    def _joined(upper: Tensor, lower: Tensor, upper_end: int, lower_end: int, end: int, fill: float, axis: int) -> Tensor:
        shape = list(upper.shape)
        shape[0], shape[axis] = upper.shape[0] + lower.shape[0], end + ROOM
        new = upper.new_full(shape, fill)
        new[: len(upper)].narrow(axis, end - upper_end, upper_end).copy_(upper.narrow(axis, 0, upper_end))
        new[len(upper) :].narrow(axis, end - lower_end, lower_end).copy_(lower.narrow(axis, 0, lower_end))
        return new

    def _moved(self, old: Tensor, kept: Tensor | None, columns: int, fill: float, axis: int) -> Tensor:
        shape = list(old.shape)
        shape[0], shape[axis] = self.rows, columns
        new = old.new_empty(shape)
        # Keys and values behind the filled columns are masked, but they have to be finite.
        new.narrow(axis, self._end, columns - self._end).fill_(fill)
        filled = old.narrow(axis, 0, self._end)
        new.narrow(axis, 0, self._end).copy_(filled if kept is None else filled[kept])
        return new.flatten(0, 1)
