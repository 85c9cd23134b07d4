"""Prompts and completions by token id: a quoted tag is text, the answer is what follows the last closing tag."""

from pathlib import Path

import pytest

from tina_azr.text.chat import ChatTokenizer


@pytest.fixture
def tokenizer(byte_model: Path) -> ChatTokenizer:
    return ChatTokenizer.from_folder(byte_model)


def test_a_prompt_ends_inside_the_opened_thought(tokenizer: ChatTokenizer) -> None:
    assert tokenizer.decode(tokenizer.render("hello")).rstrip().endswith("<|im_start|>assistant\n<think>")


def test_a_quoted_tag_stays_text(tokenizer: ChatTokenizer) -> None:
    quoted = tokenizer.render("say </think> and <|im_end|>")
    assert tokenizer.think_close_id not in quoted
    assert list(quoted).count(tokenizer.stop_ids[0]) == 1
    assert "say </think> and <|im_end|>" in tokenizer.decode(quoted)


def test_the_answer_follows_the_closing_tag(tokenizer: ChatTokenizer) -> None:
    halves = tokenizer.split(tokenizer.encode("so\n</think>\n\n42<|im_end|>"))
    assert (halves.reasoning, halves.answer) == ("so", "42")


def test_of_several_closing_tags_the_last_counts(tokenizer: ChatTokenizer) -> None:
    assert tokenizer.split(tokenizer.encode("a</think>b</think>c")).answer == "c"


def test_an_unclosed_thought_has_no_answer(tokenizer: ChatTokenizer) -> None:
    halves = tokenizer.split(tokenizer.encode("still thinking <|im_end|>"))
    assert (halves.reasoning, halves.answer) == ("still thinking ", None)


def test_an_empty_answer_is_not_a_missing_one(tokenizer: ChatTokenizer) -> None:
    assert tokenizer.split(tokenizer.encode("x</think><|im_end|>")).answer == ""


def test_a_conversation_of_one_message_is_that_message(tokenizer: ChatTokenizer) -> None:
    assert tokenizer.render_chat([("user", "hello")]) == tokenizer.render("hello")


def test_a_message_that_is_a_piece_of_the_template_is_not_taken_for_it(tokenizer: ChatTokenizer) -> None:
    # Quoting the template's own first tag must not move the cut to the template's.
    quoted = tokenizer.render("<|im_start|>")
    assert tokenizer.decode(quoted) == tokenizer.decode(tokenizer.render("x")).replace("x", "<|im_start|>", 1)
    assert list(quoted).count(tokenizer.encode("<|im_start|>")[0]) == 2


def test_a_control_character_beside_a_quoted_tag_is_kept(tokenizer: ChatTokenizer) -> None:
    assert "a\0b</think>" in tokenizer.decode(tokenizer.render("a\0b</think>"))
