"""The pieces of a Qwen3 layer that prefill and decode step share, on fused weights.

The arithmetic is transformers': RMS norms on queries and keys, rotary halves, grouped heads, gated MLP.
Axes: `_Q`/`_K` query and kv heads, `_D` head dimension, `_P` positions, `_X` any leading axes.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from tina_azr.model.fused import FusedLayer, FusedWeights


class Rotary:
    """Rotary position tables with the half-swap's sign folded into the sine."""

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
        return self.cosine_PD.shape[0]


def project(weights: FusedWeights, layer: FusedLayer, x: Tensor, cosine: Tensor, sine: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Queries [X, Q, D], keys and values [X, K, D] of normed hidden states [X, H]; the first two normed and rotated."""
    turned, plain = weights.query_heads + weights.kv_heads, weights.kv_heads
    fused = F.linear(x, layer.qkv).unflatten(-1, (turned + plain, weights.head_dim))
    rotating, values = fused.split([turned, plain], dim=-2)
    # Queries and keys go through the same norm and rotation, each head with its kind's weight: half the operations.
    normed = F.rms_norm(rotating, (weights.head_dim,), None, weights.eps) * layer.qk_norm[weights.head_kinds]
    normed = (normed * cosine).addcmul_(normed.roll(weights.head_dim // 2, -1), sine)
    queries, keys = normed.split([weights.query_heads, weights.kv_heads], dim=-2)
    return queries, keys, values


def feed_forward(x: Tensor, layer: FusedLayer, eps: float) -> Tensor:
    """The residual stream [X, H] after the gated MLP."""
    gate, up = F.linear(rms_norm(x, layer.post_norm, eps), layer.gate_up).chunk(2, dim=-1)
    return torch.addmm(x, F.silu(gate).mul_(up), layer.down.t())


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Of the last axis."""
    return F.rms_norm(x, (x.shape[-1],), weight, eps)
