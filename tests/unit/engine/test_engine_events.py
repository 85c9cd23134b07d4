"""Tests of the engine's events: their order, their content, and that they hold no hidden reasoning."""

from collections.abc import Callable
from typing import Any

import pytest

from tina_azr.engine.engine import IntrospectiveEngine
from tina_azr.engine.types import (
    Answering,
    Event,
    Finished,
    FinishReason,
    Generation,
    GenerationRequest,
    Message,
    ReasoningEnded,
    Started,
    Thinking,
    ThinkStop,
)
from tina_azr.model.loading import Policy

Make = Callable[..., IntrospectiveEngine]


def ask(text: str = "hello", **fields: Any) -> GenerationRequest:
    return GenerationRequest(
        **({"messages": (Message(role="user", content=text),), "max_tokens": 90, "budget_tokens": 10} | fields)
    )


def told(engine: IntrospectiveEngine, *requests: GenerationRequest) -> list[list[Event]]:
    """Return the events of each request, decoded together."""
    logs: list[list[Event]] = [[] for _ in requests]
    for request, log in zip(requests, logs, strict=True):
        engine.submit(request, log.append)
    while engine.step():
        pass
    return logs


def finished(events: list[Event]) -> list[Generation]:
    return sorted((event.generation for event in events if isinstance(event, Finished)), key=lambda each: each.index)


def texts(value: object) -> list[str]:
    """Return every string of an event that a client could see. The ids of a completion are not for clients."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list | tuple):
        return [text for item in value for text in texts(item)]
    if isinstance(value, Generation):
        return [text for name in value.__slots__ if name != "completion" for text in texts(getattr(value, name))]
    if hasattr(value, "__slots__"):
        return [text for name in value.__slots__ for text in texts(getattr(value, name))]
    return []


# Order.


@pytest.mark.parametrize("heads", [True, False])
def test_events_are_in_the_order_of_a_completion(make_engine: Make, heads: bool) -> None:
    (events,) = told(make_engine(heads=heads), ask(logprobs=True))
    kinds = [type(event).__name__ for event in events]
    order = list(dict.fromkeys(kinds))
    assert order == ["Started", "Thinking", "ReasoningEnded", "Answering", "Finished"]
    assert kinds == sorted(kinds, key=order.index)
    assert [kinds.count(name) for name in ("Started", "ReasoningEnded", "Finished")] == [1, 1, 1]


def test_reasoning_ended_has_the_confidence_before_the_answer(make_engine: Make) -> None:
    (events,) = told(make_engine(), ask())
    (ended,) = [event for event in events if isinstance(event, ReasoningEnded)]
    (generation,) = finished(events)
    assert ended.confidence_after is not None
    assert (ended.confidence_after, ended.think_tokens, ended.think_stop) == (
        generation.confidence_after,
        generation.think_tokens,
        generation.think_stop,
    )


def test_think_tokens_rise_by_one(make_engine: Make) -> None:
    (events,) = told(make_engine(), ask())
    counts = [event.think_tokens for event in events if isinstance(event, Thinking)]
    (generation,) = finished(events)
    used = generation.think_tokens
    assert used == generation.decision.think_limit
    # The forced closing tokens do not count, and the last event is the close itself.
    closing = generation.completion.think_tokens - used + 1
    assert counts == [*range(1, used + 1), *[used] * closing]


@pytest.mark.parametrize("stop", [(), ("e",), ("q", "zz", "\n")])
def test_streamed_text_joins_to_the_answer(make_engine: Make, stop: tuple[str, ...]) -> None:
    requests = [ask("x" * number, seed=number, n=4, max_tokens=150, stop=stop) for number in range(1, 9)]
    for events in told(make_engine(slots=32), *requests):
        for generation in finished(events):
            sent = [event.text for event in events if isinstance(event, Answering) and event.index == generation.index]
            assert "".join(sent) == generation.answer
            assert not any(text in generation.answer for text in stop)


def test_logprobs_of_every_answer_token_if_requested(make_engine: Make) -> None:
    (events,), (plain,) = (told(make_engine(), ask(logprobs=asked)) for asked in (True, False))
    (generation,) = finished(events)
    streamed = [item for event in events if isinstance(event, Answering) for item in event.logprobs]
    assert generation.answer_logprobs == tuple(streamed)
    assert len(streamed) == generation.answer_tokens > 0
    assert finished(plain)[0].answer_logprobs is None


# Reasoning.


def test_reasoning_is_visible_only_if_requested_and_allowed(make_engine: Make) -> None:
    seen = {}
    for allowed in (True, False):
        for wanted in (True, False):
            (events,) = told(make_engine(allow_visible=allowed), ask(visible=wanted, seed=4))
            (generation,) = finished(events)
            streamed = [event.text for event in events if isinstance(event, Thinking)]
            seen[allowed, wanted] = generation.reasoning
            assert (generation.reasoning is None) == all(text is None for text in streamed)
    assert seen[True, True]
    assert seen[True, False] is seen[False, True] is seen[False, False] is None


def test_visible_reasoning_is_the_decoded_text(policy: Policy, make_engine: Make) -> None:
    (events,) = told(make_engine(allow_visible=True), ask(visible=True, seed=4))
    (generation,) = finished(events)
    ids = generation.completion.ids_T[: generation.think_tokens].tolist()
    assert generation.reasoning == policy.tokenizer.decode(ids).strip("\n")
    joined = "".join(event.text or "" for event in events if isinstance(event, Thinking))
    assert joined.strip("\n") == generation.reasoning


def test_concurrent_requests_keep_their_own_visibility(make_engine: Make) -> None:
    open_events, hidden_events = told(make_engine(allow_visible=True), ask(visible=True, seed=4), ask(visible=False, seed=4))
    (shown,), (hidden,) = finished(open_events), finished(hidden_events)
    assert shown.completion.ids_T.tolist() == hidden.completion.ids_T.tolist()
    assert shown.reasoning
    assert not any(shown.reasoning in text for event in hidden_events for text in texts(event))
    assert shown.answer == hidden.answer


def test_no_event_holds_hidden_reasoning(policy: Policy, make_engine: Make) -> None:
    """Every letter that a client sees belongs to the answer's own tokens, over thousands of random tokens."""
    requests = [ask("x" * number, seed=number, n=8, max_tokens=120, logprobs=True) for number in range(1, 9)]
    for events in told(make_engine(slots=64), *requests):
        for generation in finished(events):
            close = generation.completion.ids_T.tolist().index(policy.tokenizer.think_close_id)
            after = slice(close + 1, None)
            answer_ids = generation.completion.ids_T[after][~generation.completion.forced_T[after]].tolist()
            assert generation.answer == policy.tokenizer.decode(answer_ids).strip("\n")
            assert generation.reasoning is None
        assert not any(event.text for event in events if isinstance(event, Thinking))


