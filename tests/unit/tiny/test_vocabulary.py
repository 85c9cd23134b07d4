"""The embedded tokenizer: tags are single tokens, digits and letters stand alone, any text survives."""

import pytest
from tokenizers import Tokenizer

from tina_azr.text.chat import ChatTokenizer
from tina_azr.tiny.vocabulary import SPECIAL_TOKENS, VOCABULARY_SIZE, render_prompt, save_vocabulary, train_vocabulary

TEXT = "Predict the output.\n```python\ndef f(x):\n    x = x + 18\n    return x\n```\n```input\n'abcde'\n```\n"


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_vocabulary([render_prompt(TEXT)] * 40)


def test_tags_are_the_first_single_tokens(tokenizer: Tokenizer) -> None:
    assert [tokenizer.encode(token).ids for token in SPECIAL_TOKENS] == [[index] for index in range(len(SPECIAL_TOKENS))]


def test_digits_and_letters_of_strings_stand_alone(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode("18").tokens == ["1", "8"]
    assert tokenizer.encode("'cdd'").tokens == ["'", "c", "d", "d", "'"]


def test_any_text_survives(tokenizer: Tokenizer) -> None:
    text = "ünïcødé\tand <think>tags</think> \n\n x"
    assert tokenizer.decode(tokenizer.encode(text).ids, skip_special_tokens=False) == text


def test_the_vocabulary_fits_the_model(tokenizer: Tokenizer) -> None:
    assert tokenizer.get_vocab_size() <= VOCABULARY_SIZE


def test_the_chat_template_renders_what_training_saw(tokenizer: Tokenizer, tmp_path) -> None:
    save_vocabulary(tokenizer, tmp_path)
    assert list(ChatTokenizer.from_folder(tmp_path).render(TEXT)) == tokenizer.encode(render_prompt(TEXT)).ids
