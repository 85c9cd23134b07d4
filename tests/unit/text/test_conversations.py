"""Tests of conversations in the embedded template and Qwen3-Thinking's: past reasoning is stripped, quoted tags stay text."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from tina_azr import text
from tina_azr.errors import ModelError
from tina_azr.text.chat import ChatTokenizer

TINY = Path(text.__file__).parents[1] / "assets" / "tiny"
QWEN_THINKING = """\
{%- if messages[0].role == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- endif %}
{%- set ns = namespace(searching=true, last_query=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- if ns.searching and message.role == 'user' %}
        {%- set ns.searching = false %}
        {%- set ns.last_query = messages|length - loop.index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- set content = message.content %}
    {%- if message.role == 'user' or (message.role == 'system' and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>\\n' }}
    {%- elif message.role == 'assistant' %}
        {%- set thought = '' %}
        {%- if '</think>' in content %}
            {%- set thought = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {{- '<|im_start|>assistant\\n' }}
        {%- if loop.index0 > ns.last_query and loop.last %}
            {{- '<think>\\n' + thought.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
        {%- else %}
            {{- content }}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n<think>\\n' }}
{%- endif %}
"""
"""The logic of Qwen3-Thinking-2507's template, without tools."""
TAGS = ("<think>", "</think>", "<|im_start|>", "<|im_end|>", "<|endoftext|>")
CONTENT = st.lists(st.sampled_from([*TAGS, "\n", " ", "a", "f(3)", "é", "\0", "\ue000"]), max_size=8).map("".join)

EMBEDDED = ChatTokenizer.from_folder(TINY)
THINKING = ChatTokenizer(Tokenizer.from_file(str(TINY / "tokenizer.json")), QWEN_THINKING, (), where="a test")


@pytest.fixture(params=[EMBEDDED, THINKING], ids=["embedded", "qwen-thinking"])
def tokenizer(request: pytest.FixtureRequest) -> ChatTokenizer:
    chosen = request.param
    assert isinstance(chosen, ChatTokenizer)
    return chosen


def turn(role: str, content: str) -> str:
    return f"<|im_start|>{role}\n{content}<|im_end|>\n"


OPENED = "<|im_start|>assistant\n<think>\n"


def test_the_prompt_has_every_turn_and_ends_with_the_opening_tag(tokenizer: ChatTokenizer) -> None:
    ids = tokenizer.render_chat([("system", "brief"), ("user", "1"), ("assistant", "one"), ("user", "2")])
    expected = turn("system", "brief") + turn("user", "1") + turn("assistant", "one") + turn("user", "2") + OPENED
    assert list(ids) == tokenizer.encode(expected)


@pytest.mark.parametrize("said", ["<think>\nhidden\n</think>\n\none", "hidden\n</think>\n\none", "<think>a</think>b</think>one"])
def test_reasoning_of_past_turns_is_stripped(tokenizer: ChatTokenizer, said: str) -> None:
    ids = tokenizer.render_chat([("user", "1"), ("assistant", said), ("user", "2")])
    assert list(ids) == tokenizer.encode(turn("user", "1") + turn("assistant", "one") + turn("user", "2") + OPENED)


@pytest.mark.parametrize("role", ["system", "user", "assistant"])
@pytest.mark.parametrize("tag", [tag for tag in TAGS if tag != "</think>"])
def test_a_tag_quoted_in_any_message_stays_text(tokenizer: ChatTokenizer, role: str, tag: str) -> None:
    quoting = tokenizer.render_chat([("user", "1"), (role, f"say {tag} now"), ("user", "2")])
    (tag_id,) = tokenizer.encode(tag)
    turns_and_thought = {"<|im_start|>": 4, "<|im_end|>": 3, "<think>": 1, "<|endoftext|>": 0}
    assert quoting.count(tag_id) == turns_and_thought[tag]
    assert f"say {tag} now" in tokenizer.decode(quoting)


@pytest.mark.parametrize("role", ["system", "user"])
def test_a_closing_tag_quoted_by_a_user_stays_text(tokenizer: ChatTokenizer, role: str) -> None:
    ids = tokenizer.render_chat([("user", "1"), ("assistant", "one"), (role, "what is </think>?"), ("user", "2")])
    assert tokenizer.think_close_id not in ids
    assert "what is </think>?" in tokenizer.decode(ids)


def test_a_quoted_tag_after_stripped_reasoning_stays_text(tokenizer: ChatTokenizer) -> None:
    ids = tokenizer.render_chat([("user", "1"), ("assistant", "hidden</think>write <think> and <|im_end|>"), ("user", "2")])
    assert "hidden" not in tokenizer.decode(ids)
    assert "write <think> and <|im_end|>" in tokenizer.decode(ids)
    assert (ids.count(tokenizer.think_open_id), ids.count(tokenizer.stop_ids[0])) == (1, 3)


@given(st.lists(st.tuples(st.sampled_from(["user", "system"]), CONTENT), min_size=1, max_size=4))
def test_no_message_of_a_user_adds_a_tag(messages: list[tuple[str, str]]) -> None:
    for tokenizer in (EMBEDDED, THINKING):
        quoting = tokenizer.render_chat(messages)
        plain = tokenizer.render_chat([(role, "x") for role, _ in messages])
        for tag in TAGS:
            (tag_id,) = tokenizer.encode(tag)
            assert quoting.count(tag_id) == plain.count(tag_id)
        assert tokenizer.decode(quoting) == "".join(turn(role, content) for role, content in messages) + OPENED


def test_an_unknown_role_is_refused(tokenizer: ChatTokenizer) -> None:
    with pytest.raises(ModelError, match="message 1 has the role 'tool'"):
        tokenizer.render_chat([("user", "1"), ("tool", "2")])


def test_a_conversation_without_messages_is_refused(tokenizer: ChatTokenizer) -> None:
    with pytest.raises(ModelError, match="at least one message"):
        tokenizer.render_chat([])


def test_a_conversation_that_the_template_refuses_is_a_model_error() -> None:
    template = "{{ raise_exception('no system here') if messages[0].role == 'system' }}" + QWEN_THINKING
    tokenizer = ChatTokenizer(Tokenizer.from_file(str(TINY / "tokenizer.json")), template, (), where="a test")
    with pytest.raises(ModelError, match="template of a test refuses this conversation"):
        tokenizer.render_chat([("system", "1"), ("user", "2")])
