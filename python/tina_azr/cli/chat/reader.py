"""Line editor of the chat: history, multi-line input, completion of commands. Only the owner can read the history file."""

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import WordCompleter
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.output import create_output

from tina_azr.cli.chat.state import COMMANDS

COMPLETER = WordCompleter(list(COMMANDS), sentence=True)
Reader = Callable[[], str]
"""Function that returns the user's next input. Raises EOFError for Ctrl-D on an empty line, KeyboardInterrupt for Ctrl-C."""


def state_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the folder for state files of this user (XDG_STATE_HOME, or %LOCALAPPDATA% on Windows)."""
    if sys.platform == "win32":
        return Path(environment.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "tina-azr"
    named = Path(environment.get("XDG_STATE_HOME", ""))
    return (named if named.is_absolute() else Path.home() / ".local" / "state") / "tina-azr"


def open_history(folder: Path) -> tuple[History, str | None]:
    """Open the history file. If that fails, return a history in memory and the reason."""
    path = folder / "chat_history"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_APPEND, 0o600))
        path.chmod(0o600)
    except OSError as error:
        return InMemoryHistory(), f"the history is not saved: {path}: {error.strerror or error}"
    return FileHistory(str(path)), None


def open_reader(history: History, *, to_stderr: bool) -> Reader:
    """Create a reader on this terminal. With `to_stderr` the prompt appears on standard error, and standard output is for answers."""
    keys = KeyBindings()

    @keys.add("enter")
    def _(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if buffer.document.current_line_before_cursor.endswith("\\"):
            buffer.delete_before_cursor()
            buffer.insert_text("\n")
        else:
            buffer.validate_and_handle()

    @keys.add("escape", "enter")
    @keys.add("c-j")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    session: PromptSession[str] = PromptSession(
        message=FormattedText([("bold", "> ")]),
        multiline=True,
        prompt_continuation=FormattedText([("", "  ")]),
        history=history,
        key_bindings=keys,
        completer=COMPLETER,
        complete_while_typing=False,
        enable_open_in_editor=True,
        output=create_output(stdout=sys.stderr if to_stderr else sys.stdout),
    )
    return session.prompt
