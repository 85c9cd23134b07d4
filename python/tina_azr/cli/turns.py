"""One request to the engine, followed to its end: `chat` and `observe` both sit here while the model speaks.

The engine is stepped on the calling thread. Between two steps Ctrl-C is looked at and events are handed on, so neither an interrupt
nor a listener that fails can catch the engine in the middle of a step.
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
    """Seconds of one turn, as its user saw them."""

    total: float
    """From the request to the last token."""
    first_token: float
    """Reading the prompt and forecasting."""
    think: float
    """From there to the end of the reasoning."""
    tokens_per_second: float
    """Thought and answer, from the first token on; 0 if there was none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A finished request."""

    generation: Generation
    clock: Clock


class Interrupts:
    """Context in which the first Ctrl-C is only noted, to be asked for between two steps. A second one leaves as usual."""

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
    """Follow a request with one completion to its end; an interrupt cancels it. Raises ServeError if it cannot be done."""
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
            raise ServeError("the engine has nothing left to do, and the answer is not finished: this is a fault of the engine")


def _clock(generation: Generation, begun: float, started: float, ended: float, now: float) -> Clock:
    tokens = generation.think_tokens + generation.answer_tokens
    return Clock(
        total=now - begun,
        first_token=started - begun,
        think=ended - started,
        tokens_per_second=tokens / (now - started) if tokens and now > started else 0.0,
    )
