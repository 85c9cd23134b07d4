"""Engine thread: the one thread that owns the engine. The event loop sends it commands and receives events.

Prompts are tokenized on a separate thread first, so a long prompt does not stall running requests.
The engine thread executes all queued commands, runs one engine step, and sends the new events to the event loop in one batch.
A new request therefore joins the running ones at the next step, and a cancelled request leaves them at the next step. When nothing is
left to do, the KV cache is freed.
"""

import asyncio
import math
import queue
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Self

from tina_azr.engine.types import ChatEngine, Event, Failed, GenerationRequest, Ticket
from tina_azr.errors import ServeError
from tina_azr.serve.errors import log_fault
from tina_azr.serve.in_flight import InFlightRequest
from tina_azr.serve.types import ApiError, EndedBy, bad_request, server_error
from tina_azr.serve.work_queue import WorkQueue

Command = Callable[[], None]
MAX_RETRY_SECONDS = 60
"""Largest value of Retry-After, in seconds."""
SECONDS_BETWEEN_FLUSHES = 0.015
"""Least time between two batches of events. Sixty chunks a second look continuous, and every chunk costs CPU time."""
NEWEST_WEIGHT = 0.2
"""Weight of the newest request in the moving average of seconds per request."""


class EngineThread:
    """Thread that owns the engine. Use it as an asynchronous context manager: the thread runs inside the context."""

    def __init__(self, engine: ChatEngine, *, capacity: int, request_seconds: float, ping_seconds: float) -> None:
        self._engine = engine
        self._capacity = capacity
        self._request_seconds = request_seconds
        self._ping_seconds = ping_seconds
        self._in_flight: dict[str, InFlightRequest] = {}
        self._deadlines: dict[str, asyncio.TimerHandle] = {}
        self._answer_now_futures: set[asyncio.Future[bool]] = set()
        self._seconds_per_request = 1.0
        self._tokenizing = WorkQueue(capacity)
        self._commands: queue.SimpleQueue[Command | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="tina-azr-engine", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        # Only the engine thread uses these three.
        self._tickets: dict[str, Ticket] = {}
        self._outbox: list[tuple[InFlightRequest, Event]] = []
        self._last_flush = 0.0
        self.broken = False
        """The engine failed, and no request can be served any more."""
        self.closing = False
        """New requests are refused."""
        self.on_broken: Callable[[], None] = lambda: None
        self.observe: Callable[[InFlightRequest, Event], None] = lambda in_flight, event: None
        """Called with every event, after its request has received it."""

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._thread.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.closing = True
        self.end_all(EndedBy.SHUTDOWN)
        self._commands.put(None)
        await asyncio.to_thread(self._thread.join)
        for in_flight in list(self._in_flight.values()):
            # Its prompt is still being tokenized, and the engine thread has ended.
            if not in_flight.accepted.done():
                in_flight.set_accepted(server_error("the server has ended"))

    @property
    def ready(self) -> bool:
        """Whether requests are accepted now, as long as the queue is not full."""
        return self._thread.is_alive() and not self.closing and not self.broken

    @property
    def completions_in_flight(self) -> int:
        """Completions that are running or waiting."""
        return sum(in_flight.request.n for in_flight in self._in_flight.values())

    async def submit(self, request_id: str, request: GenerationRequest) -> InFlightRequest:
        """Submit a request to the engine. Raises ApiError if the server is full, closing or broken, or if the engine refuses it."""
        self._check(request)
        in_flight = InFlightRequest(request_id, request, cancel=self._cancel, ping_seconds=self._ping_seconds)
        self._in_flight[request_id] = in_flight
        loop = asyncio.get_running_loop()
        self._deadlines[request_id] = loop.call_later(self._request_seconds, in_flight.end, EndedBy.TIME_LIMIT)
        try:
            in_flight.request = await self._tokenizing.run(partial(self._prepare, request))
        except BaseException:
            self._forget(in_flight)
            raise
        # The request may have ended while its prompt was tokenized, when the engine did not know it yet.
        self._commands.put(partial(self._submit, in_flight, ended=in_flight.ended_by is not None))
        try:
            refusal = await in_flight.accepted
        except asyncio.CancelledError:
            in_flight.end(EndedBy.CLIENT)
            raise
        if refusal is not None:
            raise refusal
        return in_flight

    def _prepare(self, request: GenerationRequest) -> GenerationRequest:
        """Tokenize the prompt. Runs on the tokenizing thread, because long prompts take long."""
        try:
            return self._engine.prepare(request)
        except ServeError as error:
            raise bad_request(str(error), "messages") from error

    async def answer_now(self, request_id: str) -> bool:
        """Close the reasoning of a running request. Return False if the id is unknown or the request is not reasoning."""
        if request_id not in self._in_flight or self.broken:
            return False
        loop = asyncio.get_running_loop()
        future: asyncio.Future[bool] = loop.create_future()
        self._answer_now_futures.add(future)

        def command() -> None:
            done = request_id in self._tickets and self._engine.answer_now(self._tickets[request_id])
            loop.call_soon_threadsafe(_resolve, future, done)

        self._commands.put(command)
        try:
            return await future
        finally:
            self._answer_now_futures.discard(future)

    def end_all(self, by: EndedBy) -> None:
        """End all running and waiting requests."""
        for in_flight in list(self._in_flight.values()):
            in_flight.end(by)

    def _cancel(self, in_flight: InFlightRequest) -> None:
        def command() -> None:
            if in_flight.id in self._tickets:
                self._engine.cancel(self._tickets[in_flight.id])

        self._commands.put(command)

    def _check(self, request: GenerationRequest) -> None:
        if not self.ready:
            why = (
                "the engine has failed: see the server's log, and restart the server"
                if self.broken
                else "the server is shutting down"
            )
            raise ApiError(503, why, kind="server_error", code="not_ready")
        if self.completions_in_flight + request.n > self._capacity:
            wait = min(max(math.ceil(self._seconds_per_request), 1), MAX_RETRY_SECONDS)
            raise ApiError(
                429,
                f"the server is full ({self.completions_in_flight} of {self._capacity} completions are in flight); try again in {wait} s",
                kind="rate_limit_error",
                code="queue_full",
                headers={"Retry-After": str(wait)},
            )

    # The methods from here to `_on_loop` run on the engine thread.

    def _work(self) -> None:
        try:
            busy = False
            while self._do_commands(wait=not busy):
                busy = self._engine.step()
                if not busy or time.monotonic() - self._last_flush >= SECONDS_BETWEEN_FLUSHES:
                    self._flush_events()
                if not busy:
                    self._engine.release()
                    # The first token of the next request is sent without delay.
                    self._last_flush = 0.0
            # Requests that were cancelled last still have to send their final events.
            while self._engine.step():
                self._flush_events()
            self._flush_events()
        except Exception as error:  # noqa: BLE001 - catches everything: waiting clients get an error, and the server ends
            log_fault(error, "the engine")
            self._flush_events()
            self._on_loop(self._mark_broken)

    def _do_commands(self, *, wait: bool) -> bool:
        """Execute the commands that came since the last step. With `wait`, block until one comes. Return False to end the thread."""
        while True:
            try:
                command = self._commands.get(block=wait)
            except queue.Empty:
                return True
            if command is None:
                return False
            command()
            wait = False

    def _submit(self, in_flight: InFlightRequest, *, ended: bool) -> None:
        try:
            ticket = self._engine.submit(in_flight.request, lambda event: self._outbox.append((in_flight, event)))
        except ServeError as error:
            self._on_loop(self._set_accepted, in_flight, bad_request(str(error), "messages"))
            return
        self._tickets[in_flight.id] = ticket
        if ended:
            self._engine.cancel(ticket)
        self._on_loop(self._set_accepted, in_flight, None)

    def _flush_events(self) -> None:
        if self._outbox:
            batch, self._outbox = self._outbox, []
            self._last_flush = time.monotonic()
            self._on_loop(self._deliver, batch)

    def _on_loop(self, function: Callable[..., None], *arguments: object) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(function, *arguments)

    # The methods from here on run on the event loop.

    def _set_accepted(self, in_flight: InFlightRequest, refusal: ApiError | None) -> None:
        in_flight.set_accepted(refusal)
        if refusal is not None:
            self._forget(in_flight)

    def _deliver(self, batch: list[tuple[InFlightRequest, Event]]) -> None:
        for in_flight, event in batch:
            in_flight.add_event(event)
            self.observe(in_flight, event)
            if not in_flight.unfinished:
                self._forget(in_flight)

    def _mark_broken(self) -> None:
        self.broken = True
        lost = list(self._in_flight.values())
        for in_flight in lost:
            in_flight.set_accepted(server_error("the engine has failed"))
        self._deliver([(in_flight, Failed(message="the engine has failed")) for in_flight in lost])
        for future in self._answer_now_futures:
            _resolve(future, False)
        self.on_broken()

    def _forget(self, in_flight: InFlightRequest) -> None:
        if self._in_flight.pop(in_flight.id, None) is None:
            return
        self._deadlines.pop(in_flight.id).cancel()
        self._commands.put(lambda: self._drop_ticket(in_flight.id))
        self._seconds_per_request += NEWEST_WEIGHT * (time.monotonic() - in_flight.submitted - self._seconds_per_request)

    def _drop_ticket(self, request_id: str) -> None:
        self._tickets.pop(request_id, None)


def _resolve(future: "asyncio.Future[bool]", done: bool) -> None:
    if not future.done():
        future.set_result(done)
