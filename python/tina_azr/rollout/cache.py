"""Keys and values of all slots. Axes: `_S` slots, `_K` kv heads, `_P` positions, `_D` head dimension."""

from dataclasses import dataclass

import torch
from torch import Tensor

from tina_azr.model.fused import FusedWeights


@dataclass(slots=True)
class KVCache:
    """One buffer a layer. Position p of a slot holds token p of its sequence: nothing is shifted, nothing is padded on the left."""

    keys: list[Tensor]
    """A layer's [S, K, P, D]."""
    values: list[Tensor]

    @classmethod
    def allocate(cls, weights: FusedWeights, slots: int, positions: int) -> "KVCache":
        """Empty buffers; what is in a position before it is written does not matter, attention never looks there."""
        shape = (slots, weights.kv_heads, positions, weights.head_dim)

        def buffers() -> list[Tensor]:
            return [torch.zeros(shape, dtype=weights.norm.dtype, device=weights.norm.device) for _ in weights.layers]

        return cls(keys=buffers(), values=buffers())

    @property
    def slots(self) -> int:
        return self.keys[0].shape[0]

    @property
    def positions(self) -> int:
        return self.keys[0].shape[2]

    def store_prompts(self, layer: int, keys_GKPD: Tensor, values_GKPD: Tensor, rows: Tensor, sources: Tensor) -> None:
        """Copy prompt `sources[i]` of a prefill to slot `rows[i]`."""
        width = keys_GKPD.shape[2]
        self.keys[layer][rows, :, :width] = keys_GKPD[sources]
        self.values[layer][rows, :, :width] = values_GKPD[sources]

    def compact(self, rows: Tensor, filled: int) -> None:
        """Move the slots `rows` (ascending) to the front; only the first `filled` positions are worth moving."""
        for buffers in (self.keys, self.values):
            for buffer in buffers:
                buffer[: len(rows), :, :filled] = buffer[rows, :, :filled]
