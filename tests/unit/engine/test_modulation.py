"""Tests of side adapters, FiLM and gate: they are the identity at initialisation, and change only the reasoning."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from tina_azr.engine.engine import IntrospectiveEngine
from tina_azr.engine.types import GenerationRequest, Message
from tina_azr.errors import ConfigError

Make = Callable[..., IntrospectiveEngine]
ALL: dict[str, Any] = {"adapter_rank": 4, "film": True, "gate_layer": 0}


def decoded(engine: IntrospectiveEngine) -> list[tuple[list[int], list[float]]]:
    """Return ids and log-probabilities of two completions."""
    messages = (Message(role="user", content="hello"),)
    request = GenerationRequest(messages=messages, n=2, max_tokens=60, budget_tokens=20, seed=4)
    completions = [one.completion for one in engine.generate([request])[0]]
    return [(one.ids_T.tolist(), one.logprobs_T.tolist()) for one in completions]


@pytest.mark.parametrize("switched_on", [{key: ALL[key]} for key in ALL] + [ALL], ids=[*ALL, "all"])
def test_modulators_are_the_identity_at_initialisation(make_engine: Make, switched_on: dict[str, Any]) -> None:
    engine = make_engine(**switched_on)
    assert engine.modulator is not None
    assert engine.modulator.activity() == 0
    assert decoded(engine) == decoded(make_engine())


@pytest.mark.parametrize("switched_on", [{key: ALL[key]} for key in ALL], ids=list(ALL))
def test_trained_modulators_change_the_completions(make_engine: Make, switched_on: dict[str, Any]) -> None:
    engine, plain = make_engine(**switched_on), decoded(make_engine())
    assert engine.modulator is not None
    with torch.no_grad():
        for parameter in engine.modulator.parameters():
            parameter += 0.5
    assert decoded(engine) != plain


def test_a_modulator_without_heads_is_refused(make_engine: Make) -> None:
    with pytest.raises(ConfigError, match="this policy has no heads"):
        make_engine(heads=False, film=True)


def test_a_gate_layer_that_does_not_exist_is_refused(make_engine: Make) -> None:
    with pytest.raises(ConfigError, match="gate_layer is 2, the model has the layers 0 to 1"):
        make_engine(gate_layer=2)
