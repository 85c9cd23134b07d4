"""How numbers are put into words for people; display, report and tables all spell them the same way."""

import re
import textwrap
import unicodedata
from collections.abc import Sequence

_BARS = "▁▂▃▄▅▆▇█"
_COMMAND = re.compile(r"(?<=: )tina-azr .*")
_ENTRY = re.compile(r"\S+(?: \S+)*  +")
"""What a line of a list begins with: its name, and the gap behind it."""
_GLUE = "\0"


def percent(share: float | None, digits: int = 1) -> str:
    """`71.2 %`; a dash for no number."""
    return "-" if share is None else f"{100 * share:.{digits}f} %"


def accuracy(share: float | None, stderr: float | None) -> str:
    """`71.2 ±1.9`, in percent."""
    if share is None:
        return "-"
    return f"{100 * share:.1f}" if stderr is None else f"{100 * share:.1f} ±{100 * stderr:.1f}"


def points(difference: float | None) -> str:
    """`+24.1`, in percentage points."""
    return "-" if difference is None else f"{100 * difference:+.1f}"


def signed(value: float | None) -> str:
    """`+0.12`, for rewards and losses."""
    return "-" if value is None else f"{value:+.2f}"


def whole(value: float | None) -> str:
    """`34`, for counts of tokens."""
    return "-" if value is None else f"{value:.0f}"


def rate(per_second: float) -> str:
    """`812` or `7.9 k`: three digits are enough for a rate."""
    if per_second < 1000:
        return f"{per_second:.0f}"
    return f"{per_second / 1000:.1f} k" if per_second < 100_000 else f"{per_second / 1000:.0f} k"


def counted(number: int, noun: str) -> str:
    """`1 step`, `4 steps`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """`1:32` or `2:05:10`."""
    minutes, rest = divmod(round(max(0.0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def sparkline(values: Sequence[float], *, width: int, least_span: float) -> str:
    """The last `width` values as bars. A span below `least_span` is drawn small, so that noise does not look like a trend."""
    shown = list(values)[-width:]
    if not shown:
        return ""
    low = min(shown)
    span = max(max(shown) - low, least_span)
    return "".join(_BARS[round((value - low) / span * (len(_BARS) - 1))] for value in shown)


def wrapped(text: str, width: int) -> str:
    """Lines broken between words, where a terminal would break them anywhere. A word that is too long, such as a path, stays whole, and so
    does a command that ends a line: both are there to be copied. A list's entries go on below where their text began.
    Parts between dots (` · `) stay whole too."""

    def broken(line: str) -> list[str]:
        entry = _ENTRY.match(line)
        hang = " " * entry.end() if entry and entry.end() <= width // 2 else ""
        glued = _COMMAND.sub(lambda command: command[0].replace(" ", _GLUE), line)
        if (dot := " · ") in line:
            glued = f"{_GLUE}· ".join(part.replace(" ", _GLUE) for part in glued.split(dot))
        return textwrap.wrap(glued, width, subsequent_indent=hang, break_long_words=False, break_on_hyphens=False) or [""]

    return "\n".join(part for line in text.split("\n") for part in broken(line)).replace(_GLUE, " ")


def visible(text: str) -> str:
    """Model text that may be printed: control characters but newline and tab, and format characters that turn the direction of
    writing or hide, are spelled out, so that none reaches a terminal. Spaces and joiners that scripts and emoji need stay."""
    return "".join(char if _printable(char) else char.encode("unicode_escape").decode() for char in text)


def _printable(char: str) -> bool:
    return char.isprintable() or char in "\n\t\u200c\u200d" or unicodedata.category(char) == "Zs"
