"""The decode step: one token for every row, as one function of tensors; and the prefill that comes before it.

The arithmetic is Qwen3's as transformers does it (RMS norms on queries and keys, rotary halves, grouped heads, gated MLP).
Axes: `_B` rows, `_L` prompt positions, `_Q`/`_K` query and kv heads, `_D` head dimension, `_H` hidden, `_V` vocabulary.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from tina_azr.model.fused import FusedLayer, FusedWeights
from tina_azr.rollout.cache import KVCache


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


def prefill(weights: FusedWeights, rotary: Rotary, ids_BL: Tensor, lengths_B: Tensor) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
    """Logits [B, V] at each prompt's last position, and keys and values [B, K, L, D] of every layer.

    Prompts are padded on the right: a causal mask keeps padding out of everything that is used.
    """
    rows, width = ids_BL.shape
    heads, kv_heads, dim = weights.query_heads, weights.kv_heads, weights.head_dim
    x_BLH = F.embedding(ids_BL, weights.embedding_VH)
    cosine, sine = rotary.cosine_PD[:width], rotary.sine_PD[:width]
    stored = []
    for layer in weights.layers:
        fused = F.linear(_norm(x_BLH, layer.input_norm, weights.eps), layer.qkv).view(rows, width, heads + 2 * kv_heads, dim)
        queries, keys, values = (part.transpose(1, 2) for part in torch.split(fused, [heads, kv_heads, kv_heads], dim=2))
        queries = _rotate(_norm(queries, layer.q_norm, weights.eps), cosine, sine)
        keys = _rotate(_norm(keys, layer.k_norm, weights.eps), cosine, sine)
        stored.append((keys, values))
        mixed = F.scaled_dot_product_attention(queries, keys, values, is_causal=True, enable_gqa=heads != kv_heads)
        x_BLH = x_BLH + F.linear(mixed.transpose(1, 2).reshape(rows, width, heads * dim), layer.o)
        x_BLH = x_BLH + _mlp(x_BLH, layer, weights.eps)
    last_BH = x_BLH[torch.arange(rows, device=ids_BL.device), lengths_B - 1]
    return _logits(last_BH, weights), stored


def decode_step(
    weights: FusedWeights, rotary: Rotary, cache: KVCache, ids_B: Tensor, positions_B: Tensor, bias_BP: Tensor, filled: int
) -> Tensor:
    """Float32 logits [B, V] of the token after `ids_B`, which stand at `positions_B` in the first B slots.

    `bias_BP` [B, P] is 0 up to each row's own position and -inf beyond; `filled` is one more than the largest position.
    """
    rows = ids_B.shape[0]
    heads, kv_heads, dim = weights.query_heads, weights.kv_heads, weights.head_dim
    group = heads // kv_heads
    x_BH = F.embedding(ids_B, weights.embedding_VH)
    cosine, sine = rotary.cosine_PD[positions_B][:, None], rotary.sine_PD[positions_B][:, None]
    index_B = torch.arange(rows, device=ids_B.device)
    bias = bias_BP[:, None, None, :filled]
    scale = dim**-0.5
    for number, layer in enumerate(weights.layers):
        fused = F.linear(_norm(x_BH, layer.input_norm, weights.eps), layer.qkv).view(rows, heads + 2 * kv_heads, dim)
        queries, keys, values = torch.split(fused, [heads, kv_heads, kv_heads], dim=1)
        queries = _rotate(_norm(queries, layer.q_norm, weights.eps), cosine, sine)
        cache.keys[number][index_B, :, positions_B] = _rotate(_norm(keys, layer.k_norm, weights.eps), cosine, sine)
        cache.values[number][index_B, :, positions_B] = values
        past_keys = cache.keys[number][:rows, :, :filled]
        past_values = cache.values[number][:rows, :, :filled]
        # Queries of one kv head stand side by side, so grouped heads need no repeated keys.
        scores = torch.matmul(queries.view(rows, kv_heads, group, dim), past_keys.transpose(2, 3)).mul_(scale).add_(bias)
        mixed = torch.matmul(scores.softmax(-1), past_values).view(rows, heads * dim)
        x_BH = x_BH + F.linear(mixed, layer.o)
        x_BH = x_BH + _mlp(x_BH, layer, weights.eps)
    return _logits(x_BH, weights)


def _mlp(x: Tensor, layer: FusedLayer, eps: float) -> Tensor:
    gate, up = F.linear(_norm(x, layer.post_norm, eps), layer.gate_up).chunk(2, dim=-1)
    return F.linear(F.silu(gate) * up, layer.down)


def _logits(x_BH: Tensor, weights: FusedWeights) -> Tensor:
    return F.linear(_norm(x_BH, weights.norm, weights.eps), weights.head_VH).float()


def _norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return F.rms_norm(x, (x.shape[-1],), weight, eps)


def _rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    return x * cosine + x.roll(x.shape[-1] // 2, -1) * sine
