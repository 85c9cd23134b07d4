"""What a prompt's last token leaves behind in every layer: the size of its state, and how widely it looked around.

One forward pass of the module itself, with hooks that go when it ends, however it ends. Attention weights are never asked for: the
last row is computed from the queries and keys, so it does not matter which attention kernel the module runs. Axes: `_L` layers,
`_A` attention heads, `_T` tokens, `_D` head size, `_H` hidden.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers.models.qwen3.modeling_qwen3 import apply_rotary_pos_emb

from tina_azr.errors import ModelError
from tina_azr.model.loading import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Activations:
    """At the last token of a prompt."""

    layer_norms_L: tuple[float, ...]
    """Euclidean norm of each decoder layer's output."""
    attention_entropies_L: tuple[float, ...]
    """Entropy of each layer's attention in nats, mean over its heads: 0 looks at one token, log T at all T alike."""


@torch.inference_mode()
def read_activations(policy: Policy, prompt_ids: Sequence[int]) -> Activations:
    """One forward pass over the prompt, read in float32. Raises ModelError for a prompt that is empty or too long."""
    limit = policy.module.config.max_position_embeddings
    if not 0 < len(prompt_ids) <= limit:
        raise ModelError(f"activations need a prompt of 1 to {limit} tokens, this one has {len(prompt_ids)}")
    model = policy.module.model
    watch = _Watch()
    with ExitStack() as hooks:
        hooks.callback(model.rotary_emb.register_forward_hook(watch.on_angles).remove)
        for layer in model.layers:
            hooks.callback(layer.self_attn.q_norm.register_forward_hook(watch.on_queries).remove)
            hooks.callback(layer.self_attn.k_norm.register_forward_hook(watch.on_keys).remove)
            hooks.callback(layer.register_forward_hook(watch.on_layer).remove)
        model(input_ids=torch.tensor([list(prompt_ids)], device=policy.device), use_cache=False)
    return Activations(layer_norms_L=tuple(watch.norms), attention_entropies_L=tuple(watch.entropies))


class _Watch:
    """Hooks of one forward pass, in which layers come one after another: nothing of a layer is kept but two numbers."""

    def __init__(self) -> None:
        self.norms: list[float] = []
        self.entropies: list[float] = []

    def on_angles(self, _module: nn.Module, _inputs: Any, output: tuple[Tensor, Tensor]) -> None:
        self._cos_1TD, self._sin_1TD = output

    def on_queries(self, _module: nn.Module, _inputs: Any, output: Tensor) -> None:
        self._queries_1TAD = output

    def on_keys(self, _module: nn.Module, _inputs: Any, output: Tensor) -> None:
        self.entropies.append(_entropy(self._queries_1TAD, output, self._cos_1TD, self._sin_1TD))

    def on_layer(self, _module: nn.Module, _inputs: Any, output: Tensor | tuple[Tensor, ...]) -> None:
        state_1TH = output if isinstance(output, Tensor) else output[0]
        self.norms.append(float(state_1TH[0, -1].float().norm()))


def _entropy(queries_1TAD: Tensor, keys_1TAD: Tensor, cos_1TD: Tensor, sin_1TD: Tensor) -> float:
    """Of the last row of attention, before which there is no mask; mean over query heads."""
    queries, keys = apply_rotary_pos_emb(queries_1TAD.transpose(1, 2), keys_1TAD.transpose(1, 2), cos_1TD, sin_1TD)
    last_AD, keys_ATD = queries[0, :, -1].float(), keys[0].float()
    keys_ATD = keys_ATD.repeat_interleave(len(last_AD) // len(keys_ATD), dim=0)
    scores_AT = torch.einsum("ad,atd->at", last_AD, keys_ATD) * last_AD.shape[-1] ** -0.5
    return float(torch.special.entr(scores_AT.softmax(-1)).sum(-1).mean())
