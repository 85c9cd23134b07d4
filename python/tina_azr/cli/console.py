"""How a command's own sentences reach a person."""

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import AbstractContextManager, contextmanager
from threading import Thread
from typing import TypeVar

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from tina_azr.formatting import wrapped


def print_line(console: Console, text: str, style: str = "") -> None:
    """Print, without markup: at a terminal broken between words, anywhere else line by line as it is, for programs that read lines."""
    console.print(Text(wrapped(text, console.width) if console.is_terminal else text, style=style), soft_wrap=True)


def loading(what: str, *, shown: bool = True) -> AbstractContextManager[object]:
    """Say at a terminal, on standard error, that `what` is being loaded, for torch alone takes seconds; gone once the context ends.

    Nothing else is to be printed in it.
    """
    return status_line(f"loading {what}", shown=shown)


@contextmanager
def status_line(words: str, *, shown: bool = True) -> Iterator[Callable[[str], None]]:
    """Say at a terminal, on standard error, what is being done; gone once the context ends. What it gives changes the words.

    Nothing else is to be printed in it.
    """
    console = Console(stderr=True)
    # Not `is_terminal`, which FORCE_COLOR makes true of a file.
    if not shown or not console.file.isatty():
        yield lambda words: None
        return
    spinner = Spinner("dots", Text(words))
    # Redirected streams are none that click can write to.
    with Live(spinner, console=console, refresh_per_second=12, transient=True, redirect_stdout=False, redirect_stderr=False):
        yield lambda words: spinner.update(text=Text(words))


@contextmanager
def held_keys() -> Iterator[None]:
    """Keep what is typed meanwhile on standard input; nothing happens where that is no terminal. Ctrl-C works as ever.

    A terminal turns Enter into a line feed, which the prompt takes for Ctrl-J: a line that was typed ahead would never be sent.
    """
    if sys.platform == "win32" or not sys.stdin.isatty():
        yield
        return
    import termios

    before = termios.tcgetattr(sys.stdin)
    held = before.copy()
    held[0] &= ~termios.ICRNL
    held[3] &= ~termios.ECHO
    termios.tcsetattr(sys.stdin, termios.TCSANOW, held)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSANOW, before)


Result = TypeVar("Result")

_POLL_SECONDS = 0.2
"""How long the main thread sleeps at most: on Windows a sleeping one does not see Ctrl-C."""


def interruptible(work: Callable[[], Result]) -> Result:
    """What `work` returns or raises. Ctrl-C raises KeyboardInterrupt at once; the work then goes on, but holds up no exit."""
    future: Future[Result] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
            future.set_exception(error)

    Thread(target=run, daemon=True).start()
    while not future.done():
        wait([future], timeout=_POLL_SECONDS)
    return future.result()
