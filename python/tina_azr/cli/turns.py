"""Run of one request to its end, for `chat` and `observe`.

The engine runs on the calling thread. Ctrl-C and events are handled between two steps, so neither an interrupt nor an exception of a
listener can occur in the middle of a step.
"""

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import Any, Self

from tina_azr.engine.types import (
    Answering,
    ChatEngine,
    Event,
    Failed,
    Finished,
    Generation,
    GenerationRequest,
    ReasoningEnded,
    Started,
)
from tina_azr.errors import ServeError


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """Times of one turn in seconds, as the user saw them."""

    total: float
    """From the request to the last token."""
    first_token: float
    """Prefill and forecast."""
    think: float
    """From there to the end of the reasoning."""
    tokens_per_second: float
    """Tokens of reasoning and answer per second, from the first token on; 0 if there was none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """Finished request."""

    generation: Generation
    clock: Clock


class Interrupts:
    """Context manager that only records the first Ctrl-C, so that it can be handled between two steps.

    A second Ctrl-C raises KeyboardInterrupt as usual.
    """

    def __init__(self) -> None:
        self.requested = False
        self._before: Any = None

    def __enter__(self) -> Self:
        self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True


def run_turn(
    engine: ChatEngine,
    request: GenerationRequest,
    *,
    on_event: Callable[[Event], None] = lambda event: None,
    interrupts: Interrupts | None = None,
) -> Turn:
    """Run a request with one completion to its end; an interrupt cancels it. Raises ServeError if it fails."""
    begun = time.perf_counter()
    started = ended = None
    events: list[Event] = []
    cancelled = False
    ticket = engine.submit(request, events.append)
    while True:
        if interrupts is not None and interrupts.requested and not cancelled:
            engine.cancel(ticket)
            cancelled = True
        busy = engine.step()
        now = time.perf_counter()
        for event in events:
            if isinstance(event, Started):
                started = now
            elif isinstance(event, (ReasoningEnded, Answering)) and ended is None:
                ended = now
            on_event(event)
            if isinstance(event, Failed):
                raise ServeError(event.message)
            if isinstance(event, Finished):
                return Turn(generation=event.generation, clock=_clock(event.generation, begun, started or now, ended or now, now))
        events.clear()
        if not busy:
            raise ServeError("the engine has nothing left to do, but the answer is not finished: please report this bug")


def _clock(generation: Generation, begun: float, started: float, ended: float, now: float) -> Clock:
    tokens = generation.think_tokens + generation.answer_tokens
    return Clock(
        total=now - begun,
        first_token=started - begun,
        think=ended - started,
        tokens_per_second=tokens / (now - started) if tokens and now > started else 0.0,
    )
