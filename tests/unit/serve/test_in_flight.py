"""Tests of events between engine and stream: events in quick succession are merged."""

import json
import time
from typing import Any

import pytest

from scripted_chat import SENTINEL, ScriptedChatEngine
from scripted_server import RunningServer, running
from tina_azr.engine.types import Answering, Event, ReasoningEnded, Thinking, ThinkStop
from tina_azr.serve import engine_thread
from tina_azr.serve.engine_thread import SECONDS_BETWEEN_FLUSHES
from tina_azr.serve.in_flight import merge_events


def thinking(index: int, tokens: int, text: str | None) -> Thinking:
    return Thinking(index=index, think_tokens=tokens, text=text)


def answering(index: int, tokens: int, text: str) -> Answering:
    return Answering(index=index, text=text, tokens=tokens, logprobs=((tokens, text, -0.5),))


ENDED = ReasoningEnded(index=0, think_tokens=2, think_stop=ThinkStop.CLOSED, forced_close=False, confidence_after=None)


def test_merged_events_have_all_text_and_the_last_count() -> None:
    events: list[Event] = [thinking(0, 1, "a"), thinking(1, 1, "x"), thinking(0, 2, "b"), thinking(1, 2, None)]
    assert merge_events(events) == [thinking(0, 2, "ab"), thinking(1, 2, None)]
    joined = merge_events([answering(0, 1, "a"), answering(0, 2, "b")])
    assert joined == [Answering(index=0, text="ab", tokens=2, logprobs=((1, "a", -0.5), (2, "b", -0.5)))]


def test_text_events_are_not_merged_across_other_events() -> None:
    events: list[Event] = [thinking(0, 1, "a"), thinking(0, 2, "b"), ENDED, answering(0, 1, "c"), answering(0, 2, "d")]
    assert merge_events(events) == [thinking(0, 2, "ab"), ENDED, merge_events(events[3:])[0]]
    assert [type(event) for event in merge_events(events)] == [Thinking, ReasoningEnded, Answering]


def chunks_of(server: RunningServer, prompt: str, kind: str, **fields: Any) -> list[str]:
    """Return the texts of one field (`content` or `reasoning`) in the chunks of a stream."""
    body = {"messages": [{"role": "user", "content": prompt}], "stream": True, "max_tokens": 1_000, **fields}
    lines = server.chat(body).text.splitlines()
    chunks = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    return [text for chunk in chunks for choice in chunk["choices"] if (text := choice["delta"].get(kind))]


def test_a_fast_engine_sends_few_chunks_a_second() -> None:
    with running(ScriptedChatEngine(seconds_per_step=0.001)) as server:
        began = time.monotonic()
        texts = chunks_of(server, "answer long", "content")
        seconds = time.monotonic() - began
    assert "".join(texts).split() == [f"word-{number}" for number in range(400)]
    assert len(texts) <= seconds / SECONDS_BETWEEN_FLUSHES + 2


@pytest.mark.slow
def test_a_slow_engine_sends_each_token() -> None:
    with running(ScriptedChatEngine(seconds_per_step=2 * SECONDS_BETWEEN_FLUSHES)) as server:
        texts = chunks_of(server, "answer long", "content", max_tokens=60)
    words = "".join(texts).split()
    assert words == [f"word-{number}" for number in range(len(words))]
    # Not quite: on a busy machine the stream may be slower than the engine now and then.
    assert len(texts) > len(words) / 2 > 0


@pytest.mark.slow
def test_first_token_is_sent_without_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_thread, "SECONDS_BETWEEN_FLUSHES", 0.5)  # Long, so that a busy machine does not take it for less.
    with running(ScriptedChatEngine(seconds_per_step=0.02, allow_visible=True)) as server:
        for _ in range(2):
            texts = chunks_of(server, "hello", "reasoning", reasoning={"visible": True})
            assert texts[0] == SENTINEL, "nor for what was said to the one before"
            assert len("".join(texts).split()) > 5 * len(texts)
