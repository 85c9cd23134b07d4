"""How a command's own sentences reach a person."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from tina_azr.train.wording import wrapped


def say(console: Console, text: str, style: str = "") -> None:
    """Print, without markup: at a terminal broken between words, anywhere else line by line as it is, for programs that read lines."""
    console.print(Text(wrapped(text, console.width) if console.is_terminal else text, style=style), soft_wrap=True)


def loading(what: str, *, shown: bool = True) -> AbstractContextManager[object]:
    """Say at a terminal, on standard error, that `what` is being loaded, for torch alone takes seconds; gone once the context ends.

    Nothing else is to be printed in it.
    """
    return waiting(f"loading {what}", shown=shown)


@contextmanager
def waiting(words: str, *, shown: bool = True) -> Iterator[Callable[[str], None]]:
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
