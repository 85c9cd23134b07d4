"""KV cache of a session: one `KVBatch` for rows that were admitted together, and `KVBatches` for all rows.

Axes: `_R` rows of a batch, `_K` kv heads, `_Q` query heads, `_C` columns, `_D` head dimension, `_N` different prompts,
`_L` prompt length.

Prompts of a batch end at the same column, so every row writes its next token to the same one. The buffers are never much longer than
their filled part, and attention reads all of them. Contiguous memory is read three times as fast, which on a CPU outweighs the few columns
read for nothing.
"""

import torch
from torch import Tensor

from tina_azr.model.fused import FusedWeights
from tina_azr.rollout.prefill import PromptCache

DROP_SHARE = 0.25
"""Share of a batch's rows that must have ended before the others are compacted."""
MAX_KV_BATCHES = 4
"""Attention reads batches one after the other. Beyond this many, two neighbours of similar length are merged."""
SPARE_COLUMNS = 16
"""Free columns of a batch after it was built or rebuilt."""


class KVBatch:
    """Keys and values of rows that were admitted together, and attention over them. Implements `KVCache`."""

    def __init__(self, weights: FusedWeights, prompts: PromptCache) -> None:
        """Allocate a row for each prompt. `rebuild` then makes a row for each completion."""
        self.rows = len(prompts.lengths)
        self.ended = 0
        """Rows whose completion has ended. They are computed until they are dropped."""
        self._kv_heads = weights.kv_heads
        self._dim = weights.head_dim
        self._scale = weights.head_dim**-0.5
        self._end = prompts.width
        """Column of the next token."""
        device = weights.norm.device
        lengths_R = torch.tensor(prompts.lengths, device=device)
        columns_L = torch.arange(self._end, device=device)
        # Column c of a row holds position c - pad. Columns before the prompt are masked.
        pads_R = self._end - lengths_R
        positions_RL = (columns_L - pads_R[:, None]).clamp_(min=0)
        self._keys = [self._shifted(keys_NLKD, positions_RL) for keys_NLKD in prompts.keys]
        self._values = [self._shifted(values_NLKD, positions_RL) for values_NLKD in prompts.values]
        bias_RC = torch.full((self.rows, self._end + SPARE_COLUMNS), -torch.inf, dtype=weights.norm.dtype, device=device)
        bias_RC[:, : self._end].masked_fill_(columns_L >= pads_R[:, None], 0.0)
        self._bias = bias_RC.repeat_interleave(self._kv_heads, 0)[:, None]

    def _shifted(self, stored_NLKD: Tensor, positions_RL: Tensor) -> Tensor:
        buffer = stored_NLKD.new_zeros(self.rows, self._kv_heads, self._end + SPARE_COLUMNS, self._dim)
        rows_R1 = torch.arange(self.rows, device=stored_NLKD.device)[:, None]
        buffer[:, :, : self._end] = stored_NLKD[rows_R1, positions_RL].transpose(1, 2)
        return buffer.flatten(0, 1)

    @property
    def full(self) -> bool:
        """Whether there is no column for another token."""
        return self._end == self._bias.shape[-1]

    def open_column(self) -> None:
        """Unmask the column of the token that is about to be written."""
        self._bias[:, :, self._end] = 0.0

    def close_column(self) -> None:
        """Advance to the next column."""
        self._end += 1

    def attend(self, layer: int, queries_RQD: Tensor, keys_RKD: Tensor, values_RKD: Tensor, out_RX: Tensor) -> None:
        """Store one token of every row, and write to `out_RX` [R, Q * D] what its queries read from all tokens so far."""
        flat, group = self.rows * self._kv_heads, queries_RQD.shape[1] // self._kv_heads
        keys, values = self._keys[layer], self._values[layer]
        keys[:, self._end] = keys_RKD.reshape(flat, self._dim)
        values[:, self._end] = values_RKD.reshape(flat, self._dim)
        # Queries of one kv head are adjacent, so grouped heads need no repeated keys.
        queries = queries_RQD.reshape(flat, group, self._dim)
        scores = torch.baddbmm(self._bias, queries, keys.transpose(1, 2), alpha=self._scale)
        shares = torch.softmax(scores, -1, dtype=torch.float32).to(values.dtype)
        torch.bmm(shares, values, out=out_RX.view(flat, group, self._dim))

    @property
    def held_bytes(self) -> int:
        """Memory of keys and values in bytes."""
        return sum(buffer.nbytes for buffer in (*self._keys, *self._values))

    @property
    def columns(self) -> int:
        """Number of filled columns."""
        return self._end

    def rebuild(self, kept: Tensor | None) -> None:
        """Keep the rows `kept` and add spare columns. None keeps all rows; a row that occurs several times is copied."""
        if kept is not None:
            self.rows, self.ended = len(kept), 0
        columns = self._end + SPARE_COLUMNS
        self._bias = self._moved(self._bias.view(-1, self._kv_heads, 1, self._bias.shape[-1]), kept, columns, -torch.inf, 3)
        for buffers in (self._keys, self._values):
            for layer, buffer in enumerate(buffers):
                shaped = buffer.view(-1, self._kv_heads, *buffer.shape[1:])
                buffers[layer] = self._moved(shaped, kept, columns, 0.0, 2)

    def absorb(self, other: "KVBatch") -> None:
        """Append the rows of the next batch. The shorter of the two is padded on the left up to a common end."""
        end = max(self._end, other._end)
        self._bias = self._joined(self._bias, other._bias, self._end, other._end, end, -torch.inf, 2)
        for mine, theirs in ((self._keys, other._keys), (self._values, other._values)):
            for layer, (upper, lower) in enumerate(zip(mine, theirs, strict=True)):
                mine[layer] = self._joined(upper, lower, self._end, other._end, end, 0.0, 1)
        self.rows, self.ended, self._end = self.rows + other.rows, self.ended + other.ended, end

    @staticmethod
    def _joined(upper: Tensor, lower: Tensor, upper_end: int, lower_end: int, end: int, fill: float, axis: int) -> Tensor:
        shape = list(upper.shape)
        shape[0], shape[axis] = upper.shape[0] + lower.shape[0], end + SPARE_COLUMNS
        new = upper.new_full(shape, fill)
        new[: len(upper)].narrow(axis, end - upper_end, upper_end).copy_(upper.narrow(axis, 0, upper_end))
        new[len(upper) :].narrow(axis, end - lower_end, lower_end).copy_(lower.narrow(axis, 0, lower_end))
        return new

    def _moved(self, old: Tensor, kept: Tensor | None, columns: int, fill: float, axis: int) -> Tensor:
        shape = list(old.shape)
        shape[0], shape[axis] = self.rows, columns
        new = old.new_empty(shape)
        # Keys and values in spare columns are masked, but they have to be finite.
        new.narrow(axis, self._end, columns - self._end).fill_(fill)
        filled = old.narrow(axis, 0, self._end)
        new.narrow(axis, 0, self._end).copy_(filled if kept is None else filled[kept])
        return new.flatten(0, 1)


