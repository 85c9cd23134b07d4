"""Tests of streaming: the joined pieces equal the text of all ids, in whole characters."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models

from tina_azr import text
from tina_azr.errors import ModelError
from tina_azr.text.chat import ChatTokenizer

TINY = Path(text.__file__).parents[1] / "assets" / "tiny"
TOKENIZER = ChatTokenizer.from_folder(TINY)
LETTERS = [TOKENIZER.encode(letter) for letter in ("é", "€", "𝄞")]
"""Characters of two, three and four bytes. Their tokens, shuffled, give every kind of broken UTF-8."""
PIECES = sorted({index for letter in LETTERS for index in letter} | set(TOKENIZER.encode("a")))


def streamed(ids: list[int]) -> list[str]:
    decoder = TOKENIZER.stream_decoder()
    return [*(decoder.push(index) for index in ids), decoder.flush()]


@given(st.lists(st.integers(0, TOKENIZER.vocabulary_size + 2), max_size=60))
def test_streamed_text_equals_decoding_all_ids(ids: list[int]) -> None:
    assert "".join(streamed(ids)) == TOKENIZER.decode(ids)


@given(st.lists(st.sampled_from(PIECES), max_size=12))
def test_broken_characters_are_replaced_as_in_decoding_all_ids(ids: list[int]) -> None:
    assert "".join(streamed(ids)) == TOKENIZER.decode(ids)


@given(st.text(max_size=30))
def test_no_piece_of_a_valid_text_has_a_replacement_character(said: str) -> None:
    pieces = streamed(TOKENIZER.encode(said))
    assert "".join(pieces) == said
    assert sum(piece.count("\ufffd") for piece in pieces) == said.count("\ufffd")


def test_an_incomplete_character_is_held_back_until_complete_or_flushed() -> None:
    ids = LETTERS[1]
    assert len(ids) > 1
    assert streamed(ids) == [*([""] * (len(ids) - 1)), "€", ""]
    assert streamed(ids[:-1]) == [*([""] * (len(ids) - 1)), "\ufffd"]


def test_tags_are_streamed_as_decode_writes_them() -> None:
    assert streamed([TOKENIZER.think_close_id, TOKENIZER.stop_ids[0]]) == ["</think>", "<|im_end|>", ""]


def test_a_vocabulary_that_is_not_byte_level_is_refused() -> None:
    words = {"<think>": 0, "</think>": 1, "<|im_end|>": 2, "?": 3}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="?"))
    chat = ChatTokenizer(tokenizer, "<think>", (), where="a test")
    with pytest.raises(ModelError, match="the tokenizer of a test is not byte-level"):
        chat.stream_decoder()
