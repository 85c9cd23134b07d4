"""Tests of `tina-azr chat` and `observe` with the embedded model, a real terminal and real pipes."""

import fcntl
import json
import os
import pty
import select
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tina_azr.cli.model_options import EXAMPLE
from tina_azr.model.loading import ASSETS

COMMAND = (sys.executable, "-m", "tina_azr")
PATIENCE = 300
"""Seconds; a busy machine takes long to import torch."""
READY = "\x1b[?2004h"
"""The program has asked for pasted text to be marked: it waits for the user."""


class Terminal:
    """Program on its own terminal."""

    def __init__(self, *arguments: str, state: Path) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
        environment = {**os.environ, "XDG_STATE_HOME": str(state), "PROMPT_TOOLKIT_NO_CPR": "1"}
        del environment["COLUMNS"]  # it would be believed before the terminal
        self._process = subprocess.Popen(
            [*COMMAND, *arguments], stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True
        )
        os.close(theirs)
        self.seen = ""

    def type(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def wait_for(self, words: str, *, after: int = 0) -> int:
        """Wait for words and return the position after them. Fail with the screen if they do not appear."""
        deadline = time.monotonic() + PATIENCE
        while words not in self.seen[after:]:
            ready, _, _ = select.select([self._ours], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                pytest.fail(f"{words!r} did not come:\n{self.seen}")
            try:
                self.seen += os.read(self._ours, 65_536).decode(errors="replace")
            except OSError:  # the program has closed its side
                pytest.fail(f"the program ended before {words!r}:\n{self.seen}")
        return self.seen.index(words, after) + len(words)

    def interrupt(self) -> None:
        """Send SIGINT, as Ctrl-C does to a program that does not read keys."""
        self._process.send_signal(signal.SIGINT)

    def status(self) -> int:
        return self._process.wait(timeout=PATIENCE)

    def close(self) -> None:
        os.close(self._ours)
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()


@pytest.fixture
def chat(tmp_path: Path) -> Iterator[Terminal]:
    terminal = Terminal("chat", "--seed", "0", state=tmp_path)
    yield terminal
    terminal.close()


def test_a_conversation_at_a_terminal(chat: Terminal, tmp_path: Path) -> None:
    at = chat.wait_for("The embedded model solves small Python tasks")
    at = chat.wait_for(READY, after=at)
    chat.type("/example\r")
    at = chat.wait_for("Thought for", after=at)
    at = chat.wait_for("```output", after=at)
    at = chat.wait_for(READY, after=chat.wait_for("tokens/s", after=at))
    chat.type(f"/save {tmp_path / 'kept'}\r")
    at = chat.wait_for(READY, after=chat.wait_for("saved 1 turn", after=at))
    chat.type("\x03")
    chat.wait_for(READY, after=chat.wait_for("Ctrl-C again leaves", after=at))
    chat.type("\x04")
    assert chat.status() == 0
    kept = json.loads((tmp_path / "kept").read_text())
    assert [message["role"] for message in kept["messages"]] == ["user", "assistant"]
    assert "/example" in (tmp_path / "tina-azr" / "chat_history").read_text()


def test_typeahead_is_sent_at_the_next_prompt(chat: Terminal) -> None:
    at = chat.wait_for("loading tiny")
    chat.type("/budget\r")
    at = chat.wait_for("budget: auto", after=chat.wait_for(READY, after=at))
    chat.wait_for(READY, after=at)
    chat.type("/example\r")
    at = chat.wait_for("thinking 0/", after=at)
    chat.type("/exit\r")
    end = chat.wait_for("tokens/s", after=at)
    assert "/exit" not in chat.seen[at:end]  # the prompt behind it shows what it reads, and may be here already
    assert chat.status() == 0


def test_startup_message_of_the_server_disappears(tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(ASSETS / "tiny", model)
    facts = json.loads((model / "heads.json").read_text())
    (model / "heads.json").write_text(json.dumps({**facts, "policy_digest": "0" * 16}))
    terminal = Terminal("serve", "--port", "0", "--model", str(model), state=tmp_path)
    try:
        at = terminal.wait_for("\x1b[2K", after=terminal.wait_for("loading "))
        at = terminal.wait_for("Ctrl-C to stop", after=at)
        shown, rest = terminal.seen.split("\x1b[?25h")  # the cursor is shown again, and then the rest
        assert "loading" not in rest
        # A doubt is told with the rest: in the line that is shown meanwhile it would be torn.
        assert ("fitted to other weights" in shown, "fitted to other weights" in rest) == (False, True)
        terminal.interrupt()
        terminal.wait_for("Stopped.", after=at)
        assert terminal.status() == 0
    finally:
        terminal.close()


def test_ctrl_c_twice_exits_the_chat(chat: Terminal) -> None:
    at = chat.wait_for(READY)
    chat.type("\x03")
    chat.wait_for(READY, after=chat.wait_for("Ctrl-C again leaves", after=at))
    chat.type("\x03")
    assert chat.status() == 130


def test_pipe_gets_only_the_answer_and_it_equals_the_record() -> None:
    plain, record = (
        subprocess.run(
            [*COMMAND, "chat", "--model", "tiny", "--seed", "0", *more],
            input=EXAMPLE,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=True,
        ).stdout
        for more in ((), ("--json",))
    )
    assert plain.startswith("```output\n")
    assert json.loads(record)["answer"] + "\n" == plain
    assert "think>" not in plain
