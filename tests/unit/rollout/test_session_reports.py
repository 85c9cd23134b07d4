"""Tests of a decode session's reports, of its prompt hook, and of requests that it refuses."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tina_azr.errors import ModelError
from tina_azr.model.loading import Policy
from tina_azr.rollout.kv_batch import MAX_KV_BATCHES
from tina_azr.rollout.types import RolloutRequest

Open = Callable[..., Any]
Ask = Callable[..., RolloutRequest]
pytestmark = pytest.mark.usefixtures("endless")


def test_many_arrivals_stay_within_the_most_kv_batches(driven: Open, ask: Ask) -> None:
    one = driven(slots=64)
    for number in range(3 * MAX_KV_BATCHES):
        one.submit(ask("q" * (1 + 5 * number), max_tokens=100))
        one.step()
        assert len(one.session._batches.all) <= MAX_KV_BATCHES


def test_followed_tokens_equal_the_completion(driven: Open, ask: Ask) -> None:
    one = driven(slots=3)
    followed = one.submit(ask("a", group_size=5, max_tokens=40, think_limit=4), follow=True)
    quiet = one.submit(ask("b"))
    one.run()
    for index, done in one.ended[followed].items():
        tokens = one.tokens[followed, index]
        assert [token.id for token in tokens] == done.ids_T.tolist()
        assert [token.forced for token in tokens] == done.forced_T.tolist()
        np.testing.assert_array_equal(np.array([token.logprob for token in tokens], dtype=np.float32), done.logprobs_T)
    assert not any(ticket == quiet for ticket, _ in one.tokens)


def test_the_hook_is_called_once_for_each_request_and_sets_its_think_limit(byte_policy: Policy, driven: Open, ask: Ask) -> None:
    asked: list[int] = []

    def think_limits(tickets: list[int], states_NLH: np.ndarray) -> list[int | None]:
        assert states_NLH.shape == (len(tickets), 1, byte_policy.module.config.hidden_size)
        asked.extend(tickets)
        return [3 if ticket == 1 else None for ticket in tickets]

    one = driven(slots=2, taps=(1,), on_prompts=think_limits)
    budgeted, own = one.submit(ask("a", group_size=5, max_tokens=12)), one.submit(ask("b", max_tokens=12, think_limit=6))
    one.run()
    assert asked == [budgeted, own]
    closed = byte_policy.tokenizer.think_close_id
    for done in one.ended[budgeted].values():
        assert done.forced_T[3] or closed in done.ids_T[:3]
    assert np.flatnonzero(one.ended[own][0].forced_T)[0] == 6


@pytest.mark.parametrize("seed", [-1, 1 << 63])
def test_a_seed_out_of_range_is_refused(ask: Ask, seed: int) -> None:
    with pytest.raises(ModelError, match="seed"):
        ask("a", seed=seed)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", -1.0),
        ("temperature", float("nan")),
        ("top_p", 0.0),
        ("top_p", 1.5),
        ("top_k", -1),
        ("min_p", 1.1),
        ("think_limit", -1),
    ],
)
def test_sampling_parameters_out_of_range_are_refused(ask: Ask, name: str, value: float) -> None:
    with pytest.raises(ModelError, match=name):
        ask("a", **{name: value})


def test_prompt_ids_that_the_model_does_not_have_are_refused(driven: Open, ask: Ask) -> None:
    for wrong in ((1, 264), (-1, 1)):
        with pytest.raises(ModelError, match="its ids are 0 to 263"):
            driven().submit(replace(ask("a"), prompt_ids=wrong))


def test_weights_that_are_not_finite_raise_an_error(byte_policy: Policy, driven: Open, ask: Ask) -> None:
    with torch.no_grad():
        byte_policy.module.model.norm.weight.fill_(float("nan"))
    one = driven()
    one.submit(ask("a", max_tokens=2))
    with pytest.raises(ModelError, match="not finite"):
        one.run()
