"""One request on its way through the engine, as the event loop sees it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

from tina_azr.engine.types import Answering, Event, Failed, Finished, GenerationRequest, ReasoningEnded, Thinking
from tina_azr.serve.types import ApiError, EndedBy

SECONDS_BETWEEN_COUNTS = 0.1
"""A hidden thought says how long it is no more often than this."""


def merged(events: list[Event]) -> list[Event]:
    """The same events, with neighbouring words of one completion as one."""
    together: list[Event] = []
    newest: dict[int, int] = {}
    """Where a completion's words are, while nothing but words came after them."""
    for event in events:
        if not isinstance(event, Thinking | Answering):
            newest.clear()
            together.append(event)
            continue
        at = newest.setdefault(event.index, len(together))
        if at == len(together):
            together.append(event)
        else:
            together[at] = _joined(together[at], event)
    return together


def _joined(before: Event, event: Thinking | Answering) -> Event:
    # Between a thought and its answer lies its end, so neighbours are of one kind.
    if isinstance(before, Thinking) and isinstance(event, Thinking):
        return replace(event, text=None if before.text is None or event.text is None else before.text + event.text)
    assert isinstance(before, Answering) and isinstance(event, Answering)
    return replace(event, text=before.text + event.text, logprobs=before.logprobs + event.logprobs)


class Run:
    """What a request says, and how to end it. Belongs to the event loop; `cancel` tells the engine."""

    def __init__(self, run_id: str, request: GenerationRequest, *, cancel: Callable[["Run"], None], ping_seconds: float) -> None:
        self.id = run_id
        self.request = request
        self.ended_by: EndedBy | None = None
        self.submitted = time.monotonic()
        """When it came, before its prompt was made into ids."""
        self.first_token: float | None = None
        """When the first token of any of its completions came."""
        self.reasoning_ended: dict[int, float] = {}
        """When each completion's thought ended."""
        self.unfinished = request.n
        """Completions that the engine has not finished."""
        self.accepted: asyncio.Future[ApiError | None] = asyncio.get_running_loop().create_future()
        """Whether the engine took the request: its refusal, or None."""
        self._cancel = cancel
        self._ping_seconds = ping_seconds
        self._events: list[Event] = []
        self._reader: asyncio.Future[None] | None = None
        self._counted: dict[int, float] = {}

    async def batches(self) -> AsyncIterator[list[Event]]:
        """All events in order, those that came together in one list. An empty list says that none came for `ping_seconds`."""
        loop = asyncio.get_running_loop()
        while self.unfinished or self._events:
            if not self._events:
                self._reader = loop.create_future()
                ping = loop.call_later(self._ping_seconds, self._wake)
                try:
                    await self._reader
                finally:
                    ping.cancel()
            events, self._events = self._events, []
            yield merged(events)

    def end(self, by: EndedBy) -> None:
        """Have the engine end it at its next step, with what it has said. Nothing happens if it is over."""
        if self.unfinished and self.ended_by is None:
            self.ended_by = by
            self._cancel(self)

    def take(self, event: Event) -> None:
        """One event has come."""
        now = time.monotonic()
        if self.first_token is None and isinstance(event, Thinking | Answering):
            self.first_token = now
        match event:
            case Failed():
                self.unfinished = 0
            case Finished():
                self.unfinished -= 1
            case ReasoningEnded(index=index):
                self.reasoning_ended[index] = now
            case Thinking(index=index) if not self.request.visible:
                # It says how long the thought is, no more; that is told now and then.
                if now - self._counted.get(index, 0.0) < SECONDS_BETWEEN_COUNTS:
                    return
                self._counted[index] = now
            case _:
                pass
        self._events.append(event)
        self._wake()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def answer(self, refusal: ApiError | None) -> None:
        """The engine has taken it, or not."""
        if refusal is not None:
            self.unfinished = 0
        if not self.accepted.done():
            self.accepted.set_result(refusal)
