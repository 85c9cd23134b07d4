"""Tests of console output: wrapped at a terminal, unchanged elsewhere."""

import io
import pty
import sys
from typing import TextIO

import pytest
from rich.console import Console

from tina_azr.cli.chat.state import Chat, read_line
from tina_azr.cli.console import loading, print_line, status_line
from tina_azr.formatting import wrapped


def said(text: str, *, width: int = 40, terminal: bool = True) -> list[str]:
    out = io.StringIO()
    print_line(Console(file=out, width=width, force_terminal=terminal, color_system=None), text, "dim")
    return out.getvalue().splitlines()


def test_terminal_text_wraps_between_words_without_markup() -> None:
    assert said("the sandbox checks them; it solves them [/b] and learns") == [
        "the sandbox checks them; it solves them",
        "[/b] and learns",
    ]


def test_output_that_is_not_a_terminal_is_not_wrapped() -> None:
    text = "word " * 40 + "end"
    assert said(text, terminal=False) == [text]


def test_a_command_that_ends_a_line_can_be_copied() -> None:
    command = "tina-azr train --resume runs/a-rather-long-name --minutes 30"
    assert said(f"Stopped after step 5; saved. Go on with: {command}\nBye.") == [
        *("Stopped after step 5; saved. Go on with:", command, "Bye."),
    ]


def test_the_parts_of_a_footer_stay_whole() -> None:
    assert said("used 24 · closed by itself · confidence 30 % -> 3 % · 71 tokens/s", width=44) == [
        "used 24 · closed by itself ·",
        "confidence 30 % -> 3 % · 71 tokens/s",
    ]


def test_the_help_of_a_chat_is_a_list_on_a_narrow_terminal() -> None:
    help_ = read_line(Chat(model="tiny"), "/help").text
    lines = wrapped(help_, 64).splitlines()
    assert max(map(len, lines)) <= 64
    start = next(line for line in lines if line.startswith("/reset")).index("clear")
    (place,) = (number for number, line in enumerate(lines) if line.startswith("/budget"))
    assert lines[place + 1].startswith(" " * start)
    assert " ".join(help_.split()) == " ".join(" ".join(lines).split())


@pytest.mark.parametrize("text", ["", "\n", "def f(x):\n    return x\n", "  - an item"])
def test_short_lines_are_left_alone(text: str) -> None:
    assert wrapped(text, 40) == text


def all_of(screen: io.FileIO, terminal: TextIO) -> str:
    """Read everything that a terminal has shown."""
    terminal.write("end")
    terminal.flush()
    came = b""
    while not came.endswith(b"end"):
        came += screen.read(65_536)
    return came.decode()


@pytest.mark.parametrize(("shown", "seen"), [(True, ["loading [b]/tiny"]), (False, [])])
def test_a_terminal_shows_what_is_being_loaded_until_it_is(shown: bool, seen: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = pty.openpty()
    with open(ours, "rb", buffering=0) as screen, open(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        monkeypatch.setenv("TERM", "xterm")
        with loading("[b]/tiny", shown=shown):
            pass
        came = all_of(screen, terminal)
    assert [word for word in seen if word not in came] == []
    assert ("\x1b[2K" in came) == shown  # the line is taken away again


def test_status_line_text_can_change(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = pty.openpty()
    with open(ours, "rb", buffering=0) as screen, open(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        monkeypatch.setenv("TERM", "xterm")
        with status_line("reading") as update:
            update("[b]: 3 tokens")
        came = all_of(screen, terminal)
    assert came.index("reading") < came.index("[b]: 3 tokens")


@pytest.mark.parametrize("forced", ["", "1"])
def test_status_line_is_shown_only_at_a_terminal(
    forced: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", forced)
    with loading("tiny"):
        pass
    assert capfd.readouterr() == ("", "")
