"""The engine room: one thread owns the engine; the event loop sends it commands and gets events back.

Prompts are made into ids before, on another thread: a long one keeps nobody waiting whose answer runs.
The thread does all commands that have come, lets the engine make one step, and hands over in one go what was said since the last time.
So a request joins those that run at the next step, and one that is cancelled leaves them at the next step. Where nothing is left to do,
the memory of keys and values is given back.
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
from tina_azr.serve.in_flight import Run
from tina_azr.serve.types import ApiError, EndedBy, failed, refused
from tina_azr.serve.work_queue import Turnstile

Command = Callable[[], None]
LONGEST_RETRY = 60
"""Seconds of the largest Retry-After."""
SECONDS_BETWEEN_WORDS = 0.015
"""What the engine says is handed over no more often: at sixty chunks a second the eye sees no more, and each has its price."""
NEWEST_SHARE = 0.2
"""Weight of the newest request in the mean time of one."""


class EngineRoom:
    """Use as an asynchronous context: inside it the thread works."""

    def __init__(self, engine: ChatEngine, *, capacity: int, request_seconds: float, ping_seconds: float) -> None:
        self._engine = engine
        self._capacity = capacity
        self._request_seconds = request_seconds
        self._ping_seconds = ping_seconds
        self._runs: dict[str, Run] = {}
        self._deadlines: dict[str, asyncio.TimerHandle] = {}
        self._questions: set[asyncio.Future[bool]] = set()
        self._seconds_per_run = 1.0
        self._preparing = Turnstile(capacity)
        self._commands: queue.SimpleQueue[Command | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="tina-azr-engine", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        # Of the thread alone:
        self._tickets: dict[str, Ticket] = {}
        self._outbox: list[tuple[Run, Event]] = []
        self._handed_over = 0.0
        self.broken = False
        """The engine failed as a whole: nothing more can be done."""
        self.closing = False
        """No further request is taken."""
        self.on_broken: Callable[[], None] = lambda: None
        self.observe: Callable[[Run, Event], None] = lambda run, event: None
        """Called with every event, after its run has it."""

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._thread.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.closing = True
        self.end_all(EndedBy.SHUTDOWN)
        self._commands.put(None)
        await asyncio.to_thread(self._thread.join)
        for run in list(self._runs.values()):
            # Its prompt is still being read, and nobody is left to take it.
            if not run.accepted.done():
                run.answer(failed("the server has ended"))

    @property
    def ready(self) -> bool:
        """Whether a request is taken now, if there is room for it."""
        return self._thread.is_alive() and not self.closing and not self.broken

    @property
    def in_flight(self) -> int:
        """Completions that run or wait."""
        return sum(run.request.n for run in self._runs.values())

    async def submit(self, run_id: str, request: GenerationRequest) -> Run:
        """Hand a request to the engine. Raises ApiError where the room is full, closing or broken, or the engine refuses."""
        self._check(request)
        run = Run(run_id, request, cancel=self._cancel, ping_seconds=self._ping_seconds)
        self._runs[run_id] = run
        loop = asyncio.get_running_loop()
        self._deadlines[run_id] = loop.call_later(self._request_seconds, run.end, EndedBy.TIME_LIMIT)
        try:
            run.request = await self._preparing.through(partial(self._prepare, request))
        except BaseException:
            self._forget(run)
            raise
        # While its prompt was read the engine knew of nothing to end.
        self._commands.put(partial(self._submit, run, ended=run.ended_by is not None))
        try:
            refusal = await run.accepted
        except asyncio.CancelledError:
            run.end(EndedBy.CLIENT)
            raise
        if refusal is not None:
            raise refusal
        return run

    def _prepare(self, request: GenerationRequest) -> GenerationRequest:
        """Beside engine and event loop: long prompts take their time."""
        try:
            return self._engine.prepare(request)
        except ServeError as error:
            raise refused(str(error), "messages") from error

    async def answer_now(self, run_id: str) -> bool:
        """Close the thoughts of a running request. False if there is none of that id, or it does not think (any more)."""
        if run_id not in self._runs or self.broken:
            return False
        loop = asyncio.get_running_loop()
        question: asyncio.Future[bool] = loop.create_future()
        self._questions.add(question)

        def command() -> None:
            done = run_id in self._tickets and self._engine.answer_now(self._tickets[run_id])
            loop.call_soon_threadsafe(_resolve, question, done)

        self._commands.put(command)
        try:
            return await question
        finally:
            self._questions.discard(question)

    def end_all(self, by: EndedBy) -> None:
        """End everything that runs or waits."""
        for run in list(self._runs.values()):
            run.end(by)

    def _cancel(self, run: Run) -> None:
        def command() -> None:
            if run.id in self._tickets:
                self._engine.cancel(self._tickets[run.id])

        self._commands.put(command)

    def _check(self, request: GenerationRequest) -> None:
        if not self.ready:
            why = "the engine has failed: its log says where; start it again" if self.broken else "the server is shutting down"
            raise ApiError(503, why, kind="server_error", code="not_ready")
        if self.in_flight + request.n > self._capacity:
            wait = min(max(math.ceil(self._seconds_per_run), 1), LONGEST_RETRY)
            raise ApiError(
                429,
                f"the server is full: {self.in_flight} completions are in flight of at most {self._capacity}; try again in {wait} s",
                kind="rate_limit_error",
                code="queue_full",
                headers={"Retry-After": str(wait)},
            )

    # On the engine's thread, down to `_on_loop`.

    def _work(self) -> None:
        try:
            busy = False
            while self._do_commands(wait=not busy):
                busy = self._engine.step()
                if not busy or time.monotonic() - self._handed_over >= SECONDS_BETWEEN_WORDS:
                    self._hand_over()
                if not busy:
                    self._engine.release()
                    # Whoever comes next waits for their first word.
                    self._handed_over = 0.0
            # What was cancelled at the very end still says so.
            while self._engine.step():
                self._hand_over()
            self._hand_over()
        except Exception as error:  # noqa: BLE001 - the capture point: whoever waits is told, and the server ends
            log_fault(error, "the engine")
            self._hand_over()
            self._on_loop(self._break)

    def _do_commands(self, *, wait: bool) -> bool:
        """Do what was asked since the last step; with `wait`, something will be asked first. False to end."""
        while True:
            try:
                command = self._commands.get(block=wait)
            except queue.Empty:
                return True
            if command is None:
                return False
            command()
            wait = False

    def _submit(self, run: Run, *, ended: bool) -> None:
        try:
            ticket = self._engine.submit(run.request, lambda event: self._outbox.append((run, event)))
        except ServeError as error:
            self._on_loop(self._answer, run, refused(str(error), "messages"))
            return
        self._tickets[run.id] = ticket
        if ended:
            self._engine.cancel(ticket)
        self._on_loop(self._answer, run, None)

    def _hand_over(self) -> None:
        if self._outbox:
            batch, self._outbox = self._outbox, []
            self._handed_over = time.monotonic()
            self._on_loop(self._deliver, batch)

    def _on_loop(self, function: Callable[..., None], *arguments: object) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(function, *arguments)

    # On the event loop again.

    def _answer(self, run: Run, refusal: ApiError | None) -> None:
        run.answer(refusal)
        if refusal is not None:
            self._forget(run)

    def _deliver(self, batch: list[tuple[Run, Event]]) -> None:
        for run, event in batch:
            run.take(event)
            self.observe(run, event)
            if not run.unfinished:
                self._forget(run)

    def _break(self) -> None:
        self.broken = True
        lost = list(self._runs.values())
        for run in lost:
            run.answer(failed("the engine has failed"))
        self._deliver([(run, Failed(message="the engine has failed")) for run in lost])
        for question in self._questions:
            _resolve(question, False)
        self.on_broken()

    def _forget(self, run: Run) -> None:
        if self._runs.pop(run.id, None) is None:
            return
        self._deadlines.pop(run.id).cancel()
        self._commands.put(lambda: self._drop_ticket(run.id))
        self._seconds_per_run += NEWEST_SHARE * (time.monotonic() - run.submitted - self._seconds_per_run)

    def _drop_ticket(self, run_id: str) -> None:
        self._tickets.pop(run_id, None)


def _resolve(question: "asyncio.Future[bool]", done: bool) -> None:
    if not question.done():
        question.set_result(done)
