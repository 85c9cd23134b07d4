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

    def __init__(self, weights: FusedWeights, prompts: PromptCache, sources: list[int]) -> None:
        """Row i continues prompt `sources[i]`, whose keys and values are copied."""
        self.rows = len(sources)
        self.ended = 0
        """Rows among them whose completion has ended; they are computed until they are dropped."""
        self._kv_heads = weights.kv_heads
        self._dim = weights.head_dim
        self._scale = weights.head_dim**-0.5
        self._end = prompts.width
        """Column that the next token goes to."""
        device = weights.norm.device
        lengths_R = torch.tensor([prompts.lengths[source] for source in sources], device=device)
        columns_L = torch.arange(self._end, device=device)
        # Column c of a row holds position c - pad; what lies before the prompt is masked.
        pads_R = self._end - lengths_R
        positions_RL = (columns_L - pads_R[:, None]).clamp_(min=0)
        sources_R = torch.tensor(sources, device=device)
        self._keys = [self._gather(keys_NLKD, sources_R, positions_RL) for keys_NLKD in prompts.keys]
        self._values = [self._gather(values_NLKD, sources_R, positions_RL) for values_NLKD in prompts.values]
        bias_RC = torch.full((self.rows, self._end + ROOM), -torch.inf, dtype=weights.norm.dtype, device=device)
        bias_RC[:, : self._end].masked_fill_(columns_L >= pads_R[:, None], 0.0)
        self._bias = bias_RC.repeat_interleave(self._kv_heads, 0)[:, None]

    def _gather(self, stored_NLKD: Tensor, sources_R: Tensor, positions_RL: Tensor) -> Tensor:
        buffer = stored_NLKD.new_zeros(self.rows, self._kv_heads, self._end + ROOM, self._dim)
        buffer[:, :, : self._end] = stored_NLKD[sources_R[:, None], positions_RL].transpose(1, 2)
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

    def rebuild(self, kept: Tensor | None) -> None:
        """Keep the rows `kept` (all of them if None) and make room for more columns."""
        if kept is not None:
            self.rows, self.ended = len(kept), 0
        columns = self._end + ROOM
        self._bias = self._moved(self._bias.view(-1, self._kv_heads, 1, self._bias.shape[-1]), kept, columns, -torch.inf, 3)
        for buffers in (self._keys, self._values):
            for layer, buffer in enumerate(buffers):
                shaped = buffer.view(-1, self._kv_heads, *buffer.shape[1:])
                buffers[layer] = self._moved(shaped, kept, columns, 0.0, 2)

    def _moved(self, old: Tensor, kept: Tensor | None, columns: int, fill: float, axis: int) -> Tensor:
        shape = list(old.shape)
        shape[0], shape[axis] = self.rows, columns
        new = old.new_empty(shape)
        # Keys and values behind the filled columns are masked, but they have to be finite.
        new.narrow(axis, self._end, columns - self._end).fill_(fill)
        filled = old.narrow(axis, 0, self._end)
        new.narrow(axis, 0, self._end).copy_(filled if kept is None else filled[kept])
        return new.flatten(0, 1)
