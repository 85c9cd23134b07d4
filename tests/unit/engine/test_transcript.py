"""Tests of the transcript: reasoning, answer, and the text that may be sent."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tina_azr
from tina_azr.engine.transcript import Transcript
from tina_azr.engine.types import ThinkStop
from tina_azr.introspection.introspector import reasoning_extras
from tina_azr.introspection.types import BudgetDecision, BudgetSource
from tina_azr.text.chat import ChatTokenizer

TOKENIZER = ChatTokenizer.from_folder(Path(tina_azr.__file__).parent / "assets" / "tiny")
OPEN, CLOSE, END = TOKENIZER.think_open_id, TOKENIZER.think_close_id, TOKENIZER.stop_ids[0]
SENTINEL = "SENTINEL"


def new(*, visible: bool = False, stop: Sequence[str] = (), keep_logprobs: bool = False) -> Transcript:
    return Transcript(TOKENIZER, visible=visible, stop=stop, keep_logprobs=keep_logprobs)


def letters(text: str) -> list[int]:
    """Return the ids of a text letter by letter, so that a quoted tag stays text."""
    return [id for letter in text for id in TOKENIZER.encode(letter)]


def fed(transcript: Transcript, ids: Sequence[int], forced: Sequence[int] = ()) -> tuple[str, str]:
    """Return reasoning and answer as a stream would send them."""
    sent = [transcript.push(id, -1.0, number in forced) for number, id in enumerate(ids)]
    return "".join(reasoning for reasoning, _ in sent), "".join(answer for _, answer in sent) + transcript.finish()


def test_reasoning_and_answer_are_split_by_token_id() -> None:
    transcript = new(visible=True)
    reasoning, answer = fed(transcript, [*letters("\nI say </think> and go on\n"), CLOSE, *letters("\n\n4 < 5\n"), END])
    assert (reasoning, answer) == ("\nI say </think> and go on\n", "4 < 5")
    assert transcript.reasoning == "I say </think> and go on"
    assert transcript.answer == answer
    assert (transcript.closed, transcript.leak) == (True, False)


def test_hidden_reasoning_is_never_returned() -> None:
    transcript = new()
    assert fed(transcript, [*letters(SENTINEL), CLOSE, *letters("4"), END]) == ("", "4")
    assert transcript.reasoning is None


def test_tokens_are_counted_without_tags_and_stops() -> None:
    transcript = new()
    fed(transcript, [*letters("abc"), CLOSE, *letters("de"), END])
    assert (transcript.think_tokens, transcript.answer_tokens) == (3, 2)


def test_tag_in_the_answer_is_a_leak_and_its_text_is_not_sent() -> None:
    transcript = new()
    _, answer = fed(transcript, [CLOSE, *letters("4"), OPEN, *letters(SENTINEL), CLOSE, *letters("5"), END])
    assert answer == "45"
    assert transcript.leak


def test_text_after_an_unclosed_tag_is_not_sent() -> None:
    transcript = new()
    assert fed(transcript, [CLOSE, *letters("4"), OPEN, *letters(SENTINEL), END])[1] == "4"


def test_unclosed_reasoning_gives_no_answer() -> None:
    transcript = new(visible=True)
    assert fed(transcript, [*letters("hm"), END]) == ("hm", "")
    assert (transcript.answer, transcript.reasoning) == ("", "hm")
    assert transcript.think_stop(decision()) is ThinkStop.UNFINISHED


def decision(budget: int = 5) -> BudgetDecision:
    return BudgetDecision(budget=budget, think_limit=2 * budget, source=BudgetSource.DEFAULT)


@pytest.mark.parametrize(
    ("tokens", "forced", "asked", "cause"),
    [
        (5, (), False, ThinkStop.CLOSED),
        (6, (), False, ThinkStop.SLACK),
        (6, (5, 6), False, ThinkStop.THINK_LIMIT),
        (6, (5, 6), True, ThinkStop.ANSWER_NOW),
        (3, (), True, ThinkStop.CLOSED),
    ],
)
def test_think_stop_reasons(tokens: int, forced: Sequence[int], asked: bool, cause: ThinkStop) -> None:
    transcript = new()
    transcript.answer_now_requested = asked
    fed(transcript, [*letters("x" * tokens), CLOSE, *letters("4"), END], forced)
    assert transcript.think_stop(decision()) is cause


def test_extras_equal_the_training_features() -> None:
    transcript = new()
    logprobs = np.array([-0.5, -2.0, -1.0, 0.0], dtype=np.float32)
    forced = np.array([False, False, False, True])
    for id, logprob, put in zip(letters("abcd"), logprobs.tolist(), forced.tolist(), strict=True):
        transcript.push(id, logprob, put)
    transcript.push(CLOSE, 0.0, True)
    assert np.array_equal(transcript.extras(), reasoning_extras(logprobs, forced))


def test_only_logprobs_of_the_answer_are_kept() -> None:
    transcript = new(keep_logprobs=True)
    fed(transcript, [*letters(SENTINEL), CLOSE, *letters("4"), END])
    assert transcript.logprobs == [(letters("4")[0], "4", -1.0)]


# Stop strings.


def answer_of(pieces: Sequence[str], stop: Sequence[str]) -> str:
    """Return the answer for tokens with these texts."""

    class Pieces:
        think_open_id, think_close_id, stop_ids = -1, -2, (-3,)

        def stream_decoder(self) -> "Pieces":
            return self

        def push(self, index: int) -> str:
            return pieces[index]

        def flush(self) -> str:
            return ""

    transcript = Transcript(Pieces(), visible=False, stop=stop, keep_logprobs=False)  # type: ignore[arg-type]
    transcript.push(-2, 0.0, False)
    sent = "".join(transcript.push(index, 0.0, False)[1] for index in range(len(pieces))) + transcript.finish()
    assert sent == transcript.answer
    return sent


@pytest.mark.parametrize(
    ("pieces", "stop", "answer"),
    [
        (["one ST", "OP two"], ["STOP"], "one "),
        (["ab", "cd", "ef"], ["abcd"], ""),  # a text shorter than the stop string it begins
        (["xa", "b", "cdx"], ["abcd"], "x"),
        (["S", "T", "A", "STOP"], ["STOP"], "STA"),
        (["aST", "x"], ["STOP"], "aSTx"),
        (["endS", "T"], ["STOP"], "endST"),
        (["a b c"], ["b c", "a b"], ""),  # both are in it; the second was complete first
        (["abcd"], ["abcd", "bc"], "a"),
        (["one\n\nUser: two"], ["\nUser:"], "one"),
        (["\n\nfour\n", "\n"], [], "four"),
        (["four\n", "five\n"], [], "four\nfive"),
    ],
)
def test_stop_string_matches_across_token_borders(pieces: list[str], stop: list[str], answer: str) -> None:
    assert answer_of(pieces, stop) == answer


@given(text=st.text("ab\n", max_size=24), stop=st.lists(st.text("ab\n", min_size=1, max_size=4), max_size=3), data=st.data())
def test_tokenization_does_not_change_the_answer(text: str, stop: list[str], data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)))))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert answer_of(pieces, stop) == answer_of([text], stop)
    assert answer_of(list(text), stop) == answer_of([text], stop)


# Ten thousand streams.


def random_streams(count: int) -> Iterator[tuple[list[int], list[int]]]:
    """Draw the ids of a completion and its answer ids outside of tags. Only the reasoning holds the sentinel."""
    draw = np.random.default_rng(0)
    quoted, sentinel = letters("</think>"), letters(SENTINEL)
    tags = {OPEN, CLOSE, *TOKENIZER.stop_ids}
    plain = [id for id in range(TOKENIZER.vocabulary_size) if id not in tags and not set(SENTINEL) & set(TOKENIZER.decode([id]))]

    def some(most: int) -> list[int]:
        return [plain[at] for at in draw.integers(0, len(plain), size=draw.integers(0, most))]

    for _ in range(count):
        reasoning = [*some(8), *sentinel, *(quoted if draw.random() < 0.5 else ()), *some(8), *sentinel]
        ids, kept = [*reasoning, CLOSE], []
        for _ in range(draw.integers(1, 4)):
            part = [*some(8), *(quoted if draw.random() < 0.2 else ())]
            ids += part
            kept += part
            if draw.random() < 0.3:
                ids += [OPEN, *some(4), *sentinel, CLOSE]
            elif draw.random() < 0.2:
                ids.append(CLOSE)
        yield [*ids, END], kept


def test_hidden_reasoning_stays_hidden_in_ten_thousand_completions() -> None:
    for ids, kept in random_streams(10_000):
        transcript = new()
        reasoning, answer = fed(transcript, ids)
        assert reasoning == ""
        assert SENTINEL not in answer
        assert answer == transcript.answer == TOKENIZER.decode(kept).strip("\n")
