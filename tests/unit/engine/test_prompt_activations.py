"""Tests of norms and attention entropies at the last prompt token, against the module's states and attention weights."""

import math
from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn

from tina_azr.engine.observation import read_activations
from tina_azr.errors import ModelError

if TYPE_CHECKING:
    from tina_azr.model.loading import Policy

PROMPT = tuple(range(40, 75))


@pytest.fixture
def policy(byte_policy: "Policy") -> "Policy":
    byte_policy.module.requires_grad_(False)
    # A fresh random model attends almost evenly; larger projections make entropies that differ by layer.
    with torch.no_grad():
        for layer in byte_policy.module.model.layers:
            layer.self_attn.q_norm.weight.mul_(6.0)
    return byte_policy


def hooks_left(module: nn.Module) -> int:
    return sum(len(part._forward_hooks) + len(part._forward_pre_hooks) for part in module.modules())


def test_norms_equal_those_of_the_layer_outputs(policy: "Policy") -> None:
    # The last of transformers' hidden states is behind the final norm, so only the layers before the last can be compared there.
    states = policy.module(torch.tensor([PROMPT]), output_hidden_states=True).hidden_states
    found = read_activations(policy, PROMPT)
    assert found.layer_norms_L[:-1] == pytest.approx([float(state[0, -1].norm()) for state in states[1:-1]])
    assert len(found.layer_norms_L) == policy.module.config.num_hidden_layers


def test_entropies_equal_those_of_eager_attention(policy: "Policy") -> None:
    found = read_activations(policy, PROMPT)
    policy.module.set_attn_implementation("eager")
    weights = policy.module(torch.tensor([PROMPT]), output_attentions=True).attentions
    expected = [float(torch.special.entr(layer[0, :, -1]).sum(-1).mean()) for layer in weights]
    assert found.attention_entropies_L == pytest.approx(expected, abs=1e-5)
    assert max(expected) - min(expected) > 0.01


def test_entropy_is_zero_for_one_token_and_log_t_if_uniform(policy: "Policy") -> None:
    assert read_activations(policy, PROMPT[:1]).attention_entropies_L == pytest.approx((0.0, 0.0), abs=1e-6)
    with torch.no_grad():
        for layer in policy.module.model.layers:
            layer.self_attn.q_norm.weight.zero_()
    assert read_activations(policy, PROMPT).attention_entropies_L == pytest.approx((math.log(len(PROMPT)),) * 2)


def test_hooks_are_removed_afterwards(policy: "Policy") -> None:
    before = hooks_left(policy.module)
    read_activations(policy, PROMPT)
    assert hooks_left(policy.module) == before


def test_hooks_are_removed_if_the_forward_fails(policy: "Policy", monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("out of memory")

    before = hooks_left(policy.module)
    monkeypatch.setattr(policy.module.model.layers[1].mlp, "forward", fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        read_activations(policy, PROMPT)
    assert hooks_left(policy.module) == before


def test_a_model_in_bfloat16_is_read_in_float32(policy: "Policy") -> None:
    expected = read_activations(policy, PROMPT)
    nn.Module.to(policy.module, torch.bfloat16)
    found = read_activations(policy, PROMPT)
    assert found.layer_norms_L == pytest.approx(expected.layer_norms_L, rel=0.05)
    assert found.attention_entropies_L == pytest.approx(expected.attention_entropies_L, abs=0.1)


@pytest.mark.parametrize("length", [0, 1025])
def test_a_prompt_that_does_not_fit_is_refused(policy: "Policy", length: int) -> None:
    with pytest.raises(ModelError, match=f"1 to 1024 tokens; this one has {length}"):
        read_activations(policy, [65] * length)
