"""What the routes share, and the two ways of waiting for a run: to its end, or along its stream."""

import asyncio
import secrets
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from starlette.types import Receive

from tina_azr.config import ServeConfig
from tina_azr.engine.types import Failed, Finished, Generation, GenerationRequest
from tina_azr.sandbox.types import Outcome
from tina_azr.serve.engine_thread import EngineRoom
from tina_azr.serve.in_flight import Run
from tina_azr.serve.metrics import Metrics
from tina_azr.serve.openai.request import RequestLimits
from tina_azr.serve.openai.sse import left, stop
from tina_azr.serve.types import ApiError, EndedBy, ServedModel, ServerLimits, failed

Result = TypeVar("Result")

CLIENT_LEFT = 499
"""nginx's status for it; nobody reads it but the metrics."""


class Checker(Protocol):
    """What the sandbox endpoint needs of a sandbox."""

    def check_many(self, jobs: Sequence[tuple[str, Sequence[str]]]) -> list[list[Outcome]]:
        """See `tina_azr.sandbox.types.Executor`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One server."""

    room: EngineRoom
    model: ServedModel
    settings: ServeConfig
    metrics: Metrics
    checker: Checker | None
    """None: no sandbox endpoint."""
    key_required: bool
    server_limits: ServerLimits

    @property
    def limits(self) -> RequestLimits:
        """What one request may ask for."""
        return RequestLimits(
            messages=self.server_limits.messages,
            prompt_chars=self.server_limits.prompt_chars,
            choices=min(self.server_limits.choices, self.settings.queue),
            allow_visible=self.settings.allow_visible_reasoning,
        )


def new_id(prefix: str) -> str:
    """A name that cannot be guessed: it is what the control endpoint goes by."""
    return f"{prefix}{secrets.token_hex(16)}"


def now() -> int:
    """Seconds since 1970, as OpenAI's `created`."""
    return int(time.time())


async def begin(room: EngineRoom, run_id: str, request: GenerationRequest, receive: Receive) -> Run:
    """A run that the engine has taken. If the client leaves before, its prompt is not read where that has not begun."""
    return await _unless_left(room.submit(run_id, request), receive)


async def finish(run: Run, receive: Receive) -> list[Generation]:
    """All completions of a run, in order. If the client leaves first, the run is ended at once."""
    try:
        return await _unless_left(_generations(run), receive)
    finally:
        run.end(EndedBy.CLIENT)


async def _unless_left(work: Coroutine[Any, Any, Result], receive: Receive) -> Result:
    """What the work returns. If the client leaves first, it is cancelled; raises ApiError."""
    working = asyncio.create_task(work)
    leaving = asyncio.create_task(left(receive))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ApiError(CLIENT_LEFT, "the client left", code="client_left")
        return working.result()
    finally:
        await stop(working, leaving)


async def _generations(run: Run) -> list[Generation]:
    found: list[Generation] = []
    async for events in run.batches():
        for event in events:
            if isinstance(event, Failed):
                raise failed(event.message)
            if isinstance(event, Finished):
                found.append(event.generation)
    return sorted(found, key=lambda generation: generation.index)