def test_no_answer_holds_a_think_tag(policy: Policy, make_engine: Make) -> None:
    """A random model would sample some without the rule."""
    tags = {policy.tokenizer.think_open_id, policy.tokenizer.think_close_id}
    for events in told(make_engine(slots=64), *(ask("x" * number, seed=number, n=8, max_tokens=120) for number in range(1, 9))):
        for generation in finished(events):
            ids = generation.completion.ids_T.tolist()
            assert not tags & set(ids[ids.index(policy.tokenizer.think_close_id) + 1 :])
            assert not generation.leak


# Ends.


def test_stop_string_ends_only_its_completion(make_engine: Make) -> None:
    engine = make_engine()
    free = finished(told(engine, ask(n=4, seed=8))[0])
    wanted = next(letter for letter in free[0].answer[3:] if letter.isascii() and letter not in free[1].answer)
    stopped = finished(told(engine, ask(n=4, seed=8, stop=(wanted,)))[0])
    assert stopped[0].answer == free[0].answer[: free[0].answer.index(wanted)].rstrip("\n")
    assert stopped[0].finish_reason is FinishReason.STOP
    assert stopped[1].answer == free[1].answer
    assert stopped[1].finish_reason is FinishReason.LENGTH


def test_stop_string_never_matches_inside_the_reasoning(policy: Policy, make_engine: Make) -> None:
    (events,) = told(make_engine(), ask(seed=1, stop=("o",)))
    (generation,) = finished(events)
    assert "so" in policy.tokenizer.decode(generation.completion.ids_T[: generation.completion.think_tokens].tolist())
    assert generation.think_stop is ThinkStop.THINK_LIMIT


def test_answer_now_closes_the_reasoning_at_the_next_token(policy: Policy, make_engine: Make) -> None:
    engine, events = make_engine(), []
    ticket = engine.submit(ask(budget_tokens=50, max_tokens=150), events.append)
    for _ in range(5):
        engine.step()
    assert engine.answer_now(ticket)
    while engine.step():
        pass
    (generation,) = finished(events)
    assert generation.think_stop is ThinkStop.ANSWER_NOW
    assert generation.completion.ids_T[5 : 5 + len(policy.closing_ids)].tolist() == list(policy.closing_ids)
    assert not engine.answer_now(ticket)


def test_answer_now_affects_reasoning_but_not_waiting_completions(make_engine: Make) -> None:
    engine, events = make_engine(slots=2), []
    ticket = engine.submit(ask(n=3, budget_tokens=12), events.append)
    for _ in range(4):
        engine.step()
    assert engine.answer_now(ticket)
    engine.step()
    engine.answer_now(ticket)  # pressed again while the closing ids are being forced
    while engine.step():
        pass
    causes = [generation.think_stop for generation in finished(events)]
    assert causes == [ThinkStop.ANSWER_NOW, ThinkStop.ANSWER_NOW, ThinkStop.THINK_LIMIT]


def test_cancel_ends_a_request_with_its_text_so_far(make_engine: Make) -> None:
    engine, events, others = make_engine(slots=3), [], []
    ticket = engine.submit(ask(n=4), events.append)
    engine.submit(ask("other"), others.append)
    for _ in range(6):
        engine.step()
    engine.cancel(ticket)
    generations = finished(events)
    assert [generation.finish_reason for generation in generations] == [FinishReason.CANCELLED] * 4
    assert generations[0].think_stop is ThinkStop.UNFINISHED
    engine.cancel(ticket)
    engine.cancel(999)
    while engine.step():
        pass
    assert len(events) == len([event for event in events if not isinstance(event, Finished)]) + 4
    assert finished(others)[0].finish_reason is FinishReason.LENGTH


def test_closing_a_stream_cancels_the_request(make_engine: Make) -> None:
    engine = make_engine()
    stream = engine.stream(ask(n=2))
    assert isinstance(next(stream), Started)
    assert engine.running == 1
    stream.close()
    assert engine.running == 0
    assert not engine.step()


def test_stream_equals_the_generation(make_engine: Make) -> None:
    events = list(make_engine().stream(ask(n=2, seed=3)))
    expected = make_engine().generate([ask(n=2, seed=3)])[0]
    assert [each.answer for each in finished(events)] == [each.answer for each in expected]
    assert [each.confidence_after for each in finished(events)] == [each.confidence_after for each in expected]
