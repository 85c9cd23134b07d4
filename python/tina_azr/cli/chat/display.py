"""A turn on a terminal, as it happens: a line that counts reasoning tokens, the answer as it comes, one line of introspection.

Text of the model goes to the terminal with its control characters spelled out, and never through rich's markup.
"""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from tina_azr.cli.console import print_line
from tina_azr.cli.summaries import STOPS, format_footer, format_reasoning, format_tokens, list_warnings
from tina_azr.cli.turns import Turn
from tina_azr.engine.types import Answering, Event, ReasoningEnded, Started, Thinking, ThinkStop
from tina_azr.formatting import visible

_REFRESH_SECONDS = 0.08


class TurnDisplay:
    """Terminal display of one turn. Pass it the turn's events, then the finished turn. As a context manager it ends every line."""

    def __init__(self, console: Console, *, show_answer: bool = True) -> None:
        """Create the display. With `show_answer` False the answer is not shown, only the lines around it."""
        self._console = console
        self._show_answer = show_answer
        self._live: Live | None = None
        self._drawn = 0.0
        self._budget = 0
        self._began = time.perf_counter()
        self._open_line = False
        """The cursor is at the end of an unfinished line of the model's text."""
        self._answered = False

    def __enter__(self) -> Self:
        self._draw("reading", now=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._fold()
        self._end_line()

    def on_event(self, event: Event) -> None:
        """Show one event."""
        match event:
            case Started(decision=decision):
                self._budget = decision.budget
                self._began = time.perf_counter()
                self._draw(f"thinking 0/{self._budget} tokens", now=True)
            case Thinking(text=None, think_tokens=used):
                self._draw(f"thinking {used}/{self._budget} tokens")
            case Thinking(text=text):
                self._write(text or "", style="dim italic")
            case ReasoningEnded(think_tokens=used, think_stop=stop):
                self._reasoning_ended(used, stop)
            case Answering(text=text) if self._show_answer:
                # The chat template puts newlines between the tag and the answer.
                self._write(text if self._answered else text.lstrip("\n"))
                self._answered = self._answered or bool(text.strip("\n"))
            case _:
                pass

    def finish(self, turn: Turn) -> None:
        """Print the lines below the answer."""
        self._fold()
        self._end_line()
        generation = turn.generation
        if generation.think_stop is ThinkStop.UNFINISHED:
            self._print(f"{format_reasoning(generation, turn.clock)}; no answer", style="dim")
        for warning in list_warnings(generation):
            self._print(warning, style="yellow")
        self._print(format_footer(turn), style="dim")

    def _reasoning_ended(self, used: int, stop: ThinkStop) -> None:
        self._fold()
        self._end_line()
        seconds = time.perf_counter() - self._began
        self._print(f"Thought for {seconds:.1f} s, {format_tokens(used)}, {STOPS[stop]}", style="dim")

    def _draw(self, line: str, *, now: bool = False) -> None:
        """Update the live line, if the console is a terminal."""
        if not self._console.is_terminal or self._open_line:
            return
        if self._live is None:
            self._live = Live(console=self._console, auto_refresh=False, transient=True)
            self._live.start()
        if now or time.perf_counter() - self._drawn > _REFRESH_SECONDS:
            self._drawn = time.perf_counter()
            self._live.update(Text(line, style="dim"), refresh=True)

    def _fold(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _write(self, text: str, style: str | None = None) -> None:
        if not text:
            return
        self._fold()
        self._console.out(visible(text), style=style, end="", highlight=False)
        self._console.file.flush()
        self._open_line = not text.endswith("\n")

    def _end_line(self) -> None:
        if self._open_line:
            self._console.out("")
            self._open_line = False

    def _print(self, line: str, style: str) -> None:
        print_line(self._console, visible(line), style)
