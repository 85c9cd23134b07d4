"""Console output of commands, kept typeahead, and interruptible work."""

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
    """Print text without markup. A terminal gets it wrapped between words, anything else gets the lines unchanged."""
    console.print(Text(wrapped(text, console.width) if console.is_terminal else text, style=style), soft_wrap=True)


def loading(what: str, *, shown: bool = True) -> AbstractContextManager[object]:
    """Show on a terminal's standard error that `what` is being loaded, until the context ends. Importing torch takes seconds.

    Do not print anything else inside the context.
    """
    return status_line(f"loading {what}", shown=shown)


@contextmanager
def status_line(words: str, *, shown: bool = True) -> Iterator[Callable[[str], None]]:
    """Show a status line on a terminal's standard error until the context ends. Yield a function that changes its text.

    Do not print anything else inside the context.
    """
    console = Console(stderr=True)
    # `is_terminal` is not used, because FORCE_COLOR makes it true for a file.
    if not shown or not console.file.isatty():
        yield lambda words: None
        return
    spinner = Spinner("dots", Text(words))
    # Click cannot write to streams that rich redirects.
    with Live(spinner, console=console, refresh_per_second=12, transient=True, redirect_stdout=False, redirect_stderr=False):
        yield lambda words: spinner.update(text=Text(words))


@contextmanager
def held_keys() -> Iterator[None]:
    """Keep keys that are typed inside the context for the next prompt, if standard input is a terminal. Ctrl-C still works.

    A terminal turns Enter into a line feed, which the prompt reads as Ctrl-J. Without this a line that was typed ahead would never be
    sent.
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
"""Longest sleep of the main thread. On Windows a sleeping thread does not see Ctrl-C."""


def interruptible(work: Callable[[], Result]) -> Result:
    """Run `work` on another thread; return its result or raise its exception.

    Ctrl-C raises KeyboardInterrupt at once. The work then continues, but it does not delay the exit.
    """
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
