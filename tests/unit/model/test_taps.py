"""Tests of taps: which layers are read, at which position, and that the decode engine and the module read the same."""

import numpy as np
import pytest
import torch

from tina_azr.errors import ConfigError, ModelError
from tina_azr.model.loading import Policy
from tina_azr.model.taps import Taps, choose_taps, default_taps
from tina_azr.rollout.decode import DecodeEngine
from tina_azr.rollout.session import DecodeSession
from tina_azr.rollout.types import CompletionGroup, RolloutRequest, SamplingParams

LAYERS = (0, 1)


def hooks(policy: Policy) -> int:
    return sum(len(layer._forward_hooks) for layer in policy.module.model.layers)


def ids(policy: Policy, text: str = "some words") -> torch.Tensor:
    return torch.tensor([policy.tokenizer.render(text)])


def requests(policy: Policy, count: int = 5) -> list[RolloutRequest]:
    params = SamplingParams(max_tokens=150, think_limit=6)
    return [
        RolloutRequest(prompt_ids=policy.tokenizer.render("x" * (1 + 7 * number)), group_size=2, params=params, seed=number)
        for number in range(count)
    ]


# The convention.


def test_the_defaults_of_qwen3_4b_are_8_16_24_32() -> None:
    assert default_taps(36) == (8, 16, 24, 32)


@pytest.mark.parametrize(("depth", "taps"), [(28, (6, 12, 19, 25)), (64, (14, 28, 43, 57)), (3, (1, 2)), (2, (0, 1)), (1, (0,))])
def test_other_depths_are_tapped_at_the_same_relative_depth(depth: int, taps: tuple[int, ...]) -> None:
    assert default_taps(depth) == taps


def test_default_taps_exist_in_models_of_every_depth() -> None:
    for depth in range(1, 100):
        assert choose_taps(depth, default_taps(depth)) == default_taps(depth) == choose_taps(depth, None)


def test_linked_mode_reads_every_layer() -> None:
    assert choose_taps(5, None, linked=True) == (0, 1, 2, 3, 4)


@pytest.mark.parametrize("taps", [(), (1, 0), (0, 0), (-1, 0), (0, 2)])
def test_missing_and_unordered_layers_are_refused(taps: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match=r"introspection\.taps.*from 0 to 1: the model has 2 decoder layers"):
        choose_taps(2, taps)


@torch.no_grad()
def test_tap_k_is_the_output_of_layer_k(byte_policy: Policy) -> None:
    module, prompt = byte_policy.module, ids(byte_policy)
    with Taps(module, (0,)) as taps:
        hidden = module(prompt, output_hidden_states=True).hidden_states
    torch.testing.assert_close(taps.states([0, 0], [2, -1])[:, 0], hidden[1][0, [2, -1]], atol=0, rtol=0)


# The context.


@torch.no_grad()
def test_hooks_are_removed_even_if_the_body_raises(byte_policy: Policy) -> None:
    with Taps(byte_policy.module, LAYERS):
        assert hooks(byte_policy) == 2
    assert hooks(byte_policy) == 0

    def fail() -> None:
        with Taps(byte_policy.module, LAYERS):
            byte_policy.module(ids(byte_policy))
            raise KeyError("in the midst of it")

    with pytest.raises(KeyError):
        fail()
    assert hooks(byte_policy) == 0


@torch.no_grad()
def test_taps_do_not_change_the_forward(byte_policy: Policy) -> None:
    plain = byte_policy.module(ids(byte_policy)).logits
    with Taps(byte_policy.module, LAYERS):
        tapped = byte_policy.module(ids(byte_policy)).logits
    assert torch.equal(plain, tapped)


def test_states_are_detached(byte_policy: Policy) -> None:
    with Taps(byte_policy.module, LAYERS) as taps:
        logits = byte_policy.module(ids(byte_policy)).logits
    assert logits.requires_grad
    assert not taps.states([0], [-1]).requires_grad


def test_states_before_any_forward_raise_an_error(byte_policy: Policy) -> None:
    with Taps(byte_policy.module, (1,)) as taps, pytest.raises(ConfigError, match="no forward pass has gone through layer 1"):
        taps.states([0], [0])


