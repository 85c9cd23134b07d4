"""Decode step: one token for every row. Axes: `_B` rows of all caches, `_H` hidden, `_V` vocabulary."""

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from tina_azr.model.fused import FusedLayer, FusedWeights


class Rotary:
    """Tables of the rotary embedding. The sign of the half-swap is folded into the sine."""

    def __init__(self, weights: FusedWeights, positions: int) -> None:
        half = torch.arange(0, weights.head_dim, 2, dtype=torch.float32) / weights.head_dim
        angles = torch.outer(torch.arange(positions, dtype=torch.float32), weights.rope_theta**-half)
        angles = torch.cat([angles, angles], dim=-1).to(weights.norm.device)
        sign = torch.ones(weights.head_dim, device=angles.device)
        sign[: weights.head_dim // 2] = -1.0
        self.cosine_PD = angles.cos().to(weights.norm.dtype)
        self.sine_PD = (angles.sin() * sign).to(weights.norm.dtype)

    @property
    def positions(self) -> int:
        """Number of positions in the tables."""
        return self.cosine_PD.shape[0]


def project(weights: FusedWeights, layer: FusedLayer, x: Tensor, cosine: Tensor, sine: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return queries [X, Q, D], keys and values [X, K, D] of normed hidden states [X, H]. Queries and keys are normed and rotated."""
    turned, plain = weights.query_heads + weights.kv_heads, weights.kv_heads
    fused = F.linear(x, layer.qkv).unflatten(-1, (turned + plain, weights.head_dim))
    rotating, values = fused.split([turned, plain], dim=-2)
    # Queries and keys are normed and rotated together, each head with the weight of its kind. This halves the operations.
    normed = F.rms_norm(rotating, (weights.head_dim,), None, weights.eps) * layer.qk_norm[weights.head_kinds]
    normed = (normed * cosine).addcmul_(normed.roll(weights.head_dim // 2, -1), sine)
    queries, keys = normed.split([weights.query_heads, weights.kv_heads], dim=-2)
    return queries, keys, values


def feed_forward(x: Tensor, layer: FusedLayer, eps: float) -> Tensor:
    """Return the residual stream [X, H] after the gated MLP."""
    gate, up = F.linear(rms_norm(x, layer.post_norm, eps), layer.gate_up).chunk(2, dim=-1)
    return torch.addmm(x, F.silu(gate).mul_(up), layer.down.t())


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Normalise the last axis."""
    return F.rms_norm(x, (x.shape[-1],), weight, eps)


Modulate = Callable[[int, Tensor], Tensor]
"""Decoder layer and the residual stream [B, H] after it -> the stream that the next layer reads."""


class ReasoningModulator(Protocol):
    """Changes to the residual stream of rows that are reasoning (`engine.modulation`). It needs a session with taps."""

    def conditions(self, states_NLH: NDArray[np.float32]) -> Sequence[Tensor]:
        """Return the condition [C] of each prompt from tapped states [N, L, H]."""
        ...

    def apply_layer(self, layer: int, x_BH: Tensor, thinking_B: Tensor, condition_BC: Tensor) -> Tensor:
        """Return the stream [B, H] after a layer. Rows that are not reasoning are unchanged."""
        ...


class KVCache(Protocol):
    """Interface of the keys and values of some rows, with attention over them."""

    rows: int

    def open_column(self) -> None:
        """Prepare for the next token. Called once a step, before the first layer."""
        ...

    def attend(self, layer: int, queries_RQD: Tensor, keys_RKD: Tensor, values_RKD: Tensor, out_RX: Tensor) -> None:
        """Store one token of every row, and write to `out_RX` [R, Q * D] what its queries read from all tokens so far."""
        ...

    def close_column(self) -> None:
        """Finish the token. Called once a step, after the last layer."""
        ...


def decode_step(
    weights: FusedWeights,
    rotary: Rotary,
    caches: Sequence[KVCache],
    ids_B: Tensor,
    positions_B: Tensor,
    taps: Collection[int] = (),
    modulate: Modulate | None = None,
) -> tuple[Tensor, list[Tensor]]:
    """Return float32 logits [B, V] of the tokens after `ids_B` at `positions_B`, and the tapped states. Rows are ordered by cache.

    Everything except attention is computed for all rows together; attention reads the buffers of each cache. The tapped states are the
    residual stream [B, H] after each layer in `taps` (counted from 0, in the model's order). They are computed anyway, so a tap is free.
    `modulate` may change the stream after a layer.

    Shapes depend only on the number of rows, and nothing is read back. So with caches of fixed shape the step can be captured as a graph.
    """
    sizes = [cache.rows for cache in caches]
    x_BH = F.embedding(ids_B, weights.embedding_VH)
    cosine, sine = rotary.cosine_PD[positions_B][:, None], rotary.sine_PD[positions_B][:, None]
    mixed = x_BH.new_empty(len(ids_B), weights.query_heads * weights.head_dim)
    parts = mixed.split(sizes)
    tapped = []
    for cache in caches:
        cache.open_column()
    for number, layer in enumerate(weights.layers):
        queries, keys, values = project(weights, layer, rms_norm(x_BH, layer.input_norm, weights.eps), cosine, sine)
        rows = zip(queries.split(sizes), keys.split(sizes), values.split(sizes), parts, strict=True)
        for cache, (query, key, value, part) in zip(caches, rows, strict=True):
            cache.attend(number, query, key, value, part)
        x_BH = feed_forward(torch.addmm(x_BH, mixed, layer.o.t()), layer, weights.eps)
        if modulate is not None:
            x_BH = modulate(number, x_BH)
        if number in taps:
            tapped.append(x_BH)
    for cache in caches:
        cache.close_column()
    return F.linear(rms_norm(x_BH, weights.norm, weights.eps), weights.head_VH).float(), tapped
