"""Keys and values of prompts, each computed once however many completions it gets.

Axes: `_N` prompts, `_L` positions, `_K` kv heads, `_D` head dimension, `_H` hidden.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from tina_azr.model.fused import FusedWeights
from tina_azr.rollout.layers import Rotary, feed_forward, project, rms_norm

CHUNK_TOKENS = 8_192
"""Most padded tokens in one forward: bounds the activations, not the result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptCache:
    """All but the last token of each prompt: that one is left to the first decode step, which gives the logits."""

    width: int
    """Positions of the longest prompt, its last token not counted."""
    lengths: tuple[int, ...]
    """Of each prompt, likewise."""
    keys: list[Tensor]
    """A layer's [N, L, K, D]; beyond a prompt's length its rows hold what nobody reads."""
    values: list[Tensor]


def prefill(weights: FusedWeights, rotary: Rotary, prompts: Sequence[Sequence[int]]) -> PromptCache:
    """Run prompts through the layers. They are padded on the right: a causal mask keeps padding out of everything that is used."""
    lengths = tuple(len(prompt) - 1 for prompt in prompts)
    width = max(lengths)
    ids_NL = torch.zeros(len(prompts), width, dtype=torch.long)
    for row, prompt in enumerate(prompts):
        ids_NL[row, : lengths[row]] = torch.tensor(prompt[:-1])
    at_once = max(1, CHUNK_TOKENS // max(1, width))
    chunks = [_forward(weights, rotary, ids.to(weights.norm.device)) for ids in ids_NL.split(at_once)]
    layers = range(len(weights.layers))
    return PromptCache(
        width=width,
        lengths=lengths,
        keys=[torch.cat([keys[layer] for keys, _ in chunks]) for layer in layers],
        values=[torch.cat([values[layer] for _, values in chunks]) for layer in layers],
    )


def _forward(weights: FusedWeights, rotary: Rotary, ids_NL: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    rows, width = ids_NL.shape
    x_NLH = F.embedding(ids_NL, weights.embedding_VH)
    cosine, sine = rotary.cosine_PD[:width, None], rotary.sine_PD[:width, None]
    all_keys, all_values = [], []
    for number, layer in enumerate(weights.layers):
        queries, keys, values = project(weights, layer, rms_norm(x_NLH, layer.input_norm, weights.eps), cosine, sine)
        all_keys.append(keys)
        all_values.append(values)
        if number == len(weights.layers) - 1:
            break  # nothing reads what the last layer would pass on
        mixed = F.scaled_dot_product_attention(
            queries.transpose(1, 2), keys.transpose(1, 2), values.transpose(1, 2), is_causal=True, enable_gqa=weights.grouped
        )
        x_NLH = x_NLH + F.linear(mixed.transpose(1, 2).reshape(rows, width, -1), layer.o)
        x_NLH = feed_forward(x_NLH.flatten(0, 1), layer, weights.eps).view_as(x_NLH)
    return all_keys, all_values
