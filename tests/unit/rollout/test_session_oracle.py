"""Tests of a decode session under load: ids equal those of transformers, log-probabilities those of the learner."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tina_azr.benchmarks.hf_generate import HFGenerate
from tina_azr.model.loading import Policy
from tina_azr.model.logprobs import completion_logprobs
from tina_azr.rollout.kv_batch import MAX_KV_BATCHES
from tina_azr.rollout.types import RolloutRequest

Open = Callable[..., Any]
Ask = Callable[..., RolloutRequest]


def texts(count: int) -> list[str]:
    """Return texts of very different lengths, unordered."""
    draw = np.random.default_rng(11)
    return ["".join(chr(97 + letter) for letter in draw.integers(0, 26, size=draw.integers(1, 70))) for _ in range(count)]


def expected(policy: Policy, requests: list[RolloutRequest], *, at_once: int = 1) -> list[list[int]]:
    """Return greedy ids of transformers' `generate`, computed in batches of equal limits."""
    groups = HFGenerate(policy, slots=at_once).generate(requests)
    return [completion.ids_T.tolist() for group in groups for completion in group.completions_G]


def greedy(ask: Ask, count: int, *, alike: int = 1) -> list[RolloutRequest]:
    """Return greedy requests of many limits, with runs of `alike` equal ones."""
    lengths = np.repeat(np.random.default_rng(3).integers(4, 30, size=count // alike), alike).tolist()
    return [ask(text, temperature=0.0, max_tokens=length) for text, length in zip(texts(count), lengths, strict=True)]


def test_two_hundred_greedy_prompts_equal_generate_under_refill(lively: Policy, driven: Open, ask: Ask) -> None:
    requests = greedy(ask, 200, alike=25)
    one = driven(slots=12)
    tickets = [one.submit(request) for request in requests]
    one.run()
    found = [one.ids(ticket)[0] for ticket in tickets]
    assert len({tuple(ids) for ids in found}) > 150, "a model that always says the same proves little"
    assert found == expected(lively, requests, at_once=25)


@pytest.mark.parametrize("piece_tokens", [1, 7, 64])
def test_prompts_in_pieces_equal_generate(lively: Policy, driven: Open, ask: Ask, piece_tokens: int) -> None:
    requests = greedy(ask, 12)
    one = driven(slots=6, piece_tokens=piece_tokens)
    tickets = [one.submit(request) for request in requests]
    one.run()
    assert [one.ids(ticket)[0] for ticket in tickets] == expected(lively, requests)


def test_a_prompt_of_one_token_equals_generate(lively: Policy, driven: Open, ask: Ask) -> None:
    short, long = replace(ask("a", temperature=0.0), prompt_ids=(65,)), ask("words", temperature=0.0)
    for requests in ([short], [short, long]):
        one = driven()
        tickets = [one.submit(request) for request in requests]
        one.run()
        assert [one.ids(ticket)[0] for ticket in tickets] == expected(lively, requests)


def test_requests_that_arrive_while_others_decode_equal_generate(lively: Policy, driven: Open, ask: Ask) -> None:
    requests = greedy(ask, 3 * MAX_KV_BATCHES)
    one = driven(slots=64, piece_tokens=16)
    tickets = []
    for request in requests:  # one KV batch each: more than the maximum, so neighbours are merged
        tickets.append(one.submit(request))
        one.step(2)
    one.run()
    assert [one.ids(ticket)[0] for ticket in tickets] == expected(lively, requests)


def test_cancelled_rows_do_not_change_the_others(lively: Policy, driven: Open, ask: Ask) -> None:
    requests = greedy(ask, 24)
    one = driven(slots=10, piece_tokens=32)
    tickets = [one.submit(request) for request in requests]
    for number, ticket in enumerate(tickets):
        one.step()
        if number % 3 == 0:
            one.cancel(ticket)
    one.run()
    others = [number for number in range(24) if number % 3]
    assert [one.ids(tickets[number])[0] for number in others] == expected(lively, [requests[number] for number in others])


def test_sampled_logprobs_equal_the_learners_under_arrivals_and_cancels(lively: Policy, driven: Open, ask: Ask) -> None:
    one = driven(slots=9, piece_tokens=20)
    requests = [
        ask(text, group_size=1 + number % 3, seed=number, max_tokens=8 + number, temperature=0.7, think_limit=number % 5 or None)
        for number, text in enumerate(texts(15))
    ]
    tickets = {}
    for request in requests:
        tickets[one.submit(request)] = request
        one.step(2)
    one.run()
    rows = [(tickets[ticket].prompt_ids, done) for ticket, group in one.ended.items() for done in group.values()]
    with torch.no_grad():
        scores = completion_logprobs(
            lively.module, [prompt for prompt, _ in rows], [done.ids_T for _, done in rows], temperature=0.7
        )
    sampler, forced = (np.concatenate([getattr(done, name) for _, done in rows]) for name in ("logprobs_T", "forced_T"))
    assert forced.any()
    np.testing.assert_allclose(sampler[~forced], scores.logprobs_T.numpy()[~forced], atol=1e-4)


def test_a_completion_does_not_depend_on_the_other_requests(lively: Policy, driven: Open, ask: Ask) -> None:
    wanted = ask("what is asked", seed=42, group_size=2, temperature=0.9, top_p=0.8, max_tokens=40)
    alone, crowd = driven(), driven(slots=7, piece_tokens=9)
    first = alone.submit(wanted)
    alone.run()
    for number, text in enumerate(texts(6)):
        crowd.submit(ask(text, seed=number, temperature=1.3, top_k=5, stop_ids=(7,)))
        crowd.step(2)
    second = crowd.submit(wanted)
    crowd.submit(ask("later", group_size=3, min_p=0.1))
    crowd.run()
    assert crowd.ids(second) == alone.ids(first)


def test_a_running_session_uses_updated_weights_from_the_next_token_on(lively: Policy, driven: Open, ask: Ask) -> None:
    one = driven()
    ticket = one.submit(ask("a", temperature=0.0, max_tokens=12), follow=True)
    one.step(4)
    before = [token.id for token in one.tokens[ticket, 0]]
    wanted = (before[-1] + 1) % 256
    with torch.no_grad():
        # Rows of the output matrix are scored against a vector of mean square 1: along itself, this one wins.
        states = lively.module.model(torch.tensor([[*lively.tokenizer.render("a"), *before]])).last_hidden_state[0, -1]
        lively.module.lm_head.weight[wanted] = states
    one.step()
    assert one.tokens[ticket, 0][-1].id == wanted