def test_a_layer_that_the_module_does_not_have_is_refused(byte_policy: Policy) -> None:
    with pytest.raises(ConfigError, match="2 decoder layers"):
        Taps(byte_policy.module, (2,))
    assert hooks(byte_policy) == 0


# The same states everywhere.


@torch.no_grad()
def module_states(policy: Policy, sequence: list[int]) -> np.ndarray:
    with Taps(policy.module, LAYERS) as taps:
        policy.module(torch.tensor([sequence]))
    return taps.states([0], [-1])[0].numpy()


def decode(policy: Policy, asked: list[RolloutRequest], slots: int = 64) -> list[CompletionGroup]:
    return DecodeEngine(policy, slots=slots, taps=LAYERS).generate(asked)


def test_the_decode_engine_and_the_modules_hooks_read_the_same_states(byte_policy: Policy) -> None:
    closed, seen = byte_policy.tokenizer.think_close_id, 0
    for group in decode(byte_policy, requests(byte_policy)):
        np.testing.assert_allclose(group.prompt_states_LH, module_states(byte_policy, [*group.prompt_ids]), atol=1e-4)
        for one in group.completions_G:
            if one.close_states_LH is not None:
                reasoning = one.ids_T[: one.ids_T.tolist().index(closed) + 1].tolist()
                expected = module_states(byte_policy, [*group.prompt_ids, *reasoning])
                np.testing.assert_allclose(one.close_states_LH, expected, atol=1e-4)
                seen += 1
    assert seen > 3


def test_a_whole_batch_and_an_open_session_give_the_same_bits(byte_policy: Policy) -> None:
    """Self-play decodes batches and learns from their states; a server keeps a session open. The states have to be equal."""
    asked = requests(byte_policy)
    batch = decode(byte_policy, asked)
    session = DecodeSession(byte_policy, slots=64, taps=LAYERS)
    tickets = [session.submit(request, follow=True) for request in asked]
    prompts, closes, done = {}, {}, {}
    while session.busy:
        report = session.step()
        prompts.update(report.prompts)
        closes.update({(ticket, index): states for ticket, index, states in report.closed})
        done.update({(one.ticket, one.index): one.completion for one in report.ended})
    for ticket, group in zip(tickets, batch, strict=True):
        assert np.array_equal(prompts[ticket], group.prompt_states_LH)
        for index, one in enumerate(group.completions_G):
            assert np.array_equal(done[ticket, index].ids_T, one.ids_T)
            if one.close_states_LH is not None:
                assert np.array_equal(closes[ticket, index], one.close_states_LH)
    assert closes


def test_without_taps_nothing_is_read(byte_policy: Policy) -> None:
    (group,) = DecodeEngine(byte_policy, slots=4).generate(requests(byte_policy, 1))
    assert group.prompt_states_LH is None
    assert all(one.close_states_LH is None for one in group.completions_G)


def test_a_think_limit_from_states_needs_taps(byte_policy: Policy) -> None:
    engine = DecodeEngine(byte_policy, slots=4)
    with pytest.raises(ModelError, match="has no taps"):
        engine.generate(requests(byte_policy, 1), on_prompts=lambda numbers, states: [None])


def test_the_hook_gets_request_numbers_and_sets_think_limits(byte_policy: Policy) -> None:
    asked = requests(byte_policy)[::-1]  # the engine prefills short ones first
    numbers: list[int] = []

    def think_limits(those: list[int], states_NLH: np.ndarray) -> list[int | None]:
        for number, states_LH in zip(those, states_NLH, strict=True):
            np.testing.assert_allclose(states_LH, module_states(byte_policy, [*asked[number].prompt_ids]), atol=1e-4)
        numbers.extend(those)
        return [0 if number == 2 else None for number in those]

    groups = DecodeEngine(byte_policy, slots=64, taps=LAYERS).generate(asked, on_prompts=think_limits)
    assert sorted(numbers) == [0, 1, 2, 3, 4]
    budgeted = [bool(group.completions_G[0].forced_T[0]) for group in groups]
    assert budgeted == [False, False, True, False, False]
