"""A request that the engine is working on, as the event loop sees it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

from tina_azr.engine.types import Answering, Event, Failed, Finished, GenerationRequest, ReasoningEnded, Thinking
from tina_azr.serve.types import ApiError, EndedBy

SECONDS_BETWEEN_COUNTS = 0.1
"""Least time between two token counts of hidden reasoning."""


def merge_events(events: list[Event]) -> list[Event]:
    """Merge adjacent text events of each completion into one event."""
    together: list[Event] = []
    newest: dict[int, int] = {}
    """Position of a completion's last text event, as long as only text events came after it."""
    for event in events:
        if not isinstance(event, Thinking | Answering):
            newest.clear()
            together.append(event)
            continue
        at = newest.setdefault(event.index, len(together))
        if at == len(together):
            together.append(event)
        else:
            together[at] = _join(together[at], event)
    return together


def _join(before: Event, event: Thinking | Answering) -> Event:
    # A ReasoningEnded event separates reasoning and answer, so adjacent text events have the same type.
    if isinstance(before, Thinking) and isinstance(event, Thinking):
        return replace(event, text=None if before.text is None or event.text is None else before.text + event.text)
    assert isinstance(before, Answering) and isinstance(event, Answering)
    return replace(event, text=before.text + event.text, logprobs=before.logprobs + event.logprobs)


class InFlightRequest:
    """Events of one request, and the means to end it. Only the event loop uses it; `cancel` notifies the engine."""

    def __init__(
        self, request_id: str, request: GenerationRequest, *, cancel: Callable[["InFlightRequest"], None], ping_seconds: float
    ) -> None:
        self.id = request_id
        self.request = request
        self.ended_by: EndedBy | None = None
        self.submitted = time.monotonic()
        """When the request arrived, before its prompt was tokenized."""
        self.first_token: float | None = None
        """When the first token of any of its completions came."""
        self.reasoning_ended: dict[int, float] = {}
        """When the reasoning of each completion ended."""
        self.unfinished = request.n
        """Completions that the engine has not finished."""
        self.accepted: asyncio.Future[ApiError | None] = asyncio.get_running_loop().create_future()
        """Result of the submission: the engine's refusal, or None if it accepted the request."""
        self._cancel = cancel
        self._ping_seconds = ping_seconds
        self._events: list[Event] = []
        self._reader: asyncio.Future[None] | None = None
        self._counted: dict[int, float] = {}

    async def batches(self) -> AsyncIterator[list[Event]]:
        """Yield all events in order, in lists of those that arrived together. An empty list means none came for `ping_seconds`."""
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
            yield merge_events(events)

    def end(self, by: EndedBy) -> None:
        """Let the engine end the request at its next step, and keep the text so far. Do nothing if the request is over."""
        if self.unfinished and self.ended_by is None:
            self.ended_by = by
            self._cancel(self)

    def add_event(self, event: Event) -> None:
        """Add an event and wake the reader."""
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
                # The event only holds the length of hidden reasoning, which clients need only a few times a second.
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

    def set_accepted(self, refusal: ApiError | None) -> None:
        """Record whether the engine accepted the request; `refusal` is None if it did."""
        if refusal is not None:
            self.unfinished = 0
        if not self.accepted.done():
            self.accepted.set_result(refusal)
