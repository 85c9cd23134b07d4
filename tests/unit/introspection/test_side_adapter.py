"""Tests of side adapters, FiLM and feedback gate: identity at initialisation, effect on reasoning rows only."""

from typing import Any

import pytest
import torch
from torch import Tensor

from tina_azr.errors import ConfigError
from tina_azr.introspection.side_adapter import CONDITION, Modulator, ModulatorShape

ALL: dict[str, Any] = {"rank": 4, "film": True, "gate_layer": 1}
each = pytest.mark.parametrize("selected", [*({name: value} for name, value in ALL.items()), ALL], ids=[*ALL, "all"])


def build(**selected: Any) -> Modulator:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Modulator(ModulatorShape(hidden_size=8, layers=(1,), **selected))


def inputs() -> tuple[Tensor, Tensor, Tensor]:
    """Residual stream of six rows, which of them are reasoning, and their conditions."""
    draw = torch.Generator().manual_seed(1)
    return torch.randn(6, 8, generator=draw), torch.arange(6) % 2 == 0, torch.randn(6, CONDITION, generator=draw)


@each
def test_a_new_modulator_is_the_identity(selected: dict[str, Any]) -> None:
    x_BH, thinking_B, condition_BC = inputs()
    modulator = build(**selected)
    assert modulator.activity() == 0.0
    assert torch.equal(modulator.apply_layer(1, x_BH, thinking_B, condition_BC), x_BH)


@each
def test_a_trained_modulator_changes_reasoning_rows_of_its_layer_only(selected: dict[str, Any]) -> None:
    x_BH, thinking_B, condition_BC = inputs()
    modulator = build(**selected)
    with torch.no_grad():
        for parameter in modulator.parameters():
            parameter += 0.5
    changed_BH = modulator.apply_layer(1, x_BH, thinking_B, condition_BC)
    assert torch.equal((changed_BH != x_BH).any(-1), thinking_B)
    assert torch.equal(modulator.apply_layer(0, x_BH, thinking_B, condition_BC), x_BH)


def test_an_empty_modulator_is_refused() -> None:
    with pytest.raises(ConfigError, match="does nothing: leave it out"):
        build()
