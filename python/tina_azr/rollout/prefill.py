"""Prefill: keys and values of prompts, computed once for all completions, in pieces between which other rows may decode.

Axes: `_N` prompts, `_L` positions, `_K` kv heads, `_D` head dimension, `_H` hidden.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from tina_azr.model.fused import FusedWeights
from tina_azr.rollout.step import Rotary, feed_forward, project, rms_norm


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptCache:
    """Keys and values of each prompt without its last token. A decode step runs that token, and gives the logits and the taps."""

    width: int
    """Positions of the longest prompt, without its last token."""
    lengths: tuple[int, ...]
    """Positions of each prompt, without its last token."""
    keys: list[Tensor]
    """[N, L, K, D] of each layer. Values beyond the length of a prompt are not read."""
    values: list[Tensor]


class Prefill:
    """Prompts that are being prefilled. They are padded on the right, where a causal mask keeps padding out of every result.

    A piece is a block of rows and columns of the padded batch with at most `piece_tokens` tokens. This bounds the activations, and the
    time that running completions wait.
    """

    def __init__(self, weights: FusedWeights, rotary: Rotary, prompts: Sequence[Sequence[int]], *, piece_tokens: int) -> None:
        self._weights = weights
        self._rotary = rotary
        lengths = tuple(len(prompt) - 1 for prompt in prompts)
        width = max(lengths)
        ids_NL = torch.zeros(len(prompts), width, dtype=torch.long)
        for row, prompt in enumerate(prompts):
            ids_NL[row, : lengths[row]] = torch.tensor(prompt[:-1])
        self._ids_NL = ids_NL.to(weights.norm.device)
        shape = (len(prompts), width, weights.kv_heads, weights.head_dim)
        self.cache = PromptCache(
            width=width,
            lengths=lengths,
            keys=[weights.norm.new_empty(shape) for _ in weights.layers],
            values=[weights.norm.new_empty(shape) for _ in weights.layers],
        )
        at_once = max(1, piece_tokens // max(1, width))
        columns = max(1, piece_tokens // min(at_once, len(prompts)))
        self._pieces = deque(
            (slice(row, min(row + at_once, len(prompts))), start, min(start + columns, width))
            for row in range(0, len(prompts), at_once)
            for start in range(0, width, columns)
        )

    @property
    def done(self) -> bool:
        """Whether all keys and values are in the cache."""
        return not self._pieces

    def advance(self) -> None:
        """Compute one piece."""
        rows, start, stop = self._pieces.popleft()
        weights, cache = self._weights, self.cache
        x_NLH = F.embedding(self._ids_NL[rows, start:stop], weights.embedding_VH)
        cosine, sine = self._rotary.cosine_PD[start:stop, None], self._rotary.sine_PD[start:stop, None]
        mask_LL = None
        if start:
            # Row i of the piece is position start + i, and sees all positions up to its own.
            positions_L = torch.arange(stop, device=x_NLH.device)
            mask_LL = positions_L <= positions_L[start:, None]
        for number, layer in enumerate(weights.layers):
            queries, keys, values = project(weights, layer, rms_norm(x_NLH, layer.input_norm, weights.eps), cosine, sine)
            cache.keys[number][rows, start:stop] = keys
            cache.values[number][rows, start:stop] = values
            if number == len(weights.layers) - 1:
                break  # nothing reads the output of the last layer
            if start:
                keys, values = cache.keys[number][rows, :stop], cache.values[number][rows, :stop]
            mixed = F.scaled_dot_product_attention(
                queries.transpose(1, 2),
                keys.transpose(1, 2),
                values.transpose(1, 2),
                attn_mask=mask_LL,
                is_causal=mask_LL is None,
                enable_gqa=weights.grouped,
            )
            x_NLH = x_NLH + F.linear(mixed.transpose(1, 2).reshape(*x_NLH.shape[:2], -1), layer.o)
            x_NLH = feed_forward(x_NLH.flatten(0, 1), layer, weights.eps).view_as(x_NLH)
