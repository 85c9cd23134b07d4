"""Weights of the decode engine, fused so that a step makes few large matrix products. They share storage with the module's weights.

`q_proj`, `k_proj`, `v_proj` become views of one matrix, `gate_proj` and `up_proj` of another. No copy is made, so the next decoded token
uses the weights of an optimizer step that was just done. Updates have to be in place for that. Axes: `_V` vocabulary, `_H` hidden.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Qwen3Config, Qwen3ForCausalLM

from tina_azr.errors import ModelError


@dataclass(frozen=True, slots=True, kw_only=True)
class FusedLayer:
    """Weights of one decoder layer."""

    input_norm: Tensor
    qkv: Tensor
    """[(query heads + 2 kv heads) * head_dim, H]."""
    qk_norm: Tensor
    """[2, head_dim]: norm of the queries, norm of the keys."""
    o: Tensor
    post_norm: Tensor
    gate_up: Tensor
    """[2 * intermediate, H]."""
    down: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class FusedWeights:
    """Weights and sizes that decoding reads."""

    embedding_VH: Tensor
    layers: tuple[FusedLayer, ...]
    norm: Tensor
    head_VH: Tensor
    query_heads: int
    kv_heads: int
    head_dim: int
    head_kinds: Tensor
    """Row of `qk_norm` for each query head, then for each key head."""
    eps: float
    rope_theta: float

    @property
    def grouped(self) -> bool:
        """Whether several query heads read one kv head."""
        return self.query_heads != self.kv_heads


def fuse(module: Qwen3ForCausalLM) -> FusedWeights:
    """Fuse the weights of a module for decoding. The module keeps working on the same storage. A second call fuses nothing again.

    Raises ModelError for an architecture that the decode engine does not support.
    """
    config = module.config
    if config.attention_bias or config.use_sliding_window:
        raise ModelError(
            "the decode engine supports Qwen3 without attention bias and without sliding window only: use another model"
        )
    heads, kv_heads = config.num_attention_heads, config.num_key_value_heads or config.num_attention_heads
    layers = []
    for layer in module.model.layers:
        attention, mlp = layer.self_attn, layer.mlp
        layers.append(
            FusedLayer(
                input_norm=layer.input_layernorm.weight.detach(),
                qkv=_fuse([attention.q_proj.weight, attention.k_proj.weight, attention.v_proj.weight]),
                qk_norm=_fuse([attention.q_norm.weight, attention.k_norm.weight]).view(2, -1),
                o=attention.o_proj.weight.detach(),
                post_norm=layer.post_attention_layernorm.weight.detach(),
                gate_up=_fuse([mlp.gate_proj.weight, mlp.up_proj.weight]),
                down=mlp.down_proj.weight.detach(),
            )
        )
    return FusedWeights(
        embedding_VH=module.model.embed_tokens.weight.detach(),
        layers=tuple(layers),
        norm=module.model.norm.weight.detach(),
        head_VH=module.lm_head.weight.detach(),
        query_heads=heads,
        kv_heads=kv_heads,
        head_dim=config.head_dim,
        head_kinds=torch.tensor([0] * heads + [1] * kv_heads, device=module.lm_head.weight.device),
        eps=config.rms_norm_eps,
        rope_theta=_rope_theta(config),
    )


def _fuse(parameters: list[nn.Parameter]) -> Tensor:
    """Return one tensor of which the parameters are slices along the first axis."""
    first = parameters[0]
    shape = (sum(len(parameter) for parameter in parameters), *first.shape[1:])
    ends = [parameter.data_ptr() + parameter.nbytes for parameter in parameters]
    starts = [parameter.data_ptr() for parameter in parameters]
    one_storage = len({parameter.untyped_storage().data_ptr() for parameter in parameters}) == 1
    if one_storage and starts[1:] == ends[:-1]:
        return first.detach().as_strided(shape, first.stride(), first.storage_offset())
    fused = torch.cat([parameter.detach() for parameter in parameters])
    for parameter, part in zip(parameters, fused.split([len(parameter) for parameter in parameters]), strict=True):
        parameter.data = part
    return fused


def _rope_theta(config: Qwen3Config) -> float:
    parameters: dict[str, Any] = dict(config.rope_parameters or {})
    kind = parameters.get("rope_type", "default")
    if kind != "default":
        raise ModelError(
            f"the decode engine supports plain rotary embeddings, but this model has rope_type {kind}: use another model"
        )
    return float(parameters["rope_theta"])
