"""Side adapters, FiLM and gate in the engine: the identity when new, in thoughts alone, and gone when removed."""

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
    """Ids and log-probabilities of two completions, thought and answer."""
    messages = (Message(role="user", content="hello"),)
    request = GenerationRequest(messages=messages, n=2, max_tokens=60, budget_tokens=20, seed=4)
    completions = [one.completion for one in engine.generate([request])[0]]
    return [(one.ids_T.tolist(), one.logprobs_T.tolist()) for one in completions]


@pytest.mark.parametrize("switched_on", [{key: ALL[key]} for key in ALL] + [ALL], ids=[*ALL, "all"])
def test_what_is_new_is_the_identity(make_engine: Make, switched_on: dict[str, Any]) -> None:
    engine = make_engine(**switched_on)
    assert engine.modulator is not None
    assert engine.modulator.activity() == 0
    assert decoded(engine) == decoded(make_engine())


@pytest.mark.parametrize("switched_on", [{key: ALL[key]} for key in ALL], ids=list(ALL))
def test_what_has_learned_changes_the_thought_until_it_is_removed(make_engine: Make, switched_on: dict[str, Any]) -> None:
    engine, plain = make_engine(**switched_on), decoded(make_engine())
    assert engine.modulator is not None
    with torch.no_grad():
        for parameter in engine.modulator.parameters():
            parameter += 0.5
    assert decoded(engine) != plain
    engine.remove_modulator()
    assert engine.modulator is None
    assert decoded(engine) == plain


def test_without_heads_there_is_nothing_that_could_speak_back(make_engine: Make) -> None:
    with pytest.raises(ConfigError, match="this policy has no heads"):
        make_engine(heads=False, film=True)


def test_a_gate_behind_no_layer_is_refused(make_engine: Make) -> None:
    with pytest.raises(ConfigError, match="gate_layer is 2, the model has the layers 0 to 1"):
        make_engine(gate_layer=2)
