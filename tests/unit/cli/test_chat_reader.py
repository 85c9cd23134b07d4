"""Tests of the line editor: keys as a terminal sends them, and a private history."""

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory, InMemoryHistory
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output import DummyOutput

from tina_azr.cli.chat import reader
from tina_azr.cli.chat.reader import COMPLETER, open_history, open_reader, state_folder


@pytest.fixture
def keyboard(monkeypatch: pytest.MonkeyPatch) -> Iterator[PipeInput]:
    monkeypatch.setattr(reader, "create_output", lambda stdout: DummyOutput())
    with create_pipe_input() as keys, create_app_session(input=keys):
        yield keys


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ("8 + 9?\r", "8 + 9?"),
        ("one\x1b\rtwo\r", "one\ntwo"),  # Alt-Enter
        ("one\ntwo\r", "one\ntwo"),  # Ctrl-J
        ("one\\\rtwo\r", "one\ntwo"),
        ("\x1b[200~def f():\r  return 1\x1b[201~\r", "def f():\n  return 1"),  # pasted
    ],
)
def test_lines_end_where_the_user_sends_them(keyboard: PipeInput, keys: str, line: str) -> None:
    keyboard.send_text(keys)
    assert open_reader(InMemoryHistory(), to_stderr=False)() == line


def test_ctrl_d_on_an_empty_line_is_the_end(keyboard: PipeInput) -> None:
    keyboard.send_text("\x04")
    with pytest.raises(EOFError):
        open_reader(InMemoryHistory(), to_stderr=True)()


def test_ctrl_c_is_an_interrupt(keyboard: PipeInput) -> None:
    keyboard.send_text("half a line\x03")
    with pytest.raises(KeyboardInterrupt):
        open_reader(InMemoryHistory(), to_stderr=False)()


@pytest.mark.parametrize(("typed", "offered"), [("/vis", ["/visible"]), ("/s", ["/system", "/save"]), ("say /s", []), ("vis", [])])
def test_commands_are_completed_at_the_start_of_a_line(typed: str, offered: list[str]) -> None:
    found = COMPLETER.get_completions(Document(typed), CompleteEvent(completion_requested=True))
    assert [completion.text for completion in found] == offered


def test_history_is_available_in_the_next_session(keyboard: PipeInput, tmp_path: Path) -> None:
    for keys, line in (("8 + 9?\r", "8 + 9?"), ("\x1b[A\r", "8 + 9?")):  # the second: arrow up
        history, trouble = open_history(tmp_path / "state")
        assert trouble is None
        keyboard.send_text(keys)
        assert open_reader(history, to_stderr=False)() == line


def test_only_the_owner_can_read_the_history(tmp_path: Path) -> None:
    (tmp_path / "chat_history").write_text("")
    (tmp_path / "chat_history").chmod(0o644)
    history, trouble = open_history(tmp_path)
    assert isinstance(history, FileHistory)
    assert trouble is None
    assert stat.S_IMODE((tmp_path / "chat_history").stat().st_mode) == 0o600


def test_unwritable_history_is_reported_and_the_chat_works(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where the folder should be")
    history, trouble = open_history(tmp_path / "state")
    assert isinstance(history, InMemoryHistory)
    assert trouble is not None
    assert "history is not saved" in trouble


def test_the_state_folder_is_the_users_own(tmp_path: Path) -> None:
    assert state_folder({"XDG_STATE_HOME": str(tmp_path)}) == tmp_path / "tina-azr"
    assert state_folder({"XDG_STATE_HOME": "relative"}) == Path.home() / ".local" / "state" / "tina-azr"
    assert state_folder({}) == Path.home() / ".local" / "state" / "tina-azr"
