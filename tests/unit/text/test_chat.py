"""Tests of prompts and completions by token id: a quoted tag is text, and the answer follows the last closing tag."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tina_azr.text.chat import ChatTokenizer


@pytest.fixture(scope="module")
def tokenizer(byte_model: Path) -> ChatTokenizer:
    return ChatTokenizer.from_folder(byte_model)


def test_a_prompt_ends_with_the_opening_tag(tokenizer: ChatTokenizer) -> None:
    assert tokenizer.decode(tokenizer.render("hello")).rstrip().endswith("<|im_start|>assistant\n<think>")


def test_a_quoted_tag_stays_text(tokenizer: ChatTokenizer) -> None:
    quoted = tokenizer.render("say </think> and <|im_end|>")
    assert tokenizer.think_close_id not in quoted
    assert list(quoted).count(tokenizer.stop_ids[0]) == 1
    assert "say </think> and <|im_end|>" in tokenizer.decode(quoted)


def test_the_answer_follows_the_closing_tag(tokenizer: ChatTokenizer) -> None:
    halves = tokenizer.split(tokenizer.encode("so\n</think>\n\n42<|im_end|>"))
    assert (halves.reasoning, halves.answer) == ("so", "42")


def test_the_answer_follows_the_last_of_several_closing_tags(tokenizer: ChatTokenizer) -> None:
    assert tokenizer.split(tokenizer.encode("a</think>b</think>c")).answer == "c"


@pytest.fixture(scope="module")
def pieces(tokenizer: ChatTokenizer) -> list[int]:
    """Two ordinary ids, both think tags, a stop id."""
    return [*tokenizer.encode("ab"), tokenizer.think_open_id, tokenizer.think_close_id, tokenizer.stop_ids[0]]


@given(draw=st.lists(st.integers(0, 4), max_size=12))
def test_split_equals_a_search_in_a_list(tokenizer: ChatTokenizer, pieces: list[int], draw: list[int]) -> None:
    ids = [pieces[number] for number in draw]
    kept = list(ids)
    while kept and kept[-1] in tokenizer.stop_ids:
        kept.pop()
    halves = tokenizer.split(np.array(ids, dtype=np.int64))
    assert tokenizer.split(ids) == halves
    if tokenizer.think_close_id in kept:
        close = len(kept) - 1 - kept[::-1].index(tokenizer.think_close_id)
        expected = (tokenizer.decode(kept[:close]).strip("\n"), tokenizer.decode(kept[close + 1 :]).strip("\n"))
        assert (halves.reasoning, halves.answer) == expected
    else:
        assert (halves.reasoning, halves.answer) == (tokenizer.decode(kept), None)


def test_a_completion_without_closing_tag_has_no_answer(tokenizer: ChatTokenizer) -> None:
    halves = tokenizer.split(tokenizer.encode("still thinking <|im_end|>"))
    assert (halves.reasoning, halves.answer) == ("still thinking ", None)


def test_an_empty_answer_is_not_none(tokenizer: ChatTokenizer) -> None:
    assert tokenizer.split(tokenizer.encode("x</think><|im_end|>")).answer == ""


def test_a_conversation_of_one_message_renders_like_the_message(tokenizer: ChatTokenizer) -> None:
    assert tokenizer.render_chat([("user", "hello")]) == tokenizer.render("hello")


def test_a_message_may_quote_the_first_tag_of_the_template(tokenizer: ChatTokenizer) -> None:
    # Quoting the template's own first tag must not move the cut to the template's.
    quoted = tokenizer.render("<|im_start|>")
    assert tokenizer.decode(quoted) == tokenizer.decode(tokenizer.render("x")).replace("x", "<|im_start|>", 1)
    assert list(quoted).count(tokenizer.encode("<|im_start|>")[0]) == 2


def test_a_control_character_before_a_quoted_tag_is_kept(tokenizer: ChatTokenizer) -> None:
    assert "a\0b</think>" in tokenizer.decode(tokenizer.render("a\0b</think>"))
