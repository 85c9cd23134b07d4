"""What is typed at a terminal before the program reads it: kept as typed for the prompt that comes, and not shown twice."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


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