class KVBatches:
    """KV cache of all rows of a session: batches in the order of the rows."""

    def __init__(self) -> None:
        self.all: list[KVBatch] = []

    @property
    def running(self) -> int:
        """Rows whose completion has not ended."""
        return sum(batch.rows - batch.ended for batch in self.all)

    @property
    def held_bytes(self) -> int:
        """Memory of keys and values in bytes."""
        return sum(batch.held_bytes for batch in self.all)

    def add(self, batch: KVBatch) -> None:
        """Append the rows of a new batch."""
        self.all.append(batch)

    def count_ended(self, row: int) -> None:
        """Count that the completion of a row has ended."""
        for batch in self.all:
            if row < batch.rows:
                batch.ended += 1
                break
            row -= batch.rows

    def compact(self, alive_B: Tensor, *, all_ended: bool) -> Tensor | None:
        """Drop ended rows of batches that have many of them or are full (`all_ended`: of all batches), and extend full batches.

        Returns the indices of the rows that are kept, ascending; None if none was dropped.
        """
        kept, start, dropped = [], 0, False
        for batch in self.all:
            rows = torch.arange(start, start + batch.rows, device=alive_B.device)
            start += batch.rows
            if batch.ended and (all_ended or batch.full or batch.ended >= DROP_SHARE * batch.rows):
                survivors = alive_B[rows].nonzero()[:, 0]
                rows, dropped = rows[survivors], True
                if len(survivors):
                    batch.rebuild(survivors)
                else:
                    batch.rows = 0
            elif batch.full:
                batch.rebuild(None)
            kept.append(rows)
        if not dropped:
            return None
        self.all = [batch for batch in self.all if batch.rows]
        return torch.cat(kept)

    def merge_neighbours(self) -> None:
        """Merge batches until there are at most `MAX_KV_BATCHES`.

        Each time, the two neighbours whose lengths differ least are merged, because the padding of the shorter one is wasted work.
        """
        while len(self.all) > MAX_KV_BATCHES:
            pairs = range(len(self.all) - 1)
            chosen = min(pairs, key=lambda at: abs(self.all[at].columns - self.all[at + 1].columns))
            self.all[chosen].absorb(self.all.pop(chosen + 1))
