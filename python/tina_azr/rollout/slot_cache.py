"""Keys and values at fixed places: one buffer a layer with a row for every slot, whatever sits in it.

The form of the cache for a GPU: every tensor of a decode step over it has the same shape at every step and lengths are data on the
device, so the step can be captured once as a CUDA graph (`tests/gpu/captured_step.py` does, and compares). The engine does not capture
it in this release: until then only tests reach this module.
On a CPU batches (`kv_batch`) are faster: they hold and read no more than is filled. Axes: `_S` slots, `_K` kv heads, `_P` positions,
`_D` head dimension, `_N` prompts.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from tina_azr.model.fused import FusedWeights
from tina_azr.rollout.prefill import PromptCache


class SlotCache:
    """Implements `KVCache` for all slots at once."""

    def __init__(self, weights: FusedWeights, positions_S: Tensor, *, positions: int) -> None:
        """`positions_S` says where each slot's next token stands; it is read anew at every step and belongs to the caller."""
        self.rows = len(positions_S)
        self._positions_S = positions_S
        self._kv_heads = weights.kv_heads
        self._scale = weights.head_dim**-0.5
        shape = (self.rows, weights.kv_heads, positions, weights.head_dim)
        self._keys = [weights.norm.new_zeros(shape) for _ in weights.layers]
        self._values = [weights.norm.new_zeros(shape) for _ in weights.layers]
        self._slots_S = torch.arange(self.rows, device=positions_S.device)
        self._columns_P = torch.arange(positions, device=positions_S.device)
        self._bias_S11P = weights.norm.new_zeros(self.rows, 1, 1, positions)

    def load(self, prompts: PromptCache, sources: Sequence[int], slots: Sequence[int]) -> None:
        """Copy prompt `sources[i]` to slot `slots[i]`."""
        for mine, theirs in ((self._keys, prompts.keys), (self._values, prompts.values)):
            for buffer_SKPD, stored_NLKD in zip(mine, theirs, strict=True):
                buffer_SKPD[list(slots), :, : prompts.width] = stored_NLKD[list(sources)].transpose(1, 2)

    def open_column(self) -> None:
        """Every slot sees its own positions up to the token that is about to be written."""
        seen_SP = self._columns_P <= self._positions_S[:, None]
        self._bias_S11P.copy_(torch.where(seen_SP, 0.0, -torch.inf)[:, None, None])

    def attend(self, layer: int, queries_RQD: Tensor, keys_RKD: Tensor, values_RKD: Tensor, out_RX: Tensor) -> None:
        """Write one token of every slot at its position, and read all up to it."""
        keys_SKPD, values_SKPD = self._keys[layer], self._values[layer]
        keys_SKPD[self._slots_S, :, self._positions_S] = keys_RKD
        values_SKPD[self._slots_S, :, self._positions_S] = values_RKD
        # Query heads that share a kv head stand side by side.
        queries_SKGD = queries_RQD.unflatten(1, (self._kv_heads, -1))
        scores_SKGP = queries_SKGD @ keys_SKPD.transpose(-1, -2) * self._scale + self._bias_S11P
        shares_SKGP = torch.softmax(scores_SKGP, -1, dtype=torch.float32).to(values_SKPD.dtype)
        out_RX.copy_((shares_SKGP @ values_SKPD).flatten(1))

    def close_column(self) -> None:
        """The caller moves the positions on."""
