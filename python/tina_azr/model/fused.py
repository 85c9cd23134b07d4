"""The decode engine's weights, fused so that a step makes few large products. They *are* the module's weights.

`q_proj`, `k_proj`, `v_proj` become views of one matrix, `gate_proj` and `up_proj` of another. No copy is ever made: an optimizer step in
place is seen by the very next decoded token. Only in-place updates keep that true. Axes: `_V` vocabulary, `_H` hidden.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Qwen3Config, Qwen3ForCausalLM

from tina_azr.errors import ModelError


@dataclass(frozen=True, slots=True, kw_only=True)
class FusedLayer:
    """One decoder layer's weights."""

    input_norm: Tensor
    qkv: Tensor
    """[(query heads + 2 kv heads) * head_dim, H]."""
    qk_norm: Tensor
    """[2, head_dim]: the queries' norm, the keys' norm."""
    o: Tensor
    post_norm: Tensor
    gate_up: Tensor
    """[2 * intermediate, H]."""
    down: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class FusedWeights:
    """All that decoding reads, and the shape it needs to know."""

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
        """Several query heads read one kv head."""
        return self.query_heads != self.kv_heads


def fuse(module: Qwen3ForCausalLM) -> FusedWeights:
    """Lay the weights out for decoding; the module keeps working, on the same storage. Calling it twice fuses once."""
    config = module.config
    if config.attention_bias or config.use_sliding_window:
        raise ModelError("the decode engine knows Qwen3 without attention bias and without sliding window: use backend hf")
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
    """One tensor whose slices the parameters are, along the first axis."""
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
        raise ModelError(f"the decode engine knows plain rotary embeddings, this model has rope_type {kind}: use backend hf")
    return float(parameters["rope_theta"])
