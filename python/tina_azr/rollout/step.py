"""The decode step: one token for every row. Axes: `_B` rows of all waves, `_H` hidden, `_V` vocabulary."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from tina_azr.model.fused import FusedWeights
from tina_azr.rollout.cache import Wave
from tina_azr.rollout.layers import Rotary, feed_forward, project, rms_norm


def decode_step(weights: FusedWeights, rotary: Rotary, waves: Sequence[Wave], ids_B: Tensor, positions_B: Tensor) -> Tensor:
    """Float32 logits [B, V] of the tokens after `ids_B`, which stand at `positions_B`. Rows lie wave after wave.

    Everything but attention is done for all rows at once; attention reads each wave's own buffers.
    """
    sizes = [wave.rows for wave in waves]
    x_BH = F.embedding(ids_B, weights.embedding_VH)
    cosine, sine = rotary.cosine_PD[positions_B][:, None], rotary.sine_PD[positions_B][:, None]
    mixed = x_BH.new_empty(len(ids_B), weights.query_heads * weights.head_dim)
    parts = mixed.split(sizes)
    for wave in waves:
        wave.open_column()
    for number, layer in enumerate(weights.layers):
        queries, keys, values = project(weights, layer, rms_norm(x_BH, layer.input_norm, weights.eps), cosine, sine)
        rows = zip(queries.split(sizes), keys.split(sizes), values.split(sizes), parts, strict=True)
        for wave, (query, key, value, part) in zip(waves, rows, strict=True):
            wave.attend(number, query, key, value, part)
        x_BH = feed_forward(torch.addmm(x_BH, mixed, layer.o.t()), layer, weights.eps)
    for wave in waves:
        wave.close_column()
    return F.linear(rms_norm(x_BH, weights.norm, weights.eps), weights.head_VH).float()
