"""How a command's own sentences reach a person."""

from rich.console import Console
from rich.text import Text

from tina_azr.train.wording import wrapped


def say(console: Console, text: str, style: str = "") -> None:
    """Print, without markup: at a terminal broken between words, anywhere else line by line as it is, for programs that read lines."""
    console.print(Text(wrapped(text, console.width) if console.is_terminal else text, style=style), soft_wrap=True)
