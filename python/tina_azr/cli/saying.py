"""How a command's own sentences reach a person."""

from contextlib import AbstractContextManager, nullcontext

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
    console = Console(stderr=True)
    if not shown or not console.is_terminal:
        return nullcontext()
    spinner = Spinner("dots", Text(f"loading {what}"))
    # Redirected streams are none that click can write to.
    return Live(spinner, console=console, refresh_per_second=12, transient=True, redirect_stdout=False, redirect_stderr=False)
