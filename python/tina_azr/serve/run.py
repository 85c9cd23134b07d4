"""One request on its way through the engine, as the event loop sees it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable

from tina_azr.engine.types import Event, Failed, Finished, GenerationRequest, Started, ThoughtEnded
from tina_azr.serve.types import ApiError, EndedBy


class Run:
    """What a request says, and how to end it. Belongs to the event loop; `cancel` tells the engine."""

    def __init__(self, run_id: str, request: GenerationRequest, *, cancel: Callable[["Run"], None], ping_seconds: float) -> None:
        self.id = run_id
        self.request = request
        self.ended_by: EndedBy | None = None
        self.submitted = time.monotonic()
        self.first_token: float | None = None
        """When the first token of any of its completions came."""
        self.thought_ended: dict[int, float] = {}
        """When each completion's thought ended."""
        self.unfinished = request.n
        """Completions that the engine has not finished."""
        self.accepted: asyncio.Future[ApiError | None] = asyncio.get_running_loop().create_future()
        """Whether the engine took the request: its refusal, or None."""
        self._cancel = cancel
        self._ping_seconds = ping_seconds
        self._events: list[Event] = []
        self._came = asyncio.Event()

    async def batches(self) -> AsyncIterator[list[Event]]:
        """All events in order, those that came together in one list. An empty list says that none came for `ping_seconds`."""
        while self.unfinished or self._events:
            if not self._events:
                self._came.clear()
                try:
                    async with asyncio.timeout(self._ping_seconds):
                        await self._came.wait()
                except TimeoutError:
                    yield []
                    continue
            events, self._events = self._events, []
            yield events

    def end(self, by: EndedBy) -> None:
        """Have the engine end it at its next step, with what it has said. Nothing happens if it is over."""
        if self.unfinished and self.ended_by is None:
            self.ended_by = by
            self._cancel(self)

    def take(self, event: Event) -> None:
        """One event has come."""
        if isinstance(event, Failed):
            self.unfinished = 0
        elif isinstance(event, Finished):
            self.unfinished -= 1
        elif not isinstance(event, Started):
            if self.first_token is None:
                self.first_token = time.monotonic()
            if isinstance(event, ThoughtEnded):
                self.thought_ended[event.index] = time.monotonic()
        self._events.append(event)
        self._came.set()

    def answer(self, refusal: ApiError | None) -> None:
        """The engine has taken it, or not."""
        if refusal is not None:
            self.unfinished = 0
        if not self.accepted.done():
            self.accepted.set_result(refusal)
