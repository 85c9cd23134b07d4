"""KV cache of fixed shape: one buffer for each layer, with a row for each slot.

This is the cache for a GPU. Every tensor of a decode step has the same shape at every step, and lengths are data on the device. So the
step can be captured once as a CUDA graph, as `tests/gpu/captured_step.py` does. The engine does not capture steps in this release, so only
tests use this module. On a CPU `kv_batch` is faster, because it stores and reads only filled columns.

Axes: `_S` slots, `_K` kv heads, `_P` positions,
`_D` head dimension, `_N` prompts.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from tina_azr.model.fused import FusedWeights
from tina_azr.rollout.prefill import PromptCache


class SlotCache:
    """KV cache of all slots. Implements `KVCache`."""

    def __init__(self, weights: FusedWeights, positions_S: Tensor, *, positions: int) -> None:
        """Allocate the cache. `positions_S` is the position of each slot's next token; the caller updates it in place before each step."""
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
        """Let every slot attend to its positions up to the token that is about to be written."""
        seen_SP = self._columns_P <= self._positions_S[:, None]
        self._bias_S11P.copy_(torch.where(seen_SP, 0.0, -torch.inf)[:, None, None])

    def attend(self, layer: int, queries_RQD: Tensor, keys_RKD: Tensor, values_RKD: Tensor, out_RX: Tensor) -> None:
        """Store one token of every slot at its position, and write to `out_RX` [S, Q * D] what its queries read up to it."""
        keys_SKPD, values_SKPD = self._keys[layer], self._values[layer]
        keys_SKPD[self._slots_S, :, self._positions_S] = keys_RKD
        values_SKPD[self._slots_S, :, self._positions_S] = values_RKD
        # Query heads that share a kv head are adjacent.
        queries_SKGD = queries_RQD.unflatten(1, (self._kv_heads, -1))
        scores_SKGP = queries_SKGD @ keys_SKPD.transpose(-1, -2) * self._scale + self._bias_S11P
        shares_SKGP = torch.softmax(scores_SKGP, -1, dtype=torch.float32).to(values_SKPD.dtype)
        out_RX.copy_((shares_SKGP @ values_SKPD).flatten(1))

    def close_column(self) -> None:
        """Do nothing: the caller advances the positions."""
