"""Tests of a decode session: cancelling, closing reasoning, think limits, stop ids, memory."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from tina_azr.errors import ModelError
from tina_azr.model.loading import Policy
from tina_azr.rollout.slots import SlotRow, Slots
from tina_azr.rollout.types import RolloutRequest, SamplingParams, StopCause

Open = Callable[..., Any]
Ask = Callable[..., RolloutRequest]


pytestmark = pytest.mark.usefixtures("endless")


# Cancelling.


def test_cancel_returns_the_completion_so_far(driven: Open, ask: Ask) -> None:
    one = driven()
    ticket = one.submit(ask("a", max_tokens=200), follow=True)
    one.step(6)
    assert one.cancel(ticket) == 1
    (completion,) = one.ended[ticket].values()
    assert completion.stop_cause is StopCause.CANCELLED
    assert completion.ids_T.tolist() == [token.id for token in one.tokens[ticket, 0]]
    assert not one.session.busy


def test_a_cancelled_slot_is_free_in_the_next_step(driven: Open, ask: Ask) -> None:
    one = driven(slots=2)
    first = one.submit(ask("a", group_size=2, max_tokens=200))
    second = one.submit(ask("b", max_tokens=5), follow=True)
    one.step(3)
    assert one.session.waiting == 1
    one.cancel(first)
    one.step()
    assert one.session.waiting == 0
    assert len(one.tokens[second, 0]) == 1


def test_one_completion_of_a_group_can_be_cancelled(driven: Open, ask: Ask) -> None:
    one = driven()
    ticket = one.submit(ask("a", group_size=3, max_tokens=30))
    one.step(4)
    assert one.cancel(ticket, 1) == 1
    one.run()
    causes = [one.ended[ticket][index].stop_cause for index in range(3)]
    assert causes[1] is StopCause.CANCELLED
    assert StopCause.CANCELLED not in (causes[0], causes[2])


def test_a_cancelled_completion_that_never_started_is_empty(driven: Open, ask: Ask) -> None:
    one = driven(slots=2)
    ticket = one.submit(ask("a", group_size=5, max_tokens=50))
    one.step(3)
    assert one.cancel(ticket) == 5
    assert sorted(len(done.ids_T) for done in one.ended[ticket].values()) == [0, 0, 0, 3, 3]
    assert not one.session.busy


def test_a_prompt_cancelled_during_prefill_is_not_reported(driven: Open, ask: Ask) -> None:
    one = driven(piece_tokens=4)
    running = one.submit(ask("a", max_tokens=60))
    one.step()
    cancelled = one.submit(ask("q" * 60, group_size=2))
    one.step(3)
    assert one.session.waiting == 0
    assert one.cancel(cancelled) == 2
    one.run()
    assert set(one.prompts) == {running}
    assert len(one.ended[running]) == 1


def test_unknown_and_ended_tickets_are_ignored(driven: Open, ask: Ask) -> None:
    one = driven()
    ticket = one.submit(ask("a", max_tokens=2))
    one.run()
    assert one.cancel(ticket) == one.cancel(99) == 0
    assert not one.session.close_reasoning(ticket)


# The end of the reasoning.


def closing(policy: Policy, completion: Any, at: int) -> bool:
    ids = list(policy.closing_ids)
    return bool(completion.ids_T[at : at + len(ids)].tolist() == ids and completion.forced_T[at : at + len(ids)].all())


def test_close_reasoning_forces_the_closing_ids_from_the_next_token_on(byte_policy: Policy, driven: Open, ask: Ask) -> None:
    one = driven()
    ticket = one.submit(ask("a", max_tokens=200), follow=True)
    other = one.submit(ask("b", max_tokens=200))
    one.step(5)
    assert one.session.close_reasoning(ticket)
    one.step(len(byte_policy.closing_ids))
    tokens = one.tokens[ticket, 0]
    assert [token.forced for token in tokens] == [False] * 5 + [True] * len(byte_policy.closing_ids)
    one.run()
    assert closing(byte_policy, one.ended[ticket][0], 5)
    assert not one.ended[other][0].forced_T.any()


def test_close_reasoning_returns_false_if_no_row_is_reasoning(byte_policy: Policy, driven: Open, ask: Ask) -> None:
    one = driven()
    ticket = one.submit(ask("a", max_tokens=200, think_limit=0))
    assert not one.session.close_reasoning(ticket), "it has not begun"
    one.step(3)
    assert not one.session.close_reasoning(ticket), "it is being closed already"
    one.step(len(byte_policy.closing_ids))
    assert not one.session.close_reasoning(ticket), "it answers"


def test_a_think_limit_of_zero_gives_an_answer_without_reasoning(byte_policy: Policy, driven: Open, ask: Ask) -> None:
    one = driven()
    ticket = one.submit(ask("a", max_tokens=150, think_limit=0))
    one.run()
    assert closing(byte_policy, one.ended[ticket][0], 0)


def test_reasoning_never_exceeds_its_think_limit(driven: Open, ask: Ask) -> None:
    one = driven()
    tickets = {one.submit(ask("a", seed=seed, group_size=4, max_tokens=170, think_limit=seed * 5)): seed * 5 for seed in range(6)}
    one.run()
    for ticket, think_limit in tickets.items():
        for done in one.ended[ticket].values():
            sampled = int((~done.forced_T[: done.think_tokens]).sum())
            assert sampled <= think_limit
            assert done.forced_close == bool(done.forced_T.any())
            assert done.forced_close or sampled == done.think_tokens


def prefer(policy: Policy, wanted: int, text: str) -> None:
    """Make an id by far the likeliest first token after a prompt."""
    with torch.no_grad():
        states = policy.module.model(torch.tensor([policy.tokenizer.render(text)])).last_hidden_state[0, -1]
        policy.module.lm_head.weight[wanted] = 10 * states


def test_min_think_prevents_an_early_close(byte_policy: Policy, driven: Open, ask: Ask) -> None:
    close = byte_policy.tokenizer.think_close_id
    prefer(byte_policy, close, "a")
    one = driven()
    free, held = (one.submit(ask("a", max_tokens=20, min_think=least, temperature=0.0)) for least in (0, 9))
    one.run()
    assert one.ids(free)[0][0] == close
    assert close not in one.ids(held)[0][:9]


def test_a_tagless_answer_has_no_think_tag_and_other_rows_are_unchanged(byte_policy: Policy, driven: Open, ask: Ask) -> None:
    tags = (byte_policy.tokenizer.think_open_id, byte_policy.tokenizer.think_close_id)

    def tags_in_answers(ids_G: list[list[int]]) -> int:
        return sum(ids[ids.index(tags[1]) + 1 :].count(tag) for ids in ids_G for tag in tags)

    asked = {"group_size": 8, "max_tokens": 200, "think_limit": 9}
    alone, both = driven(), driven()
    free = alone.submit(ask("a", **asked))
    beside, tagless = (both.submit(ask("a", tagless_answer=wanted, **asked)) for wanted in (False, True))
    alone.run()
    both.run()
    assert both.ids(beside) == alone.ids(free)
    assert tags_in_answers(both.ids(beside)) > 0
    assert tags_in_answers(both.ids(tagless)) == 0


def test_a_likely_tag_is_not_sampled_in_a_tagless_answer() -> None:
    open_id, close_id, closing = 6, 7, (1, 7, 2)
    slots = Slots(4, 8, stop_ids=(), open_id=open_id, close_id=close_id, closing_ids=closing, device=torch.device("cpu"))
    rows = [(tagless, temperature) for tagless in (True, False) for temperature in (0.0, 1.0)]
    requests = [
        RolloutRequest(
            prompt_ids=(0,),
            group_size=1,
            params=SamplingParams(max_tokens=9, think_limit=0, tagless_answer=tagless, temperature=temperature),
            seed=3,
        )
        for tagless, temperature in rows
    ]
    slots.admit([SlotRow(ticket=1, index=0, request=request) for request in requests], [0] * len(requests))
    for _ in range(9):
        logits_BV = torch.zeros(len(rows), 8)
        logits_BV[:, open_id] = logits_BV[:, close_id] = 40.0
        slots.advance(logits_BV)
    for row, (tagless, _) in enumerate(rows):
        completion = slots.completion(row)
        assert tuple(completion.ids_T[:3]) == closing
        assert all((id in (open_id, close_id)) is not tagless for id in completion.ids_T[3:])
        # Log-probabilities are among the ids that are left.
        assert completion.logprobs_T[3:] == pytest.approx([-math.log(6 if tagless else 2)] * 6, abs=1e-5)


def test_requests_use_their_own_stop_ids(driven: Open, ask: Ask) -> None:
    one = driven()
    free = one.submit(ask("a", temperature=0.0))
    one.run()
    ids = one.ids(free)[0]
    wanted = ids[7]
    stopped, further, neighbour = (
        one.submit(ask("a", temperature=0.0, stop_ids=stops)) for stops in ((wanted,), (261, wanted, 262), ())
    )
    one.run()
    expected = ids[: ids.index(wanted) + 1]
    assert one.ids(stopped)[0] == one.ids(further)[0] == expected
    assert one.ended[stopped][0].stop_cause is StopCause.STOP_ID
    assert one.ids(neighbour)[0] == ids


def test_min_p_keeps_ids_nearly_as_likely_as_the_best(byte_policy: Policy, driven: Open, ask: Ask) -> None:
    asked = ask("a", group_size=400, max_tokens=1, min_p=0.5)
    with torch.no_grad():
        shares = byte_policy.module(torch.tensor([asked.prompt_ids])).logits[0, -1].softmax(-1)
    kept = set((shares >= 0.5 * shares.max()).nonzero()[:, 0].tolist())
    one = driven(slots=400)
    ticket = one.submit(asked)
    one.run()
    drawn = {ids[0] for ids in one.ids(ticket)}
    assert 1 < len(drawn) < 264
    assert drawn <= kept


# Memory.


def test_kv_tokens_limits_the_running_completions(driven: Open, ask: Ask) -> None:
    asked = ask("a", max_tokens=30)
    each = len(asked.prompt_ids) + 30
    one = driven(kv_tokens=3 * each + 5)
    tickets = [one.submit(ask("a", seed=seed, max_tokens=30, stop_ids=())) for seed in range(8)]
    group = one.submit(ask("a", group_size=7, max_tokens=30))
    waiting = []
    while one.session.busy:
        one.step()
        waiting.append(one.session.waiting)
    assert waiting[0] == 12
    assert all(len(one.ended[ticket]) == 1 for ticket in tickets)
    assert len(one.ended[group]) == 7


def test_a_request_larger_than_the_kv_cache_is_refused(driven: Open, ask: Ask) -> None:
    one = driven(kv_tokens=50)
    with pytest.raises(ModelError, match="exceeds the 50 tokens that fit into the KV cache: lower max_tokens"):
        one.submit(ask("a", max_tokens=40))
    assert not one.session.busy


def test_release_frees_all_memory_and_the_session_stays_usable(driven: Open, ask: Ask) -> None:
    one = driven()
    first = one.submit(ask("a", seed=3))
    one.step(2)
    assert one.session.held_bytes > 0
    one.run()
    one.session.release()
    assert one.session.held_bytes == 0
    second = one.submit(ask("a", seed=3))
    one.run()
    assert one.ids(second) == one.ids(first)


def test_release_is_refused_while_completions_run(driven: Open, ask: Ask) -> None:
    one = driven()
    ticket = one.submit(ask("a"))
    with pytest.raises(ModelError, match="still has completions"):
        one.session.release()
    one.step()
    one.cancel(ticket)
    one.session.release()
    assert one.session.held_bytes == 0


# Waiting for each other.


def steps_until_it_runs(one: Any, ticket: int) -> int:
    for number in range(1, 20):
        one.step()
        if one.tokens[ticket, 0]:
            return number
    raise AssertionError("it never ran")


def test_a_small_batch_of_prompts_waits_for_others_up_to_patience(driven: Open, ask: Ask) -> None:
    one = driven(slots=32, patience=4)
    one.submit(ask("many", group_size=16, max_tokens=200))
    one.step()
    first = one.submit(ask("first", max_tokens=200), follow=True)
    one.step(2)
    second = one.submit(ask("second", max_tokens=200), follow=True)
    assert steps_until_it_runs(one, first) == 3
    assert one.tokens[second, 0], "whoever came meanwhile was taken along"


def test_prompts_do_not_wait_in_an_idle_session_or_in_a_large_batch(driven: Open, ask: Ask) -> None:
    alone = driven(slots=32, patience=4)
    assert steps_until_it_runs(alone, alone.submit(ask("a", max_tokens=200), follow=True)) == 1
    enough = driven(slots=32, patience=4)
    enough.submit(ask("many", group_size=16, max_tokens=200))
    enough.step()
    tickets = [enough.submit(ask(text, max_tokens=200), follow=True) for text in "abcd"]
    assert steps_until_it_runs(enough, tickets[0]) == 1
