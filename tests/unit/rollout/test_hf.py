"""transformers' `generate` as a backend: it does what a request says, or says that it cannot."""

from collections.abc import Callable

import pytest

from tina_azr.errors import ConfigError, ModelError
from tina_azr.model.loading import Policy
from tina_azr.rollout import build_engine
from tina_azr.rollout.types import RolloutRequest, StopCause

Ask = Callable[..., RolloutRequest]


def test_stop_ids_of_a_request_end_it_as_in_ours(lively: Policy, ask: Ask) -> None:
    (free,) = build_engine(lively, "hf", slots=4).generate([ask("a", temperature=0.0)])
    first, second = free.completions_G[0].ids_T[:2].tolist()
    assert first != second
    request = ask("a", temperature=0.0, stop_ids=(second,))
    (theirs,), (ours,) = (build_engine(lively, name, slots=4).generate([request]) for name in ("hf", "native"))
    assert theirs.completions_G[0].ids_T.tolist() == ours.completions_G[0].ids_T.tolist() == [first, second]
    assert theirs.completions_G[0].stop_cause is StopCause.STOP_ID


def test_min_p_is_obeyed(lively: Policy, ask: Ask) -> None:
    greedy, narrow = ask("a", temperature=0.0, max_tokens=8), ask("a", min_p=1.0, max_tokens=8)
    first, second = (build_engine(lively, "hf", slots=4).generate([request])[0].completions_G[0] for request in (greedy, narrow))
    assert first.ids_T.tolist() == second.ids_T.tolist()


@pytest.mark.parametrize("params", [{"think_limit": 3}, {"min_think": 3}])
def test_what_it_cannot_do_is_refused(lively: Policy, ask: Ask, params: dict[str, int]) -> None:
    with pytest.raises(ModelError, match="backend native"):
        build_engine(lively, "hf", slots=4).generate([ask("a", **params)])


def test_it_taps_nothing_and_says_so(lively: Policy, ask: Ask) -> None:
    with pytest.raises(ConfigError, match="taps nothing"):
        build_engine(lively, "hf", slots=4, taps=(1,))
    with pytest.raises(ModelError, match="taps nothing"):
        build_engine(lively, "hf", slots=4).generate([ask("a")], on_prompts=lambda tickets, states: [None])
