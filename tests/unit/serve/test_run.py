"""Words on their way from the engine to a stream: those that come faster than anybody reads travel together."""

import json
import time
from typing import Any

import httpx
import pytest

from scripted_chat import ScriptedChatEngine
from scripted_server import running
from tina_azr.engine.types import Answering, Event, Thinking, ThinkStop, ThoughtEnded
from tina_azr.serve.room import SECONDS_BETWEEN_WORDS
from tina_azr.serve.run import merged


def thinking(index: int, tokens: int, text: str | None) -> Thinking:
    return Thinking(index=index, think_tokens=tokens, text=text)


def answering(index: int, tokens: int, text: str) -> Answering:
    return Answering(index=index, text=text, tokens=tokens, logprobs=((tokens, text, -0.5),))


ENDED = ThoughtEnded(index=0, think_tokens=2, think_stop=ThinkStop.CLOSED, forced_close=False, cE=None)


def test_words_of_one_completion_become_one_with_all_of_their_text_and_the_last_count() -> None:
    events: list[Event] = [thinking(0, 1, "a"), thinking(1, 1, "x"), thinking(0, 2, "b"), thinking(1, 2, None)]
    assert merged(events) == [thinking(0, 2, "ab"), thinking(1, 2, None)]
    joined = merged([answering(0, 1, "a"), answering(0, 2, "b")])
    assert joined == [Answering(index=0, text="ab", tokens=2, logprobs=((1, "a", -0.5), (2, "b", -0.5)))]


def test_words_are_not_joined_over_anything_else() -> None:
    events: list[Event] = [thinking(0, 1, "a"), thinking(0, 2, "b"), ENDED, answering(0, 1, "c"), answering(0, 2, "d")]
    assert merged(events) == [thinking(0, 2, "ab"), ENDED, merged(events[3:])[0]]
    assert [type(event) for event in merged(events)] == [Thinking, ThoughtEnded, Answering]


def content_chunks(seconds_per_step: float, **fields: Any) -> tuple[list[str], float]:
    """Texts of the answer's chunks, and seconds of the whole."""
    body = {"messages": [{"role": "user", "content": "answer long"}], "stream": True, "max_tokens": 1_000, **fields}
    with running(ScriptedChatEngine(seconds_per_step=seconds_per_step)) as server:
        began = time.monotonic()
        lines = httpx.post(f"{server.url}/v1/chat/completions", json=body, timeout=20).text.splitlines()
        seconds = time.monotonic() - began
    chunks = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    return [text for chunk in chunks for choice in chunk["choices"] if (text := choice["delta"].get("content"))], seconds


@pytest.mark.parametrize(("seconds_per_step", "together"), [(0.001, True), (2 * SECONDS_BETWEEN_WORDS, False)])
def test_a_fast_engine_sends_few_chunks_a_second_and_a_slow_one_each_token(seconds_per_step: float, together: bool) -> None:
    texts, seconds = content_chunks(seconds_per_step, max_tokens=1_000 if together else 60)
    words = "".join(texts).split()
    assert words == [f"word-{number}" for number in range(len(words))]
    if together:
        assert len(words) == 400
        assert len(texts) <= seconds / SECONDS_BETWEEN_WORDS + 2
    else:
        assert len(texts) == len(words)


def test_the_first_word_does_not_wait_for_the_second() -> None:
    body = {"messages": [{"role": "user", "content": "hello"}], "stream": True, "max_tokens": 1_000}
    engine = ScriptedChatEngine(seconds_per_step=SECONDS_BETWEEN_WORDS / 10)
    with running(engine) as server, httpx.stream("POST", f"{server.url}/v1/chat/completions", json=body, timeout=20) as response:
        chunks = [json.loads(line[6:]) for line in response.iter_lines() if line.startswith("data: {")]
    used = [chunk["tina"]["used"] for chunk in chunks if "used" in chunk.get("tina", {})]
    assert used[:2] == [0, 1]
