"""Tests of the chat's commands and messages."""

import json
import os
from pathlib import Path

import pytest

from tina_azr.cli.chat.state import COMMANDS, Chat, read_line
from tina_azr.cli.model_options import budget_of
from tina_azr.engine.types import GenerationRequest, Message
from tina_azr.errors import ConfigError

CHAT = Chat(model="tiny").with_turn("8 + 9?", "17")


def test_message_is_sent_unchanged() -> None:
    assert read_line(CHAT, " two\nlines ").prompt == " two\nlines "


def test_two_slashes_send_a_message_that_begins_with_one() -> None:
    assert read_line(CHAT, "//etc/hosts").prompt == "/etc/hosts"


@pytest.mark.parametrize("line", ["", "  \n"])
def test_empty_line_sends_nothing(line: str) -> None:
    reply = read_line(CHAT, line)
    assert (reply.chat, reply.prompt, reply.text) == (CHAT, None, "")


def test_an_unknown_command_is_not_sent_to_the_model() -> None:
    reply = read_line(CHAT, "/clear all")
    assert reply.prompt is None
    assert "no command /clear" in reply.text


def test_help_names_every_command() -> None:
    text = read_line(CHAT, "/help").text
    assert [name for name in COMMANDS if f"{name} " not in text] == []


def test_reset_clears_messages_and_keeps_settings() -> None:
    chat = read_line(read_line(CHAT, "/system be brief").chat, "/reset").chat
    assert (chat.messages, chat.system) == ((), "be brief")


def test_the_system_message_is_set_shown_and_removed() -> None:
    chat = read_line(CHAT, "/system be  brief\nand kind").chat
    assert chat.system == "be  brief\nand kind"
    assert "be  brief" in read_line(chat, "/system").text
    assert read_line(chat, "/system none").chat.system is None


def test_visible_and_hidden_switch_the_reasoning() -> None:
    shown = read_line(CHAT, "/visible").chat
    assert (CHAT.visible, shown.visible, read_line(shown, "/hidden").chat.visible) == (False, True, False)


@pytest.mark.parametrize(
    ("text", "tokens", "quantile"),
    [("0", 0, None), ("300", 300, None), ("auto", None, None), ("low", None, 0.5), ("medium", None, 0.8), ("high", None, 0.95)],
)
def test_a_budget_is_a_number_or_a_quantile(text: str, tokens: int | None, quantile: float | None) -> None:
    request = read_line(CHAT, f"/budget {text}").chat.request("hello", GenerationRequest())
    assert (request.budget_tokens, request.budget_quantile) == (tokens, quantile)


@pytest.mark.parametrize("text", ["-1", "1e3", "1.5", "much", "99999999", "²", ""])
def test_invalid_budget_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="give a number of think tokens"):
        budget_of(text)


def test_a_wrong_budget_leaves_the_old_one() -> None:
    reply = read_line(CHAT, "/budget -1")
    assert reply.chat == CHAT
    assert "budget '-1'" in reply.text


def test_a_request_holds_the_conversation_and_what_was_given_for_sampling() -> None:
    chat = read_line(read_line(CHAT, "/system be brief").chat, "/visible").chat
    request = chat.request("and 3 + 4?", GenerationRequest(temperature=0.5, seed=7))
    assert [(message.role, message.content) for message in request.messages] == [
        ("system", "be brief"),
        ("user", "8 + 9?"),
        ("assistant", "17"),
        ("user", "and 3 + 4?"),
    ]
    assert (request.temperature, request.seed, request.visible) == (0.5, 7, True)


def test_saved_conversation_loads_equal(tmp_path: Path) -> None:
    chat = read_line(read_line(CHAT, "/system sé breve").chat, "/budget high").chat
    assert "saved 1 turn" in read_line(chat, f"/save {tmp_path / 'a b.json'}").text
    reply = read_line(Chat(model="other"), f"/load {tmp_path / 'a b.json'}")
    assert (reply.chat.messages, reply.chat.system, reply.chat.budget) == (chat.messages, "sé breve", "high")
    assert reply.chat.model == "other"
    assert "it was made with tiny" in reply.text


def test_saving_again_leaves_no_temporary_file(tmp_path: Path) -> None:
    for chat in (CHAT, CHAT.with_turn("more?", "no")):
        read_line(chat, f"/save {tmp_path / 'chat'}")
    assert [path.name for path in tmp_path.iterdir()] == ["chat"]
    assert len(read_line(CHAT, f"/load {tmp_path / 'chat'}").chat.messages) == 4


def test_another_conversation_is_never_overwritten(tmp_path: Path) -> None:
    longer, file = CHAT.with_turn("more?", "no"), tmp_path / "chat"
    read_line(longer, f"/save {file}")
    for other in (CHAT, CHAT.with_turn("more?", "yes").with_turn("really?", "no")):
        assert "holds another conversation" in read_line(other, f"/save {file}").text
    assert read_line(CHAT, f"/load {file}").chat.messages == longer.messages


def test_another_file_is_never_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "thesis.tex"
    file.write_text("chapter 1")
    assert "choose another name" in read_line(CHAT, f"/save {file}").text
    assert file.read_text() == "chapter 1"


@pytest.mark.parametrize("name", ["", "none/chat", "."])
def test_unwritable_path_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    text = read_line(CHAT, f"/save {name}").text
    assert name in text
    assert any(words in text for words in ("needs the name", "cannot be written", "choose another name"))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "text",
    [
        "hello",
        "[]",
        "{}",
        json.dumps({"format": "tina-azr chat 1", "model": "m", "system": None, "visible": False, "budget": "auto", "messages": 3}),
        json.dumps(
            {
                "format": "tina-azr chat 1",
                "model": "m",
                "system": None,
                "visible": False,
                "budget": "auto",
                "messages": [{"role": "assistant", "content": "x"}],
            }
        ),
        json.dumps(
            {
                "format": "tina-azr chat 1",
                "model": "m",
                "system": None,
                "visible": False,
                "budget": "auto",
                "messages": [{"role": "tool", "content": "x"}, {"role": "assistant", "content": "x"}],
            }
        ),
    ],
)
def test_loading_an_invalid_file_changes_nothing(tmp_path: Path, text: str) -> None:
    file = tmp_path / "chat"
    file.write_text(text)
    reply = read_line(CHAT, f"/load {file}")
    assert reply.chat == CHAT
    assert f"{file} is not a saved conversation" in reply.text


def test_invalid_saved_budget_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "chat"
    read_line(CHAT, f"/save {file}")
    file.write_text(file.read_text().replace('"auto"', '"everything"'))
    reply = read_line(CHAT, f"/load {file}")
    assert (reply.chat, "budget 'everything'" in reply.text) == (CHAT, True)


def test_file_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    file = tmp_path / "chat"
    file.write_bytes(b"\xff\xfe\x00")
    assert "it is not UTF-8 text" in read_line(CHAT, f"/load {file}").text


def test_messages_of_a_loaded_file_are_messages(tmp_path: Path) -> None:
    read_line(CHAT, f"/save {tmp_path / 'chat'}")
    loaded = read_line(Chat(model="tiny"), f"/load {tmp_path / 'chat'}").chat
    assert loaded.messages == (Message(role="user", content="8 + 9?"), Message(role="assistant", content="17"))
