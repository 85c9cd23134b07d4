"""Tests of transformers' `generate` as a rollout engine: it applies the parameters of a request, or refuses it."""

from collections.abc import Callable

import pytest

from tina_azr.benchmarks.hf_generate import HFGenerate
from tina_azr.errors import ModelError
from tina_azr.model.loading import Policy
from tina_azr.rollout.decode import DecodeEngine
from tina_azr.rollout.types import RolloutRequest, StopCause

Ask = Callable[..., RolloutRequest]


def test_stop_ids_act_as_in_the_decode_engine(lively: Policy, ask: Ask) -> None:
    (free,) = HFGenerate(lively, slots=4).generate([ask("a", temperature=0.0)])
    first, second = free.completions_G[0].ids_T[:2].tolist()
    assert first != second
    request = ask("a", temperature=0.0, stop_ids=(second,))
    (theirs,), (ours,) = (engine(lively, slots=4).generate([request]) for engine in (HFGenerate, DecodeEngine))
    assert theirs.completions_G[0].ids_T.tolist() == ours.completions_G[0].ids_T.tolist() == [first, second]
    assert theirs.completions_G[0].stop_cause is StopCause.STOP_ID


def test_min_p_is_applied(lively: Policy, ask: Ask) -> None:
    greedy, narrow = ask("a", temperature=0.0, max_tokens=8), ask("a", min_p=1.0, max_tokens=8)
    first, second = (HFGenerate(lively, slots=4).generate([request])[0].completions_G[0] for request in (greedy, narrow))
    assert first.ids_T.tolist() == second.ids_T.tolist()


@pytest.mark.parametrize("params", [{"think_limit": 3}, {"min_think": 3}])
def test_unsupported_parameters_are_refused(lively: Policy, ask: Ask, params: dict[str, int]) -> None:
    with pytest.raises(ModelError, match="use DecodeEngine"):
        HFGenerate(lively, slots=4).generate([ask("a", **params)])


def test_think_limits_by_hook_are_refused(lively: Policy, ask: Ask) -> None:
    with pytest.raises(ModelError, match="no taps"):
        HFGenerate(lively, slots=4).generate([ask("a")], on_prompts=lambda tickets, states: [None])
